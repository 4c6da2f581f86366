"""Paths without a file to read, or with an odd one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from audience_onboarding.errors import SourceNotFoundError
from tests.unit.crm.malformed.case import GOOD, Fails, Gives, table


@dataclass(frozen=True)
class TreeCase:
    """A path without a file, or with an odd one.

    :param build: given an empty folder, makes it and returns the path that the definition names.
    """

    name: str
    build: Callable[[Path], Path]
    outcome: Fails | Gives


def _named(name: str) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        # What a pattern would find besides.
        (folder / "a-b.csv").write_bytes(table("other@x.example,", *GOOD))
        path = folder / name
        path.write_bytes(table(*GOOD))
        return path

    return build


def _directory(folder: Path) -> Path:
    path = folder / "crm.csv"
    path.mkdir()
    (path / "part-0.csv").write_bytes(table(*GOOD))
    return path


def _dangling(folder: Path) -> Path:
    path = folder / "crm.csv"
    path.symlink_to(folder / "yesterday.csv")
    return path


def _loop(folder: Path) -> Path:
    path = folder / "crm.csv"
    path.symlink_to(path)
    return path


def _link(folder: Path) -> Path:
    (folder / "today.csv").write_bytes(table(*GOOD))
    path = folder / "crm.csv"
    path.symlink_to("today.csv")
    return path


def _beneath_a_file(folder: Path) -> Path:
    (folder / "crm").write_bytes(table(*GOOD))
    return folder / "crm" / "crm.csv"


PLACES = [
    TreeCase("no such file", lambda folder: folder / "crm.csv", Fails(SourceNotFoundError, "no such file")),
    TreeCase(
        "no such directory",
        lambda folder: folder / "2026" / "crm.csv",
        Fails(SourceNotFoundError, "no such file"),
    ),
    TreeCase("a directory", _directory, Fails(SourceNotFoundError, "directory")),
    TreeCase("a dangling symbolic link", _dangling, Fails(SourceNotFoundError, "no such file")),
    TreeCase("a symbolic link to itself", _loop, Fails(SourceNotFoundError)),
    TreeCase("a path beneath a file", _beneath_a_file, Fails(SourceNotFoundError)),
    TreeCase("a name that is too long", lambda folder: folder / ("x" * 300), Fails(SourceNotFoundError)),
    TreeCase("a name with a nul", lambda folder: folder / "crm\0.csv", Fails(SourceNotFoundError)),
    TreeCase("a symbolic link to a file", _link, Gives(3, 3)),
    *(
        TreeCase(f"a file named {name!r}", _named(name), Gives(3, 3))
        for name in (
            "a*b?[c].csv",
            "a'b\"c.csv",
            "a\nb.csv",
            "%41{0}$x.csv",
            "\u00e9\u4e2d.csv",
            "a?b.csv",
            "a[b].csv",
            "date=2026-11-16.csv",
            "crm.csv.gz",
            "crm.zip",
            "-rf",
        )
    ),
]
