"""The insides of the package that tests look into or bend; no other module of the tests knows where they are."""

from namedmap._kernel.diagnostics import system as health
from namedmap._kernel.dispatch import counted as sync
from namedmap._kernel.dispatch import mutant as mutant
from namedmap._kernel.dispatch import notifier as notifier
from namedmap._kernel.dispatch import waiting as waiting
from namedmap._kernel.dispatch.dispatcher import COUNT as COUNT
from namedmap._kernel.dispatch.dispatcher import TICKETS as TICKETS
from namedmap._kernel.dispatch.dispatcher import Dispatcher as Dispatcher
from namedmap._kernel.files import sharemodes as sharing
from namedmap._kernel.linux import futex as futex
from namedmap._kernel.linux import libc as libc
from namedmap._kernel.linux import limits as commitment
from namedmap._kernel.linux import locks as locks
from namedmap._kernel.linux import userfault as reserve
from namedmap._kernel.memory.space import View as View
from namedmap._kernel.memory.space import space as space
from namedmap._kernel.names import controlpage as control
from namedmap._kernel.names import namespace as namespace
from namedmap._kernel.names.names import ObjectName as ObjectName
from namedmap._kernel.names.names import parse as parse
from namedmap._kernel.names.names import parse_native as parse_native
from namedmap._kernel.objects import named as objects
from namedmap._kernel.objects import owners as owners
from namedmap._kernel.objects.named import NamedObject as NamedObject
from namedmap._kernel.objects.table import table as table
from namedmap._kernel.status import KernelError as KernelError

__all__ = [
    "COUNT",
    "TICKETS",
    "Dispatcher",
    "KernelError",
    "NamedObject",
    "ObjectName",
    "View",
    "commitment",
    "control",
    "futex",
    "health",
    "libc",
    "locks",
    "mutant",
    "namespace",
    "notifier",
    "objects",
    "owners",
    "parse",
    "parse_native",
    "reserve",
    "sharing",
    "space",
    "sync",
    "table",
    "waiting",
]
