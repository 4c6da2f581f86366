"""JSON schemas of definitions and of ``_defaults.yaml`` for editors, generated from the models.

The schemas list the valid fields and values. They require only ``platform`` and ``name``, because the defaults may
provide all other fields, and allow ``null`` wherever it removes a default. ``check`` validates combinations of fields.
"""

from __future__ import annotations

import ast
import copy
import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from audience_onboarding.definitions.models import AudienceDefinition
from audience_onboarding.definitions.resolver import DEFAULTS, ENVIRONMENTS, FIXED_FIELDS, UNIQUE_FIELDS
from audience_onboarding.definitions.validation_messages import models_of
from audience_onboarding.platform_registry import PLATFORMS, get_platform

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_FILE = "schema.json"
DEFAULTS_SCHEMA_FILE = "_defaults.schema.json"
_ENVIRONMENT = "Fields that differ in this environment."

Schema = dict[str, Any]


def schemas() -> dict[str, str]:
    """Return the texts of the schemas by file name."""
    by_name = {SCHEMA_FILE: definition_schema(), DEFAULTS_SCHEMA_FILE: defaults_schema()}
    return {name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in by_name.items()}


def definition_schema() -> Schema:
    """Return the schema of a definition; ``platform`` selects the model."""
    parts = _Parts()
    branches = []
    for platform in PLATFORMS:
        model: type[AudienceDefinition] = get_platform(platform).definition
        fields = parts.add(model, without=("key",))
        fields["platform"] = {"const": platform}
        inner = {name: item for name, item in fields.items() if name not in FIXED_FIELDS}
        parts.defs[f"{platform}_environment"] = _mapping(inner, description=_ENVIRONMENT)
        fields[ENVIRONMENTS] = _environments(f"#/$defs/{platform}_environment")
        parts.defs[platform] = _mapping(fields, description=_plain_text(inspect.getdoc(model) or ""))
        branches.append(
            {
                "if": {"properties": {"platform": {"const": platform}}, "required": ["platform"]},
                "then": {"$ref": f"#/$defs/{platform}"},
            }
        )
    return {
        "$schema": DIALECT,
        "title": "Audience definition",
        "description": "One file is one audience; its name is the audience's key.",
        "type": "object",
        "properties": {"platform": {"enum": list(PLATFORMS), "description": "Platform of the audience."}},
        "required": ["platform"],
        # The name may differ per environment.
        "anyOf": [{"required": ["name"]}, {"required": [ENVIRONMENTS]}],
        "allOf": branches,
        "$defs": dict(sorted(parts.defs.items())),
    }


def defaults_schema() -> Schema:
    """Return the schema of ``_defaults.yaml``."""
    parts = _Parts()
    fields = parts.add(AudienceDefinition, without=UNIQUE_FIELDS)
    platforms = {}
    for platform in PLATFORMS:
        parts.defs[platform] = _mapping(parts.add(get_platform(platform).definition, without=UNIQUE_FIELDS))
        platforms[platform] = {"$ref": f"#/$defs/{platform}"}
    fields["platforms"] = _mapping(platforms, description="Defaults of one platform.")
    parts.defs["environment"] = _mapping(fields, description=_ENVIRONMENT)
    return {
        "$schema": DIALECT,
        "title": DEFAULTS,
        "description": "Values that all definitions of the folder inherit.",
        **_mapping({**fields, ENVIRONMENTS: _environments("#/$defs/environment")}),
        "$defs": dict(sorted(parts.defs.items())),
    }


def _mapping(fields: Mapping[str, Schema], *, description: str = "") -> Schema:
    described = {"description": description} if description else {}
    return {**described, "type": "object", "properties": dict(fields), "additionalProperties": False}


def _environments(reference: str) -> Schema:
    return {
        "description": "Fields that differ per environment, by its name. AUDIENCE_ONBOARDING_ENVIRONMENT selects one.",
        "type": "object",
        "propertyNames": {"pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,49}$"},
        "additionalProperties": {"$ref": reference},
    }


class _Parts:
    """Definitions (``$defs``) of a schema. Those in lists require their fields; the defaults may provide the others."""

    def __init__(self) -> None:
        self.defs: dict[str, Schema] = {}
        self._source: Mapping[str, Schema] = {}
        self._docs: Mapping[tuple[str, str], str] = {}

    def add(self, model: type[BaseModel], *, without: tuple[str, ...]) -> dict[str, Schema]:
        """Return the fields of a model, and add the definitions that they refer to."""
        whole = model.model_json_schema(mode="validation")
        self._source = whole.get("$defs", {})
        self._docs = _field_docs(model)
        return {
            name: self._field(model.__name__, name, item)
            for name, item in whole["properties"].items()
            if name not in without
        }

    def _field(self, model: str, name: str, schema: Schema, *, in_list: bool = False) -> Schema:
        if (text := self._docs.get((model, name))) and "description" not in schema:
            schema = {"description": text, **schema}
        converted = self._convert(schema, in_list=in_list)
        branches = converted.get("anyOf", ())
        is_optional = any(item.get("type") == "null" for item in branches)
        is_reference = any("$ref" in item for item in branches)
        return _or_null(converted) if not in_list or (is_optional and not is_reference) else converted

    def _convert(self, schema: Schema, *, in_list: bool) -> Schema:
        converted = {
            key: copy.deepcopy(value) for key, value in schema.items() if key not in {"title", "default"}
        }
        if schema.get("default") is not None and not isinstance(schema["default"], dict):
            converted["default"] = schema["default"]
        if (reference := converted.get("$ref")) is not None:
            name = reference.rpartition("/")[2]
            if "properties" not in self._source[name]:
                # A type of values, such as any JSON, and not a model.
                return self._convert(self._source[name], in_list=in_list)
            converted["$ref"] = self._refer(name, in_list=in_list)
        if "anyOf" in converted:
            converted["anyOf"] = [self._convert(item, in_list=in_list) for item in converted["anyOf"]]
        if isinstance(converted.get("additionalProperties"), dict):
            converted["additionalProperties"] = self._convert(converted["additionalProperties"], in_list=True)
        if "items" in converted:
            converted["items"] = self._convert(converted["items"], in_list=True)
        return converted

    def _refer(self, name: str, *, in_list: bool) -> str:
        own_name = f"{name}_in_a_list" if in_list else name
        if own_name not in self.defs:
            source = self._source[name]
            self.defs[own_name] = {}
            fields = {
                field: self._field(name, field, item, in_list=in_list)
                for field, item in source["properties"].items()
            }
            definition = _mapping(fields, description=_plain_text(source.get("description", "")))
            if not in_list:
                definition["type"] = ["object", "null"]
            elif source.get("required"):
                definition["required"] = source["required"]
            self.defs[own_name] = definition
        return f"#/$defs/{own_name}"


def _or_null(schema: Schema) -> Schema:
    """Return the schema with ``null`` as another type, because editors report errors of branches poorly.

    References allow ``null`` already.
    """
    if "anyOf" in schema:
        others = {key: value for key, value in schema.items() if key != "anyOf"}
        branches = [item for item in schema["anyOf"] if item.get("type") != "null"]
        if len(branches) == 1:
            return {**others, **_or_null(branches[0])}
        return {**others, "anyOf": [*branches, {"type": "null"}]}
    schema = dict(schema)
    if "enum" in schema:
        schema["enum"] = [*schema["enum"], None]
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        schema["type"] = [*types, "null"]
    return schema


def _field_docs(model: type[BaseModel]) -> dict[tuple[str, str], str]:
    """Return the docstrings below the fields, by model and field; subclasses inherit those of their base.

    pydantic's ``use_attribute_docstrings`` would read them on each import, so in each parse of a DAG file.
    """
    docs = {}
    for one in {model, *_models_in(model)}:
        for cls in reversed(one.__mro__):
            if issubclass(cls, BaseModel) and cls is not BaseModel:
                own = _module_docs(sys.modules[cls.__module__]).get(cls.__name__, {})
                docs.update({(one.__name__, name): text for name, text in own.items()})
    return docs


def _models_in(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for info in model.model_fields.values():
        for inner in models_of(info.annotation):
            yield inner
            yield from _models_in(inner)


@cache
def _module_docs(module: ModuleType) -> dict[str, dict[str, str]]:
    docs: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for field, after in zip(node.body, node.body[1:], strict=False):
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
                text = _plain_text(inspect.cleandoc(str(after.value.value)))  # type: ignore[attr-defined]
                docs.setdefault(node.name, {})[field.target.id] = text
    return docs


def _plain_text(text: str) -> str:
    """Return a docstring without its markup, on one line."""
    text = re.sub(r":[a-z]+:`[.~]*([^`]+)`", r"`\1`", text).replace("``", "`")
    return " ".join(text.split())
