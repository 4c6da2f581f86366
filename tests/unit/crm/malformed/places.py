"""Paths without a file to read, or with an odd one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from audience_onboarding.exceptions import SourceNotFoundError
from tests.unit.crm.malformed.case import GOOD, Fails, Gives, table


@dataclass(frozen=True)
class TreeCase:
    """A path without a file, or with an odd one.

    :param make: makes something of the path that the definition names.
    :param path: that path, in an empty folder.
    """

    name: str
    outcome: Fails | Gives
    make: Callable[[Path], object] = lambda path: None
    path: str = "crm.csv"

    def build(self, folder: Path) -> Path:
        path = folder / self.path
        self.make(path)
        return path


def write(path: Path) -> Path:
    """Make a file without fault."""
    path.write_bytes(table(*GOOD))
    return path


def write_with_neighbour(path: Path) -> None:
    """Make a file, and another one that its name would find as a pattern."""
    path.with_name("a-b.csv").write_bytes(table("other@x.example,", *GOOD))
    write(path)


def make_folder(path: Path) -> None:
    path.mkdir()
    write(path / "part-0.csv")


MISSING = Fails(SourceNotFoundError, "no such file")
NOT_READABLE = Fails(SourceNotFoundError)
NAMES = ("a*b?[c].csv", "a'b\"c.csv", "a\nb.csv", "%41{0}$x.csv", "\u00e9\u4e2d.csv", "a?b.csv", "a[b].csv",
         "date=2026-11-16.csv", "crm.csv.gz", "crm.zip", "-rf")  # fmt: skip
PLACES = [
    TreeCase("no such file", MISSING),
    TreeCase("no such directory", MISSING, path="2026/crm.csv"),
    TreeCase("a directory", Fails(SourceNotFoundError, "directory"), make_folder),
    TreeCase("a dangling symbolic link", MISSING, lambda path: path.symlink_to("yesterday.csv")),
    TreeCase("a symbolic link to itself", NOT_READABLE, lambda path: path.symlink_to(path)),
    TreeCase("a path beneath a file", NOT_READABLE, lambda path: write(path.parent), "crm/crm.csv"),
    TreeCase("a name that is too long", NOT_READABLE, path="x" * 300),
    TreeCase("a name with a nul", NOT_READABLE, path="crm\0.csv"),
    TreeCase(
        "a symbolic link to a file",
        Gives(3, 3),
        lambda path: path.symlink_to(write(path.with_name("today.csv")).name),
    ),
    *(TreeCase(f"a file named {name!r}", Gives(3, 3), write_with_neighbour, name) for name in NAMES),
]
