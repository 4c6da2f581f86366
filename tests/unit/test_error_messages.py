"""Every error of the package says what happened and what to do next, by a check of the source."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from audience_onboarding import exceptions

PACKAGE = Path(__file__).resolve().parents[2] / "plugins" / "audience_onboarding"

CLASSES = {
    name: cls
    for name, cls in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(cls, exceptions.AudienceOnboardingError)
}

WITHOUT_NEXT_STEP = {
    ("http/error_mapping.py", "error_for_status"): "the clients know the object, and add what to do about it",
    ("state/remote_ids.py", "_invalid_id"): "its callers say it",
    (
        "crm/sources/csv_file.py",
        "CsvSource.__post_init__",
    ): "no definition gets that far; the message is the rule",
    ("crm/prepare.py", "prepare"): "no definition gets that far; the message is the rule",
    (
        "platforms/digital_audience/session_client.py",
        "SessionClient._extract_data",
    ): "_exchange() adds it, with the object",
}
"""Where an error is made without one, and why that is right."""


@dataclass(frozen=True)
class Made:
    """One place where an error is made."""

    file: str
    function: str
    line: int
    name: str
    """Of the class, or of the variable that holds it."""
    says: frozenset[str]

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.function}: {self.name}"


def walk(source: str) -> Iterator[tuple[str, ast.AST, ast.AST]]:
    """Yield the name of the enclosing function, the parent and the node, for all nodes of a module."""

    def below(node: ast.AST, function: str) -> Iterator[tuple[str, ast.AST, ast.AST]]:
        for child in ast.iter_child_nodes(node):
            yield function, node, child
            inner = function
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                inner = f"{function}.{child.name}" if function else child.name
            yield from below(child, inner)

    return below(ast.parse(source), "")


def errors_made_in(source: str, file: str) -> Iterator[Made]:
    """Yield all calls of an error's class, and of anything else with an argument ``what``."""
    for function, _, node in walk(source):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
            says = frozenset(keyword.arg or "**" for keyword in node.keywords)
            if name in CLASSES or ("what" in says and not name.startswith("super")):
                yield Made(file, function, node.lineno, name, says)


def all_made() -> list[Made]:
    return [
        made
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "exceptions.py"
        for made in errors_made_in(path.read_text(encoding="utf-8"), path.relative_to(PACKAGE).as_posix())
    ]


def has_usual_next_step(name: str) -> bool:
    return name in CLASSES and bool(CLASSES[name].default_next_step)


def speechless(made: Made) -> bool:
    """Whether it leaves the reader alone."""
    if "what" not in made.says:
        return True
    if "next_step" in made.says or has_usual_next_step(made.name):
        return False
    return (made.file, made.function) not in WITHOUT_NEXT_STEP


MADE = all_made()


def test_there_are_errors_to_judge() -> None:
    assert len(MADE) > 150
    assert {made.name for made in MADE} >= {"ConfigurationError", "AmbiguousCreateError", "DefinitionError"}


def test_every_error_says_what_happened_and_what_to_do() -> None:
    assert [str(made) for made in MADE if speechless(made)] == []


def test_every_error_of_a_vendor_or_a_storage_says_where() -> None:
    """Those of arguments and of files need not: their task, or the file in their ``what``, is the place."""
    elsewhere = [
        name
        for name, cls in CLASSES.items()
        if issubclass(cls, exceptions.VendorError)
        or name.startswith(("Storage", "Bucket", "Upload", "Ambiguous"))
    ]
    assert [str(made) for made in MADE if made.name in elsewhere and "where" not in made.says] == []


def test_the_exceptions_are_still_there() -> None:
    assert set(WITHOUT_NEXT_STEP) <= {(made.file, made.function) for made in MADE}


def test_an_error_without_a_next_step_is_noticed() -> None:
    for source, is_good in {
        'raise ConfigurationError(what="x", next_step="y")': True,
        'raise TransientError(what="x")': True,
        'raise ConfigurationError(what="x")': False,
        'raise ConfigurationError(where="x", next_step="y")': False,
        'raise errors.ConfigurationError(what="x")': False,
        'def f():\n    return kind(what="x", where="y")': False,
        'def f():\n    return kind(what="x", next_step="y")': True,
    }.items():
        (made,) = errors_made_in(source, "new.py")

        assert speechless(made) is not is_good, source


# --- tasks --------------------------------------------------------------------------------------------------

AIRFLOWS_OWN = {
    (
        "pipelines/load_range.py",
        "TriggerRangeLoadOperator.execute",
    ): "it starts a run, and raises no error of ours",
    (
        "pipelines/retire.py",
        "RetirementApprovalOperator.execute",
    ): "it asks a person, and raises no error of ours",
}
"""Tasks that nothing of the package's errors can come out of."""


def tasks_in(source: str, file: str) -> Iterator[tuple[str, str, bool]]:
    """Yield file and name of everything that Airflow runs as a task, and whether its errors link to the docs."""
    for outer, parent, node in walk(source):
        if isinstance(node, ast.FunctionDef):
            marks = [ast.unparse(mark) for mark in node.decorator_list]
            is_task = any(mark == "task" or mark.startswith("task(") for mark in marks)
            if is_task or (node.name == "execute" and isinstance(parent, ast.ClassDef)):
                yield file, f"{outer}.{node.name}" if outer else node.name, "fail_on_terminal_error" in marks


TASKS = [
    found
    for path in sorted(PACKAGE.rglob("*.py"))
    for found in tasks_in(path.read_text(encoding="utf-8"), path.relative_to(PACKAGE).as_posix())
]


def test_whatever_fails_in_a_task_says_where_to_read_more() -> None:
    assert len(TASKS) > 25
    bare = {(file, name) for file, name, says in TASKS if not says}
    assert bare == set(AIRFLOWS_OWN)


def test_a_task_without_a_link_is_noticed() -> None:
    for source, says in {
        "@task\ndef f(): pass": False,
        "@task(pool='x')\ndef f(): pass": False,
        "@task\n@fail_on_terminal_error\ndef f(): pass": True,
        "class A:\n def execute(self): pass": False,
        "class A:\n @fail_on_terminal_error\n def execute(self): pass": True,
    }.items():
        assert [found for *_, found in tasks_in(source, "new.py")] == [says], source
