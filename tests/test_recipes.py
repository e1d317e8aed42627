"""Programs for Windows in the ways in which people write them: for games, hardware monitors, voice, debug output.

They are written anew here, after the public layouts of the memory that they read. Each runs in a process of its own;
the test is the game or the monitor.
"""

import contextlib
import os
import struct
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from calls import load, poke
from child import WATCHDOG, Spawn
from namedmap import win32

BOTH = pytest.mark.parametrize("options", [(), ("--windows",)], ids=["plain", "windows"])


@contextlib.contextmanager
def memory(name: str, content: bytes, size: int = 0) -> Iterator[int]:
    """The address of named memory with this content."""
    size = size or len(content)
    section = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, size, name)
    view = win32.MapViewOfFile(section, win32.FILE_MAP_WRITE, 0, 0, 0)
    assert view
    assert poke(view, content)
    try:
        yield view
    finally:
        assert win32.UnmapViewOfFile(view)
        assert win32.CloseHandle(section)


def run(place: Path, text: str, *options: str, given: str = "") -> list[str]:
    """The lines that a program writes, which ends well and complains of nothing."""
    program = place / "program.py"
    program.write_text(textwrap.dedent(text), encoding="utf-8")
    command = [sys.executable, "-X", "dev", "-W", "error", "-m", "namedmap", "run", *options, str(program)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", timeout=WATCHDOG, env=environment, input=given, check=False
    )
    assert not done.returncode, done.stderr
    assert not done.stderr
    return done.stdout.splitlines()


class TestGames:
    """Structures over memory that a game fills."""

    STATIC = """
        import ctypes, mmap
        from ctypes import c_float, c_int32, c_wchar

        class Static(ctypes.Structure):
            _pack_ = 4
            _fields_ = [("version", c_wchar * 15), ("game", c_wchar * 15), ("sessions", c_int32), ("cars", c_int32),
                        ("model", c_wchar * 33), ("track", c_wchar * 33), ("player", c_wchar * 33),
                        ("sectors", c_int32), ("torque", c_float)]
            def to_dict(self):
                return {name: getattr(self, name) for name, kind in self._fields_}

        class Info:
            def __init__(self):
                self._static = mmap.mmap(0, ctypes.sizeof(Static), "acpmf_static")
                self.static = Static.from_buffer(self._static)
            def close(self):
                del self.static
                self._static.close()

        info = Info()
        print(ctypes.sizeof(Static), *info.static.to_dict().values())
        info.static.player = "Ayrton"
        info.close()
        """

    @BOTH
    def test_text_in_structures(self, tmp_path: Path, options: tuple[str, ...]) -> None:
        """Assetto Corsa's static page: arrays of c_wchar, and numbers behind them; read and written in place."""
        texts = ("1.7", 30), ("1.16", 30), ("ks_porsche_911", 66), ("nordschleife", 66), ("Jörg €", 66)
        raw = [text.encode("utf-16-le").ljust(size, b"\0") for text, size in texts]
        page = struct.pack("30s30sii66s66s66s2xif", *raw[:2], 3, 20, *raw[2:], 7, 450.5)
        with memory("acpmf_static", page) as view:
            shown = run(tmp_path, self.STATIC, *options)
            assert shown == [f"{len(page)} 1.7 1.16 3 20 ks_porsche_911 nordschleife Jörg € 7 450.5"]
            assert load(view + 200, 14).decode("utf-16-le") == "Ayrton\0"

    VOICE = """
        import ctypes, mmap, time
        from ctypes import wintypes

        class Link(ctypes.Structure):
            _fields_ = [
                ("uiVersion", wintypes.DWORD), ("uiTick", ctypes.{kind}),
                ("fAvatarPosition", ctypes.c_float * 3), ("fAvatarFront", ctypes.c_float * 3),
                ("fAvatarTop", ctypes.c_float * 3), ("name", wintypes.WCHAR * 256),
                ("fCameraPosition", ctypes.c_float * 3), ("fCameraFront", ctypes.c_float * 3),
                ("fCameraTop", ctypes.c_float * 3), ("identity", wintypes.WCHAR * 256),
                ("context_len", ctypes.c_uint32), ("context", ctypes.c_ubyte * 256),
                ("description", wintypes.WCHAR * 2048)]

        memory = mmap.mmap(-1, ctypes.sizeof(Link), "MumbleLink")
        link = Link.from_buffer_copy(memory.read(ctypes.sizeof(Link)))
        print(ctypes.sizeof(Link), link.uiTick, link.name, link.identity, *link.fAvatarPosition, link.context_len)
        link.uiTick += 1
        link.description = "seen by \\N{{WHITE SMILING FACE}}"
        memory.seek(0)
        memory.write(bytes(link))
        """

    @pytest.mark.parametrize(
        ("options", "kind"), [((), "c_uint32"), (("--windows",), "c_ulong")], ids=["plain", "windows"]
    )
    def test_mumble(self, tmp_path: Path, options: tuple[str, ...], kind: str) -> None:
        """Mumble Link: WCHAR and DWORD of wintypes, and a c_ulong, which has 4 bytes where the program is told so."""
        layout = "<II9f512s9f512sI256s4096s"
        name, identity = "Guild Wars 2".encode("utf-16-le"), '{"name":"Zojja"}'.encode("utf-16-le")
        page = struct.pack(layout, 2, 41, 1.5, -2.5, 3.5, *[0.0] * 6, name, *[0.0] * 9, identity, 48, b"", b"")
        text = self.VOICE.format(kind=kind)
        with memory("MumbleLink", page) as view:
            shown = run(tmp_path, text, *options)
            assert shown == ['5460 41 Guild Wars 2 {"name":"Zojja"} 1.5 -2.5 3.5 48']
            *_, description = struct.unpack(layout, load(view, 5460))
            assert description.decode("utf-16-le").rstrip("\0") == "seen by \N{WHITE SMILING FACE}"
            assert load(view + 4, 1) == b"*"


class TestMonitors:
    """Programs that show temperatures and frames a second."""

    @BOTH
    def test_a_block_behind_a_mutex(self, tmp_path: Path, options: tuple[str, ...]) -> None:
        """As HWiNFO has it: header and elements, packed, in global memory, with a mutex that the reader takes."""
        text = """
            import ctypes
            from ctypes import wintypes

            class Header(ctypes.Structure):
                _pack_ = 1
                _fields_ = [("signature", wintypes.DWORD), ("version", wintypes.DWORD), ("time", ctypes.c_longlong),
                            ("offset", wintypes.DWORD), ("size", wintypes.DWORD), ("count", wintypes.DWORD)]

            class Reading(ctypes.Structure):
                _pack_ = 1
                _fields_ = [("kind", wintypes.DWORD), ("label", ctypes.c_char * 16), ("value", ctypes.c_double)]

            kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
            kernel32.OpenMutexW.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.LPCWSTR)
            kernel32.OpenFileMappingW.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.LPCWSTR)
            kernel32.OpenFileMappingW.restype = kernel32.OpenMutexW.restype = wintypes.HANDLE
            kernel32.MapViewOfFile.argtypes = [wintypes.HANDLE] + 3 * [wintypes.DWORD] + [ctypes.c_size_t]
            kernel32.MapViewOfFile.restype = wintypes.LPVOID
            kernel32.UnmapViewOfFile.argtypes = [wintypes.LPCVOID]
            kernel32.CloseHandle.argtypes = kernel32.ReleaseMutex.argtypes = [wintypes.HANDLE]
            kernel32.WaitForSingleObject.argtypes = [wintypes.HANDLE, wintypes.DWORD]

            mutex = kernel32.OpenMutexW(0x100000, False, "Global\\\\Recipe_MUTEX")
            if kernel32.WaitForSingleObject(mutex, 1000) != 0:
                raise ctypes.WinError(ctypes.get_last_error())
            section = kernel32.OpenFileMappingW(4, False, "Global\\\\Recipe_SENSORS")
            view = kernel32.MapViewOfFile(section, 4, 0, 0, 0)
            header = Header.from_address(view)
            for index in range(header.count):
                reading = Reading.from_address(view + header.offset + index * header.size)
                print(reading.label.decode("mbcs"), reading.value)
            print(kernel32.UnmapViewOfFile(view), kernel32.CloseHandle(section), kernel32.ReleaseMutex(mutex))
            print(kernel32.OpenFileMappingW(4, False, "Global\\\\Recipe_OTHER"), ctypes.get_last_error())
            """
        rows = [struct.pack("<I16sd", 1, name, value) for name, value in ((b"CPU \xb0C", 54.25), (b"GPU", 61.0))]
        block = struct.pack("<IIqIII", 0x53695748, 2, 0, 28, 28, 2) + b"".join(rows)
        mutex = win32.CreateMutex(None, False, r"Global\Recipe_MUTEX")
        with memory(r"Global\Recipe_SENSORS", block):
            assert run(tmp_path, text, *options) == ["CPU °C 54.25", "GPU 61.0", "1 1 1", "None 2"]
        assert win32.WaitForSingleObject(mutex, 0) == win32.WAIT_OBJECT_0
        assert win32.ReleaseMutex(mutex)
        assert win32.CloseHandle(mutex)

    def test_a_pointer_as_result(self, tmp_path: Path) -> None:
        """As for Core Temp: the view is a pointer to a structure; the size is asked for with VirtualQuery."""
        text = """
            import ctypes
            from ctypes import wintypes
            class Data(ctypes.Structure):
                _fields_ = [("load", ctypes.c_uint * 4), ("cores", ctypes.c_uint), ("name", ctypes.c_char * 20)]
            class Region(ctypes.Structure):
                _fields_ = [("BaseAddress", ctypes.c_void_p), ("AllocationBase", ctypes.c_void_p),
                            ("AllocationProtect", wintypes.DWORD), ("RegionSize", ctypes.c_size_t),
                            ("State", wintypes.DWORD), ("Protect", wintypes.DWORD), ("Type", wintypes.DWORD)]
            user32, k32 = ctypes.windll.user32, ctypes.windll.kernel32
            user32.GetWindowThreadProcessId.argtypes = [wintypes.HWND, ctypes.POINTER(wintypes.DWORD)]
            ctypes.windll.psapi.EnumProcesses.restype = wintypes.BOOL
            hmap = k32.OpenFileMappingW(0x0004, False, "RecipeTempObject")
            k32.MapViewOfFile.restype = ctypes.POINTER(Data)
            pointer = k32.MapViewOfFile(hmap, 0x0004, 0, 0, ctypes.sizeof(Data))
            data = pointer.contents
            region = Region()
            print(k32.VirtualQuery(pointer, ctypes.byref(region), ctypes.sizeof(region)), region.RegionSize)
            print([data.load[i] for i in range(data.cores)], data.name.decode(), user32.GetForegroundWindow())
            print(k32.UnmapViewOfFile(pointer), k32.CloseHandle(hmap))
            """
        with memory("RecipeTempObject", struct.pack("5I20s", 10, 20, 30, 40, 3, b"Ryzen")):
            assert run(tmp_path, text) == ["48 4096", "[10, 20, 30] Ryzen 0", "1 1"]

    def test_raw_text(self, tmp_path: Path) -> None:
        """As for AIDA64 and RTSS: mmap with length 0 or as much as is there, read-only; decoded as mbcs."""
        text = """
            import mmap
            for length in (0, 100):
                with mmap.mmap(-1, length, "Recipe_SensorValues", access=mmap.ACCESS_READ) as shared:
                    print(len(shared), shared[:].split(b"\\0", 1)[0].decode("mbcs"))
            try:
                mmap.mmap(-1, 0, "Recipe_None", access=mmap.ACCESS_READ)
            except OSError as error:
                print(error.winerror)
            """
        with memory("Recipe_SensorValues", "<temp>45°</temp>\0".encode("cp1252"), 100):
            assert run(tmp_path, text) == ["100 <temp>45°</temp>", "100 <temp>45°</temp>", "2"]


class TestText:
    """Programs that hand text to each other with ctypes alone."""

    WRITER = """
        import ctypes, msvcrt
        from ctypes import c_wchar_p, cdll, create_unicode_buffer, sizeof, windll, wstring_at
        from ctypes.wintypes import *
        kernel32, memcpy = windll.kernel32, cdll.msvcrt.memcpy
        kernel32.CreateFileMappingW.restype = HANDLE
        kernel32.MapViewOfFile.restype = LPVOID
        kernel32.MapViewOfFile.argtypes = [HANDLE, DWORD, DWORD, DWORD, ctypes.c_size_t]
        memcpy.argtypes = [LPVOID, LPCVOID, ctypes.c_size_t]
        szName, szMsg = c_wchar_p("MyFileMappingObject"), create_unicode_buffer("Message from first process.")
        hMap = kernel32.CreateFileMappingW(HANDLE(-1), None, 4, 0, 256, szName)
        pBuf = kernel32.MapViewOfFile(hMap, 0xF001F, 0, 0, 256)
        memcpy(pBuf, szMsg, sizeof(szMsg))
        print(wstring_at(pBuf), c_wchar_p(pBuf).value, sizeof(WCHAR), flush=True)
        msvcrt.getch()
        kernel32.RtlMoveMemory(LPVOID(pBuf), "Second", 14)
        print(ctypes.cast(pBuf, c_wchar_p).value, flush=True)
        msvcrt.getch()
        """

    def test_utf16(self, tmp_path: Path, spawn: Spawn) -> None:
        """c_wchar_p, create_unicode_buffer, wstring_at and memcpy mean UTF-16, if the program is told of Windows."""
        program = tmp_path / "writer.py"
        program.write_text(textwrap.dedent(self.WRITER), encoding="utf-8")
        command = [sys.executable, "-m", "namedmap", "run", "--windows", str(program)]
        child = spawn("import os; os.execv(sys.argv[1], sys.argv[1:])", *command)
        first = "Message from first process."
        assert child.line() == f"{first} {first} 2"
        section = win32.OpenFileMapping(win32.FILE_MAP_READ, False, "MyFileMappingObject")
        view = win32.MapViewOfFile(section, win32.FILE_MAP_READ, 0, 0, 0)
        assert view
        assert load(view, 56).decode("utf-16-le") == first + "\0"
        child.send("")
        assert child.line() == "Second"
        assert load(view, 14).decode("utf-16-le") == "Second\0"
        assert child.end() == 0
        assert win32.UnmapViewOfFile(view)
        assert win32.CloseHandle(section)

    def test_debug_output(self, tmp_path: Path, spawn: Spawn) -> None:
        """A listener for OutputDebugString: a buffer, two events, the sender's number in front of the text."""
        text = """
            import mmap, struct, sys
            import win32event
            ready = win32event.CreateEvent(None, 0, 0, "DBWIN_BUFFER_READY")
            data = win32event.CreateEvent(None, 0, 0, "DBWIN_DATA_READY")
            buffer = mmap.mmap(0, 4096, "DBWIN_BUFFER", mmap.ACCESS_WRITE)
            while True:
                win32event.SetEvent(ready)
                if win32event.WaitForSingleObject(data, -1) != win32event.WAIT_OBJECT_0:
                    break
                buffer.seek(0)
                pid, = struct.unpack("L" if struct.calcsize("L") == 4 else "I", buffer.read(4))
                said = buffer.read(4092).split(b"\\0")[0]
                print(pid, said.decode("mbcs"), flush=True)
                if said == b"end":
                    break
            """
        program = tmp_path / "listener.py"
        program.write_text(textwrap.dedent(text), encoding="utf-8")
        ready = win32.CreateEvent(None, False, False, "DBWIN_BUFFER_READY")
        command = [sys.executable, "-m", "namedmap", "run", str(program)]
        child = spawn("import os; os.execv(sys.argv[1], sys.argv[1:])", *command)
        for said in (b"hello", b"end"):
            assert win32.WaitForSingleObject(ready, 60_000) == win32.WAIT_OBJECT_0
            event = win32.OpenEvent(win32.EVENT_ALL_ACCESS, False, "DBWIN_DATA_READY")
            with memory("DBWIN_BUFFER", struct.pack("<I", os.getpid()) + said + b"\0", 4096):
                assert win32.SetEvent(event)
                assert child.line() == f"{os.getpid()} {said.decode()}"
            assert win32.CloseHandle(event)
        assert child.wait() == 0
        assert win32.CloseHandle(ready)


class TestBuiltins:
    """Modules that Python has on Windows only."""

    def test_winapi(self, tmp_path: Path) -> None:
        """_winapi and msvcrt are the program's, if it is told of Windows; the standard library does not see them."""
        text = """
            import ctypes, msvcrt, os, subprocess, sys, tempfile
            import _winapi
            handle = _winapi.CreateFileMapping(_winapi.INVALID_HANDLE_VALUE, _winapi.NULL, _winapi.PAGE_READWRITE,
                                               0, 10000, "recipe-winapi")
            print(_winapi.GetLastError() == _winapi.ERROR_ALREADY_EXISTS)
            view = _winapi.MapViewOfFile(handle, _winapi.FILE_MAP_READ, 0, 0, 0)
            print(ctypes.string_at(view, 5), _winapi.VirtualQuerySize(view))
            _winapi.UnmapViewOfFile(view)
            _winapi.CloseHandle(handle)
            try:
                _winapi.OpenFileMapping(_winapi.FILE_MAP_READ, False, "recipe-none")
            except FileNotFoundError as error:
                print(error.winerror)
            with tempfile.TemporaryFile() as file:
                file.write(b"content")
                file.flush()
                kernel32 = ctypes.windll.kernel32
                kernel32.MapViewOfFile.restype = ctypes.c_void_p
                section = kernel32.CreateFileMappingW(msvcrt.get_osfhandle(file.fileno()), None, 2, 0, 0, None)
                print(ctypes.string_at(kernel32.MapViewOfFile(section, 4, 0, 0, 0), 7))
            print(msvcrt.kbhit(), msvcrt.getch(), msvcrt.getwch())
            print(subprocess._mswindows, subprocess.run([sys.executable, "-c", ""]).returncode, "msvcrt" in sys.modules)
            """
        with memory("recipe-winapi", b"hello", 10000):
            shown = run(tmp_path, text, "--windows", given="aä")
        assert shown == ["True", "b'hello' 12288", "2", "b'content'", "True b'a' ä", "False 0 False"]
        assert run(tmp_path, "try:\n    import msvcrt\nexcept ImportError:\n    print('none')") == ["none"]

    @BOTH
    def test_single_instance(self, tmp_path: Path, options: tuple[str, ...]) -> None:
        """A mutex tells whether the program runs already, by the last error in all the ways that there are to ask."""
        text = """
            import ctypes, win32api, win32event, winerror
            from ctypes import windll
            kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
            first = kernel32.CreateMutexW(None, True, "Global\\\\recipe-instance")
            print(ctypes.get_last_error())
            windll.kernel32.CreateMutexA(None, 1, b"Global\\\\recipe-instance")
            print(windll.kernel32.GetLastError(), ctypes.GetLastError(), win32api.GetLastError())
            handle = win32event.CreateMutex(None, False, "Global\\\\recipe-instance")
            print(win32api.GetLastError() == winerror.ERROR_ALREADY_EXISTS)
            """
        assert run(tmp_path, text, *options) == ["0", "183 183 183", "True"]


class TestOthers:
    """All other code that uses ctypes in the process goes on as before."""

    def test_numpy_and_the_standard_library(self, tmp_path: Path) -> None:
        """NumPy's types of structures and arrays, shared values of multiprocessing, native wide text, big-endian."""
        pytest.importorskip("numpy")
        text = """
            import ctypes, ctypes.util, multiprocessing, os
            import numpy
            from numpy.ctypeslib import as_array, as_ctypes, ndpointer
            class Point(ctypes.Structure):
                _fields_ = [("x", ctypes.c_double), ("n", ctypes.c_long), ("flags", ctypes.c_uint16 * 4)]
            print(numpy.dtype(Point).itemsize, ctypes.sizeof(Point), ctypes.sizeof(ctypes.c_long))
            points = (Point * 2)((1.5, 2), (3.5, 4))
            view = as_array(points)
            view["x"] *= 2
            print(points[1].x, points[1].n, as_ctypes(numpy.arange(3.0))[2], ndpointer(numpy.int32).__name__)
            libc = ctypes.CDLL(None)
            libc.wcslen.argtypes = [ctypes.c_wchar_p]
            print(libc.wcslen("four"), libc.wcslen(ctypes.create_unicode_buffer("three")))
            class Native(ctypes.BigEndianStructure):
                _fields_ = [("n", ctypes.c_uint32)]
            print(bytes(Native(1)), ctypes.wstring_at(ctypes.create_unicode_buffer("wide")))
            class TimeVal(ctypes.Structure):
                _fields_ = [("s", ctypes.c_long), ("us", ctypes.c_long)]
            now = TimeVal()
            print(libc.gettimeofday(ctypes.byref(now), None), now.s > 1_600_000_000)
            shared = multiprocessing.get_context("fork").Value(Point, 1.0, 5)
            shared.n += 1
            print(shared.n, isinstance(shared.get_obj(), ctypes.Structure))
            """
        shown = run(tmp_path, text)
        assert shown == [
            "24 24 8",
            "7.0 4 2.0 ndpointer_<i4",
            "4 5",
            "b'\\x00\\x00\\x00\\x01' wide",
            "0 True",
            "6 True",
        ]
