"""The layout that header_writer.py and header_reader.py agree on: what C would keep in block.h.

As with a BSTR, the block starts with its own size, so that whoever is handed the name needs nothing else.
"""

import ctypes

from namedmap.win32 import DWORD


class BLOCK_HEADER(ctypes.Structure):
    """The first bytes of a block; the data follows."""

    _fields_ = [
        ("cbBlock", DWORD),  # bytes in the whole block, this header included; 0 until the rest is in place
        ("szName", ctypes.c_char * 60),  # the name that the block was created under, UTF-8
    ]
