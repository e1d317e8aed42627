"""The insides of the package that tests look into or bend; no other module of the tests knows where they are."""

from namedmap._convention.status import KernelError as KernelError
from namedmap._kernel.diagnostics import pagecache as pagecache
from namedmap._kernel.diagnostics import system as system
from namedmap._kernel.dispatch import counted as counted
from namedmap._kernel.dispatch import notifier as notifier
from namedmap._kernel.dispatch import waiting as waiting
from namedmap._kernel.dispatch.dispatcher import COUNT as COUNT
from namedmap._kernel.dispatch.dispatcher import PERMITS as PERMITS
from namedmap._kernel.dispatch.dispatcher import Dispatcher as Dispatcher
from namedmap._kernel.dispatch.line import Line as Line
from namedmap._kernel.files import sharemodes as sharemodes
from namedmap._kernel.linux import compiled as compiled
from namedmap._kernel.linux import futex as futex
from namedmap._kernel.linux import libc as libc
from namedmap._kernel.linux import limits as limits
from namedmap._kernel.linux import locks as locks
from namedmap._kernel.linux import pagemap as pagemap
from namedmap._kernel.linux import procfs as procfs
from namedmap._kernel.linux import userfault as userfault
from namedmap._kernel.memory.space import View as View
from namedmap._kernel.memory.space import space as space
from namedmap._kernel.names import controlpage as controlpage
from namedmap._kernel.names import namespace as namespace
from namedmap._kernel.names import succession as succession
from namedmap._kernel.names.controlpage import FLAG_FILE_BACKED as FLAG_FILE_BACKED
from namedmap._kernel.names.controlpage import Control as Control
from namedmap._kernel.names.controlpage import Kind as Kind
from namedmap._kernel.names.names import ObjectName as ObjectName
from namedmap._kernel.names.names import parse as parse
from namedmap._kernel.names.names import parse_native as parse_native
from namedmap._kernel.objects import named as named
from namedmap._kernel.objects import owners as owners
from namedmap._kernel.objects.named import NamedObject as NamedObject
from namedmap._kernel.objects.owners import thread as thread
from namedmap._kernel.objects.table import table as table
from namedmap._kernel.objects.waitable import Entry as Entry
from namedmap._kernel.processes import handover as handover
from namedmap._kernel.processes import inbox as inbox

__all__ = [
    "COUNT",
    "FLAG_FILE_BACKED",
    "PERMITS",
    "Control",
    "Dispatcher",
    "Entry",
    "KernelError",
    "Kind",
    "Line",
    "NamedObject",
    "ObjectName",
    "View",
    "compiled",
    "controlpage",
    "counted",
    "futex",
    "handover",
    "inbox",
    "libc",
    "limits",
    "locks",
    "named",
    "namespace",
    "notifier",
    "owners",
    "pagecache",
    "pagemap",
    "parse",
    "parse_native",
    "procfs",
    "sharemodes",
    "space",
    "succession",
    "system",
    "table",
    "thread",
    "userfault",
    "waiting",
]
