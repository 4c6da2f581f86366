"""Field types of audience definitions, and the base class of their models."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from audience_onboarding.crm.sources.options import format_path


class Model(BaseModel):
    """Base of all parts of a definition: immutable, without unknown fields."""

    # Built on first use: most processes do not validate each part, and building takes time.
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, defer_build=True)

    null_is_a_value: ClassVar[bool] = False
    """Whether ``null`` is a value of its fields, and does not just remove an inherited one."""


Key = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$", max_length=100)]
"""Lower-case letters, digits and underscores: it becomes part of DAG and task ids."""

Text = Annotated[str, Field(min_length=1, max_length=250)]


def is_key(text: str) -> bool:
    """Return whether a file name can be the key of an audience."""
    return re.fullmatch(r"[a-z0-9][a-z0-9_]{0,99}", text) is not None


def _no_template(value: str) -> str:
    # It becomes a templated field of an operator, which would render it.
    if any(mark in value for mark in ("{{", "{%", "{#")):
        raise ValueError("must not contain {{, {% or {#. Templates are not rendered here")
    return value


Name = Annotated[Text, AfterValidator(_no_template)]
"""Text that is sent to the vendor unchanged."""

Query = Annotated[str, Field(min_length=1, max_length=100_000), AfterValidator(_no_template)]

Header = Annotated[str, Field(pattern=r'^[^",\r\n]+$', max_length=100)]
"""Header of a column in the output file; needs no quotes."""


def _one_character(value: str) -> str:
    if value != "auto" and (len(value) != 1 or value in "\r\n"):
        raise ValueError("must be one character, or 'auto' to detect it")
    return value


Character = Annotated[str, StringConstraints(strip_whitespace=False), AfterValidator(_one_character)]
"""``auto`` or one character, for example a tab."""

Tag = Annotated[str, Field(min_length=1, max_length=100)]
"""Airflow rejects DAGs with longer tags."""


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


RemoteId = Annotated[
    str,
    BeforeValidator(_as_text),
    Field(pattern=r"^[A-Za-z0-9_-]{1,200}$"),
    WithJsonSchema({"type": ["string", "integer"], "pattern": r"^[A-Za-z0-9_-]{1,200}$"}),
]
"""Text id of a vendor; YAML reads one of digits as a number."""

Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Hours = Annotated[float, Field(gt=0, le=24 * 365, allow_inf_nan=False)]


def quote_names(names: Iterable[str]) -> str:
    """Return names for a message: ``'a', 'b'``."""
    return ", ".join(f"'{name}'" for name in names)


def check_scheme(value: str) -> str:
    """Return a path or URL.

    :raises ValueError: its scheme is neither ``s3`` nor ``file``, or the rest is missing.
    """
    scheme, separator, rest = value.partition("://")
    if separator and (scheme not in ("s3", "file") or not rest.strip("/")):
        raise ValueError("must be a path, file:///path or s3://bucket/key")
    return value


def check_load_date(value: str) -> str:
    """Return a path.

    :raises ValueError: it has another placeholder than ``{load_date}``.
    """
    format_path(value, date(2000, 1, 1))
    return value


def resolve_path(path: str, base: Path) -> str:
    """Return the absolute path or URL of a path in a definition.

    :param base: folder that relative paths start from.
    """
    if "://" in path:
        return path
    # pathlib drops the slash that marks a folder.
    return f"{base / path}/" if path.endswith("/") else str(base / path)
