"""Messages for pydantic's validation errors, in the terms of YAML files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from audience_onboarding.definitions.diagnostics import Diagnostic, Path, field_name, nearest
from audience_onboarding.definitions.yaml_loader import YamlNode

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_TYPES = {
    "string_type": "text",
    "string_sub_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
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
    "dict_type": "a mapping of fields",
    "model_type": "a mapping of fields",
    "model_attributes_type": "a mapping of fields",
}
"""Expected type of a value, by the type of pydantic's error."""

_LIMITS = {
    "missing": "missing",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
}
_LEAST_ONE = {"string_too_short": "must not be empty", "too_short": "must have at least one entry"}

PATTERNS = {
    r"^[a-z0-9][a-z0-9_]*$": "must be lower-case letters, digits and underscores, not starting with an underscore",
    r'^[^",\r\n]+$': "must not be empty or contain quotes, commas or line breaks",
    r"^[A-Za-z0-9_-]{1,200}$": "must be up to 200 letters, digits, dashes and underscores",
    r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$": "must be the dotted path of a class, for example package.module.Notifier",
    r"^[A-Za-z_]\w{0,62}(\.[A-Za-z_]\w{0,62}){0,2}$": "must be the name of a table, optionally with its schema: "
    "letters, digits and underscores, separated by dots",
    r"^[A-Z]{2}$": "must be two capital letters, for example NL",
}
"""Message by the pattern of a field."""

_MAX_LISTED_FIELDS = 12
"""The fields of a larger model are not listed as alternatives of an unknown one."""

_FIELD = re.compile(r"^([a-z_]+(?:\.[a-z_]+|\[\d+\])*): ", re.ASCII)


@dataclass(frozen=True)
class FieldRules:
    """Top-level fields that differ from those of the model.

    :param additional: fields that the model does not have.
    :param hidden: fields of the model that a file must not have.
    :param elsewhere: messages about fields of other models, by dotted name.
    """

    additional: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    elsewhere: Mapping[str, str] = field(default_factory=dict)


def format_validation_errors(
    error: ValidationError,
    model: type[BaseModel],
    document: YamlNode,
    *,
    rules: FieldRules,
    is_partial: bool = False,
) -> list[Diagnostic]:
    """Return the diagnostics of a definition.

    :param document: the validated content.
    :param is_partial: leave out errors about missing fields and combinations of fields.
    """
    by_path: dict[Path, list[ErrorDetails]] = {}
    for item in error.errors(include_url=False):
        path = _field_path(item, document)
        if not is_partial or _is_about_value(item, path, document):
            by_path.setdefault(path, []).append(item)
    formatter = _Formatter(model, document, rules)
    diagnostics: dict[Diagnostic, None] = {}
    for path, items in by_path.items():
        has_inner_errors = any(len(other) > len(path) and other[: len(path)] == path for other in by_path)
        # Errors inside a value show which member of a union is meant, and that a list has entries.
        if has_inner_errors and all(item["type"] in {*_TYPES, "too_short"} for item in items):
            continue
        diagnostics.update(dict.fromkeys(formatter.format(path, items)))
    return list(diagnostics)


def _is_about_value(item: ErrorDetails, path: Path, document: YamlNode) -> bool:
    if any(isinstance(part, int) for part in path):
        # Lists are never merged, so they are complete.
        return True
    node = document.find(path)
    return node is not None and not (node.is_mapping and item["type"] == "value_error")


@dataclass(frozen=True)
class _Formatter:
    model: type[BaseModel]
    document: YamlNode
    rules: FieldRules

    def format(self, path: Path, items: list[ErrorDetails]) -> Iterator[Diagnostic]:
        """Yield the diagnostics of a field."""
        if len(items) > 1:
            # Of a union, the members of other types are irrelevant if one has the right type.
            items = [item for item in items if item["type"] not in _TYPES] or items
        types = list(dict.fromkeys(_TYPES[item["type"]] for item in items if item["type"] in _TYPES))
        if types:
            yield Diagnostic.at(self.document.locate(path), _wrong_type(types, items[0]["input"]))
        for item in items:
            if item["type"] not in _TYPES:
                yield self._format_one(path, item)

    def _format_one(self, path: Path, item: ErrorDetails) -> Diagnostic:
        location, kind, value = self.document.locate(path), item["type"], item["input"]
        if kind == "extra_forbidden":
            return self._unknown_field(path)
        if kind in {"literal_error", "enum"}:
            allowed = re.findall(r"'([^']*)'", item["ctx"]["expected"])
            if value is None:
                return Diagnostic.at(location, "is empty", allowed=allowed)
            suggestion = nearest(value, allowed) if isinstance(value, str) else ""
            return Diagnostic.at(location, "invalid value", allowed=allowed, suggestion=suggestion)
        if kind == "value_error":
            message = item["msg"].removeprefix("Value error, ")
            match = _FIELD.match(message) if path == () else None
            if match and match[1].split(".")[0] in self.model.model_fields:
                location, message = self.document.locate(tuple(match[1].split("."))), message[match.end() :]
            return Diagnostic.at(location, message + self._origins(message, path, location.file))
        message = _limit_message(kind, item.get("ctx", {}), item["msg"])
        if kind == "missing" and len(path) > 1 and location.file != self.document.location.file:
            message += f". Add it, or remove the inherited group with '{path[0]}: null'"
        return Diagnostic.at(location, message)

    def _origins(self, message: str, path: Path, file: str) -> str:
        """Return the locations of the fields in a message that come from another file."""
        group = self.document.find(path)
        names = dict.fromkeys(re.findall(r"'([a-z_]+)'", message))
        fields = ((name, group.get(name) if group is not None else None) for name in names)
        return "".join(
            f". {name!r} comes from {item.location.file}:{item.location.line}"
            for name, item in fields
            if item is not None and item.location.file != file
        )

    def _unknown_field(self, path: Path) -> Diagnostic:
        *parents, last = path
        location, name = self.document.locate(path), str(last)
        group = model_at(tuple(parents), self.model)
        known = set(group.model_fields) if group is not None else set()
        if not parents:
            known = (known | set(self.rules.additional)) - set(self.rules.hidden)
        if suggestion := nearest(name, sorted(known)):
            return Diagnostic.at(location, "unknown field", suggestion=suggestion)
        if (message := self.rules.elsewhere.get(field_name(path))) is not None:
            return Diagnostic.at(location, message)
        homes = [home for home in iter_field_names(self.model) if home.rpartition(".")[2] == name]
        if homes and len(name) > 1:
            return Diagnostic.at(location, "unknown field here", suggestion=homes[0])
        allowed = sorted(known) if len(known) <= _MAX_LISTED_FIELDS else ()
        return Diagnostic.at(location, "unknown field", allowed=allowed)


def _limit_message(kind: str, context: dict[str, Any], message: str) -> str:
    if context.get("min_length") == 1 and kind in _LEAST_ONE:
        return _LEAST_ONE[kind]
    if kind in _LIMITS:
        return _LIMITS[kind].format(**{name: _format_number(value) for name, value in context.items()})
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(context["pattern"], f"must match the pattern {context['pattern']}")
    return message[:1].lower() + message[1:]


def _format_number(value: Any) -> str:
    if not isinstance(value, (int, float)):
        return str(value)
    return f"{int(value) if float(value).is_integer() else value:,}"


def _wrong_type(types: list[str], value: Any) -> str:
    text = f"must be {' or '.join(types)}"
    if value is None:
        return f"is empty. It {text}"
    if "text" in types and not isinstance(value, (str, list, dict)):
        yaml_type = {bool: "true or false", int: "a number", float: "a number"}.get(type(value), "a date")
        return f"{text}. Quote it, because YAML reads it as {yaml_type}"
    return text


def iter_field_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all fields outside of lists, the top-level ones first."""
    inner = []
    for name, info in model.model_fields.items():
        yield prefix + name
        if get_origin(info.annotation) is not tuple:
            inner += [(group, f"{prefix}{name}.") for group in models_of(info.annotation)]
    for group, inner_prefix in inner:
        yield from iter_field_names(group, inner_prefix)


def _field_path(item: ErrorDetails, document: YamlNode) -> Path:
    """Return the location of an error without pydantic's names of union members and of mapping keys."""
    path: list[int | str] = []
    node: YamlNode | None = document
    for number, part in enumerate(item["loc"], 1):
        inner = node.get(part) if node is not None else None
        is_missing = item["type"] == "missing" and number == len(item["loc"])
        if isinstance(part, int) or node is None or inner is not None or is_missing:
            path.append(part)
            node = inner
    return tuple(path)


def models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models in an annotation: of a value, of the members of a union, of the entries of a list."""
    # Python 3.10 takes list[int] for a type.
    if get_origin(annotation) is None and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_of(argument)


def model_at(path: Path, model: type[BaseModel]) -> type[BaseModel] | None:
    """Return the model of the fields below a path; ``None`` if there are none."""
    current: type[BaseModel] | None = model
    for name in (part for part in path if isinstance(part, str)):
        info = current.model_fields.get(name) if current is not None else None
        current = next(models_of(info.annotation), None) if info is not None else None
    return current
