"""Windows itself, by ctypes: kernel32, ntdll and advapi32. A map of its wings and modules:

    dll           the foreign declarations
    calling       calling them: results, and failures as KernelErrors
    guarded       memory that may not be there
    security      security descriptors of new objects
    waiting       waits that Ctrl-C ends
    handles       handles that the classes own, which are not closed while a call uses them
    diagnostics/  looking at named objects, at the system and at files
    contract/     the operations for the classes, which raise
    win32/        the functions for programs, which set the last error or return an NTSTATUS

Each imports only from those above it, and the two faces not from each other. The map of a wing stands in its own
`__init__`, in the order in which its modules import from each other.
"""
