"""Looking at things without holding anything.

    objects       named objects: their files, who holds and maps them, what the dead have left
    system        what named objects depend on, and what of it is amiss
    pagecache     which pages of a file are in memory

Each module imports only from those above it.
"""
