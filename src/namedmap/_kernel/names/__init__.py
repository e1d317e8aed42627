"""From a name to the file of an object.

    names         from a name to a scope and a file name
    succession    what stands in for a dead file that cannot be removed
    namespace     the directories of names; the sweep
    controlpage   the last page of an object file, which says what it is
    security      permissions and security descriptors, as owner, group and mode
    objectfile    the file of an object: open, make, lock, look at

Each module imports only from those above it.
"""
