"""Commands on files."""

import language
from registry import call, command, done
from slots import Address, Slots

from namedmap import win32

#: The content of an out-parameter before the call, so that one which is left alone shows.
_PRESET = 0x55


@command("createfile slot text dword dword dword [dword] [bool]")
def createfile(
    slots: Slots,
    slot: str,
    path: str | None,
    access: int,
    share: int,
    disposition: int,
    flags: int = win32.FILE_ATTRIBUTE_NORMAL,
    inherit: bool = False,
) -> str:
    slots.keep_file(path)
    attributes = win32.SECURITY_ATTRIBUTES(bInheritHandle=True) if inherit else None
    handle, error = call(win32.CreateFile, path, access, share, attributes, disposition, flags, None)
    slots.keep_handle(slot, handle)
    return f"{'INVALID' if handle == win32.INVALID_HANDLE_VALUE else 'OK'} {error}"


@command("filesize handle", query=True)
def filesize(slots: Slots, handle: int) -> str:
    size = win32.LARGE_INTEGER()
    ok, error = call(win32.GetFileSizeEx, handle, size)
    return f"OK {error} size={size.value}" if ok else f"FAIL {error}"


@command("getfilesize handle", query=True)
def getfilesize(slots: Slots, handle: int) -> str:
    high = win32.DWORD(_PRESET)
    low, error = call(win32.GetFileSize, handle, high)
    return f"lo={low:#x} {error} hi={high.value:#x}"


@command("write handle data")
def write(slots: Slots, handle: int, data: bytes) -> str:
    count = win32.DWORD(_PRESET)
    return f"{done(win32.WriteFile, handle, data, len(data), count, None)} n={count.value}"


@command("read handle dword")
def read(slots: Slots, handle: int, size: int) -> str:
    buffer, count = bytearray(size), win32.DWORD(_PRESET)
    ok, error = call(win32.ReadFile, handle, buffer, size, count, None)
    data = language.show_data(bytes(buffer[: count.value])) if ok else "-"
    return f"{'OK' if ok else 'FAIL'} {error} n={count.value} data={data}"


@command("readto handle address dword")
def readto(slots: Slots, handle: int, address: Address, size: int) -> str:
    count = win32.DWORD(_PRESET)
    return f"{done(win32.ReadFile, handle, address.value, size, count, None)} n={count.value}"


@command("writefrom handle address dword")
def writefrom(slots: Slots, handle: int, address: Address, size: int) -> str:
    count = win32.DWORD(_PRESET)
    return f"{done(win32.WriteFile, handle, address.value, size, count, None)} n={count.value}"


@command("setptr handle longlong dword")
def setptr(slots: Slots, handle: int, offset: int, method: int) -> str:
    position = win32.LARGE_INTEGER()
    ok, error = call(win32.SetFilePointerEx, handle, offset, position, method)
    return f"OK {error} pos={position.value}" if ok else f"FAIL {error}"


@command("setptr32 handle long word dword")
def setptr32(slots: Slots, handle: int, low: int, high: str, method: int) -> str:
    upper = None if high == "-" else win32.LONG(language.long(language.number(high)))
    position, error = call(win32.SetFilePointer, handle, low, upper, method)
    return f"ret={position:#x} {error}"


@command("seteof handle")
def seteof(slots: Slots, handle: int) -> str:
    return done(win32.SetEndOfFile, handle)


@command("flushfile handle", query=True)
def flushfile(slots: Slots, handle: int) -> str:
    return done(win32.FlushFileBuffers, handle)


@command("deletefile text")
def deletefile(slots: Slots, path: str | None) -> str:
    return done(win32.DeleteFile, path)


@command("movefile text text [dword]")
def movefile(slots: Slots, old: str | None, new: str | None, flags: int = 0) -> str:
    slots.keep_file(old)
    slots.keep_file(new)
    return done(win32.MoveFileEx, old, new, flags)


@command("copyfile text text")
def copyfile(slots: Slots, old: str | None, new: str | None) -> str:
    slots.keep_file(old)
    slots.keep_file(new)
    return done(win32.CopyFile, old, new, False)


@command("setattr text dword")
def setattr_(slots: Slots, path: str | None, attributes: int) -> str:
    return done(win32.SetFileAttributes, path, attributes)


@command("exists text", query=True)
def exists(slots: Slots, path: str | None) -> str:
    attributes, error = call(win32.GetFileAttributes, path)
    return f"{'NO' if attributes == win32.INVALID_FILE_ATTRIBUTES else 'YES'} {error}"
