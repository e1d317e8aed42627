"""The functions of Win32 and the native calls: those of kernel32 and ntdll, called as on every platform.

    passing       from arguments to the answer: return values, last error, NTSTATUS
    messages      FormatMessage
    handles       handles, processes, the last error
    processes     the end of processes, and their times
    files         files
    filelocks     byte-range locks of files
    sections      file mappings
    memory        views and memory
    sync          mutexes, semaphores, events, waits
    debugging     OutputDebugString
    nt            the native calls
    functions     all of them in one place

Each module imports only from those above it. The arguments are read before the call, by `_convention.call`: what has
another Python type is a TypeError, and no pointer to something else reaches Windows. Windows says what the values mean.
"""
