"""Parameters of tests that hold for each kind; apart from `kinds`, since second processes need no pytest."""

import pytest

from classes.kinds import KINDS, WAITABLE

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
each_waitable = pytest.mark.parametrize("kind", WAITABLE, ids=lambda kind: kind.name)
