"""Makes namedmap importable: the installed one, else that of the checkout this file is in."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("namedmap") is None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
