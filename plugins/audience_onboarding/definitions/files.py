"""Reading the definitions' files. A broken one is reported and does not keep the others from working."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from audience_onboarding.definitions.models import AudienceDefinition, is_key
from audience_onboarding.errors import DefinitionError
from audience_onboarding.platforms import PLATFORMS, part_of

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

FOLDER_VARIABLE = "AUDIENCE_ONBOARDING_DEFINITIONS"
"""Environment variable that names another folder of definitions, for teams that keep theirs in another place."""

_BaseLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BaseLoader):  # type: ignore[misc]
    """A safe loader that does not pass over a field which is given twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=deep)
            if not isinstance(name, str):
                raise yaml.constructor.ConstructorError(
                    None, None, "the name of a field is text", key.start_mark
                )
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{name!r} is given twice", key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class BrokenDefinition:
    """A file that is no definition."""

    path: Path
    error: DefinitionError


def definitions_folder(project: Path) -> Path:
    """The folder of the definitions.

    :param project: the folder that holds ``dags/`` and ``include/``.
    """
    return Path(os.environ.get(FOLDER_VARIABLE) or project / "include" / "audiences")


def read_definitions(
    folder: Path, *, only: str | None = None
) -> Iterator[AudienceDefinition | BrokenDefinition]:
    """Read all definitions of a folder, by name.

    :param only: read the one file of this key.
    """
    if not folder.is_dir():
        error = DefinitionError(
            what=f"The folder of the definitions is not there: {folder}",
            next_step=f"Create it, or correct the environment variable {FOLDER_VARIABLE}",
        )
        yield BrokenDefinition(folder, error)
        return
    for path in sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES):
        if path.name.startswith(("_", ".")) or only not in (None, path.stem):
            continue
        try:
            yield read_definition(path)
        except DefinitionError as error:
            yield BrokenDefinition(path, error)


def read_definition(path: Path) -> AudienceDefinition:
    """Read one definition.

    :raises DefinitionError: the file cannot be read, is not YAML, or not a definition; names file and fields.
    """
    if not is_key(path.stem):
        raise DefinitionError(
            what=f"{path.name} is no name for a definition",
            where=str(path),
            next_step="Use lower-case letters, digits and underscores: it becomes part of DAG ids",
        )
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a safe loader
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(
            what=f"{path.name} cannot be read", where=str(path), why=type(error).__name__
        ) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # A ValueError comes from a date that is none, such as 2026-02-30.
        raise DefinitionError(
            what=f"{path.name} is not YAML", where=str(path), why=" ".join(str(error).split())
        ) from None
    if not isinstance(content, dict):
        raise DefinitionError(what=f"{path.name} holds no definition", where=str(path))
    if "key" in content:
        raise DefinitionError(
            what=f"{path.name} has a field 'key'", where=str(path), why="the file's name is the key"
        )
    platform = content.get("platform")
    if platform not in PLATFORMS:
        raise DefinitionError(
            what=f"{path.name} is not a valid definition",
            where=str(path),
            why=f"platform: {'not given' if platform is None else repr(platform)}; one of {', '.join(PLATFORMS)}",
        )
    model: type[AudienceDefinition] = part_of(platform, "definition").DEFINITION
    try:
        return model.model_validate({"key": path.stem, **content})
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'definition'}: "
            f"{item['msg'].removeprefix('Value error, ')}{_meant(model, item)}"
            for item in error.errors(include_url=False)
        )
        raise DefinitionError(
            what=f"{path.name} is not a valid definition", where=str(path), why=problems
        ) from None


def _meant(model: type[BaseModel], problem: ErrorDetails) -> str:
    """The field that was probably meant by one that is not known."""
    if problem["type"] != "extra_forbidden":
        return ""
    *folders, name = problem["loc"]
    here: type[BaseModel] | None = model
    for part in folders:
        if isinstance(part, str) and here is not None:
            field = here.model_fields.get(part)
            here = _model_in(field.annotation) if field else None
    close = get_close_matches(str(name), here.model_fields if here else (), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, BaseModel) else None
    return next(filter(None, map(_model_in, get_args(annotation))), None)
