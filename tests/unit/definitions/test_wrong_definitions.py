"""Messages of wrong definitions, word for word, from the models and from ``check`` in one pass."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from audience_onboarding.cli import main
from audience_onboarding.definitions import InvalidDefinition, read_definitions
from audience_onboarding.definitions.loader import check_folder
from tests.unit.definitions.conftest import GOOD
from tests.unit.definitions.wrong import ALONE, HEAD, WRONG, Wrong

ALL = (*WRONG, *ALONE)


def write(folder: Path, wrong: Wrong) -> None:
    for name, content in wrong.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_the_messages_of_wrong_definitions(tmp_path: Path) -> None:
    problems = []
    for wrong in ALL:
        folder = tmp_path / wrong.name
        write(folder, wrong)
        found = tuple(map(str, check_folder(folder, environment=None).diagnostics))
        if found != wrong.expected:
            problems.append(f"{wrong}: expected {wrong.expected}, got {found}")
        # An error in another environment only does not remove the DAGs of this one.
        is_elsewhere = all("environment" in line for line in wrong.expected)
        if not is_elsewhere and not all(
            isinstance(item, InvalidDefinition) for item in read_definitions(folder)
        ):
            problems.append(f"{wrong}: is read")
    assert not problems, "\n".join(problems)
    assert max(Counter(wrong.name for wrong in ALL).values()) == 1


def places_in(content: Any) -> Iterator[tuple[Any, Any]]:
    for place, value in content.items() if isinstance(content, dict) else enumerate(content):
        yield content, place
        if isinstance(value, (dict, list)):
            yield from places_in(value)


@pytest.mark.parametrize(
    "secret", ["s3cr3t {x} {{ 'y' }}" * 20, 4711_4711_4711, ["s3cr3t"], {"s": "s3cr3t"}], ids=type
)
def test_no_message_repeats_a_value(secret: Any, tmp_path: Path) -> None:
    number = len(list(places_in(GOOD)))
    for index in range(number):
        content = copy.deepcopy(GOOD)
        group, place = list(places_in(content))[index]
        group[place] = secret
        (tmp_path / "a.yaml").write_text(yaml.safe_dump(content))
        for problem in check_folder(tmp_path, environment=None).diagnostics:
            assert "s3cr3t" not in str(problem)
            assert "4711" not in str(problem)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them in one folder, and a good one."""
    path = tmp_path_factory.mktemp("include") / "audiences"
    for wrong in ALL:
        write(path, wrong)
    (path / "good.yaml").write_text(HEAD)
    return path


def check(folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    """Run the command; return its code and its output."""
    code = main(["check", "--folder", str(folder), *more])
    said = capsys.readouterr()
    assert said.err == ""
    return code, said.out


def test_check_finds_all_of_them_in_one_pass(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = check(folder, capsys)

    *lines, summary, see = out.splitlines()
    assert Counter(lines) == Counter(line for wrong in ALL for line in wrong.expected)
    assert code == 1
    files = sum(len(wrong.files) for wrong in ALL)
    assert summary.startswith(f"{len(lines)} problems in {files} files of ")
    # Once, not once a problem.
    assert see == "See docs/how-to/troubleshooting.md#definitionerror"


def test_check_gives_them_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = check(folder, capsys, "--json")

    records = json.loads(out)
    assert code == 1
    assert len(records) == sum(len(wrong.expected) for wrong in ALL)
    (record,) = [item for item in records if item["file"] == "choice_that_is_none.yaml"]
    assert record == {
        "file": "choice_that_is_none.yaml",
        "line": 6,
        "column": 10,
        "field": "upload.mode",
        "message": "invalid value",
        "allowed": ["opt-in", "opt-out", "replace", "mirror"],
        "suggestion": "opt-in",
        "environments": [],
        "inherited_by": [],
    }
    lines = {line for wrong in ALL for line in wrong.expected}
    for item in records:
        place = f"{item['file']}:{item['line']}: " if item["line"] else f"{item['file']}: "
        assert any(line.startswith(place) and item["message"] in line for line in lines)


def test_an_error_in_one_environment_names_it(folder: Path) -> None:
    said = {line for wrong in ALL for line in wrong.expected}

    assert [line for line in said if "(environment" in line] == [
        "not_in_one_environment.yaml:1: needs 'campaign' (to create the audience in) or 'id' (of an existing audience) "
        "(environment testing)"
    ]
