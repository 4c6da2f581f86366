"""Reading the definitions' files. A broken one is reported and does not keep the others from working."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from audience_onboarding.definitions.models import AudienceDefinition
from audience_onboarding.definitions.problems import (
    Place,
    Problem,
    in_environment,
    in_order,
    nearest,
    problem_at,
)
from audience_onboarding.definitions.resolver import (
    DEFAULTS,
    SUFFIXES,
    BrokenDefinition,
    Folder,
    broken,
)
from audience_onboarding.exceptions import DefinitionError

FOLDER_VARIABLE = "AUDIENCE_ONBOARDING_DEFINITIONS"
"""Environment variable that names another folder of definitions, for teams that keep theirs in another place."""

ENVIRONMENT_VARIABLE = "AUDIENCE_ONBOARDING_ENVIRONMENT"
"""Environment variable that chooses one of the ``environments`` of the definitions; none where it is not set."""


def definitions_folder(project: Path) -> Path:
    """The folder of the definitions.

    :param project: the folder that holds ``dags/`` and ``include/``.
    """
    return Path(os.environ.get(FOLDER_VARIABLE) or project / "include" / "audiences")


def chosen_environment() -> str | None:
    """The environment that is chosen for this process, ``None`` if none is."""
    return os.environ.get(ENVIRONMENT_VARIABLE, "").strip() or None


def read_definitions(
    folder: Path, *, only: str | None = None
) -> Iterator[AudienceDefinition | BrokenDefinition]:
    """Read all definitions of a folder, by name, in the environment that is chosen.

    Of several that would share one audience at the vendor, none is good. If ``_defaults.yaml`` is broken, none is good
    either, and it comes first.

    :param only: read the one file of this key. It is not compared with the others.
    """
    if not folder.is_dir():
        yield from _not_there(folder)
        return
    paths = [path for path in files_of(folder) if only in (None, path.stem)]
    yield from _in_environment(Folder(folder, paths), chosen_environment(), is_whole=only is None)


def read_definition(path: Path) -> AudienceDefinition:
    """Read one definition, with the defaults of its folder, in the environment that is chosen.

    :raises DefinitionError: the file cannot be read, is not YAML, or not a definition; names file, lines and fields.
    """
    item = next(_in_environment(Folder(path.parent, [path]), chosen_environment(), is_whole=False))
    if isinstance(item, BrokenDefinition):
        raise item.error
    return item


@dataclass(frozen=True)
class Checked:
    """What became of checking a folder.

    :param definitions: the good ones, in the environment that is chosen.
    :param problems: all there are, in all environments, by file and line.
    :param keys: of all files, also the broken ones.
    """

    definitions: tuple[AudienceDefinition, ...]
    problems: tuple[Problem, ...]
    keys: tuple[str, ...]


def check_folder(path: Path, *, environment: str | None) -> Checked:
    """Read all definitions of a folder, in each environment that any of them knows.

    :param environment: the one that is chosen.
    """
    if not path.is_dir():
        return Checked((), tuple(problems_of(_not_there(path))), ())
    folder = Folder(path, files_of(path))
    items = list(_in_environment(folder, environment))
    problems = problems_of(items)
    if environment is not None and environment not in folder.environments:
        # What is wrong in any case is not wrong in the other environments only.
        problems += problems_of(folder.read(None, is_whole=True))
    for other in folder.environments:
        if other != environment:
            problems += in_environment(problems_of(folder.read(other, is_whole=True)), other)
    return Checked(
        definitions=tuple(item for item in items if isinstance(item, AudienceDefinition)),
        problems=tuple(in_order(problems)),
        keys=tuple(file.stem for file in folder.paths),
    )


def problems_of(items: Iterable[AudienceDefinition | BrokenDefinition]) -> list[Problem]:
    """The problems of those that are broken, each once."""
    return in_order(
        problem for item in items if isinstance(item, BrokenDefinition) for problem in item.error.problems
    )


def files_of(folder: Path) -> list[Path]:
    """The files of a folder that are definitions by their names, in their order."""
    return sorted(
        path for path in folder.iterdir() if path.suffix in SUFFIXES and not path.name.startswith((".", "_"))
    )


def _not_there(path: Path) -> list[BrokenDefinition]:
    error = DefinitionError(
        what=f"The folder of the definitions is not there: {path}",
        next_step=f"Create it, or correct the environment variable {FOLDER_VARIABLE}",
        problems=(problem_at(Place(str(path)), "the folder of the definitions is not there"),),
    )
    return [BrokenDefinition(path, error)]


def _in_environment(
    folder: Folder, environment: str | None, *, is_whole: bool = True
) -> Iterator[AudienceDefinition | BrokenDefinition]:
    unknown = _unknown_environment(folder, environment) if environment is not None else ()
    yield from unknown or folder.read(environment, is_whole=is_whole)


def _unknown_environment(folder: Folder, environment: str) -> Sequence[BrokenDefinition]:
    """An environment that no file knows is a typo: what it was set for would not be applied."""
    if environment in folder.environments:
        return ()
    # One that was read alone need not know what another one does.
    known = Folder(folder.path, files_of(folder.path)).environments
    if environment in known:
        return ()
    return (
        broken(
            folder.path,
            [
                problem_at(
                    Place(ENVIRONMENT_VARIABLE),
                    f"no definition, and not {DEFAULTS}, knows this environment"
                    + ("" if known else "; none of them has 'environments'"),
                    allowed=known,
                    meant=nearest(environment, known),
                )
            ],
        ),
    )
