"""Files for the Python classes. See `namedmap._contract.Files`."""

import ctypes
import errno
import msvcrt
import os
from collections.abc import Callable
from typing import Any

from namedmap import types as t
from namedmap._contract import Permissions
from namedmap._convention.status import NTSTATUS, KernelError, from_oserror
from namedmap._windows import calling, dll
from namedmap._windows.contract import naming, sections
from namedmap._windows.contract.sections import SectionHandle
from namedmap._windows.handles import Handle
from namedmap.access import Access
from namedmap.constants import CreationDisposition, FileShare

_SHARE_ALL = int(FileShare.FILE_SHARE_READ | FileShare.FILE_SHARE_WRITE | FileShare.FILE_SHARE_DELETE)
_OPEN_EXISTING, _OPEN_ALWAYS = int(CreationDisposition.OPEN_EXISTING), int(CreationDisposition.OPEN_ALWAYS)
_FILE_ATTRIBUTE_NORMAL, _FILE_TYPE_DISK, _FSCTL_SET_SPARSE = 0x80, 1, 0x900C4
_PATH_NOT_FOUND, _ALREADY_EXISTS = 3, 183
_INVALID_HANDLE_VALUE, _SAME_ACCESS, _THIS_PROCESS = -1, 2, -1
_DIRECTORY_DECIDES = Permissions()
# The module has it on Windows only, where alone this one is imported.
_get_osfhandle: Callable[[int], int] = vars(msvcrt)["get_osfhandle"]


class FileHandle(Handle):
    """A handle to a file."""

    __slots__ = ("_path",)

    def __init__(self, value: int, path: str) -> None:
        super().__init__(value)
        self._path = path

    def size(self) -> int | None:
        number = self.borrow()
        try:
            if dll.GetFileType(number) != _FILE_TYPE_DISK:
                return None
            found = ctypes.c_int64()
            calling.must(f"{self._path!r} does not tell its size", dll.GetFileSizeEx, number, ctypes.byref(found))
            return found.value
        finally:
            self.give_back()

    def grow_sparsely(self, size: int) -> None:
        number = self.borrow()
        try:
            asked, done = f"cannot make {self._path!r} {size:,} bytes long, sparsely", t.DWORD()
            sparse: tuple[Any, ...] = number, _FSCTL_SET_SPARSE, None, 0, None, 0, ctypes.byref(done), None
            calling.must(asked, dll.DeviceIoControl, *sparse)
            calling.must(asked, dll.SetFilePointerEx, number, size, None, 0)
            calling.must(asked, dll.SetEndOfFile, number)
        finally:
            self.give_back()

    def create_section(
        self, name: str | None, size: int, access: Access, *, inheritable: bool = False
    ) -> tuple[SectionHandle, bool]:
        number = self.borrow()
        try:
            return sections.create_over(number, name, size, access, inheritable=inheritable)
        finally:
            self.give_back()


def open(
    path: str | os.PathLike[str], access: Access, *, create: bool = False, permissions: Permissions = _DIRECTORY_DECIDES
) -> tuple[FileHandle, bool]:
    text, how = os.fspath(path), _OPEN_ALWAYS if create else _OPEN_EXISTING
    if "\0" in text:
        raise KernelError(NTSTATUS.STATUS_OBJECT_NAME_INVALID, f"path {text!r} has a NUL in it")
    with naming.attributes(permissions) as attributes:
        arguments = text, access.file, _SHARE_ALL, attributes, how, _FILE_ATTRIBUTE_NORMAL, 0
        number, code = calling.ask(dll.CreateFileW, *arguments)
    if number == _INVALID_HANDLE_VALUE:
        raise _failed(text, code)
    return FileHandle(number, text), create and code != _ALREADY_EXISTS


def _failed(path: str, code: int) -> KernelError:
    failure = calling.failure(f"cannot open {path!r}", code)
    if code == _PATH_NOT_FOUND and _leads_through_a_file(path):
        failure.errno = errno.ENOTDIR
    return failure


def _leads_through_a_file(path: str) -> bool:
    """Whether a part of a path that would have to be a directory is a file."""
    above = os.path.dirname(os.path.abspath(path))
    while not os.path.exists(above) and above != os.path.dirname(above):
        above = os.path.dirname(above)
    return os.path.isfile(above)


def of_descriptor(descriptor: int, access: Access) -> FileHandle:
    asked, made = f"descriptor {descriptor} cannot be mapped", t.HANDLE()
    try:
        number = _get_osfhandle(descriptor)
    except OSError as error:
        raise from_oserror(error, asked) from None
    arguments: tuple[Any, ...] = number, _THIS_PROCESS, ctypes.byref(made), 0, False, _SAME_ACCESS
    calling.must(asked, dll.DuplicateHandle, _THIS_PROCESS, *arguments)
    return FileHandle(made.value or 0, f"descriptor {descriptor}")


__all__ = ["of_descriptor", "open"]
