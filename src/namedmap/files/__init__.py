"""Big files: copied, searched, summed, compared, shown and patched, in memory that stays small whatever their size.

copy              a copy: fast, holes kept; on request atomic, verified, resumable: Copied
windows           a file piece by piece: Window
search, count     bytes or a regular expression: Matches of Match; Count
checksum          any hash of hashlib: Checksum
compare           whether two files are the same, or where they differ: Comparison; differences gives the ranges alone
dump              bytes as hexadecimal digits and text: DumpLine
patch             bytes in place, with what was there before: Patch
leftovers         what killed copies left behind

Cancelled, ChangedError, VerifyError     beside the errors of namedmap.errors

Every function gives data and prints nothing. The results are frozen dataclasses; `as_dict()` is their shape in JSON,
with bytes as hexadecimal digits.

No function here touches the memory of a mapped file. Another program may cut a file off at any time, and a touch of
what is gone is SIGBUS, which ends the interpreter; read(2) and write(2) say so instead, and on the kernels measured
they are as fast. A file that does not know its size, as in /proc and /sys, is read to its end when it is opened, up to
64 MiB, and `copy` takes one of any length. `namedmap.map_file(path).windows()` gives windows that are the file itself.
"""

from .checksums import Checksum, checksum
from .comparing import Comparison, compare, differences
from .copying import Copied, copy
from .dumping import DumpLine, dump
from .failures import Cancelled, ChangedError, VerifyError
from .patching import Patch, patch
from .searching import Count, Match, Matches, count, search
from .targets import leftovers
from .windowing import Window, windows

__all__ = [
    "Cancelled",
    "ChangedError",
    "Checksum",
    "Comparison",
    "Copied",
    "Count",
    "DumpLine",
    "Match",
    "Matches",
    "Patch",
    "VerifyError",
    "Window",
    "checksum",
    "compare",
    "copy",
    "count",
    "differences",
    "dump",
    "leftovers",
    "patch",
    "search",
    "windows",
]
