"""A container with little memory: many small objects, until no more fit, end in an error and not in an OOM kill."""

import contextlib
from collections.abc import Iterator

import pytest

from calls.kernel import KernelError, limits
from child import Child, Spawn
from child.users import memory_limit, needs_root
from namedmap import win32

LIMIT = 64 << 20


@pytest.fixture
def confined(spawn: Spawn) -> Iterator[Child]:
    """A process that may have 64 MiB."""
    with memory_limit(LIMIT) as confine:
        child = spawn(forked=False)  # a fork is charged for each page of its parent that it writes to
        confine(child.pid)
        child.run("""
            import resource
            most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
            held = []
        """)
        yield child
        child.end()


@needs_root
@pytest.mark.parametrize("size", [1, 4096, 100 << 10, 1 << 20])
@pytest.mark.parametrize("name", ["None", "f'small-{len(held)}'"])
def test_sections(confined: Child, size: int, name: str) -> None:
    """Of 4 KB, 100 KB, 1 MB: the last is ERROR_COMMITMENT_LIMIT, and all that were had can be used."""
    confined.run(f"while len(held) < 20_000 and (h := create({name}, {size})): held.append(h)")
    code, text, count = confined.value("(win32.GetLastError(), message(), len(held))")
    assert code in (win32.ERROR_COMMITMENT_LIMIT, win32.ERROR_TOO_MANY_OPEN_FILES), text
    assert count > 10
    confined.run("""
        for h in held[:: len(held) // 10]:
            v = view(h); poke(v, b'x'); win32.UnmapViewOfFile(v)
        for h in held: win32.CloseHandle(h)
        again = create(None, 4096)
    """)
    assert confined.value("bool(again)")


@needs_root
def test_events(confined: Child) -> None:
    """They take memory as well."""
    confined.run("while len(held) < 20_000 and (h := win32.CreateEvent(None, True, False, None)): held.append(h)")
    code, text = confined.value("(win32.GetLastError(), message())")
    assert code in (0, win32.ERROR_COMMITMENT_LIMIT, win32.ERROR_TOO_MANY_OPEN_FILES), text


@needs_root
@pytest.mark.parametrize("pages", [1, 25])
def test_commits(confined: Child, pages: int) -> None:
    """Pages of a reserved section, a few at a time."""
    confined.run(f"""
        h = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE | win32.SEC_RESERVE, 0, 1 << 30, None)
        v, at, step = view(h), 0, {pages} * 4096
        while at < 1 << 30 and win32.VirtualAlloc(v + at, step, win32.MEM_COMMIT, win32.PAGE_READWRITE):
            poke(v + at, b'x'); at += step
    """)
    code, text, at = confined.value("(win32.GetLastError(), message(), at)")
    assert code == win32.ERROR_COMMITMENT_LIMIT, text
    assert 1 << 20 < at < LIMIT


def test_never_more_than_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small sections are added up, but not beyond what there is."""
    free = 10 << 20

    def limited() -> Iterator[tuple[int, int, str]]:
        yield LIMIT, free, "raise the limit"

    monkeypatch.setattr(limits, "limits", limited)
    monkeypatch.setattr(limits, "_committed", 0)
    monkeypatch.setattr(limits, "_credit", 0)
    with contextlib.suppress(KernelError):
        while free > 0:
            limits.require(4096, "a section")
            free -= 4096
    assert 0 < free <= 2 << 20
