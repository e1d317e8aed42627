"""Every function of Win32 and of the native calls in one place, for `namedmap._platform` to choose."""

from namedmap._windows.win32.debugging import *  # noqa: F403 -- what each module defines, in place of a list
from namedmap._windows.win32.filelocks import *  # noqa: F403
from namedmap._windows.win32.files import *  # noqa: F403
from namedmap._windows.win32.handles import *  # noqa: F403
from namedmap._windows.win32.memory import *  # noqa: F403
from namedmap._windows.win32.messages import *  # noqa: F403
from namedmap._windows.win32.nt import *  # noqa: F403
from namedmap._windows.win32.processes import *  # noqa: F403
from namedmap._windows.win32.sections import *  # noqa: F403
from namedmap._windows.win32.sync import *  # noqa: F403
