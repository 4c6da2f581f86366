"""What pydantic finds, in the words of somebody who writes YAML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from audience_onboarding.definitions.problems import Path, Place, Problem, field_name, nearest, problem_at
from audience_onboarding.definitions.yaml_loader import Given

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_KINDS = {
    "string_type": "text",
    "string_sub_type": "text",
    "bool_type": "yes or no (true or false)",
    "bool_parsing": "yes or no (true or false)",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "date_type": "a date, for example 2026-11-20",
    "date_parsing": "a date, for example 2026-11-20",
    "date_from_datetime_parsing": "a date, for example 2026-11-20",
    "date_from_datetime_inexact": "a date, without a time",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a group of fields",
    "model_type": "a group of fields",
    "model_attributes_type": "a group of fields",
}
"""What a value must be, by the type of pydantic's error."""

PATTERNS = {
    r"^[a-z0-9][a-z0-9_]*$": "may hold lower-case letters, digits and underscores only, no underscore first",
    r'^[^",\r\n]+$': "may hold no quote, comma or line break, and is not empty",
    r"^[A-Za-z0-9_-]{1,200}$": "may hold letters, digits, dashes and underscores only, up to 200 of them",
    r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$": "must be the dotted path of a class, for example package.module.Notifier",
    r"^[A-Za-z_]\w{0,62}(\.[A-Za-z_]\w{0,62}){0,2}$": "must be the name of a table, with its schema if it needs one: "
    "letters, digits and underscores, and dots between them",
    r"^[A-Z]{2}$": "must be two capital letters, for example NL",
}
"""What the patterns of the models want, in words."""

_FEW_FIELDS = 12
"""So many fields are listed, where none is near to what is given."""

_FIELD = re.compile(r"^([a-z_]+(?:\.[a-z_]+|\[\d+\])*): ", re.ASCII)


@dataclass(frozen=True)
class Fields:
    """What there is to say about fields, beyond those of the model.

    :param also: further ones on top.
    :param never: fields of the model that may not stand on top.
    :param elsewhere: dotted names of fields of other models, and what to say about each.
    """

    also: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    elsewhere: Mapping[str, str] = field(default_factory=dict)


def problems_in(
    error: ValidationError,
    model: type[BaseModel],
    given: Given,
    *,
    fields: Fields,
    only_given: bool = False,
) -> list[Problem]:
    """The problems of a definition, each with its place.

    :param given: what was validated.
    :param only_given: leave out what is missing or does not fit together: not all is there.
    """
    found: dict[Path, list[tuple[ErrorDetails, Any]]] = {}
    for item in error.errors(include_url=False):
        path, annotation = _true_path(item["loc"], model)
        if not only_given or _is_about_a_value(item, path, given):
            found.setdefault(path, []).append((item, annotation))
    problems: dict[Problem, None] = {}
    for path, items in found.items():
        is_looked_into = any(len(other) > len(path) and other[: len(path)] == path for other in found)
        # Of a field that may be several things, the one that is meant was looked into; and a list whose entries are
        # wrong is not too short.
        if is_looked_into and all(item["type"] in {*_KINDS, "too_short"} for item, _ in items):
            continue
        for problem in _of_field(path, items, model, given, fields):
            problems[problem] = None
    return list(problems)


def _is_about_a_value(item: ErrorDetails, path: Path, given: Given) -> bool:
    if any(isinstance(part, int) for part in path):
        # A list is never put together of several.
        return True
    here: Given | None = given
    for part in path:
        here = here.get(part) if here is not None else None
    return here is not None and not (here.is_mapping and item["type"] == "value_error")


def _of_field(
    path: Path,
    items: list[tuple[ErrorDetails, Any]],
    model: type[BaseModel],
    given: Given,
    fields: Fields,
) -> Iterator[Problem]:
    if len(items) > 1:
        # A field that may be several things is told once: what is wrong with the value as the kind that it is.
        items = [item for item in items if item[0]["type"] not in _KINDS] or items
    kinds = list(dict.fromkeys(_KINDS[item["type"]] for item, _ in items if item["type"] in _KINDS))
    if kinds:
        yield problem_at(given.place_of(path), _wrong_kind(kinds, items[0][0]["input"]))
    for item, annotation in items:
        if item["type"] not in _KINDS:
            yield _one(path, item, annotation, model, given, fields)


def _one(
    path: Path,
    item: ErrorDetails,
    annotation: Any,
    model: type[BaseModel],
    given: Given,
    fields: Fields,
) -> Problem:
    kind, place = item["type"], given.place_of(path)
    if kind == "extra_forbidden":
        return _unknown(path, model, given, fields)
    if kind in {"literal_error", "enum"}:
        allowed = [str(choice) for choice in _choices(annotation)]
        value = item["input"]
        if value is None:
            return problem_at(place, "is empty", allowed=allowed)
        return problem_at(
            place, "no such choice", allowed=allowed, meant=nearest(value, allowed) if _is_text(value) else ""
        )
    if kind == "value_error":
        message = item["msg"].removeprefix("Value error, ")
        if path == () and (match := _FIELD.match(message)) and match[1].split(".")[0] in model.model_fields:
            inner = tuple(match[1].split("."))
            place, message = given.place_of(inner), message[match.end() :]
        return problem_at(place, message + _inherited(message, path, given, place))
    words = _in_words(kind, item.get("ctx", {}), item["msg"])
    if kind == "missing" and len(path) > 1 and place.file != given.place.file:
        words += f"; give it, or take the inherited group away with '{path[0]}: null'"
    return problem_at(place, words)


def _inherited(message: str, path: Path, given: Given, place: Place) -> str:
    """Where fields that a message names come from, if that is another file."""
    here: Given | None = given
    for part in path:
        here = here.get(part) if here is not None else None
    named = [
        (name, here.get(name) if here is not None else None) for name in re.findall(r"'([a-z_]+)'", message)
    ]
    return "".join(
        f"; {name!r} comes from {item.place.file}:{item.place.line}"
        for name, item in dict(named).items()
        if item is not None and item.place.file != place.file
    )


def _in_words(kind: str, context: dict[str, Any], message: str) -> str:
    words = {
        "missing": "missing",
        "string_too_short": "must not be empty"
        if context.get("min_length") == 1
        else "must have at least {min_length} characters",
        "string_too_long": "must have at most {max_length} characters",
        "too_short": "must have at least {min_length} entries"
        if context.get("min_length") != 1
        else "must have at least one entry",
        "too_long": "must have at most {max_length} entries",
        "greater_than": "must be more than {gt}",
        "greater_than_equal": "must be at least {ge}",
        "less_than": "must be less than {lt}",
        "less_than_equal": "must be at most {le}",
    }.get(kind)
    if words is not None:
        return words.format(**{name: _number(value) for name, value in context.items()})
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(context["pattern"], f"must fit the pattern {context['pattern']}")
    return message[:1].lower() + message[1:]


def _number(value: Any) -> str:
    """A limit as people write it."""
    if not isinstance(value, (int, float)):
        return str(value)
    return f"{int(value) if float(value).is_integer() else value:,}"


def _wrong_kind(kinds: list[str], value: Any) -> str:
    text = f"must be {' or '.join(kinds)}"
    if value is None:
        return f"is empty; it {text}"
    if "text" in kinds and not isinstance(value, (str, list, dict)):
        taken = {bool: "yes or no", int: "a number", float: "a number"}.get(type(value), "a date")
        return f"{text}; put it in quotes, as YAML takes it for {taken}"
    return text


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _unknown(path: Path, model: type[BaseModel], given: Given, fields: Fields) -> Problem:
    *folders, name = path
    place, name = given.place_of(path), str(name)
    here = model_at(tuple(folders), model)
    known = sorted(here.model_fields) if here is not None else []
    if not folders:
        known = sorted({*known, *fields.also} - set(fields.never))
    if meant := nearest(name, known):
        return problem_at(place, "no such field", meant=meant)
    if (told := fields.elsewhere.get(field_name(path))) is not None:
        return problem_at(place, f"no such field {told}")
    homes = [home for home in paths_of(model) if home.rpartition(".")[2] == name]
    if homes and len(name) > 1:
        return problem_at(place, "no such field here", meant=homes[0])
    return problem_at(place, "no such field", allowed=known if len(known) <= _FEW_FIELDS else ())


def paths_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted names of all fields, those of lists left out, the ones on top first."""
    inner = []
    for name, info in model.model_fields.items():
        yield prefix + name
        for found in models_of(info.annotation):
            if get_origin(info.annotation) is not tuple:
                inner.append((found, f"{prefix}{name}."))
    for found, folder in inner:
        yield from paths_of(found, folder)


def _true_path(loc: tuple[int | str, ...], model: type[BaseModel]) -> tuple[Path, Any]:
    """A location without pydantic's names of the members of a union, and the annotation of the field."""
    path: list[int | str] = []
    annotation: Any = model
    can_be_member = False
    for part in loc:
        members = _members(annotation)
        if can_be_member and len(members) > 1 and isinstance(part, str):
            named = [item for item in members if getattr(_bare(item), "__name__", None) == part]
            if named or not _has_field(members, part):
                annotation = named[0] if named else annotation
                can_be_member = False
                continue
        path.append(part)
        annotation = _inner(annotation, part)
        can_be_member = True
    return tuple(path), annotation


def _bare(annotation: Any) -> Any:
    while hasattr(annotation, "__metadata__"):
        annotation = annotation.__origin__
    return annotation


def _members(annotation: Any) -> list[Any]:
    """What a value may be, ``None`` left out."""
    annotation = _bare(annotation)
    if get_origin(annotation) is Union or type(annotation).__name__ == "UnionType":
        return [
            member
            for item in get_args(annotation)
            if item is not type(None)
            for member in _members(item) or [item]
        ]
    return [annotation]


def models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a field's value, or the entries of its list, may be."""
    for member in _members(annotation):
        if isinstance(member, type) and issubclass(member, BaseModel):
            yield member
        elif get_origin(member) in {tuple, list}:
            yield from models_of(get_args(member)[0])


def _has_field(members: Iterable[Any], name: str) -> bool:
    return any(name in item.model_fields for member in members for item in models_of(member))


def _inner(annotation: Any, part: int | str) -> Any:
    for member in _members(annotation):
        if isinstance(part, int) and get_origin(member) in {tuple, list}:
            return get_args(member)[0]
        if isinstance(member, type) and issubclass(member, BaseModel) and str(part) in member.model_fields:
            return member.model_fields[str(part)].annotation
    return None


def model_at(path: Path, model: type[BaseModel]) -> type[BaseModel] | None:
    """The model of the fields that are in a field; ``None`` if it holds no fields."""
    annotation: Any = model
    for part in path:
        annotation = _inner(annotation, part)
    return next(models_of(annotation), None)


def _choices(annotation: Any) -> list[Any]:
    found: list[Any] = []
    for member in _members(annotation):
        if get_origin(member) is Literal:
            found.extend(get_args(member))
        elif get_origin(member) in {tuple, list}:
            found.extend(_choices(get_args(member)[0]))
    return found
