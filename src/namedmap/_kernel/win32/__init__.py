"""The functions of Win32 and the native calls, which set the last error or return an NTSTATUS.

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

Each module imports only from those above it.
"""
