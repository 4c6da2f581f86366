"""CommBox: the three audience operations, files with a ``phone1`` column."""

from typing import Final

VENDOR: Final = "commbox"
MOUNT: Final = "/commbox"
