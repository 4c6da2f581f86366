"""Resolver of definitions: a file merged with the defaults of its folder, for an environment."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ValidationError

from audience_onboarding.definitions.diagnostics import Diagnostic, SourceLocation, nearest, sort_diagnostics
from audience_onboarding.definitions.diagnostics import Path as FieldPath
from audience_onboarding.definitions.fields import is_key
from audience_onboarding.definitions.models import AudienceDefinition
from audience_onboarding.definitions.validation_messages import (
    FieldRules,
    format_validation_errors,
    iter_field_names,
    model_at,
)
from audience_onboarding.definitions.yaml_loader import YamlNode, deep_merge, load_yaml
from audience_onboarding.exceptions import DefinitionError
from audience_onboarding.platform_registry import PLATFORMS, get_platform

DEFAULTS = "_defaults.yaml"
"""File with the values that all definitions of its folder inherit."""

SUFFIXES = (".yaml", ".yml")
ENVIRONMENTS = "environments"
_PLATFORMS = "platforms"
UNIQUE_FIELDS = ("key", "name", "id", "platform")
"""Fields that identify one audience, so that definitions cannot inherit them."""

FIXED_FIELDS = ("key", "platform", ENVIRONMENTS)
"""Fields that an environment cannot change."""


@dataclass(frozen=True)
class InvalidDefinition:
    """File that is not a valid definition."""

    path: Path
    error: DefinitionError

    @classmethod
    def of(cls, path: Path, diagnostics: Sequence[Diagnostic], *, message: str = "") -> InvalidDefinition:
        """Return a file with its diagnostics."""
        error = DefinitionError(
            what=message or f"Invalid definition {path.name}", where=str(path), diagnostics=tuple(diagnostics)
        )
        return cls(path, error)

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Diagnostics of the file."""
        return self.error.diagnostics


@dataclass(frozen=True)
class _File:
    path: Path
    document: YamlNode
    is_readable: bool
    diagnostics: tuple[Diagnostic, ...]

    @classmethod
    def read(cls, path: Path) -> _File:
        document, diagnostics = load_yaml(path)
        empty = YamlNode({}, SourceLocation(path.name))
        return cls(path, document or empty, document is not None, tuple(diagnostics))

    @property
    def environments(self) -> dict[str, YamlNode]:
        return _mappings_in(self.document.get(ENVIRONMENTS))


def _mappings_in(node: YamlNode | None) -> dict[str, YamlNode]:
    if node is None or not node.is_mapping:
        return {}
    return {name: item for name, item in node.value.items() if item.is_mapping}


class Folder:
    """Folder of definitions. Each file is read once, and resolved per environment.

    :param path: the folder.
    :param paths: the files to read.
    """

    def __init__(self, path: Path, paths: Sequence[Path]) -> None:
        self.path = path
        self.paths = list(paths)

    @cached_property
    def _files(self) -> list[_File]:
        return [_File.read(path) for path in self.paths]

    @cached_property
    def _defaults(self) -> _File:
        path = self.path / DEFAULTS
        # A broken link is reported as unreadable, not ignored.
        if path.exists() or path.is_symlink():
            return _File.read(path)
        return _File(path, YamlNode({}, SourceLocation(DEFAULTS)), True, ())

    @cached_property
    def environments(self) -> tuple[str, ...]:
        """Names of all environments in the files."""
        return tuple(sorted({name for file in (self._defaults, *self._files) for name in file.environments}))

    @cached_property
    def defaults_diagnostics(self) -> tuple[Diagnostic, ...]:
        """Diagnostics of ``_defaults.yaml`` itself."""
        diagnostics = [*self._defaults.diagnostics, *_check_defaults(self._defaults)]
        if (self.path / "_defaults.yml").exists():
            location = SourceLocation("_defaults.yml")
            diagnostics.append(Diagnostic.at(location, f"is ignored. Rename it to {DEFAULTS}"))
        return tuple(sort_diagnostics(diagnostics))

    def read(
        self, environment: str | None, *, is_whole: bool = False
    ) -> Iterator[AudienceDefinition | InvalidDefinition]:
        """Yield the definitions in an environment, by name.

        :param is_whole: compare the definitions with each other.
        """
        if self.defaults_diagnostics:
            yield InvalidDefinition.of(
                self._defaults.path,
                self.defaults_diagnostics,
                message=f"Invalid {DEFAULTS}: no definition of its folder can be used",
            )
        items = [self._resolve(file, environment) for file in self._files]
        yield from self._check_names(items, environment) if is_whole else items

    def _resolve(self, file: _File, environment: str | None) -> AudienceDefinition | InvalidDefinition:
        """Resolve one file. With invalid defaults it is invalid too, but its own errors are still reported."""
        same_key = [path.name for path in self.paths if path.stem == file.path.stem and path != file.path]
        diagnostics = [*_check_file_name(file.path, same_key), *file.diagnostics]
        definition: AudienceDefinition | None = None
        if file.is_readable:
            diagnostics += _check_environments(file, fixed=FIXED_FIELDS)
            platform = file.document.get("platform")
            if platform is None or platform.value not in PLATFORMS:
                diagnostics.append(_platform_diagnostic(file.document, platform))
            else:
                model: type[AudienceDefinition] = get_platform(str(platform.value)).definition
                definition, more = self._validate(file, model, environment)
                # An unreadable value counts as null, which must not add a second diagnostic.
                reported = {(item.file, item.line, item.column) for item in diagnostics}
                diagnostics += [item for item in more if (item.file, item.line, item.column) not in reported]
        if definition is not None and not diagnostics and not self.defaults_diagnostics:
            return definition
        return InvalidDefinition.of(file.path, sort_diagnostics(diagnostics))

    def _validate(
        self, file: _File, model: type[AudienceDefinition], environment: str | None
    ) -> tuple[AudienceDefinition | None, list[Diagnostic]]:
        document = self._merge(file, model, environment)
        content = document.to_plain()
        diagnostics = []
        if "key" in content:
            diagnostics.append(
                Diagnostic.at(document.locate(("key",)), "unknown field. The file name is the key")
            )
        try:
            key = file.path.stem if is_key(file.path.stem) else "x"
            return model.model_validate({**content, "key": key}), diagnostics
        except ValidationError as error:
            errors = format_validation_errors(
                error,
                model,
                document,
                rules=FieldRules(
                    additional=(ENVIRONMENTS,), hidden=("key",), elsewhere=_fields_of_other_platforms(model)
                ),
                # Unreadable fields must not be reported as missing.
                is_partial=bool(self.defaults_diagnostics or file.diagnostics),
            )
        for item in errors:
            if item.file == file.path.name:
                diagnostics.append(item)
            elif not self.defaults_diagnostics:
                diagnostics.append(replace(item, inherited_by=(file.path.name,)))
        return None, diagnostics

    def _merge(self, file: _File, model: type[AudienceDefinition], environment: str | None) -> YamlNode:
        """Merge the defaults and the file, each followed by its section of the environment."""
        platforms = get_args(model.model_fields["platform"].annotation)
        layers = []
        defaults = self._defaults.document.without(ENVIRONMENTS)
        for section in (defaults, self._defaults.environments.get(environment or "")):
            if section is not None:
                layers.append(section.without(_PLATFORMS, *UNIQUE_FIELDS))
                layers += [
                    item.without(*UNIQUE_FIELDS)
                    for name, item in _mappings_in(section.get(_PLATFORMS)).items()
                    if name in platforms
                ]
        layers.append(file.document.without(ENVIRONMENTS))
        if (section := file.environments.get(environment or "")) is not None:
            layers.append(section.without(*FIXED_FIELDS))

        def keeps_null(path: FieldPath) -> bool:
            return bool(getattr(model_at(path[:-1], model), "null_is_a_value", False))

        merged = layers[0]
        for layer in layers[1:]:
            merged = deep_merge(merged, layer, keeps_null=keeps_null)
        return YamlNode(merged.value, file.document.location)

    def _check_names(
        self, items: Sequence[AudienceDefinition | InvalidDefinition], environment: str | None
    ) -> Iterator[AudienceDefinition | InvalidDefinition]:
        """Yield the definitions; those that would share one audience at the vendor become invalid."""
        keys: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for item in items:
            if isinstance(item, AudienceDefinition) and (identity := _identity(item)):
                keys[identity].append(item.key)
        files = {file.path.stem: file for file in self._files}
        for item in items:
            identity = _identity(item) if isinstance(item, AudienceDefinition) else None
            if isinstance(item, AudienceDefinition) and identity is not None and len(keys[identity]) > 1:
                file, field = files[item.key], identity[0]
                others = [files[key].path.name for key in keys[identity] if key != item.key]
                location = self._merge(file, type(item), environment).locate((field,))
                reason = "Audiences are found by name there, so each" if field == "name" else "Each"
                message = (
                    f"same {field} as {' and '.join(others)} on {item.platform}, connection {item.conn_id}. {reason} "
                    f"definition would overwrite the other. Give each a unique {field}"
                )
                yield InvalidDefinition.of(file.path, [Diagnostic.at(location, message)])
            else:
                yield item


def _identity(definition: AudienceDefinition) -> tuple[str, ...] | None:
    """Return the field that identifies the audience at the vendor, with platform, connection and value."""
    account = definition.platform, definition.conn_id
    if definition.id is not None:
        return ("id", *account, str(definition.id))
    return ("name", *account, definition.name) if definition.found_by_name else None


# --- checks of a file -----------------------------------------------------------------------------------------


def _check_file_name(path: Path, same_key: Sequence[str]) -> Iterator[Diagnostic]:
    location = SourceLocation(path.name)
    if not is_key(path.stem):
        yield Diagnostic.at(
            location,
            "invalid file name, which becomes part of DAG ids. Use up to 100 lower-case letters, digits and "
            "underscores, not starting with an underscore",
        )
    elif same_key:
        yield Diagnostic.at(location, f"same key as {same_key[0]}. Rename one of them")


def _platform_diagnostic(document: YamlNode, platform: YamlNode | None) -> Diagnostic:
    location = document.locate(("platform",))
    if platform is None or platform.value is None:
        return Diagnostic.at(location, "missing" if platform is None else "is empty", allowed=PLATFORMS)
    return _unknown_platform(location, platform.value)


def _unknown_platform(location: SourceLocation, value: object) -> Diagnostic:
    suggestion = nearest(value, PLATFORMS) if isinstance(value, str) else ""
    return Diagnostic.at(location, "unknown platform", allowed=PLATFORMS, suggestion=suggestion)


def _check_environments(file: _File, *, fixed: Sequence[str]) -> Iterator[Diagnostic]:
    """Yield the diagnostics of ``environments``, except for the values in it."""
    environments = file.document.get(ENVIRONMENTS)
    if environments is None:
        return
    if not environments.is_mapping:
        yield Diagnostic.at(
            environments.location,
            "must be a mapping of environment names to the fields that differ there",
        )
        return
    for name, section in environments.value.items():
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}", name) is None:
            yield Diagnostic.at(
                section.location,
                "invalid environment name. Use up to 50 letters, digits, dashes and underscores",
            )
        if not section.is_mapping:
            yield Diagnostic.at(section.location, "must be a mapping of the fields that differ there")
            continue
        for field in fixed:
            if (item := section.get(field)) is not None:
                yield Diagnostic.at(item.location, "must not differ between environments")


def _fields_of_other_platforms(model: type[BaseModel]) -> dict[str, str]:
    """Return the message for each field that only definitions of other platforms have."""
    platforms: dict[str, list[str]] = defaultdict(list)
    for platform in PLATFORMS:
        other: type[BaseModel] = get_platform(platform).definition
        for name in set(iter_field_names(other)) - set(iter_field_names(model)):
            platforms[name].append(platform)
    return {
        name: f"unknown field on this platform, only valid on {' and '.join(owners)}"
        for name, owners in platforms.items()
    }


def _check_defaults(file: _File) -> Iterator[Diagnostic]:
    """Yield the diagnostics of the defaults themselves: their structure, and each value."""
    yield from _check_environments(file, fixed=())
    for section in (file.document.without(ENVIRONMENTS), *file.environments.values()):
        yield from _check_values(section.without(_PLATFORMS, ENVIRONMENTS), AudienceDefinition)
        platforms = section.get(_PLATFORMS)
        if platforms is None:
            continue
        if not platforms.is_mapping:
            yield Diagnostic.at(platforms.location, "must be a mapping of platform names to their defaults")
            continue
        for name, item in platforms.value.items():
            if name not in PLATFORMS:
                yield _unknown_platform(item.location, name)
            elif not item.is_mapping:
                yield Diagnostic.at(item.location, "must be a mapping of the defaults of this platform")
            else:
                yield from _check_values(item, get_platform(name).definition)


def _check_values(section: YamlNode, model: type[AudienceDefinition]) -> Iterator[Diagnostic]:
    for field in UNIQUE_FIELDS:
        if (item := section.get(field)) is not None:
            yield Diagnostic.at(item.location, "cannot be inherited, because it identifies one audience")
    section = section.without(*UNIQUE_FIELDS)
    if not section.value:
        return
    try:
        # It always fails, because the name is missing.
        model.model_validate(section.to_plain())
    except ValidationError as error:
        is_shared = model is AudienceDefinition
        elsewhere = _fields_of_other_platforms(model)
        if is_shared:
            elsewhere = dict.fromkeys(
                elsewhere, "unknown field, not valid on all platforms. Move it below 'platforms'"
            )
        rules = FieldRules((ENVIRONMENTS, _PLATFORMS) if is_shared else (), UNIQUE_FIELDS, elsewhere)
        yield from format_validation_errors(error, model, section, rules=rules, is_partial=True)
