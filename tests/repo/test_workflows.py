""".github: valid, pinned, and calling targets that exist."""

from __future__ import annotations

import re

import yaml

from scripts import compat
from tests.distributed.compose import schema_errors
from tests.repo.pages import ROOT, targets

PIN = re.compile(r"^\s+(?:- )?uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)$")


TEXT = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
# YAML 1.1 takes the key "on" for a boolean; GitHub does not.
WORKFLOW = {"on" if key is True else key: value for key, value in yaml.safe_load(TEXT).items()}
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]


def test_valid_by_githubs_schemas() -> None:
    assert schema_errors("github-workflows", WORKFLOW) == []
    assert schema_errors("github-workflows", {**WORKFLOW, "job": {}})
    dependabot = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())
    assert schema_errors("dependabot", dependabot) == []


def test_the_workflow_makes_each_target_of_the_ci_script() -> None:
    called = {target for step in STEPS for target in re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))}
    by_script = set(re.findall(r"^step (?:report=\S+ )?([a-z-]+)", (ROOT / ".ci" / "run").read_text(), re.M))
    assert by_script
    assert by_script | {"compat"} <= called <= targets()


def test_actions_are_pinned_by_commit() -> None:
    pins = [match for line in TEXT.splitlines() if (match := PIN.match(line))]
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert used
    assert [f"{pin[1]}@{pin[2]}" for pin in pins] == used
    # Each action in one version, or an update is incomplete.
    assert len({pin[1] for pin in pins}) == len({pin.groups() for pin in pins})


def test_jobs_may_only_read_and_end_in_time() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "cancel-in-progress" in WORKFLOW["concurrency"]
    assert "pull_request_target" not in WORKFLOW["on"]
    for name, job in WORKFLOW["jobs"].items():
        assert "permissions" not in job, name
        assert 0 < job["timeout-minutes"] <= 90, name
    for step in STEPS:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
        # No value from outside becomes part of a command.
        assert "${{" not in step.get("run", "")


def test_the_matrices_are_the_supported_environments() -> None:
    assert WORKFLOW["jobs"]["test"]["strategy"]["matrix"] == {"python": list(compat.PYTHONS)}
    matrix = WORKFLOW["jobs"]["compat"]["strategy"]["matrix"]
    assert matrix == {"python": list(compat.PYTHONS), "which": list(compat.WHICH)}
