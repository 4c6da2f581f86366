"""A folder of definitions: what each file gives, on top of the defaults of all, in an environment."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ValidationError

from audience_onboarding.definitions.models import AudienceDefinition, is_key
from audience_onboarding.definitions.problems import Path as FieldPath
from audience_onboarding.definitions.problems import Place, Problem, in_order, nearest, problem_at
from audience_onboarding.definitions.validation_messages import Fields, model_at, paths_of, problems_in
from audience_onboarding.definitions.yaml_loader import Given, merged, read_yaml
from audience_onboarding.exceptions import DefinitionError
from audience_onboarding.platform_registry import PLATFORMS, get_platform

DEFAULTS = "_defaults.yaml"
"""The file of what all definitions of its folder inherit."""

SUFFIXES = (".yaml", ".yml")
ENVIRONMENTS = "environments"
_PLATFORMS = "platforms"
OF_ONE_AUDIENCE = ("key", "name", "id", "platform")
"""Fields that cannot be inherited: they tell one audience from another."""

SAME_EVERYWHERE = ("key", "platform", ENVIRONMENTS)
"""Fields that an environment cannot change."""


@dataclass(frozen=True)
class BrokenDefinition:
    """A file that is no definition."""

    path: Path
    error: DefinitionError


def broken(path: Path, problems: Sequence[Problem], *, said: str = "") -> BrokenDefinition:
    """A file with problems."""
    return BrokenDefinition(
        path,
        DefinitionError(
            what=said or f"{path.name} is not a valid definition", where=str(path), problems=tuple(problems)
        ),
    )


@dataclass(frozen=True)
class _File:
    path: Path
    given: Given | None
    problems: tuple[Problem, ...]

    @classmethod
    def read(cls, path: Path) -> _File:
        given, problems = read_yaml(path)
        return cls(path, given, tuple(problems))

    def sections(self, name: str, given: Given | None = None) -> dict[str, Given]:
        """The groups of fields under ``environments`` or ``platforms``."""
        found = (given or self.given or Given({}, Place(self.path.name))).get(name)
        if found is None or not found.is_mapping:
            return {}
        return {key: item for key, item in found.value.items() if item.is_mapping}


class Folder:
    """Definitions, each read once; what they come to depends on the environment.

    :param path: the folder.
    :param paths: the files of it that are meant.
    """

    def __init__(self, path: Path, paths: Sequence[Path]) -> None:
        self.path = path
        self.paths = list(paths)

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        """The names of the files of each key."""
        found: dict[str, list[str]] = defaultdict(list)
        for path in self.paths:
            found[path.stem].append(path.name)
        return found

    @cached_property
    def _files(self) -> list[_File]:
        return [_File.read(path) for path in self.paths]

    @cached_property
    def _defaults(self) -> _File:
        path = self.path / DEFAULTS
        # Also a link to nowhere is a file that is meant.
        if path.exists() or path.is_symlink():
            return _File.read(path)
        return _File(path, Given({}, Place(DEFAULTS)), ())

    @cached_property
    def environments(self) -> tuple[str, ...]:
        """The names of all environments that the files know."""
        return tuple(
            sorted({name for file in [self._defaults, *self._files] for name in file.sections(ENVIRONMENTS)})
        )

    @cached_property
    def defaults_problems(self) -> tuple[Problem, ...]:
        """What is wrong with ``_defaults.yaml`` by itself."""
        problems = list(self._defaults.problems)
        if self._defaults.given is not None:
            problems += _wrong_defaults(self._defaults)
        if (self.path / "_defaults.yml").exists():
            problems.append(problem_at(Place("_defaults.yml"), f"is not read; call it {DEFAULTS}"))
        return tuple(in_order(problems))

    def read(
        self, environment: str | None, *, is_whole: bool = False
    ) -> Iterator[AudienceDefinition | BrokenDefinition]:
        """The definitions in an environment, by name.

        :param is_whole: compare them with each other.
        """
        if self.defaults_problems:
            yield broken(
                self._defaults.path,
                self.defaults_problems,
                said=f"{DEFAULTS} is broken, so no definition of its folder can be used",
            )
        found = [self._definition(file, environment) for file in self._files]
        yield from self._compared(found, environment) if is_whole else found

    def _definition(self, file: _File, environment: str | None) -> AudienceDefinition | BrokenDefinition:
        """One file. Where the defaults are broken it is, too; what is wrong with it by itself is told all the same."""
        problems = [*_wrong_name(file.path, self._names[file.path.stem]), *file.problems]
        made: AudienceDefinition | None = None
        if file.given is not None:
            problems += _wrong_sections(file, forbidden=SAME_EVERYWHERE)
            platform = file.given.get("platform")
            if platform is None or platform.value not in PLATFORMS:
                problems.append(_wrong_platform(file.given, platform))
            else:
                model: type[AudienceDefinition] = get_platform(str(platform.value)).definition
                made, more = self._validated(file, model, environment)
                # What cannot be read is taken for empty, which is nothing to add.
                told = {(item.file, item.line, item.column) for item in problems}
                problems += [item for item in more if (item.file, item.line, item.column) not in told]
        if made is not None and not problems and not self.defaults_problems:
            return made
        return broken(file.path, in_order(problems))

    def _validated(
        self, file: _File, model: type[AudienceDefinition], environment: str | None
    ) -> tuple[AudienceDefinition | None, list[Problem]]:
        given = self._layers(file, model, environment)
        content = given.plain()
        problems = []
        if "key" in content:
            problems.append(problem_at(given.place_of(("key",)), "no such field: the file's name is the key"))
        try:
            made = model.model_validate({**content, "key": file.path.stem if is_key(file.path.stem) else "x"})
        except ValidationError as error:
            found = problems_in(
                error,
                model,
                given,
                fields=Fields(also=(ENVIRONMENTS,), never=("key",), elsewhere=_elsewhere(model)),
                # What could not be read is not missing.
                only_given=bool(self.defaults_problems) or bool(file.problems),
            )
            if self.defaults_problems:
                found = [problem for problem in found if problem.file == file.path.name]
            return None, [
                *problems,
                *(
                    item if item.file == file.path.name else replace(item, inherited_by=(file.path.name,))
                    for item in found
                ),
            ]
        return made, problems

    def _layers(self, file: _File, model: type[AudienceDefinition], environment: str | None) -> Given:
        """What a file comes to: the defaults, and on top of them the file, each with its section of the environment."""
        platform = model.model_fields["platform"].annotation
        defaults = self._defaults
        layers = []
        if defaults.given is not None:
            layers = [defaults.given.without(_PLATFORMS, ENVIRONMENTS, *OF_ONE_AUDIENCE)]
            layers += _of_platform(defaults, defaults.given, platform)
            section = defaults.sections(ENVIRONMENTS).get(environment or "")
            if section is not None:
                layers.append(section.without(_PLATFORMS, *OF_ONE_AUDIENCE))
                layers += _of_platform(defaults, section, platform)
        own = file.given or Given({}, Place(file.path.name))
        layers.append(own.without(ENVIRONMENTS))
        section = file.sections(ENVIRONMENTS).get(environment or "")
        if section is not None:
            layers.append(section.without(*SAME_EVERYWHERE))

        def keeps_null(path: FieldPath) -> bool:
            inner = model_at(path[:-1], model)
            return bool(getattr(inner, "null_is_a_value", False))

        total = layers[0]
        for layer in layers[1:]:
            total = merged(total, layer, keeps_null=keeps_null)
        return Given(total.value, own.place)

    def _compared(
        self, items: Sequence[AudienceDefinition | BrokenDefinition], environment: str | None
    ) -> Iterator[AudienceDefinition | BrokenDefinition]:
        """Of several that would share one audience at the vendor, none is good."""
        same: dict[tuple[str, str, str], list[str]] = defaultdict(list)
        for item in items:
            if isinstance(item, AudienceDefinition) and (name := _name_at_vendor(item)):
                same[name].append(item.key)
        names = {file.path.stem: file for file in self._files}
        for item in items:
            name = _name_at_vendor(item) if isinstance(item, AudienceDefinition) else None
            if isinstance(item, AudienceDefinition) and name is not None and len(same[name]) > 1:
                file = names[item.key]
                others = [names[key].path.name for key in same[name] if key != item.key]
                place = self._layers(file, type(item), environment).place_of(("name",))
                message = (
                    f"is not the only definition of an audience called {item.name!r} on {item.platform}, connection "
                    f"{item.conn_id}; {' and '.join(others)} is another. It is found by its name, so each would "
                    "overwrite what the other has sent; give each a name of its own"
                )
                yield broken(file.path, [problem_at(place, message)])
            else:
                yield item


def _of_platform(file: _File, given: Given, platform: object) -> list[Given]:
    return [
        section.without(*OF_ONE_AUDIENCE)
        for name, section in file.sections(_PLATFORMS, given).items()
        if name in get_args(platform)
    ]


def _name_at_vendor(definition: AudienceDefinition) -> tuple[str, str, str] | None:
    if not definition.found_by_name or definition.id is not None:
        return None
    return definition.platform, definition.conn_id, definition.name


# --- what is wrong with a file --------------------------------------------------------------------------------


def _wrong_name(path: Path, names: Sequence[str]) -> list[Problem]:
    place = Place(path.name)
    if not is_key(path.stem):
        return [
            problem_at(
                place,
                "is no name for a definition: use up to 100 lower-case letters, digits and underscores, not an "
                "underscore first, as it becomes part of DAG ids",
            )
        ]
    same = [name for name in names if name != path.name]
    return [problem_at(place, f"has the key of {same[0]}: rename one of them")] if same else []


def _wrong_platform(given: Given, platform: Given | None) -> Problem:
    place = given.place_of(("platform",))
    if platform is None or platform.value is None:
        return problem_at(place, "missing" if platform is None else "is empty", allowed=PLATFORMS)
    meant = nearest(platform.value, PLATFORMS) if isinstance(platform.value, str) else ""
    return problem_at(place, "no such platform", allowed=PLATFORMS, meant=meant)


def _wrong_sections(file: _File, *, forbidden: Sequence[str]) -> Iterator[Problem]:
    """What is wrong with ``environments``, apart from the values in it."""
    found = file.given.get(ENVIRONMENTS) if file.given is not None else None
    if found is None:
        return
    if not found.is_mapping:
        yield problem_at(
            found.place, "must be a group of fields: names of environments, each with what differs there"
        )
        return
    for name, section in found.value.items():
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}", name) is None:
            yield problem_at(
                section.place,
                "is no name for an environment: use up to 50 letters, digits, dashes and underscores",
            )
        if not section.is_mapping:
            yield problem_at(section.place, "must be a group of fields: what differs in this environment")
            continue
        for field in forbidden:
            if (item := section.get(field)) is not None:
                yield problem_at(item.place, "cannot differ from environment to environment")


def _elsewhere(model: type[BaseModel]) -> dict[str, str]:
    """The fields that definitions of other platforms have, and which they are."""
    found: dict[str, list[str]] = defaultdict(list)
    for platform in PLATFORMS:
        other: type[BaseModel] = get_platform(platform).definition
        for name in set(paths_of(other)) - set(paths_of(model)):
            found[name].append(platform)
    return {name: f"here, only on {' and '.join(platforms)}" for name, platforms in found.items()}


def _wrong_defaults(file: _File) -> Iterator[Problem]:
    """What is wrong with the defaults by themselves: their shape, and each value."""
    if file.given is None:
        return
    yield from _wrong_sections(file, forbidden=())
    yield from _wrong_part(file.given)
    for section in file.sections(ENVIRONMENTS).values():
        yield from _wrong_part(section)


def _wrong_part(given: Given) -> Iterator[Problem]:
    """The fields of the defaults, or of an environment in them, and those of each platform in it."""
    yield from _wrong_values(given.without(_PLATFORMS, ENVIRONMENTS), AudienceDefinition)
    found = given.get(_PLATFORMS)
    if found is None:
        return
    if not found.is_mapping:
        yield problem_at(found.place, "must be a group of fields: names of platforms, each with its defaults")
        return
    for name, section in found.value.items():
        if name not in PLATFORMS:
            yield problem_at(
                section.place, "no such platform", allowed=PLATFORMS, meant=nearest(name, PLATFORMS)
            )
        elif not section.is_mapping:
            yield problem_at(section.place, "must be a group of fields: defaults of this platform")
        else:
            yield from _wrong_values(section, get_platform(name).definition)


def _wrong_values(given: Given, model: type[AudienceDefinition]) -> Iterator[Problem]:
    for field in OF_ONE_AUDIENCE:
        if (item := given.get(field)) is not None:
            yield problem_at(item.place, "cannot be inherited: it tells one audience from another")
    given = given.without(*OF_ONE_AUDIENCE)
    if not given.value:
        return
    try:
        # It lacks the name, which nobody can inherit, so it is never whole.
        model.model_validate(given.plain())
    except ValidationError as error:
        is_for_all = model is AudienceDefinition
        elsewhere = (
            dict.fromkeys(_elsewhere(model), "on all platforms; put it under 'platforms'")
            if is_for_all
            else _elsewhere(model)
        )
        fields = Fields((ENVIRONMENTS, _PLATFORMS) if is_for_all else (), OF_ONE_AUDIENCE, elsewhere)
        yield from problems_in(error, model, given, fields=fields, only_given=True)
