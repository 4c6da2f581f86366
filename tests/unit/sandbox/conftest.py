"""Puts include/ on the path, as the project's ``pythonpath`` does, so that this folder runs alone."""

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[3]
for _entry in (_ROOT, _ROOT / "include"):
    if str(_entry) not in sys.path:
        sys.path.insert(0, str(_entry))
