"""Everything that stands in a block of code on a page: it is what it says it is, and does what it says."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
import sqlite3
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from audience_onboarding.cli import _parser as own_parser
from audience_onboarding.definitions.files import check_folder
from audience_onboarding.storage.audit_table import ddl
from tests.repo.pages import PAGES, ROOT, Block, blocks, inline_code, name_of

BLOCKS = list(blocks())
PLATFORM_OF = {"docs/commbox.md": "commbox", "docs/fanfare.md": "fanfare"}
"""Of which platform the parts of definitions on a page are; Digital Audience where nothing is said."""

LANGUAGES = {"console", "ini", "json", "python", "sh", "sql", "text", "yaml"}


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


def test_there_are_examples_and_each_says_what_it_is() -> None:
    assert len(BLOCKS) > 50
    assert [f"{block}: {block.language!r}" for block in BLOCKS if block.language not in LANGUAGES] == []


# --- Airflow's configuration ------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", of("ini"), ids=str)
def test_options_of_airflow_are_known(block: Block) -> None:
    from airflow.configuration import retrieve_configuration_description

    known = retrieve_configuration_description()
    # A section per provider is not in the description of Airflow itself.
    known |= retrieve_configuration_description(selected_provider="apache-airflow-providers-openlineage")
    parser = ConfigParser(interpolation=None)
    parser.read_string(block.text)
    assert parser.sections()
    for section in parser.sections():
        unknown = set(parser[section]) - set(known.get(section, {}).get("options", {}))
        assert not unknown, f"[{section}] {', '.join(sorted(unknown))}"


# --- YAML -----------------------------------------------------------------------------------------------------


HAS_TESTS = "docs/definitions.md"
"""Its examples are marked, and tried field by field, in ``test_definition_options.py``."""


def _is_definition(block: Block) -> bool:
    # Alert rules of Prometheus are held against the metrics in test_observability_page.py.
    return block.page != HAS_TESTS and not block.text.startswith("groups:")


@pytest.mark.parametrize("block", [block for block in of("yaml") if _is_definition(block)], ids=str)
def test_definitions_are_good(block: Block, tmp_path: Path) -> None:
    content = yaml.safe_load(block.text)
    platform = content.get("platform", PLATFORM_OF.get(block.page, "digital_audience"))
    folder = tmp_path / "audiences"
    folder.mkdir()
    is_raw = content.get("allow_raw") or platform != "digital_audience" or _maps_raw(content)
    whole = {
        "platform": platform,
        "name": "Example",
        "owner": "somebody",
        "source": {"path": "crm/{load_date}.csv", "columns": {"phone": "Phone"}},
        **({"campaign": {"name": "Example"}} if platform == "digital_audience" else {}),
        **({"allow_raw": True} if is_raw else {}),
        **content,
    }
    path = folder / "example.yaml"
    path.write_text(yaml.safe_dump(whole, sort_keys=False))

    assert [str(problem) for problem in check_folder(folder, environment=None).problems] == []


def _maps_raw(content: dict[str, Any]) -> bool:
    columns = content.get("source", {}).get("columns", {})
    return bool(set(columns) - {"email", "phone", "personal_id"})


def test_a_whole_definition_of_the_readme_has_ten_lines_at_most() -> None:
    (block,) = [block for block in of("yaml") if block.page == "README.md"]

    assert len(block.text.splitlines()) <= 10


# --- JSON, SQL, Python ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", of("json"), ids=str)
def test_json_is_json(block: Block) -> None:
    try:
        found = [json.loads(block.text)]
    except json.JSONDecodeError:
        found = [json.loads(line) for line in block.text.splitlines() if line]
    assert found
    if block.page == "include/sandbox/README.md":
        from sandbox.faults.orders import FaultOrder

        assert all(FaultOrder.model_validate(order) for order in found)


@pytest.mark.parametrize("block", of("sql"), ids=str)
def test_sql_is_understood(block: Block) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        if not block.text.startswith("CREATE"):
            connection.execute(ddl("audience_onboarding_audit"))
        connection.execute(block.text)


PYTHON_HAS: dict[str, str] = {"FileNotifier": "from airflow.sdk import BaseNotifier"}
"""What an example takes for granted, and says so in a comment: by a name that is in it."""


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_python_runs(block: Block) -> None:
    tree = ast.parse(block.text)
    known: dict[str, Any] = {}
    for name, statement in PYTHON_HAS.items():
        if name in block.text:
            exec(statement, known)  # noqa: S102 - our own pages
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []
    exec(compile(tree, str(block), "exec"), known)  # noqa: S102


# --- commands -------------------------------------------------------------------------------------------------


def commands_in(block: Block) -> Iterator[str]:
    """Its commands, each in one line; what they print is left out, and what they are fed."""
    text = block.text.replace("\\\n", " ")
    if block.language == "console":
        text = re.sub(r"^(\$ .*<<'?(\w+)'?.*)\n(?:.*\n)*?\2$", r"\1", text, flags=re.MULTILINE)
        # A quoted text may go on in the next lines.
        lines: list[str] = []
        for line in text.splitlines():
            if line.startswith("$ "):
                lines.append(line[2:])
            elif lines and lines[-1].count("'") % 2:
                lines[-1] += " " + line.strip()
        yield from lines
        return
    yield from (line for line in text.splitlines() if line.strip() and not line.startswith("#"))


COMMANDS = [(block, command) for block in of("console", "sh") for command in commands_in(block)]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))


@cache
def airflow_parser() -> Any:
    from airflow.cli.cli_parser import get_parser

    return get_parser()


def parses(parser: Any, arguments: list[str]) -> None:
    try:
        parser.parse_args(arguments)
    except SystemExit as left:
        if left.code:
            pytest.fail(f"not understood: {arguments}")


def make(arguments: list[str]) -> None:
    for argument in arguments:
        assert argument in targets() or re.match(r"[A-Z]+=", argument), argument


def airflow(arguments: list[str]) -> None:
    parses(airflow_parser(), arguments)


def python(arguments: list[str]) -> None:
    if arguments[:2] == ["-m", "audience_onboarding"]:
        parses(own_parser(), arguments[2:])
    elif arguments[:2] == ["-m", "pytest"]:
        assert all((ROOT / argument).exists() for argument in arguments[2:] if "/" in argument)
    elif arguments[:1] == ["include/sandbox"]:
        from sandbox.cli import build_parser

        parses(build_parser(), arguments[1:])
    else:
        pytest.fail(f"nobody knows whether this works: python {arguments}")


def curl(arguments: list[str]) -> None:
    method, url, body = "GET", "", None
    rest = iter(arguments)
    for argument in rest:
        if argument == "-X":
            method = next(rest)
        elif argument == "-d":
            body = json.loads(next(rest))
        elif argument == "-H":
            next(rest)
        else:
            url = argument
    path = re.sub(r"^https?://[^/]+", "", url)
    assert path in rest_paths(method), f"{method} {path}"
    assert body is None or isinstance(body, dict)


@cache
def rest_paths(method: str) -> set[str]:
    """Of Airflow's API."""
    import airflow.api_fastapi.core_api as core

    description = Path(core.__file__).parent / "openapi" / "v2-rest-api-generated.yaml"
    paths = yaml.safe_load(description.read_text())["paths"]
    return {path for path, operations in paths.items() if method.lower() in operations}


def of_the_shell(arguments: list[str]) -> None:
    """Nothing of ours."""


KNOWN: dict[str, Callable[[list[str]], None]] = {
    "make": make,
    "airflow": airflow,
    "python": python,
    ".venv/bin/python": python,
    "curl": curl,
    "cat": of_the_shell,
    "mkdir": of_the_shell,
}


def without_settings(words: list[str]) -> list[str]:
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    return words


@pytest.mark.parametrize(
    ("block", "command"), COMMANDS, ids=[f"{block}-{number}" for number, (block, _) in enumerate(COMMANDS)]
)
def test_commands_are_understood(block: Block, command: str) -> None:
    name, *arguments = without_settings(shlex.split(command, comments=True))

    assert name in KNOWN, f"{block}: nobody knows whether this works: {command}"
    KNOWN[name](arguments)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_commands_in_a_line_are_understood(path: Path) -> None:
    """``make x``, ``airflow x`` and the package's own, where they stand in a sentence, mostly cut short."""
    for code in inline_code(path):
        text = re.sub(r"^(?:[A-Z_]+=\S* )+", "", code)
        if match := re.match(r"make ([a-z-]+)", text):
            assert match[1] in targets(), code
        if match := re.match(r"(?:\.venv/bin/)?python -m audience_onboarding ([a-z]+)", text):
            assert match[1] in {"check", "hash", "plan", "schema"}, code
        if match := re.match(r"airflow ([a-z]+) ?([a-z-]*)", text):
            airflow([word for word in match.groups() if word] + ["--help"])


def sandbox_routes() -> set[str]:
    """Of the sandbox's own API, as ``GET /_sandbox/...``."""
    found = set()
    for path in (ROOT / "include" / "sandbox").glob("*.py"):
        for method, route in re.findall(r'@router\.(\w+)\("(/[^"]*)"', path.read_text(encoding="utf-8")):
            found.add(f"{method.upper()} /_sandbox{re.sub(r'{.*?}', '{}', route)}")
    return found


def test_calls_of_the_sandbox_are_there() -> None:
    named = {
        re.sub(r"{.*?}", "{}", match[1])
        for path in PAGES
        for code in inline_code(path)
        if (match := re.match(r"([A-Z]+ /_sandbox/[^?\s]*)", code))
    }
    assert len(named) > 8
    assert named <= sandbox_routes()


def test_the_subcommands_are_all_there() -> None:
    for command in ("check", "hash", "plan", "schema"):
        parses(own_parser(), [command])


@pytest.mark.parametrize(
    "command",
    [
        "make nothing",
        "airflow dags triger x",
        "airflow backfill create --dag-id x --from-day 2026-11-01",
        "python -m audience_onboarding chek",
        "python -m audience_onboarding plan --date 2026-11-20",
        "python -m pytest tests/unit/nowhere.py",
        "python include/sandbox --redy-file x",
        "curl https://airflow.example/api/v2/backfil",
        "python setup.py",
    ],
)
def test_what_does_not_work_is_noticed(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, *arguments = shlex.split(command)

    with pytest.raises((AssertionError, pytest.fail.Exception)):
        KNOWN[name](arguments)
