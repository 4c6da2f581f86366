"""Reads Compose files as ``docker compose`` does, as far as ours use it: variables, merged files, profiles, replicas.

What is not known here is an error, so that nothing in the file can be there for show.
"""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import yaml

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class ComposeError(Exception):
    """The file is not what Compose takes, or uses what is not known here."""


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of a ``.env`` file in which each value is on a line, within single quotes or without any."""
    values = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, value = line.partition("=")
            values[name] = value[1:-1] if value[:1] == value[-1:] == "'" else value
    return values


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Put variables in: ``$NAME``, ``${NAME}``, ``${NAME:-default}``, ``${NAME-default}``, ``${NAME:?message}``,
    ``${NAME?message}``, ``${NAME:+instead}``, ``$$``; defaults may hold variables.

    :raises ComposeError: a variable is wanted and not there, or the text is no such text.
    """
    done = []
    position = 0
    while (start := text.find("$", position)) >= 0:
        done.append(text[position:start])
        if text.startswith("$$", start):
            done.append("$")
            position = start + 2
        elif text.startswith("${", start):
            end = _closing_brace(text, start + 2)
            done.append(_substitute(text[start + 2 : end], variables))
            position = end + 1
        elif match := NAME.match(text, start + 1):
            done.append(variables.get(match.group(), ""))
            position = match.end()
        else:
            raise ComposeError(f"A single $ in {text!r}")
    return "".join([*done, text[position:]])


def _closing_brace(text: str, start: int) -> int:
    depth = 1
    for index in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if not depth:
            return index
    raise ComposeError(f"No closing brace in {text!r}")


def _substitute(expression: str, variables: Mapping[str, str]) -> str:
    match = NAME.match(expression)
    if match is None:
        raise ComposeError(f"No name in ${{{expression}}}")
    value, rest = variables.get(match.group()), expression[match.end() :]
    if not rest:
        return value or ""
    # With a colon, an empty value counts as none.
    is_there = bool(value) if rest.startswith(":") else value is not None
    operator, word = rest.removeprefix(":")[:1], rest.removeprefix(":")[1:]
    if operator == "-":
        return value or "" if is_there else interpolate(word, variables)
    if operator == "+":
        return interpolate(word, variables) if is_there else ""
    if operator == "?":
        if not is_there:
            raise ComposeError(f"{match.group()}: {word}")
        return value or ""
    raise ComposeError(f"Unknown operator in ${{{expression}}}")


def seconds(text: str) -> float:
    """A duration such as ``30s`` or ``1m30s``."""
    parts = re.findall(r"(\d+)(ms|s|m|h)", text)
    if "".join(f"{number}{unit}" for number, unit in parts) != text or not parts:
        raise ComposeError(f"Not a duration: {text!r}")
    return sum(int(number) * UNITS[unit] for number, unit in parts)


@dataclass(frozen=True)
class Health:
    """How to find out whether a container is healthy; times in seconds."""

    test: tuple[str, ...]
    interval: float
    timeout: float
    retries: int
    start_period: float


@dataclass(frozen=True)
class Volume:
    """A folder in a container.

    :param source: a folder of the host, or the name of a volume.
    """

    source: str
    target: str
    is_named: bool
    is_read_only: bool


@dataclass(frozen=True)
class Dependency:
    """What has to be before a container starts.

    :param condition: ``service_started``, ``service_healthy``, ``service_completed_successfully``.
    :param is_required: whether the service has to be part of what is started.
    """

    condition: str
    is_required: bool


@dataclass(frozen=True)
class Service:
    """A service, ready to be started."""

    name: str
    image: str
    target: str | None
    command: tuple[str, ...]
    environment: Mapping[str, str]
    user: str | None
    volumes: tuple[Volume, ...]
    depends_on: Mapping[str, Dependency]
    health: Health | None
    restart: str
    replicas: int
    stop_grace_period: float


_KNOWN = {
    "image",
    "build",
    "command",
    "environment",
    "user",
    "volumes",
    "depends_on",
    "healthcheck",
    "restart",
    "deploy",
    "stop_grace_period",
    "profiles",
    "ports",
    "security_opt",
}


def read_services(
    files: Sequence[Path], variables: Mapping[str, str], *, profiles: Iterable[str] = ()
) -> dict[str, Service]:
    """The services that ``docker compose up`` would start, by name.

    :param files: merged in this order.
    :param variables: of the ``.env`` file.
    :param profiles: that are switched on.
    :raises ComposeError: something is missing, not valid, or unknown here.
    """
    merged: Any = {}
    for file in files:
        parsed = yaml.safe_load(file.read_text(encoding="utf-8"))
        validate(parsed)
        merged = _merged(merged, parsed)
    project = _interpolated({key: merged[key] for key in ("services", "volumes") if key in merged}, variables)
    switched_on = set(profiles)
    services = {
        name: _service(name, raw, variables, files[0].parent)
        for name, raw in project["services"].items()
        if not raw.get("profiles") or switched_on & set(raw["profiles"])
    }
    for service in services.values():
        for volume in service.volumes:
            if volume.is_named and volume.source not in (project.get("volumes") or {}):
                raise ComposeError(f"{service.name}: volume {volume.source!r} is not declared")
        for name, dependency in service.depends_on.items():
            if dependency.is_required and name not in services:
                raise ComposeError(f"{service.name} needs {name}, which is not started")
    return services


def validate(parsed: Any) -> None:
    """Hold a file against the schema of the Compose Specification, in the version that check-jsonschema ships.

    :raises ComposeError: it is not valid.
    """
    folder = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((folder / "compose-spec.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    problems = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(parsed)]
    if problems:
        raise ComposeError("; ".join(problems))


def _merged(base: Any, over: Any) -> Any:
    """As Compose merges files: maps by key, the command and the health check's test replaced, other lists appended."""
    if isinstance(base, dict) and isinstance(over, dict):
        joined = dict(base)
        for key, value in over.items():
            is_replaced = key in {"command", "entrypoint", "test"}
            joined[key] = _merged(base[key], value) if key in base and not is_replaced else value
        return joined
    if isinstance(base, list) and isinstance(over, list):
        return [*base, *over]
    return over


def _interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _interpolated(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [_interpolated(item, variables) for item in value]
    return interpolate(value, variables) if isinstance(value, str) else value


def _service(name: str, raw: Mapping[str, Any], variables: Mapping[str, str], folder: Path) -> Service:
    if unknown := raw.keys() - _KNOWN:
        raise ComposeError(f"{name}: {', '.join(sorted(unknown))} is not known here")
    command = raw.get("command", [])
    health = raw.get("healthcheck")
    return Service(
        name=name,
        image=raw["image"],
        target=(raw.get("build") or {}).get("target"),
        command=tuple(command.split() if isinstance(command, str) else map(str, command)),
        environment=_environment(raw.get("environment", {}), variables),
        user=raw.get("user"),
        volumes=tuple(_volume(text, folder) for text in raw.get("volumes", [])),
        depends_on={
            other: Dependency(given["condition"], given.get("required", True))
            for other, given in raw.get("depends_on", {}).items()
        },
        health=_health(health) if health else None,
        restart=raw.get("restart", "no"),
        replicas=int(raw.get("deploy", {}).get("replicas", 1)),
        stop_grace_period=seconds(raw.get("stop_grace_period", "10s")),
    )


def _environment(given: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, str]:
    """What has no value is handed on, if it is there."""
    found = {name: variables.get(name) if value is None else str(value) for name, value in given.items()}
    return {name: value for name, value in found.items() if value is not None}


def _health(given: Mapping[str, Any]) -> Health:
    kind, *words = given["test"]
    test = {"CMD": tuple(words), "CMD-SHELL": ("/bin/sh", "-c", *words)}.get(kind)
    if test is None:
        raise ComposeError(f"Unknown kind of health check: {kind}")
    return Health(
        test=test,
        interval=seconds(given["interval"]),
        timeout=seconds(given["timeout"]),
        retries=int(given["retries"]),
        start_period=seconds(given.get("start_period", "0s")),
    )


def _volume(text: str, folder: Path) -> Volume:
    source, target, *options = text.split(":")
    is_named = not source.startswith((".", "/"))
    return Volume(
        source=source if is_named else str((folder / source).resolve()),
        target=target,
        is_named=is_named,
        is_read_only="ro" in options,
    )
