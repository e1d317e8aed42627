"""Files, as Win32 has them.

    paths         file paths as Win32 takes them
    attributes    file attributes
    sharemodes    share modes, and the mark of a mapped file
    bytelocks     byte-range locks
    file          file objects
    createfile    CreateFile
    entries       files by path: delete, move, copy, attributes

Each module imports only from those above it.
"""
