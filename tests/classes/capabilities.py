"""Things that a platform may lack. A test says what it needs, and is skipped with the reason if that is missing."""

import enum

import pytest


class Capability(enum.Enum):
    """A thing that some platform cannot have; the value is the reason."""

    FORK = "Windows starts processes, and never copies one"
    EXACT_SIZES = "NT rounds a section to pages, and an opener learns no other size"
    MODES = "NT grants by access lists, in which the bits of a file mode have no place"
    USERS = "the suite becomes another user by setuid, which only root on a Unix system can"
    CUT_FILES = "Windows refuses to cut off a file that is mapped, so no page of a view can vanish"
    RESIDENCY = "NT tells whether pages are in the working set of this process, not whether they are in memory"
    ADVICE = "Windows knows no advice but to prefetch"
    DEVICES = "Windows has no file such as /dev/zero"
    SPARSE = "a file becomes sparse by a control code of NTFS, which other filesystems of Windows lack"
    DESCRIPTORS = "on Windows memory has no file descriptor"
    STRICT_SDDL = "Wine 8 takes an unknown owner, and an entry without an end, for a security descriptor"
    EXTENSION = "this Windows has no NtExtendSection (Wine 8 has none)"


EVERYTHING = frozenset(Capability)


def needs(*capabilities: Capability) -> pytest.MarkDecorator:
    """A test that cannot hold where one of these is missing."""
    return pytest.mark.needs(*capabilities)
