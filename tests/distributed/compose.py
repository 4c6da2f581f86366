"""Reader of Compose files, for the parts of the specification that ours use. Anything else is an error."""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import yaml

VARIABLE = re.compile(
    r"\$(?:(?P<dollar>\$)"
    r"|\{(?P<name>[A-Za-z_]\w*)(?P<operator>:[-?])(?P<word>(?:[^{}]|\{[^{}]*\})*)\})?"
)
"""``$$``, ``${NAME:-default}``, ``${NAME:?message}``; a default may hold variables. A single ``$`` has no groups."""

KNOWN = {
    "image", "build", "command", "environment", "user", "volumes", "depends_on", "healthcheck", "restart", "deploy",
    "stop_grace_period", "profiles", "ports", "security_opt",
}  # fmt: skip


class ComposeError(Exception):
    """The file is not valid, or uses something that this reader does not know."""


def read_env_file(path: Path) -> dict[str, str]:
    """Return the variables of a ``.env`` file: one a line, within single quotes."""
    text = path.read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Z_]\w*)='([^']*)'$", text, re.MULTILINE))


def interpolate(value: Any, variables: Mapping[str, str]) -> Any:
    """Put variables into all texts of a value.

    :raises ComposeError: a required variable is missing or empty, or a text has another use of ``$``.
    """

    def replacement(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        if match["name"] is None:
            raise ComposeError(f"Unknown use of $ in {value!r}")
        if found := variables.get(match["name"]):
            return found
        if match["operator"] == ":?":
            raise ComposeError(f"{match['name']}: {match['word']}")
        return str(interpolate(match["word"], variables))

    if isinstance(value, dict):
        return {key: interpolate(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolate(item, variables) for item in value]
    return VARIABLE.sub(replacement, value) if isinstance(value, str) else value


def seconds(text: str) -> float:
    """Return a duration such as ``30s`` or ``2m``."""
    match = re.fullmatch(r"(\d+)([sm])", text)
    if match is None:
        raise ComposeError(f"Unknown duration: {text!r}")
    return float(match[1]) * {"s": 1, "m": 60}[match[2]]


class Health(NamedTuple):
    """Health check of a container, with its timeout in seconds."""

    test: tuple[str, ...]
    timeout: float


class Volume(NamedTuple):
    """A folder of the host, by its absolute path, or a named volume, in a container."""

    source: str
    target: str
    is_read_only: bool


@dataclass(frozen=True)
class Service:
    """A service, ready to be started.

    :param depends_on: the condition that each other service has to fulfil first.
    """

    name: str
    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    user: str | None
    volumes: tuple[Volume, ...]
    depends_on: Mapping[str, str]
    health: Health | None
    restart: str
    replicas: int
    stop_grace_period: float


def read_services(
    files: Sequence[Path], variables: Mapping[str, str], *, profiles: Iterable[str] = ()
) -> dict[str, Service]:
    """Return the services that ``docker compose up`` would start, by name.

    :param files: merged in this order.
    :param variables: of the ``.env`` file.
    :param profiles: that are switched on.
    :raises ComposeError: something is missing, not valid, or unknown here.
    """
    merged: Any = {}
    for file in files:
        parsed = yaml.safe_load(file.read_text(encoding="utf-8"))
        if problems := schema_errors("compose-spec", parsed):
            raise ComposeError("; ".join(problems))
        merged = _merged(merged, parsed)
    project = interpolate({key: merged.get(key) or {} for key in ("services", "volumes")}, variables)
    on = {
        name: raw
        for name, raw in project["services"].items()
        if not raw.get("profiles") or set(profiles) & set(raw["profiles"])
    }
    for name, raw in on.items():
        for other, dependency in raw.get("depends_on", {}).items():
            if dependency.get("required", True) and other not in on:
                raise ComposeError(f"{name} needs {other}, which is not started")
    services = {name: _service(name, raw, variables, files[0].parent) for name, raw in on.items()}
    used = {volume.source for service in services.values() for volume in service.volumes}
    if undeclared := {source for source in used if not source.startswith("/")} - project["volumes"].keys():
        raise ComposeError(f"Not declared: volumes {', '.join(undeclared)}")
    return services


def schema_errors(name: str, value: Any) -> list[str]:
    """Validate a value against a schema that check-jsonschema ships, such as ``compose-spec``."""
    folder = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((folder / f"{name}.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(value)]


def _merged(base: Any, over: Any) -> Any:
    if isinstance(base, dict) and isinstance(over, dict):
        return {**base, **{key: _merged(base.get(key), value) for key, value in over.items()}}
    if isinstance(base, list) and isinstance(over, list):
        raise ComposeError(f"Lists are not merged: {base} and {over}")
    return over


def _service(name: str, raw: Mapping[str, Any], variables: Mapping[str, str], folder: Path) -> Service:
    if unknown := raw.keys() - KNOWN:
        raise ComposeError(f"{name}: {', '.join(sorted(unknown))} is not known here")
    command = raw.get("command", [])
    # A variable without a value is handed on, if it exists.
    given = raw.get("environment", {}).items()
    environment = {key: variables.get(key) if value is None else str(value) for key, value in given}
    return Service(
        name=name,
        image=raw["image"],
        command=tuple(command.split() if isinstance(command, str) else map(str, command)),
        environment={key: value for key, value in environment.items() if value is not None},
        user=raw.get("user"),
        volumes=tuple(_volume(text, folder) for text in raw.get("volumes", [])),
        depends_on={other: item["condition"] for other, item in raw.get("depends_on", {}).items()},
        health=_health(raw["healthcheck"]) if "healthcheck" in raw else None,
        restart=raw.get("restart", "no"),
        replicas=int(raw.get("deploy", {}).get("replicas", 1)),
        stop_grace_period=seconds(raw.get("stop_grace_period", "10s")),
    )


def _health(given: Mapping[str, Any]) -> Health:
    kind, *words = given["test"]
    if kind not in {"CMD", "CMD-SHELL"}:
        raise ComposeError(f"Unknown kind of health check: {kind}")
    test = ("/bin/sh", "-c", *words) if kind == "CMD-SHELL" else tuple(words)
    return Health(test, seconds(given["timeout"]))


def _volume(text: str, folder: Path) -> Volume:
    source, target, *options = text.split(":")
    source = str((folder / source).resolve()) if source.startswith(".") else source
    return Volume(source, target, is_read_only="ro" in options)
