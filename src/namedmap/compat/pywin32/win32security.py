"""pywin32's `win32security`, as far as new objects take it: attributes and descriptors, of a string or for everyone."""

import typing as _typing

from namedmap.compat.pywin32.pywintypes import SECURITY_ATTRIBUTES as SECURITY_ATTRIBUTES
from namedmap.compat.pywin32.pywintypes import SECURITY_DESCRIPTOR as SECURITY_DESCRIPTOR
from namedmap.compat.pywin32.pywintypes import error as error

SDDL_REVISION_1 = SECURITY_DESCRIPTOR_REVISION = 1
OWNER_SECURITY_INFORMATION, GROUP_SECURITY_INFORMATION, DACL_SECURITY_INFORMATION = 1, 2, 4

if _typing.TYPE_CHECKING:

    def __getattr__(name: str) -> int: ...


def ConvertStringSecurityDescriptorToSecurityDescriptor(
    StringSecurityDescriptor: str, StringSDRevision: int = SDDL_REVISION_1, /
) -> SECURITY_DESCRIPTOR:
    """A descriptor of a string; the string is checked where it is used."""
    return SECURITY_DESCRIPTOR.of(StringSecurityDescriptor)
