""".github: valid, pinned, and calling only what there is."""

from __future__ import annotations

import importlib.resources
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from scripts import compat

PIN = re.compile(r"^\s+(?:- )?uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)$")


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / ".github" / "workflows" / "ci.yml").read_text()


@pytest.fixture(scope="module")
def workflow(text: str) -> dict[str, Any]:
    # YAML 1.1 takes the key "on" for a boolean; GitHub does not.
    parsed = {"on" if key is True else key: value for key, value in yaml.safe_load(text).items()}
    assert parsed.keys() >= {"on", "jobs"}
    return parsed


def steps_of(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def errors(schema_name: str, value: Any) -> list[str]:
    """By the schema of that name that check-jsonschema ships."""
    folder = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((folder / f"{schema_name}.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(value)]


def test_valid_by_githubs_schemas(workflow: dict[str, Any], root: Path) -> None:
    assert errors("github-workflows", workflow) == []
    assert errors("github-workflows", {**workflow, "job": {}})
    assert errors("dependabot", yaml.safe_load((root / ".github" / "dependabot.yml").read_text())) == []


def test_every_make_target_exists(workflow: dict[str, Any], root: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):(?!=)", (root / "Makefile").read_text(), re.M))
    called = {
        target
        for step in steps_of(workflow)
        for target in re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))
    }
    assert called >= {
        "lint",
        "demo",
        "test",
        "test-more",
        "test-browser",
        "test-distributed",
        "compat",
        "docs",
    }
    assert called <= targets


def test_actions_are_pinned_by_commit(workflow: dict[str, Any], text: str) -> None:
    pins = [match for line in text.splitlines() if (match := PIN.match(line))]
    used = [step["uses"] for step in steps_of(workflow) if "uses" in step]
    assert used
    assert [f"{pin[1]}@{pin[2]}" for pin in pins] == used
    # One version of each, or an update has gone half way.
    assert len({pin[1] for pin in pins}) == len({pin.groups() for pin in pins})


def test_jobs_may_only_read_and_end_in_time(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    assert "cancel-in-progress" in workflow["concurrency"]
    assert "pull_request_target" not in workflow["on"]
    for name, job in workflow["jobs"].items():
        assert "permissions" not in job, name
        assert 0 < job["timeout-minutes"] <= 90, name
    for step in steps_of(workflow):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_nothing_from_outside_becomes_part_of_a_command(workflow: dict[str, Any]) -> None:
    assert [step["run"] for step in steps_of(workflow) if "${{" in step.get("run", "")] == []


def test_the_matrices_are_what_is_supported(workflow: dict[str, Any]) -> None:
    assert workflow["jobs"]["test"]["strategy"]["matrix"] == {"python": list(compat.PYTHONS)}
    matrix = workflow["jobs"]["compat"]["strategy"]["matrix"]
    assert matrix == {"python": list(compat.PYTHONS), "which": list(compat.WHICH)}
