"""Readers of definition files. An invalid file is reported, and the others still work."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from audience_onboarding.definitions.diagnostics import (
    Diagnostic,
    SourceLocation,
    nearest,
    sort_diagnostics,
)
from audience_onboarding.definitions.models import AudienceDefinition
from audience_onboarding.definitions.resolver import DEFAULTS, SUFFIXES, Folder, InvalidDefinition
from audience_onboarding.exceptions import DefinitionError

FOLDER_VARIABLE = "AUDIENCE_ONBOARDING_DEFINITIONS"
"""Environment variable with the folder of the definitions, if it is not the default."""

ENVIRONMENT_VARIABLE = "AUDIENCE_ONBOARDING_ENVIRONMENT"
"""Environment variable that chooses one of the ``environments`` of the definitions; unset for none."""


def definitions_folder(project: Path) -> Path:
    """Return the folder of the definitions.

    :param project: the folder with ``dags/`` and ``include/``.
    """
    return Path(os.environ.get(FOLDER_VARIABLE) or project / "include" / "audiences")


def chosen_environment() -> str | None:
    """Return the environment of this process, ``None`` if none is chosen."""
    return os.environ.get(ENVIRONMENT_VARIABLE, "").strip() or None


def read_definitions(
    folder: Path, *, only: str | None = None
) -> Iterator[AudienceDefinition | InvalidDefinition]:
    """Yield all definitions of a folder, by name, in the chosen environment.

    Definitions of the same audience at the vendor are all invalid. If ``_defaults.yaml`` is invalid, so are all
    definitions, and it comes first.

    :param only: read only the file of this key, without a comparison with the others.
    """
    if not folder.is_dir():
        yield _missing_folder(folder)
        return
    paths = [path for path in list_files(folder) if only in (None, path.stem)]
    yield from _read_in(Folder(folder, paths), chosen_environment(), is_whole=only is None)


def read_definition(path: Path) -> AudienceDefinition:
    """Read one definition, with the defaults of its folder, in the chosen environment.

    :raises DefinitionError: the file is unreadable, no YAML or no valid definition; names file, lines and fields.
    """
    item = next(_read_in(Folder(path.parent, [path]), chosen_environment(), is_whole=False))
    if isinstance(item, InvalidDefinition):
        raise item.error
    return item


@dataclass(frozen=True)
class CheckResult:
    """Result of a check of a folder.

    :param definitions: the valid ones, in the chosen environment.
    :param diagnostics: of all environments, by file and line.
    :param keys: of all files, invalid ones included.
    """

    definitions: tuple[AudienceDefinition, ...]
    diagnostics: tuple[Diagnostic, ...]
    keys: tuple[str, ...]


def check_folder(path: Path, *, environment: str | None) -> CheckResult:
    """Read all definitions of a folder, in each environment that one of them has.

    :param environment: the chosen one.
    """
    if not path.is_dir():
        return CheckResult((), _missing_folder(path).diagnostics, ())
    folder = Folder(path, list_files(path))
    items = list(_read_in(folder, environment))
    diagnostics = collect_diagnostics(items)
    if environment is not None and environment not in folder.environments:
        # Errors outside of the environments must not be reported as errors of other environments.
        diagnostics += collect_diagnostics(folder.read(None, is_whole=True))
    for other in folder.environments:
        if other != environment:
            diagnostics += [
                replace(item, environments=(other,))
                for item in collect_diagnostics(folder.read(other, is_whole=True))
            ]
    return CheckResult(
        definitions=tuple(item for item in items if isinstance(item, AudienceDefinition)),
        diagnostics=tuple(sort_diagnostics(diagnostics)),
        keys=tuple(file.stem for file in folder.paths),
    )


def collect_diagnostics(items: Iterable[AudienceDefinition | InvalidDefinition]) -> list[Diagnostic]:
    """Return the diagnostics of invalid definitions, each once."""
    return sort_diagnostics(
        diagnostic for item in items if isinstance(item, InvalidDefinition) for diagnostic in item.diagnostics
    )


def list_files(folder: Path) -> list[Path]:
    """Return the definition files of a folder, by name; names that begin with a dot or an underscore are none."""
    return sorted(
        path for path in folder.iterdir() if path.suffix in SUFFIXES and not path.name.startswith((".", "_"))
    )


def _missing_folder(path: Path) -> InvalidDefinition:
    return InvalidDefinition(
        path,
        DefinitionError(
            what=f"Definitions folder not found: {path}",
            next_step=f"Create it, or correct the environment variable {FOLDER_VARIABLE}",
            diagnostics=(Diagnostic.at(SourceLocation(str(path)), "folder not found"),),
        ),
    )


def _read_in(
    folder: Folder, environment: str | None, *, is_whole: bool = True
) -> Iterator[AudienceDefinition | InvalidDefinition]:
    unknown = None if environment is None else _unknown_environment(folder, environment)
    if unknown is not None:
        yield unknown
    else:
        yield from folder.read(environment, is_whole=is_whole)


def _unknown_environment(folder: Folder, environment: str) -> InvalidDefinition | None:
    """Report an environment that no file has: it is a typo, and its settings would be missing."""
    if environment in folder.environments:
        return None
    # A folder of one file has only the environments of this file.
    known = Folder(folder.path, list_files(folder.path)).environments
    if environment in known:
        return None
    reason = "" if known else f". Neither a definition nor {DEFAULTS} has 'environments'"
    return InvalidDefinition.of(
        folder.path,
        [
            Diagnostic.at(
                SourceLocation(ENVIRONMENT_VARIABLE),
                f"unknown environment{reason}",
                allowed=known,
                suggestion=nearest(environment, known),
            )
        ],
    )
