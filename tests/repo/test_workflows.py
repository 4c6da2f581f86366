""".github: valid, pinned, and calling targets that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import compat
from tests.distributed.compose import schema_errors
from tests.repo.pages import targets

PIN = re.compile(r"^\s+(?:- )?uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)$")


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / ".github" / "workflows" / "ci.yml").read_text()


@pytest.fixture(scope="module")
def workflow(text: str) -> dict[str, Any]:
    # YAML 1.1 takes the key "on" for a boolean; GitHub does not.
    return {"on" if key is True else key: value for key, value in yaml.safe_load(text).items()}


@pytest.fixture(scope="module")
def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_valid_by_githubs_schemas(workflow: dict[str, Any], root: Path) -> None:
    assert schema_errors("github-workflows", workflow) == []
    assert schema_errors("github-workflows", {**workflow, "job": {}})
    dependabot = yaml.safe_load((root / ".github" / "dependabot.yml").read_text())
    assert schema_errors("dependabot", dependabot) == []


def test_the_workflow_makes_each_target_of_the_ci_script(steps: list[dict[str, Any]], root: Path) -> None:
    called = {target for step in steps for target in re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))}
    by_script = set(re.findall(r"^\s*make ([a-z-]+)", (root / ".ci" / "run").read_text(), re.M))
    assert by_script
    assert by_script | {"compat"} <= called <= targets()


def test_actions_are_pinned_by_commit(steps: list[dict[str, Any]], text: str) -> None:
    pins = [match for line in text.splitlines() if (match := PIN.match(line))]
    used = [step["uses"] for step in steps if "uses" in step]
    assert used
    assert [f"{pin[1]}@{pin[2]}" for pin in pins] == used
    # Each action in one version, or an update is incomplete.
    assert len({pin[1] for pin in pins}) == len({pin.groups() for pin in pins})


def test_jobs_may_only_read_and_end_in_time(workflow: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    assert "cancel-in-progress" in workflow["concurrency"]
    assert "pull_request_target" not in workflow["on"]
    for name, job in workflow["jobs"].items():
        assert "permissions" not in job, name
        assert 0 < job["timeout-minutes"] <= 90, name
    for step in steps:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
        # No value from outside becomes part of a command.
        assert "${{" not in step.get("run", "")


def test_the_matrices_are_the_supported_environments(workflow: dict[str, Any]) -> None:
    assert workflow["jobs"]["test"]["strategy"]["matrix"] == {"python": list(compat.PYTHONS)}
    matrix = workflow["jobs"]["compat"]["strategy"]["matrix"]
    assert matrix == {"python": list(compat.PYTHONS), "which": list(compat.WHICH)}
