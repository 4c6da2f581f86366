"""Rules for imports between the packages, checked on the source of every file."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = "audience_onboarding"

FLOORS = (
    {"connection_form", "dag_ids", "exceptions", "lazy_imports", "platform_registry", "timestamps", "urls"},
    {"http"},
    {"crm"},
    {"storage"},
    {"definitions"},
    {"state"},
    {"base"},
    {"platforms"},
    {"pipelines"},
    {"cli", "ui"},
    {"__main__", "celery_config", "get_provider_info", "plugin", "preload"},
)
"""Packages and modules of the package, lowest first. An import runs within one of them, or down."""

WITHOUT_AIRFLOW = frozenset({"client", "connection", "definition", "models"})
"""Modules of each vendor that import no Airflow: a definition is checked, and a form shown, without it."""

KNOW_A_VENDOR = {
    f"{PACKAGE}.pipelines.{name}": "digital_audience" for name in ("activate", "extension", "factory")
}
"""Modules of shared code that import a vendor: segments are an object of Digital Audience alone."""

NETWORK = frozenset(
    {
        "aiobotocore", "aiohttp", "asyncio", "boto3", "botocore", "ftplib", "http", "httpx", "paramiko", "requests",
        "s3fs", "smtplib", "socket", "socketserver", "ssl", "telnetlib", "urllib", "urllib3", "xmlrpc",
    }
)  # fmt: skip


class Import(NamedTuple):
    """Target of one import statement, as far as the source shows it."""

    module: str
    line: int
    in_function: bool = False


@dataclass
class Code:
    """All modules below a folder, by dotted name."""

    imports: dict[str, list[Import]] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> Code:
        """Read all modules below ``root``, from which their names count."""
        code = cls()
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            code.paths[name] = path
            tree = ast.parse(path.read_text(encoding="utf-8"))
            code.imports[name] = list(imports_of(tree, package=name, is_package=parts[-1] == "__init__"))
        return code

    def resolve(self, target: str) -> str | None:
        """The module of ours that ``a.b.c`` is: ``c`` may be a name in ``a.b``."""
        while target:
            if target in self.imports:
                return target
            target = target.rpartition(".")[0]
        return None

    def reached_from(self, module: str) -> dict[str, list[str]]:
        """Return all modules that importing ``module`` can load, at once or later, each with the way to it.

        Importing ``a.b`` runs ``a`` too. Names that a package offers by ``__getattr__`` are not followed.
        """
        ways: dict[str, list[str]] = {}
        todo = [(module, [module])]
        while todo:
            name, way = todo.pop()
            if name in ways:
                continue
            ways[name] = way
            own = self.resolve(name)
            if own is None:
                continue
            # Importing a module runs the packages above it, and no function in them.
            is_above = any(name != other and other.startswith(f"{name}.") for other in way)
            parents = [own.rpartition(".")[0]] if "." in own else []
            followed = (item.module for item in self.imports[own] if not (is_above and item.in_function))
            for target in [*parents, *followed]:
                ours = self.resolve(target)
                todo.append((ours or target, [*way, ours or target]))
        return ways


def imports_of(
    tree: ast.AST, *, package: str, is_package: bool, in_function: bool = False
) -> Iterator[Import]:
    """Return all imports, also those inside functions, but not those for type checkers only."""
    for child in ast.iter_child_nodes(tree):
        node = child
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            node = ast.Module(child.orelse, [])
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, in_function) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                parts = parts[: len(parts) - node.level + (1 if is_package else 0)]
                base = ".".join([*parts, *([base] if base else [])])
            yield from (Import(f"{base}.{alias.name}", node.lineno, in_function) for alias in node.names)
        else:
            is_function = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports_of(node, package=package, is_package=is_package, in_function=is_function)


def top(module: str) -> str:
    return module.partition(".")[0]


def part(module: str) -> str:
    """Return ``crm`` for ``audience_onboarding.crm.prepare``; empty for other packages and the package itself."""
    parts = module.split(".")
    return parts[1] if parts[0] == PACKAGE and len(parts) > 1 else ""


def vendor(module: str) -> str:
    """Return the vendor whose package a module is in, or an empty text."""
    parts = module.split(".")
    return parts[2] if part(module) == "platforms" and len(parts) > 2 and parts[2] != "contract" else ""


# --- the rules ----------------------------------------------------------------------------------------------

ALLOWED_IN_DAGS = ("pathlib", "__future__", f"{PACKAGE}.pipelines", f"{PACKAGE}.definitions")


def modules_without_airflow(code: Code) -> list[str]:
    pure = {"__main__", "cli", "crm", "definitions", "get_provider_info", "http", "storage", *FLOORS[0]} - {
        "lazy_imports"
    }
    return [
        name
        for name in code.imports
        if part(name) in pure or (vendor(name) and name.rpartition(".")[2] in WITHOUT_AIRFLOW)
    ]


def airflow_in_pure_modules(code: Code) -> list[str]:
    return [
        " -> ".join(way)
        for name in modules_without_airflow(code)
        for reached, way in code.reached_from(name).items()
        if top(reached) == "airflow"
    ]


def network_in_the_engine(code: Code) -> list[str]:
    return [
        " -> ".join(way)
        for name in code.imports
        if part(name) == "crm"
        for reached, way in code.reached_from(name).items()
        if top(reached) in NETWORK or part(reached) in {"http", "storage"}
    ]


def imports_where(code: Code, is_bad: Callable[[str, str], bool]) -> list[str]:
    """The imports that ``is_bad`` finds, given the importing and the imported module."""
    return [
        f"{name} -> {item.module} (line {item.line})"
        for name, items in code.imports.items()
        for item in items
        if is_bad(name, item.module)
    ]


def vendors_that_know_each_other(code: Code) -> list[str]:
    return imports_where(
        code, lambda name, to: bool(vendor(name) and vendor(to)) and vendor(name) != vendor(to)
    )


def shared_code_that_knows_a_vendor(code: Code) -> list[str]:
    return imports_where(
        code,
        lambda name, to: not vendor(name) and vendor(to) != "" and KNOW_A_VENDOR.get(name) != vendor(to),
    )


def imports_upward(code: Code) -> list[str]:
    floors = {name: number for number, names in enumerate(FLOORS) for name in names}
    return imports_where(
        code,
        lambda name, to: (
            bool(part(name) and part(to)) and floors.get(part(name), -1) < floors.get(part(to), -1)
        ),
    )


def circles(code: Code) -> list[str]:
    """Return each circle of modules once; imports inside functions count."""
    graph = {
        name: {target for item in items if (target := code.resolve(item.module)) not in {None, name}}
        for name, items in code.imports.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = error.args[1][1:]
        first = circle.index(min(circle))
        return [" -> ".join([*circle[first:], *circle[:first]])]
    return []


def dags_that_know_too_much(code: Code) -> list[str]:
    return imports_where(
        code, lambda _, to: not any(to == good or to.startswith(f"{good}.") for good in ALLOWED_IN_DAGS)
    )


def imports_across(code: Code, forbidden: set[str]) -> list[str]:
    return imports_where(code, lambda _, to: top(to) in forbidden)


@cache
def code_of(folder: str) -> Code:
    return Code.read(PROJECT / folder)


def test_engine_transport_storage_and_clients_need_no_airflow() -> None:
    plugins = code_of("plugins")
    judged = modules_without_airflow(plugins)

    for platform in {vendor(name) for name in plugins.imports} - {""}:
        assert {f"{PACKAGE}.platforms.{platform}.{name}" for name in WITHOUT_AIRFLOW} <= set(judged)
    assert f"{PACKAGE}.crm.prepare" in judged
    assert airflow_in_pure_modules(plugins) == []


def test_engine_has_no_network_input_or_output() -> None:
    assert network_in_the_engine(code_of("plugins")) == []


def test_imports_run_down_and_in_no_circle() -> None:
    plugins = code_of("plugins")

    assert {part(name) for name in plugins.imports} - {""} == set().union(*FLOORS)
    assert imports_upward(plugins) == []
    assert circles(plugins) == []


def test_shared_code_knows_vendors_through_the_contract() -> None:
    plugins = code_of("plugins")

    assert vendors_that_know_each_other(plugins) == []
    assert shared_code_that_knows_a_vendor(plugins) == []
    for name, platform in KNOW_A_VENDOR.items():
        assert any(vendor(item.module) == platform for item in plugins.imports[name])


def test_registry_lists_each_package_of_a_vendor_and_nothing_else() -> None:
    from audience_onboarding.platform_registry import PLATFORMS, get_platform

    assert {vendor(name) for name in code_of("plugins").imports} - {""} == set(PLATFORMS)
    for name in PLATFORMS:
        platform = get_platform(name)
        assert platform.definition.model_fields["platform"].annotation
        assert platform.docs_url.startswith("https://")
        # mypy holds the modules against their protocols; this holds that they can be imported.
        assert all((platform.tasks, platform.reconciliation, platform.erasure, platform.retirement))
    for name in ("base", "contract", "os", "", "digital_audience.tasks"):
        with pytest.raises(ValueError, match="Use one of commbox, digital_audience, fanfare"):
            get_platform(name)


def test_dags_import_pipelines_and_definitions_only() -> None:
    assert code_of("dags").imports
    assert dags_that_know_too_much(code_of("dags")) == []


def test_sandbox_and_plugins_do_not_import_each_other() -> None:
    for folder, forbidden in {
        "include": {PACKAGE, "plugins", "audience_onboarding_plugin", "airflow"},
        "plugins": {"sandbox", "include", "tests", "scripts", "dags", "benchmarks"},
    }.items():
        assert imports_across(code_of(folder), forbidden) == []


def test_every_public_name_can_be_imported() -> None:
    for path in sorted((PROJECT / "plugins" / PACKAGE).glob("*/__init__.py")):
        module = import_module(f"{PACKAGE}.{path.parent.name}")
        for name in getattr(module, "__all__", ()):
            assert getattr(module, name) is not None


def test_the_plugin_loader_sees_one_file() -> None:
    lines = (PROJECT / "plugins" / ".airflowignore").read_text(encoding="utf-8").splitlines()
    patterns = {line.strip() for line in lines if line.strip() and not line.startswith("#")}

    assert {f"{PACKAGE}/**"} <= patterns
    assert [path.name for path in (PROJECT / "plugins").glob("*.py")] == ["audience_onboarding_plugin.py"]
    packages = {path.parent.name for path in (PROJECT / "plugins").glob("*/__init__.py")}
    assert {f"{name}/**" for name in packages} <= patterns


# --- the checker itself -------------------------------------------------------------------------------------


def written(folder: Path, files: Mapping[str, str]) -> Code:
    """Write modules, named without ``.py``, each folder as a package; and read them."""
    for name, text in files.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        for parent in path.relative_to(folder).parents[:-1]:
            (folder / parent / "__init__.py").touch()
        path.write_text(text, encoding="utf-8")
    return Code.read(folder)


CLIENT = f"{PACKAGE}/platforms/new_vendor/client"
BEHIND = {
    f"{PACKAGE}/state/x": "from airflow.sdk import DAG\nthing = 1",
    f"{PACKAGE}/middle": f"from {PACKAGE}.state import x",
    f"{PACKAGE}/base/hooks": "from airflow.sdk import BaseHook",
}
"""Modules that import Airflow, which the module on trial may import."""

AIRFLOW = (
    "import airflow",
    "from airflow.sdk import DAG",
    "def f():\n    from airflow.sdk import DAG",
    f"from {PACKAGE}.state import x",
    f"from {PACKAGE}.state.x import thing",
    f"import {PACKAGE}.state.x as y",
    "from ...state import x",
    f"from {PACKAGE} import middle",
    "try:\n    import airflow\nexcept ImportError:\n    pass",
    "class A:\n    import airflow",
)
NO_AIRFLOW = (
    "import json",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from airflow.sdk import DAG",
    "text = 'import airflow'",
    "import airflowish",
)
GOOD_DAGS = (
    f"from {PACKAGE}.pipelines import audience_dags",
    f"from {PACKAGE}.definitions import read_definitions",
    "from pathlib import Path",
)
BAD_DAGS = (
    f"from {PACKAGE}.platforms.digital_audience import DigitalAudienceHook",
    f"from {PACKAGE}.pipelines_of_mine import x",
    "import requests",
    "def f():\n    import polars",
)
CIRCLE = {
    f"{PACKAGE}/platforms/fanfare/hooks": f"from {PACKAGE}.platforms.digital_audience import client",
    f"{PACKAGE}/platforms/digital_audience/client": f"from {PACKAGE}.http import x",
    f"{PACKAGE}/http/x": f"def f():\n    from {PACKAGE}.platforms.fanfare import hooks",
}

Case = tuple[Callable[[Code], list[str]], Mapping[str, str], set[str]]


def cases() -> Iterator[Case]:
    """A rule, modules, and the names of the modules that break the rule."""
    for source in AIRFLOW:
        yield airflow_in_pure_modules, {**BEHIND, CLIENT: source}, {CLIENT}
    for source in NO_AIRFLOW:
        yield airflow_in_pure_modules, {CLIENT: source}, set()
    # An import in the package above counts as well.
    above = {CLIENT: "import json", f"{PACKAGE}/platforms/new_vendor/__init__": "import airflow"}
    yield airflow_in_pure_modules, above, {CLIENT}
    for name in WITHOUT_AIRFLOW:
        module = f"{PACKAGE}/platforms/new_vendor/{name}"
        source = f"from {PACKAGE}.base import hooks"
        yield airflow_in_pure_modules, {**BEHIND, module: source}, {module}
    engine = (f"{PACKAGE}/crm/a", f"{PACKAGE}/crm/b")
    for source in ("import requests", "import socket", f"from {PACKAGE}.http import x"):
        files = {engine[0]: f"from {PACKAGE}.crm import b", engine[1]: source, f"{PACKAGE}/http/x": ""}
        yield network_in_the_engine, files, set(engine)
    yield vendors_that_know_each_other, CIRCLE, {f"{PACKAGE}/platforms/fanfare/hooks"}
    yield shared_code_that_knows_a_vendor, CIRCLE, {f"{PACKAGE}/http/x"}
    yield imports_upward, CIRCLE, {f"{PACKAGE}/http/x"}
    yield circles, CIRCLE, {f"{PACKAGE}/http/x"}
    yield circles, {**CIRCLE, f"{PACKAGE}/http/x": ""}, set()
    for name in ("base/operators", "pipelines/onboard", "pipelines/activate", "exceptions"):
        module = f"{PACKAGE}/{name}"
        files = {
            module: f"from {PACKAGE}.platforms.fanfare import client",
            f"{PACKAGE}/platforms/fanfare/client": "",
        }
        yield shared_code_that_knows_a_vendor, files, {module}
    for low, high in pairwise(
        ["exceptions", "http", "crm", "storage", "definitions", "state", "base", "pipelines", "ui"]
    ):
        files = {f"{PACKAGE}/{low}/x": f"from {PACKAGE}.{high} import x", f"{PACKAGE}/{high}/x": ""}
        yield imports_upward, files, {f"{PACKAGE}/{low}/x"}
        files = {f"{PACKAGE}/{high}/x": f"from {PACKAGE}.{low} import x", f"{PACKAGE}/{low}/x": ""}
        yield imports_upward, files, set()
    for source in (*GOOD_DAGS, *BAD_DAGS):
        yield dags_that_know_too_much, {"a_dag": source}, {"a_dag"} if source in BAD_DAGS else set()


def test_each_rule_finds_the_modules_that_break_it(tmp_path: Path) -> None:
    problems = []
    for number, (rule, files, wanted) in enumerate(cases()):
        code = written(tmp_path / str(number), files)
        found = {text.partition(" ")[0].replace(".", "/") for text in rule(code)}
        if found != wanted:
            problems.append(f"{rule.__name__} found {found}, not {wanted}, in {files}")

    assert not problems, "\n".join(problems)
