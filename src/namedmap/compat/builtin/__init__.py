"""Stand-ins for modules that are part of Python on Windows only, in the parts that deal with our objects.

_winapi    files, sections, mutexes, events, waits
msvcrt     handles of descriptors, keys that are pressed

They are found by the modules of programs that are told that this is Windows, and by nobody else: the standard library
and others take their presence for Windows itself.
"""

NAMES = ("_winapi", "msvcrt")
