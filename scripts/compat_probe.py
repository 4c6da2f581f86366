"""Checks of ``make compat`` on an installed package, run with the interpreter of its environment.

Arguments: ``imports``, ``hooks`` or ``dags``; exit code 0 if all is well, else the reasons on standard error. Needs
nothing of this repository but the folders ``dags``, ``include`` and ``plugins`` beside it, where a user has them, too.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
CONNECTION_TYPES = ("digital_audience", "fanfare", "commbox")


def _fail(reasons: list[str]) -> None:
    if reasons:
        sys.exit("\n".join(reasons))


def imports() -> None:
    """Import every module of the installed package; fail on a warning of its own."""
    package = importlib.import_module("audience_onboarding")
    folder = Path(package.__path__[0])
    _fail([f"not the installed package: {folder}"] if PROJECT / "plugins" in folder.parents else [])
    wrong = []
    # Else the first one that imports a module decides whether its warnings are seen.
    warnings.simplefilter("always")
    with warnings.catch_warnings(record=True) as seen:
        names = [item.name for item in pkgutil.walk_packages(package.__path__, "audience_onboarding.")]
        for name in names:
            if name.endswith("__main__"):
                continue
            try:
                importlib.import_module(name)
            except Exception as error:
                wrong.append(f"{name}: {type(error).__name__}: {error}")
    wrong += [
        f"{item.filename}:{item.lineno}: {item.message}"
        for item in seen
        if Path(item.filename).is_relative_to(folder)
    ]
    _fail(wrong)
    print(f"{len(names)} modules")


def hooks() -> None:
    """Airflow itself finds the connection types, by the entry point."""
    airflow = Path(sys.executable).with_name("airflow")
    done = subprocess.run(  # noqa: S603
        [airflow, "providers", "hooks", "--output", "json"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    # Something may have been logged before it.
    rows: list[dict[str, Any]] = json.loads(done.stdout[done.stdout.index("[{") :])
    found = {row["connection_type"]: row for row in rows}
    _fail([f"no connection type {name}" for name in CONNECTION_TYPES if name not in found])
    _fail([line for line in done.stderr.splitlines() if "audience_onboarding" in line])
    print(f"{len(CONNECTION_TYPES)} of {len(found)} connection types")


def dags() -> None:
    """Airflow's DAG processor reads the example DAGs, and each survives being stored; the plugin is loaded."""
    from airflow import plugins_manager
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization

    bag = DagBag(str(PROJECT / "dags"), bundle_path=PROJECT / "dags", bundle_name="dags-folder")
    _fail([f"{file}: {text}" for file, text in bag.import_errors.items()])
    _fail([] if len(bag.dags) > len(CONNECTION_TYPES) else [f"only these DAGs: {sorted(bag.dags)}"])
    for dag in bag.dags.values():
        DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    plugins, wrong = plugins_manager._get_plugins()
    _fail([f"{file}: {text}" for file, text in wrong.items()])
    _fail(
        [] if any(p.name == "audience_onboarding" for p in plugins) else ["Airflow has not found the plugin"]
    )
    print(f"{len(bag.dags)} DAGs")


CHECKS: dict[str, Callable[[], None]] = {"imports": imports, "hooks": hooks, "dags": dags}

if __name__ == "__main__":
    # Python prepends the folder of a script to the path; the checks must import the installed package.
    sys.path[:] = [entry for entry in sys.path if Path(entry or os.curdir).resolve() != Path(__file__).parent]
    CHECKS[sys.argv[1]]()
