"""The rules of the house: who may import whom. Judged by the source, so that a new file or vendor is judged too."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = "audience_onboarding"

SHARED_ROOMS = frozenset(
    {"base", "cli", "crm", "definitions", "http", "orchestration", "pipelines", "storage", "ui"}
)
"""Folders of the package that are no vendor."""

WITHOUT_AIRFLOW = frozenset(
    {"client", "definition", "form", "imports", "limits", "models", "plan", "readiness", "settings"}
)
"""Modules of a vendor's room that need no Airflow: a definition is checked, and a form shown, without it."""

NETWORK = frozenset(
    {
        "aiobotocore", "aiohttp", "asyncio", "boto3", "botocore", "ftplib", "http", "httpx", "paramiko", "requests",
        "s3fs", "smtplib", "socket", "socketserver", "ssl", "telnetlib", "urllib", "urllib3", "xmlrpc",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Import:
    """One import statement's target, as far as the source tells."""

    module: str
    line: int
    at_parse_time: bool
    """At the module's top level, and not for type checkers only."""


@dataclass
class Code:
    """All modules below some roots, by dotted name."""

    imports: dict[str, list[Import]] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)

    @classmethod
    def read(cls, *roots: Path) -> Code:
        """Read ``roots``; module names count from each of them."""
        code = cls()
        for root in roots:
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
        """All modules that importing ``module`` can load, at once or later, each with the way to it.

        Importing ``a.b`` runs ``a`` too. What a package offers by ``__getattr__`` is not followed: nobody gets it who
        does not name it.
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
            parents = [own.rpartition(".")[0]] if "." in own else []
            for target in [*parents, *(item.module for item in self.imports[own])]:
                ours = self.resolve(target)
                todo.append((ours or target, [*way, ours or target]))
        return ways


def imports_of(tree: ast.Module, *, package: str, is_package: bool) -> Iterator[Import]:
    """All imports, also those inside functions."""

    def walk(node: ast.AST, *, top: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                for other in child.orelse:
                    yield from walk(ast.Module([other], []), top=top)
                continue
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(alias.name, child.lineno, top)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    parts = package.split(".")
                    parts = parts[: len(parts) - child.level + (1 if is_package else 0)]
                    base = ".".join([*parts, *([base] if base else [])])
                for alias in child.names:
                    yield Import(f"{base}.{alias.name}", child.lineno, top)
            else:
                inner = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
                yield from walk(child, top=top and not inner)

    yield from walk(tree, top=True)


def top(module: str) -> str:
    return module.partition(".")[0]


def room(module: str) -> str:
    """``crm`` of ``audience_onboarding.crm.engine``; empty for other packages and loose modules."""
    parts = module.split(".")
    return parts[1] if parts[0] == PACKAGE and len(parts) > 1 else ""


# --- the rules ----------------------------------------------------------------------------------------------


def modules_without_airflow(code: Code) -> list[str]:
    return [
        name
        for name in code.imports
        if top(name) == PACKAGE
        and (
            room(name) in {"cli", "crm", "definitions", "http", "storage"}
            or name
            in {f"{PACKAGE}.{loose}" for loose in ("__main__", "errors", "forms", "platforms", "provider")}
            or name.rpartition(".")[2] in WITHOUT_AIRFLOW
        )
    ]


def airflow_where_there_should_be_none(code: Code) -> list[str]:
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
        if room(name) == "crm"
        for reached, way in code.reached_from(name).items()
        if top(reached) in NETWORK or room(reached) in {"http", "storage"}
    ]


PATHS = f"{PACKAGE}.ui.paths"
"""Addresses of pages, which tasks link to. It knows nothing itself, so that all may know it."""

LOOSE = ("errors", "forms", "lazy", "platforms", "provider")
"""Modules beside the rooms that all may use."""


def vendors(code: Code) -> set[str]:
    """The rooms of the package that are a vendor's."""
    rooms = {room(name) for name, path in code.paths.items() if path.name == "__init__.py"}
    return rooms - SHARED_ROOMS - {""}


def vendors_that_know_each_other(code: Code) -> list[str]:
    known = vendors(code)
    return [
        f"{name} -> {item.module} (line {item.line})"
        for name, items in code.imports.items()
        if room(name) in known
        for item in items
        if room(item.module) in known - {room(name)}
    ]


def shared_rooms_that_know_a_vendor(code: Code) -> list[str]:
    known = vendors(code)
    return [
        f"{name} -> {item.module} (line {item.line})"
        for name, items in code.imports.items()
        if room(name) in SHARED_ROOMS - {"pipelines", "ui"}
        or name in {f"{PACKAGE}.{loose}" for loose in LOOSE}
        for item in items
        if room(item.module) in known | {"pipelines", "ui"} and not item.module.startswith(f"{PATHS}.")
    ]


def dags_that_know_too_much(code: Code) -> list[str]:
    allowed = ("pathlib", "__future__", f"{PACKAGE}.pipelines", f"{PACKAGE}.definitions")
    return [
        f"{name} -> {item.module} (line {item.line})"
        for name, items in code.imports.items()
        for item in items
        if not any(item.module == good or item.module.startswith(f"{good}.") for good in allowed)
    ]


def imports_across(code: Code, forbidden: frozenset[str]) -> list[str]:
    return [
        f"{name} -> {item.module} (line {item.line})"
        for name, items in code.imports.items()
        for item in items
        if top(item.module) in forbidden
    ]


@pytest.fixture(scope="module")
def plugins() -> Code:
    return Code.read(PROJECT / "plugins")


@pytest.fixture(scope="module")
def sandbox() -> Code:
    return Code.read(PROJECT / "include")


@pytest.fixture(scope="module")
def dags() -> Code:
    return Code.read(PROJECT / "dags")


def test_engine_transport_storage_and_clients_need_no_airflow(plugins: Code) -> None:
    judged = modules_without_airflow(plugins)

    for platform in vendors(plugins):
        for name in ("client", "definition", "form", "models", "plan", "settings"):
            assert f"{PACKAGE}.{platform}.{name}" in judged
    assert f"{PACKAGE}.crm.engine" in judged
    assert airflow_where_there_should_be_none(plugins) == []


def test_the_engine_does_no_network_input_or_output(plugins: Code) -> None:
    assert network_in_the_engine(plugins) == []


def test_vendors_do_not_know_each_other(plugins: Code) -> None:
    assert "digital_audience" in vendors(plugins)
    assert vendors_that_know_each_other(plugins) == []


def test_what_is_shared_knows_no_vendor(plugins: Code) -> None:
    assert {"base", "http", "orchestration"} <= {room(name) for name in plugins.imports}
    assert {f"{PACKAGE}.{name}" for name in LOOSE} <= set(plugins.imports)
    assert shared_rooms_that_know_a_vendor(plugins) == []


def test_the_addresses_of_pages_know_nothing(plugins: Code) -> None:
    assert {top(item.module) for item in plugins.imports[PATHS]} == {"__future__", "urllib"}
    assert not plugins.imports[f"{PACKAGE}.ui"]


def test_every_platform_has_a_room_with_what_is_looked_up_by_name(plugins: Code) -> None:
    from audience_onboarding.platforms import PLATFORMS, part_of

    assert vendors(plugins) == set(PLATFORMS)
    for platform in PLATFORMS:
        assert part_of(platform, "definition").DEFINITION.model_fields["platform"].annotation
        assert callable(part_of(platform, "form").connection_type)
        steps = part_of(platform, "steps")
        assert all(callable(getattr(steps, name)) for name in ("ensure", "send", "wait"))
        assert isinstance(steps.RECORDED, tuple)
        for part, names in {
            "erasing": ("known_id", "begin", "go_on"),
            "retiring": ("look", "delete", "keys"),
        }.items():
            assert all(callable(getattr(part_of(platform, part), name)) for name in names)


def test_a_platform_that_is_none_is_not_looked_up() -> None:
    from audience_onboarding.platforms import part_of

    for name in ("base", "http", "os", "", "digital_audience.steps"):
        with pytest.raises(ValueError, match="none of commbox, digital_audience, fanfare"):
            part_of(name, "steps")


def test_dags_know_pipelines_and_definitions_only(dags: Code) -> None:
    assert dags.imports
    assert dags_that_know_too_much(dags) == []


def test_sandbox_and_plugins_do_not_know_each_other(plugins: Code, sandbox: Code) -> None:
    assert (
        imports_across(sandbox, frozenset({PACKAGE, "plugins", "audience_onboarding_plugin", "airflow"}))
        == []
    )
    assert (
        imports_across(plugins, frozenset({"sandbox", "include", "tests", "scripts", "dags", "benchmarks"}))
        == []
    )


def test_nothing_of_the_package_is_imported_relatively(plugins: Code) -> None:
    relative = [
        name
        for name, path in plugins.paths.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    ]

    assert relative == []


def test_the_client_really_loads_no_airflow() -> None:
    import subprocess
    import sys

    code = (
        "import sys\n"
        "from audience_onboarding.digital_audience import DigitalAudienceClient\n"
        "from audience_onboarding.digital_audience.settings import DigitalAudienceSettings\n"
        "import audience_onboarding.crm.engine, audience_onboarding.storage.s3_upload\n"
        "print(sorted(name for name in sys.modules if name.partition('.')[0] == 'airflow'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(PROJECT / "plugins"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_every_public_name_can_be_had() -> None:
    from importlib import import_module

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
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        for parent in path.parents:
            if parent == folder:
                break
            (parent / "__init__.py").touch()
    return Code.read(folder)


@pytest.mark.parametrize(
    "source",
    [
        "import airflow",
        "from airflow.sdk import DAG",
        "def f():\n    from airflow.sdk import DAG",
        "from audience_onboarding.orchestration import x",
        "from audience_onboarding.orchestration.x import thing",
        "import audience_onboarding.orchestration.x as y",
        "from ..orchestration import x",
        "from audience_onboarding import middle",
        "try:\n    import airflow\nexcept ImportError:\n    pass",
        "class A:\n    import airflow",
    ],
)
def test_airflow_in_a_new_client_is_noticed_however_it_got_there(tmp_path: Path, source: str) -> None:
    code = written(
        tmp_path,
        {
            "audience_onboarding/new_vendor/client.py": source,
            "audience_onboarding/orchestration/x.py": "from airflow.sdk import DAG\nthing = 1",
            "audience_onboarding/middle.py": "from audience_onboarding.orchestration import x",
        },
    )

    (found, *_) = airflow_where_there_should_be_none(code)
    assert found.startswith("audience_onboarding.new_vendor.client -> ")


@pytest.mark.parametrize(
    "source",
    [
        "import json",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from airflow.sdk import DAG",
        "text = 'import airflow'",
        "import airflowish",
    ],
)
def test_a_client_without_airflow_passes(tmp_path: Path, source: str) -> None:
    code = written(tmp_path, {"audience_onboarding/new_vendor/client.py": source})

    assert airflow_where_there_should_be_none(code) == []


def test_airflow_in_the_package_above_is_noticed(tmp_path: Path) -> None:
    code = written(tmp_path, {"audience_onboarding/new_vendor/client.py": "import json"})
    (tmp_path / "audience_onboarding" / "new_vendor" / "__init__.py").write_text("import airflow")

    assert airflow_where_there_should_be_none(Code.read(tmp_path))
    assert code.imports


@pytest.mark.parametrize(
    "source", ["import requests", "import socket", "from audience_onboarding.http import x"]
)
def test_network_in_the_engine_is_noticed(tmp_path: Path, source: str) -> None:
    files = {
        "audience_onboarding/crm/a.py": "from audience_onboarding.crm import b",
        "audience_onboarding/crm/b.py": source,
        "audience_onboarding/http/x.py": "",
    }

    assert {text.partition(" ")[0] for text in network_in_the_engine(written(tmp_path, files))} == {
        "audience_onboarding.crm.a",
        "audience_onboarding.crm.b",
    }


def test_a_vendor_that_knows_another_is_noticed(tmp_path: Path) -> None:
    code = written(
        tmp_path,
        {
            "audience_onboarding/fanfare/hooks.py": "from audience_onboarding.digital_audience import client",
            "audience_onboarding/digital_audience/client.py": "from audience_onboarding.http import x",
            "audience_onboarding/http/x.py": "from audience_onboarding.fanfare import hooks",
        },
    )

    assert vendors(code) == {"fanfare", "digital_audience"}
    assert [text.partition(" ")[0] for text in vendors_that_know_each_other(code)] == [
        "audience_onboarding.fanfare.hooks"
    ]
    assert [text.partition(" ")[0] for text in shared_rooms_that_know_a_vendor(code)] == [
        "audience_onboarding.http.x"
    ]


@pytest.mark.parametrize(
    ("source", "is_good"),
    [
        ("from audience_onboarding.pipelines import audience_dags", True),
        ("from audience_onboarding.definitions import read_definitions", True),
        ("from pathlib import Path", True),
        ("from audience_onboarding.digital_audience import DigitalAudienceHook", False),
        ("from audience_onboarding.pipelines_of_mine import x", False),
        ("import requests", False),
        ("def f():\n    import polars", False),
    ],
)
def test_a_dag_that_knows_too_much_is_noticed(tmp_path: Path, source: str, is_good: bool) -> None:
    (tmp_path / "a_dag.py").write_text(source)

    assert (dags_that_know_too_much(Code.read(tmp_path)) == []) is is_good


@pytest.mark.parametrize(
    "shared", ["base/operators", "base/triggers", "forms", "platforms", "provider", "lazy"]
)
def test_a_shared_module_that_knows_a_vendor_is_noticed(tmp_path: Path, shared: str) -> None:
    code = written(
        tmp_path,
        {
            f"audience_onboarding/{shared}.py": "from audience_onboarding.fanfare import client",
            "audience_onboarding/fanfare/client.py": "",
        },
    )

    assert vendors(code) == {"fanfare"}
    assert [text.partition(" ")[0] for text in shared_rooms_that_know_a_vendor(code)] == [
        f"audience_onboarding.{shared.replace('/', '.')}"
    ]


@pytest.mark.parametrize("name", sorted(WITHOUT_AIRFLOW))
def test_airflow_is_noticed_in_every_module_that_should_have_none(tmp_path: Path, name: str) -> None:
    code = written(
        tmp_path,
        {
            f"audience_onboarding/new_vendor/{name}.py": "from audience_onboarding.base import hooks",
            "audience_onboarding/base/hooks.py": "from airflow.sdk import BaseHook",
        },
    )

    (found,) = airflow_where_there_should_be_none(code)
    assert found.startswith(f"audience_onboarding.new_vendor.{name} -> audience_onboarding.base.hooks")
