"""Shared memory and files as memory.

    handing       a section that other processes are given without a name
    longs         structures with fields that have another size on Windows
    stream        a view as a binary file
    window        the base of views: items and slices
    view          a range of a mapping
    mapping       file mappings: create, open, map_file

Each module imports only from those above it.
"""
