"""Stand-ins for modules that existing programs use.

mmap             the standard library's, with the tag names of Windows
shared_memory    multiprocessing's, with the lifetimes of Windows
windll           what ctypes has on Windows: windll, WinDLL, WinError, ...
pywin32          mmapfile, win32event, win32file, win32api, win32con, pywintypes
install          puts all of them in the place of the real ones
"""


def install(*, windows: bool = False) -> None:
    """Let programs for Windows run in this process, and in those that multiprocessing starts.

    Replaced are `mmap.mmap` and `multiprocessing.shared_memory`. ctypes gets what it has on Windows (see
    `namedmap.compat.windll`), its wintypes the sizes that they have there, its structures wide text of 16 bits a unit,
    and builtins WindowsError. The modules of pywin32 that deal with named objects can be imported, if pywin32 is not
    there. A name that was imported out of these modules before stays what it was: install first, then import the
    program. Without effect the second time.

    With `windows` the program's own modules are told that the platform is Windows, when they import `os`, `sys`,
    `platform`, `ctypes` or `struct` (where a C long then has 32 bits, and a wchar_t 16), and `msvcrt` and `_winapi` are
    there for them: for the script, and what is neither the standard library's nor an installed package. Without,
    nobody is told.

    On Windows all of this is there, and stays what it is: only the modules of pywin32 are offered, if it is not there.
    """
    from namedmap.compat import _install

    _install.install(windows=windows)
