"""Sections, views, and the address space.

    backing       the file that a section stands on
    section       sections
    arena         addresses for views
    space         the address space: views and their pages
    foreign       memory that is not ours
    views         mapping, flushing and locking views
    dropping      views that Python objects have, and their end
    copying       copying from and to memory that may not be there
    private       VirtualAlloc and VirtualFree

Each module imports only from those above it.
"""
