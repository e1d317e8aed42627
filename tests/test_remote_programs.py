"""Clients of other programs on Windows, from PyPI, unmodified: paramiko and asyncssh ask Pageant, holodeck its world.

The other sides are programs/pageant.py and programs/world.py, each a process of its own. A login is what a user of the
first two sees: a server of asyncssh, which knows nothing of namedmap, lets in who has the agent's key.
"""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

import namedmap
from child import Child, Spawn, pypi

CLIENTS = ("paramiko==5.1.0", "asyncssh==2.24.1")
#: Without posix_ipc, which it uses where nobody tells it of Windows.
HOLODECK = "holodeck==0.3.1"
#: With np.bool, and arrays that can be moved to other memory, both of which later ones have not. There is none for
#: Python 3.12 and later.
NUMPY = "numpy<1.24"


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A directory with those of Pageant installed in it."""
    return str(pypi.install(tmp_path_factory.mktemp("clients"), *CLIENTS))


@pytest.fixture(scope="session")
def holodeck(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A directory with holodeck installed in it."""
    place = tmp_path_factory.mktemp("holodeck")
    pypi.install(place, "--only-binary=:all:", NUMPY, or_skip=f"there is no {NUMPY} for this Python")
    return str(pypi.install(place, "--no-deps", HOLODECK))


class Remote:
    """Starts the processes of a test."""

    def __init__(self, spawn: Spawn, programs: str, directory: Path) -> None:
        self._spawn, self._programs, self._directory = spawn, programs, directory

    def script(self, text: str, *arguments: str) -> Child:
        """A process that nobody has told of Windows."""
        child: Child = self._spawn(text, *arguments, environment=pypi.reaching(self._programs))
        return child

    def program(self, text: str, package: str, *arguments: str, **environment: str) -> Child:
        """A program for Windows, which uses an installed package that is told of it as well."""
        path = self._directory / "program.py"
        path.write_text(text, encoding="utf-8")
        words = ("--windows", "--own", package, str(path), *arguments)
        return pypi.run(self._spawn, self._programs, *words, HOME=str(self._directory), **environment)


class TestPageant:
    """A request to Pageant, the agent for SSH keys, is named memory that the client makes and the agent opens.

    The first of the agent's keys is the one that lets in: a server of asyncssh ends the talk of a paramiko that comes
    with a second one, on every system.
    """

    AGENT = """
        import asyncssh
        from programs import pageant
        keys = [asyncssh.generate_private_key("ssh-ed25519", comment=f"key {number}") for number in range(2)]
        print(keys[0].export_public_key().decode().strip(), flush=True)
        pageant.Agent(*keys).run(silent="silent" in sys.argv)
        """
    SERVER = """
        import asyncio, asyncssh
        def answer(process):
            process.stdout.write(f"{process.get_extra_info('username')} runs {process.command}\\n")
            process.exit(0)
        async def serve():
            key = asyncssh.generate_private_key("ssh-ed25519")
            options = {"server_host_keys": [key], "process_factory": answer}
            known = asyncssh.import_authorized_keys(sys.argv[1])
            async with asyncssh.listen("127.0.0.1", 0, authorized_client_keys=known, **options) as server:
                say(server.get_port())
                await asyncio.to_thread(sys.stdin.read)
        asyncio.run(serve())
        """
    PARAMIKO = """if True:
        import sys, threading
        import paramiko
        from programs import pageant
        pageant.take_windows_place()
        try:
            agent = paramiko.Agent()
        except paramiko.SSHException as error:
            sys.exit(f"{type(error).__name__}: {error}")
        for key in agent.get_keys():
            print(key.comment, flush=True)

        def signs(number):
            data = b"data %d" % number
            signature = paramiko.Message(keys[number % 2].sign_ssh_data(data))
            good.append(public[number % 2].verify_ssh_sig(data, signature))

        if "sign" in sys.argv:
            keys, good = agent.get_keys(), []
            public = [paramiko.Ed25519Key(data=key.asbytes()) for key in keys]
            threads = [threading.Thread(target=signs, args=(number,)) for number in range(8)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            print(good, flush=True)
        elif "login" in sys.argv:
            client = paramiko.SSHClient()
            client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
            client.connect("127.0.0.1", int(sys.argv[2]), "åsa", look_for_keys=False)
            print(client.exec_command("who")[1].read().decode().strip(), flush=True)
            client.close()
        """
    ASYNCSSH = """if True:
        import asyncio, sys
        from programs import pageant
        sys.modules["win32ui"] = pageant
        import asyncssh

        async def main():
            async with asyncssh.connect_agent() as agent:
                keys = await agent.get_keys()
                for key in keys:
                    print(key.get_comment(), flush=True)
                if "sign" in sys.argv:
                    good = []
                    for number, key in enumerate(keys):
                        signature = await key.sign_async(b"data %d" % number)
                        public = asyncssh.public_key.decode_ssh_public_key(key.public_data)
                        good.append(public.verify(b"data %d" % number, signature))
                    print(good, flush=True)
            if "login" in sys.argv:
                options = {"username": "åsa", "known_hosts": None, "config": None}
                async with asyncssh.connect("127.0.0.1", int(sys.argv[2]), **options) as connection:
                    print((await connection.run("who")).stdout.strip(), flush=True)

        try:
            asyncio.run(main())
        except ValueError as error:
            sys.exit(f"{type(error).__name__}: {error}")
        """
    EACH = pytest.mark.parametrize("client", ["paramiko", "asyncssh"])

    @pytest.fixture
    def remote(self, spawn: Spawn, clients: str, tmp_path: Path) -> Remote:
        return Remote(spawn, clients, tmp_path)

    def agent(self, remote: Remote, *words: str) -> tuple[Child, str]:
        """An agent that is up, and its first public key."""
        child = remote.script(self.AGENT, *words)
        key = child.line()
        assert child.line() == "ready"
        return child, key

    def client(self, remote: Remote, package: str, *words: str) -> Child:
        return remote.program(getattr(self, package.upper()), package, *words)

    @EACH
    def test_keys_and_signatures(self, remote: Remote, client: str) -> None:
        """The client lists the agent's keys; what the agent signs is right, of several threads at once in paramiko."""
        agent, _ = self.agent(remote)
        program = self.client(remote, client, "sign")
        assert [program.line(), program.line()] == ["key 0", "key 1"]
        assert program.line() == str([True] * {"paramiko": 8, "asyncssh": 2}[client])
        assert program.wait() == 0
        assert agent.end() == 0

    @EACH
    def test_a_login(self, remote: Remote, client: str) -> None:
        """A server lets in who has the agent's key."""
        agent, key = self.agent(remote)
        server = remote.script(self.SERVER, key)
        program = self.client(remote, client, "login", server.line())
        assert [program.line() for _ in range(3)] == ["key 0", "key 1", "åsa runs who"]
        assert program.wait() == 0
        assert server.end() == 0
        assert agent.end() == 0

    @pytest.mark.leaves_dead_files
    @EACH
    def test_an_agent_that_dies(self, remote: Remote, client: str, capfd: pytest.CaptureFixture[str]) -> None:
        """A client whose agent is killed before it answers is told so, and the memory goes with the client."""
        agent, _ = self.agent(remote, "silent")
        program = self.client(remote, client, "dies")
        name = agent.line()
        with namedmap.open(name) as memory:
            assert memory.size == 8192
        assert agent.kill() == -signal.SIGKILL
        assert program.wait() == 1
        expected = {
            "paramiko": "SSHException: lost ssh-agent",
            "asyncssh": "ValueError: [Errno 5] Unable to send agent request",
        }
        assert capfd.readouterr().err.splitlines()[-1] == expected[client]
        with pytest.raises(namedmap.NotFoundError):
            namedmap.open(name)


class TestHolodeck:
    """holodeck starts a world, and steps through it: semaphores of the world, a block for each thing that is shared."""

    PROGRAM = """if True:
        import sys
        import holodeck
        agents = [
            {
                "agent_name": f"sphere{number}", "agent_type": "SphereAgent", "control_scheme": 1,
                "location": [10 * number, 0, 1],
                "sensors": [{"sensor_type": "LocationSensor"}, {"sensor_type": "DistanceTask"}],
            }
            for number in range(2)
        ]
        scenario = {"package_name": "Deck", "world": "Plain", "main_agent": "sphere0", "agents": agents}
        with holodeck.make(scenario_cfg=scenario) as world:
            for line in sys.stdin:
                try:
                    states, reward, terminal, _ = world.step([float(word) for word in line.split()])
                    places = [states[name]["LocationSensor"].tolist() for name in ("sphere0", "sphere1")]
                    print(*places, reward, terminal, flush=True)
                except TimeoutError as error:
                    print(error, flush=True)
        """

    @pytest.fixture
    def remote(self, spawn: Spawn, holodeck: str, tmp_path: Path) -> Remote:
        return Remote(spawn, holodeck, tmp_path)

    def start(self, remote: Remote, directory: Path) -> Child:
        """A program with a world that has begun. The world is an executable file of a package that is installed."""
        package = directory / "holodeck" / "0.3.1" / "worlds" / "Deck"
        package.mkdir(parents=True, exist_ok=True)
        config = {"name": "Deck", "path": "world", "worlds": [{"name": "Plain", "pre_start_steps": 1}]}
        (package / "config.json").write_text(json.dumps(config), encoding="utf-8")
        world = package / "world"
        world.write_text(f"#!{sys.executable}\nfrom programs import world\nworld.main()\n", encoding="utf-8")
        world.chmod(0o755)
        return remote.program(self.PROGRAM, "holodeck", HOLODECKPATH=str(directory / "holodeck"))

    @pytest.mark.leaves_dead_files  # a world is killed when its program has done with it
    def test_two_worlds(self, remote: Remote, tmp_path: Path) -> None:
        """Actions arrive in the world, what it sees arrives in the program, step by step; each program has its own."""
        programs = [self.start(remote, tmp_path) for _ in range(2)]
        for step in range(1, 4):
            for number, program in enumerate(programs):
                program.send(f"{number + 1} 0")
            for number, program in enumerate(programs):
                there = float(step * (number + 1))
                assert program.line() == f"[{there}, 0.0, 1.0] [10.0, 0.0, 1.0] {there} {there >= 4}"
        for program in programs:
            assert program.end() == 0

    @pytest.mark.leaves_dead_files
    def test_a_world_that_dies(self, remote: Remote, tmp_path: Path) -> None:
        """A program whose world is killed is told so when it has waited, and ends well."""
        program = self.start(remote, tmp_path)
        program.send("1 0")
        assert program.line() == "[1.0, 0.0, 1.0] [10.0, 0.0, 1.0] 1.0 False"
        (world,) = Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text(encoding="utf-8").split()
        os.kill(int(world), signal.SIGKILL)
        program.send("1 0")
        assert program.line() == "Timed out or error waiting for engine!"
        assert program.end() == 0
