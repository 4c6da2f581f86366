"""The JSON schemas of definitions and of ``_defaults.yaml``, made of the models, for editors.

They say what a file may hold, not what it must: what is required may come from the defaults, so only ``platform`` is,
and ``name``, which nobody can inherit. ``null`` may stand wherever it takes a default away. What fields have to do with
each other is for ``check``.
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
from audience_onboarding.definitions.resolver import (
    DEFAULTS,
    ENVIRONMENTS,
    OF_ONE_AUDIENCE,
    SAME_EVERYWHERE,
)
from audience_onboarding.platform_registry import PLATFORMS, get_platform

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_FILE = "schema.json"
DEFAULTS_SCHEMA_FILE = "_defaults.schema.json"

Schema = dict[str, Any]


def schemas() -> dict[str, str]:
    """The texts of the schemas, by the names of their files."""
    made = {SCHEMA_FILE: definition_schema(), DEFAULTS_SCHEMA_FILE: defaults_schema()}
    return {name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in made.items()}


def definition_schema() -> Schema:
    """What a definition may hold; which of the platforms' models it follows is told by ``platform``."""
    parts = _Parts()
    branches = []
    for platform in PLATFORMS:
        model: type[AudienceDefinition] = get_platform(platform).definition
        fields = parts.fields_of(model, without=("key",))
        fields["platform"] = {"const": platform, **_described(fields["platform"])}
        inner = {name: item for name, item in fields.items() if name not in SAME_EVERYWHERE}
        parts.defs[f"{platform}_environment"] = _group(inner, description="What differs in this environment.")
        fields[ENVIRONMENTS] = _environments(f"#/$defs/{platform}_environment")
        parts.defs[platform] = _group(fields, description=_text(inspect.getdoc(model) or ""))
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
        "properties": {
            "platform": {"enum": list(PLATFORMS), "description": "The platform that the audience is on."}
        },
        "required": ["platform"],
        # Each environment may have a name of its own.
        "anyOf": [{"required": ["name"]}, {"required": [ENVIRONMENTS]}],
        "allOf": branches,
        "$defs": parts.sorted_defs(),
    }


def defaults_schema() -> Schema:
    """What ``_defaults.yaml`` may hold."""
    parts = _Parts()
    fields = parts.fields_of(AudienceDefinition, without=OF_ONE_AUDIENCE)
    platforms = {}
    for platform in PLATFORMS:
        model: type[AudienceDefinition] = get_platform(platform).definition
        parts.defs[platform] = _group(parts.fields_of(model, without=OF_ONE_AUDIENCE))
        platforms[platform] = {"$ref": f"#/$defs/{platform}"}
    fields["platforms"] = _group(platforms, description="Defaults for one platform only.")
    parts.defs["environment"] = _group(fields, description="What differs in this environment.")
    return {
        "$schema": DIALECT,
        "title": DEFAULTS,
        "description": "What all definitions of the folder inherit.",
        **_group({**fields, ENVIRONMENTS: _environments("#/$defs/environment")}),
        "$defs": parts.sorted_defs(),
    }


def _group(fields: Mapping[str, Schema], *, description: str = "") -> Schema:
    told = {"description": description} if description else {}
    return {**told, "type": "object", "properties": dict(fields), "additionalProperties": False}


def _environments(reference: str) -> Schema:
    return {
        "description": "What differs in each environment, by its name. AUDIENCE_ONBOARDING_ENVIRONMENT chooses.",
        "type": "object",
        "propertyNames": {"pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,49}$"},
        "additionalProperties": {"$ref": reference},
    }


class _Parts:
    """The groups of fields that a schema refers to. In a list they are whole; elsewhere, defaults may give a part."""

    def __init__(self) -> None:
        self.defs: dict[str, Schema] = {}

    def fields_of(self, model: type[BaseModel], *, without: tuple[str, ...]) -> dict[str, Schema]:
        """The fields of a model, with what they refer to added to the parts."""
        whole = model.model_json_schema(mode="validation")
        known = {**whole.get("$defs", {})}
        described = _docs_of_all(model)
        return {
            name: self._part(_with_docs(item, described.get((model.__name__, name))), known, described)
            for name, item in whole["properties"].items()
            if name not in without
        }

    def sorted_defs(self) -> dict[str, Schema]:
        return dict(sorted(self.defs.items()))

    def _part(
        self,
        schema: Schema,
        known: Mapping[str, Schema],
        described: Mapping[tuple[str, str], str],
        *,
        in_list: bool = False,
    ) -> Schema:
        made = self._inner(schema, known, described, in_list=in_list)
        can_be_null = any(item.get("type") == "null" for item in made.get("anyOf", ()))
        is_reference = any("$ref" in item for item in made.get("anyOf", ()))
        return _or_null(made) if not in_list or (can_be_null and not is_reference) else made

    def _inner(
        self,
        schema: Schema,
        known: Mapping[str, Schema],
        described: Mapping[tuple[str, str], str],
        *,
        in_list: bool,
    ) -> Schema:
        made = {key: copy.deepcopy(value) for key, value in schema.items() if key not in {"title", "default"}}
        if schema.get("default") is not None and not isinstance(schema["default"], dict):
            made["default"] = schema["default"]
        if (reference := made.get("$ref")) is not None:
            name = reference.rpartition("/")[2]
            if "properties" not in known[name]:
                # A kind of value, such as any JSON, and no group of fields.
                return self._inner(known[name], known, described, in_list=in_list)
            made["$ref"] = self._refer(name, known, described, in_list=in_list)
        if "anyOf" in made:
            made["anyOf"] = [self._inner(item, known, described, in_list=in_list) for item in made["anyOf"]]
        if isinstance(made.get("additionalProperties"), dict):
            made["additionalProperties"] = self._inner(
                made["additionalProperties"], known, described, in_list=True
            )
        if "items" in made:
            made["items"] = self._inner(made["items"], known, described, in_list=True)
        return made

    def _refer(
        self,
        name: str,
        known: Mapping[str, Schema],
        described: Mapping[tuple[str, str], str],
        *,
        in_list: bool,
    ) -> str:
        own = f"{name}_in_a_list" if in_list else name
        if own not in self.defs:
            group = known[name]
            self.defs[own] = {}
            fields = {
                field: self._part(
                    _with_docs(item, described.get((name, field))),
                    known,
                    described,
                    in_list=in_list,
                )
                for field, item in group["properties"].items()
            }
            made = _group(fields, description=_text(group.get("description", "")))
            if not in_list:
                made["type"] = ["object", "null"]
            if in_list and group.get("required"):
                made["required"] = group["required"]
            self.defs[own] = made
        return f"#/$defs/{own}"


def _or_null(schema: Schema) -> Schema:
    """The schema, and ``null``: as a type, and not as another branch, of which an editor could not say which is wrong.

    What it refers to allows it already.
    """
    if "anyOf" in schema:
        told = {key: value for key, value in schema.items() if key != "anyOf"}
        others = [item for item in schema["anyOf"] if item.get("type") != "null"]
        if len(others) == 1:
            return {**told, **_or_null(others[0])}
        return {**told, "anyOf": [*others, {"type": "null"}]}
    made = dict(schema)
    if "enum" in made:
        made["enum"] = [*made["enum"], None]
    if "type" in made:
        types = made["type"] if isinstance(made["type"], list) else [made["type"]]
        made["type"] = [*types, "null"]
    return made


def _described(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key == "description"}


def _with_docs(schema: Schema, text: str | None) -> Schema:
    return {"description": text, **schema} if text and "description" not in schema else schema


def _docs_of_all(model: type[BaseModel]) -> dict[tuple[str, str], str]:
    """What the docstrings below the fields say, by model and field; what is inherited has that of the base.

    pydantic could do it (``use_attribute_docstrings``), but with each import, so in each parse of a DAG file.
    """
    found = {}
    for one in {model, *_models_in(model)}:
        for cls in reversed(one.__mro__):
            if issubclass(cls, BaseModel) and cls is not BaseModel:
                docs = _docs_of(sys.modules[cls.__module__]).get(cls.__name__, {})
                found.update({(one.__name__, name): text for name, text in docs.items()})
    return found


def _models_in(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    from audience_onboarding.definitions.validation_messages import models_of

    for info in model.model_fields.values():
        for inner in models_of(info.annotation):
            yield inner
            yield from _models_in(inner)


@cache
def _docs_of(module: ModuleType) -> dict[str, dict[str, str]]:
    docs: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for field, after in zip(node.body, node.body[1:], strict=False):
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
                text = _text(inspect.cleandoc(str(after.value.value)))  # type: ignore[attr-defined]
                docs.setdefault(node.name, {})[field.target.id] = text
    return docs


def _text(text: str) -> str:
    """A docstring without its markup, on one line."""
    text = re.sub(r":[a-z]+:`[.~]*([^`]+)`", r"`\1`", text).replace("``", "`")
    return " ".join(text.split())
