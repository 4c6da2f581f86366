"""The blocks of code on the pages: each is checked by the program that it is for."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
import sqlite3
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator
from configparser import ConfigParser
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from audience_onboarding.cli import _parser as own_parser
from audience_onboarding.definitions.loader import check_folder
from audience_onboarding.storage.audit_table import ddl
from sandbox.cli import build_parser as sandbox_parser
from sandbox.faults.orders import FaultOrder
from tests.repo.pages import PAGES, ROOT, Block, blocks, inline_code, name_of, targets
from tests.repo.test_definition_options import completed

BLOCKS = list(blocks())
PLATFORM_OF = {
    "docs/reference/platforms/commbox.md": "commbox",
    "docs/reference/platforms/fanfare.md": "fanfare",
}
"""Platform of the parts of definitions on a page; Digital Audience on all others."""

LANGUAGES = {"console", "ini", "json", "python", "sh", "sql", "text", "yaml"}


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


def reported(problems: Iterable[tuple[object, object]]) -> None:
    """Fail with all problems, each with its place."""
    lines = [f"{place}: {problem}" for place, problem in problems]
    assert not lines, "\n".join(lines)


def test_each_block_has_a_language() -> None:
    assert len(BLOCKS) > 50
    reported((block, repr(block.language)) for block in BLOCKS if block.language not in LANGUAGES)


def test_options_of_airflow_exist() -> None:
    from airflow.configuration import retrieve_configuration_description

    known = retrieve_configuration_description()
    # The description of Airflow itself has no sections of providers.
    known |= retrieve_configuration_description(selected_provider="apache-airflow-providers-openlineage")
    problems = []
    for block in of("ini"):
        parser = ConfigParser(interpolation=None)
        parser.read_string(block.text)
        assert parser.sections(), block
        for section in parser.sections():
            unknown = set(parser[section]) - set(known.get(section, {}).get("options", {}))
            problems += [(block, f"[{section}] {name}") for name in unknown]
    reported(problems)


def is_definition(block: Block) -> bool:
    # test_definition_options.py checks those of its pages field by field; alert rules of Prometheus are compared with
    # the metrics in test_page_contents.py.
    return not block.page.startswith("docs/reference/definitions/") and not block.text.startswith("groups:")


def test_definitions_are_valid(tmp_path: Path) -> None:
    problems = []
    for number, block in enumerate(filter(is_definition, of("yaml"))):
        content = yaml.safe_load(block.text)
        platform = content.get("platform", PLATFORM_OF.get(block.page, "digital_audience"))
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "example.yaml").write_text(yaml.safe_dump(completed(content, platform)))
        problems += [(block, problem) for problem in check_folder(folder, environment=None).diagnostics]
    reported(problems)


def test_a_whole_definition_of_the_readme_has_ten_lines_at_most() -> None:
    (block,) = [block for block in of("yaml") if block.page == "README.md"]

    assert len(block.text.splitlines()) <= 10


# --- JSON, SQL, Python ----------------------------------------------------------------------------------------


def test_json_is_valid() -> None:
    for block in of("json"):
        try:
            found = [json.loads(block.text)]
        except json.JSONDecodeError:
            found = [json.loads(line) for line in block.text.splitlines() if line]
        assert found, block
        if block.page == "include/sandbox/README.md":
            assert all(FaultOrder.model_validate(order) for order in found), block


def test_sql_runs() -> None:
    for block in of("sql"):
        with closing(sqlite3.connect(":memory:")) as connection:
            if not block.text.startswith("CREATE"):
                connection.execute(ddl("audience_onboarding_audit"))
            connection.execute(block.text)


PYTHON_HAS: dict[str, str] = {"FileNotifier": "from airflow.sdk import BaseNotifier"}
"""Imports that an example assumes, and names in a comment: by a name that is in it."""


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_python_runs(block: Block) -> None:
    known: dict[str, Any] = {}
    for name, statement in PYTHON_HAS.items():
        if name in block.text:
            exec(statement, known)  # noqa: S102 - our own pages
    tree = ast.parse(block.text)
    # Imports inside of functions do not run.
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []
    exec(compile(tree, str(block), "exec"), known)  # noqa: S102


# --- commands -------------------------------------------------------------------------------------------------


def commands_in(block: Block) -> Iterator[str]:
    """Yield the commands, each in one line, without their output and input."""
    text = block.text.replace("\\\n", " ")
    if block.language == "sh":
        yield from (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
        return
    text = re.sub(r"^(\$ .*<<'?(\w+)'?.*)\n(?:.*\n)*?\2$", r"\1", text, flags=re.MULTILINE)
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            lines.append(line[2:])
        elif lines and lines[-1].count("'") % 2:
            # A quoted text may go on in the next lines.
            lines[-1] += " " + line.strip()
    yield from lines


@cache
def airflow_parser() -> Any:
    from airflow.cli.cli_parser import get_parser

    return get_parser()


def parses(parser: Any, arguments: list[str]) -> bool:
    try:
        parser.parse_args(arguments)
    except SystemExit as left:
        return not left.code
    return True


def make(arguments: list[str]) -> bool:
    return all(argument in targets() or re.match(r"[A-Z]+=", argument) for argument in arguments)


def airflow(arguments: list[str]) -> bool:
    return parses(airflow_parser(), arguments)


def python(arguments: list[str]) -> bool:
    match arguments:
        case ["-m", "audience_onboarding", *rest]:
            return parses(own_parser(), rest)
        case ["-m", "pytest", *rest]:
            return all((ROOT / argument).exists() for argument in rest if "/" in argument)
        case ["include/sandbox", *rest]:
            return parses(sandbox_parser(), rest)
    return False


def curl(arguments: list[str]) -> bool:
    parser = ArgumentParser()
    parser.add_argument("-X", default="GET")
    parser.add_argument("-d", type=json.loads, default={})
    parser.add_argument("-H")
    parser.add_argument("url")
    given = parser.parse_args(arguments)
    return re.sub(r"^https?://[^/]+", "", given.url) in rest_paths(given.X) and isinstance(given.d, dict)


@cache
def rest_paths(method: str) -> set[str]:
    """Return the paths of Airflow's API."""
    import airflow.api_fastapi.core_api as core

    description = Path(core.__file__).parent / "openapi" / "v2-rest-api-generated.yaml"
    paths = yaml.load(description.read_text(), Loader=yaml.CSafeLoader)["paths"]
    return {path for path, operations in paths.items() if method.lower() in operations}


KNOWN: dict[str, Callable[[list[str]], bool]] = {
    "make": make,
    "airflow": airflow,
    "python": python,
    ".venv/bin/python": python,
    "curl": curl,
    "cat": lambda _: True,
    "mkdir": lambda _: True,
}


def works(command: str) -> bool:
    words = shlex.split(command, comments=True)
    while re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    return words[0] in KNOWN and KNOWN[words[0]](words[1:])


def test_commands_are_understood() -> None:
    commands = [(block, command) for block in of("console", "sh") for command in commands_in(block)]
    assert len(commands) > 20
    reported((block, command) for block, command in commands if not works(command))


def test_commands_in_a_line_are_understood() -> None:
    """``make x``, ``airflow x`` and the package's own, which a sentence mostly abbreviates."""
    problems = []
    for page, code in ((path, code) for path in PAGES for code in inline_code(path)):
        text = re.sub(r"^(?:[A-Z_]+=\S* )+", "", code)
        pattern = r"(?:\.venv/bin/)?python -m audience_onboarding [a-z]+|airflow [a-z]+(?: [a-z-]+)?"
        if match := re.match(r"make [a-z-]+", text):
            command = match[0]
        elif match := re.match(pattern, text):
            command = f"{match[0]} --help"
        else:
            continue
        problems += [] if works(command) else [(name_of(page), code)]
    reported(problems)


def test_calls_of_the_sandbox_exist() -> None:
    named = {
        re.sub(r"{.*?}", "{}", match[1])
        for path in PAGES
        for code in inline_code(path)
        if (match := re.match(r"([A-Z]+ /_sandbox/[^?\s]*)", code))
    }
    routes = {
        f"{method.upper()} /_sandbox{re.sub(r'{.*?}', '{}', route)}"
        for path in (ROOT / "include" / "sandbox").glob("*.py")
        for method, route in re.findall(r'@router\.(\w+)\("(/[^"]*)"', path.read_text(encoding="utf-8"))
    }
    assert len(named) > 8
    assert named <= routes


def test_commands_that_do_not_work_are_found() -> None:
    for command in (
        "make nothing",
        "airflow dags triger x",
        "airflow backfill create --dag-id x --from-day 2026-11-01",
        "python -m audience_onboarding chek",
        "python -m audience_onboarding plan --date 2026-11-20",
        "python -m pytest tests/unit/nowhere.py",
        "python include/sandbox --redy-file x",
        "curl https://airflow.example/api/v2/backfil",
        "python setup.py",
    ):
        assert not works(command), command
