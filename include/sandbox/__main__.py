"""Entry point of ``python include/sandbox`` and of ``python -m sandbox``."""

import sys
from pathlib import Path

if not __package__:
    # Running a directory adds that directory itself to sys.path: the package could not import itself, and its
    # modules (settings, journal, ...) would shadow top-level modules of the same name.
    _HERE = Path(__file__).resolve().parent
    sys.path[:] = [str(_HERE.parent), *(entry for entry in sys.path if Path(entry or ".").resolve() != _HERE)]

from sandbox.cli import main  # needs the corrected path

if __name__ == "__main__":
    sys.exit(main())
