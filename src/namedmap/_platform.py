"""The one place that asks which platform this is: it chooses who implements the contract.

`functions` is a module with the functions of `namedmap.win32` and `namedmap.nt` by their names; `data` and `waits` have
what the Python classes need beyond them, of sections and of what can be waited for; `inspection`, `health` and
`pagecache` look at objects, at the system and at files without holding anything.
"""

import sys

if sys.platform != "linux":
    raise ImportError(f"namedmap {sys.platform!r}: this version runs on Linux only")

from namedmap._kernel.api import contract as functions
from namedmap._kernel.api import data, health, inspection, pagecache, waits

__all__ = ["data", "functions", "health", "inspection", "pagecache", "waits"]
