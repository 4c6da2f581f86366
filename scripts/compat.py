"""``make compat``: the package on every Python it supports, with its oldest and its newest dependencies.

For each Python from 3.10 to 3.13 that this machine has, and for ``oldest`` and ``newest``: resolves the dependencies,
makes an environment in ``build/compat/<python>-<which>``, installs the package into it (the built wheel, as users get
it), and checks that every module imports, Airflow finds the connection types, the DAGs parse and serialize, and the
unit tests pass. Prints a table and writes ``build/compat.json``; the output of each step is in
``build/compat/<python>-<which>.log``.

* ``newest``: the newest versions that the ranges in ``pyproject.toml`` allow; ``requirements.lock`` is ignored.
* ``oldest``: every direct dependency at exactly its lower bound, else "resolve" fails: a bound that
  cannot be installed, because another dependency needs a higher one, is untested. Transitive dependencies and test
  tools are the newest that these bounds allow.

Left out of the unit tests: the long corpora of telephone numbers, which call none of the dependencies in ways that
other tests do not.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from xml.etree import ElementTree

PROJECT = Path(__file__).resolve().parent.parent
BUILD = PROJECT / "build" / "compat"
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
WHICH = ("oldest", "newest")
EXTRAS = ("test", "sandbox")
SKIPPED_XCOM_KEY = (
    "tests/unit/crm/test_phone_corpus.py",
    "tests/unit/crm/test_phone_of_any_country.py",
)
SHOWN = {
    "airflow": "apache-airflow",
    "amazon": "apache-airflow-providers-amazon",
    "standard": "apache-airflow-providers-standard",
    "polars": "polars",
    "pydantic": "pydantic",
    "boto3": "boto3",
}
STEP_SECONDS = 1800


@dataclass
class Step:
    """One question and its answer.

    :ivar output: the last lines of the output; of a step that passed, the last one.
    """

    name: str
    passed: bool
    seconds: float
    output: str


@dataclass
class Result:
    """Result of one environment.

    :ivar versions: of the direct dependencies, as resolved.
    :ivar tests: passed, failed (errors among them) and skipped; empty if they were not run.
    """

    python: str
    which: str
    versions: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    tests: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the environment's folder."""
        return f"{self.python}-{self.which}"

    @property
    def passed(self) -> bool:
        """Every step was run, and has passed."""
        return bool(self.steps) and all(step.passed for step in self.steps)


class StepError(Exception):
    """A step has failed; the steps after it cannot run."""


def find_python(version: str) -> str | None:
    """A Python of that version: on the PATH, or one of pyenv's."""
    candidates = [shutil.which(f"python{version}")]
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates += [str(path) for path in sorted(root.glob(f"versions/{version}.*/bin/python"), reverse=True)]
    script = f"import sys; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
    for candidate in candidates:
        if candidate is None:
            continue
        # A shim of pyenv is there for every version it has, and may refuse to run.
        done = subprocess.run([candidate, "-c", script], capture_output=True, check=False)  # noqa: S603
        if done.returncode == 0:
            return candidate
    return None


def find_uv() -> str:
    """The uv on the PATH, or the one beside this interpreter.

    :raises SystemExit: there is none.
    """
    beside = Path(sys.executable).with_name("uv")
    found = shutil.which("uv") or (str(beside) if beside.is_file() else None)
    if found is None:
        sys.exit("No uv found. Run this by `make compat`: the environment of `make venv` has one.")
    return found


def names_of(requirements: str) -> set[str]:
    """The projects in the text of a requirements file."""
    return {match[0] for match in re.finditer(r"^[a-z][a-z0-9-]*", requirements, re.M)}


def lower_bounds_of(requirements: str) -> dict[str, str]:
    """The projects in the text of a requirements file and the lower bound of each; those without one are left out."""
    return dict(re.findall(r"^([a-z][a-z0-9-]*)>=([^\s,;]+)", requirements, re.M))


def pins_of(resolved: str) -> dict[str, str]:
    """Name and version of all that uv has resolved."""
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^\s;]+)", resolved, re.M))


class Environment:
    """One environment: a Python and the versions to try there."""

    def __init__(self, python: str, version: str, which: str, uv: str) -> None:
        self.base_python = python
        self.uv = uv
        self.result = Result(version, which)
        self.folder = BUILD / self.result.name
        self.log = BUILD / f"{self.result.name}.log"
        self.junit = BUILD / f"{self.result.name}.xml"

    @property
    def python(self) -> str:
        """The interpreter of the environment."""
        return str(self.folder / "bin" / "python")

    def clean_environ(self, home: str) -> dict[str, str]:
        """No setting of this machine's own Airflow, no module of this checkout before the installed ones."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIRFLOW", "AUDIENCE_ONBOARDING_", "PYTHON", "MAKE"))
            and name != "VIRTUAL_ENV"
        }
        return {
            **kept,
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": f"{home}/logs",
        }

    def step(self, name: str, *commands: Sequence[str]) -> None:
        """Run commands one after the other, as one step.

        :raises StepError: one has failed, or all together took too long.
        """
        started = time.monotonic()
        output = ""
        passed = True
        with tempfile.TemporaryDirectory(prefix="compat-") as home:
            for command in commands:
                try:
                    done = subprocess.run(  # noqa: S603
                        command,
                        cwd=PROJECT,
                        env=self.clean_environ(home),
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT,
                        text=True,
                        timeout=STEP_SECONDS,
                        check=False,
                    )
                    output += done.stdout
                    passed = done.returncode == 0
                except subprocess.TimeoutExpired:
                    output += f"\nNot done after {STEP_SECONDS} s."
                    passed = False
                if not passed:
                    break
        with self.log.open("a") as file:
            file.write(f"== {name}: {'passed' if passed else 'FAILED'}\n{output}\n")
        lines = output.strip().splitlines()
        excerpt = "\n".join(lines[-1:] if passed else lines[-25:])
        self.result.steps.append(Step(name, passed, round(time.monotonic() - started, 1), excerpt))
        print(f"{self.result.name:12} {name:8} {'passed' if passed else 'FAILED'}  {excerpt}", flush=True)
        if not passed:
            raise StepError(name)

    def resolve(self) -> Path:
        """Write the versions to install; returns the file.

        :raises StepError: nothing fits together.
        """
        compile_ = [
            self.uv, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-python-downloads",
            "--python-version", self.result.python, "--upgrade",
        ]  # fmt: skip
        everything = BUILD / f"{self.result.name}.txt"
        lowest = BUILD / f"{self.result.name}-direct.txt"
        with_extras = [*compile_, "pyproject.toml", "--output-file", str(everything)]
        with_extras += [part for extra in EXTRAS for part in ("--extra", extra)]
        requirements = (PROJECT / "requirements.txt").read_text()
        direct = names_of(requirements)
        if self.result.which == "oldest":
            bounds = lower_bounds_of(requirements)
            lowest.write_text("".join(f"{name}=={bounds[name]}\n" for name in sorted(direct)))
            with_extras += ["--constraint", str(lowest)]
        self.step("resolve", with_extras)
        pins = pins_of(everything.read_text())
        self.result.versions = {name: pins[name] for name in sorted(direct)}
        return everything

    def install(self, resolved: Path) -> None:
        """Recreate the environment.

        :raises StepError: that failed.
        """
        pip = [self.uv, "pip", "install", "--quiet", "--python", self.python]
        # A lower bound that has no wheel for this Python would be compiled, for half an hour or in vain.
        wheels = [part for name in self.result.versions for part in ("--only-binary", name)]
        self.step(
            "install",
            [self.uv, "venv", "--quiet", "--clear", "--no-python-downloads", "--python", self.base_python,
             str(self.folder)],
            [*pip, *wheels, "--requirement", str(resolved)],
            # uv would take the wheel that it built of another state of this folder.
            [*pip, "--no-deps", "--no-build-isolation", "--refresh-package", "airflow-audience-onboarding", "."],
            [self.uv, "pip", "check", "--python", self.python],
        )  # fmt: skip

    def unit_tests(self, arguments: Iterable[str]) -> None:
        """Run the chosen ones.

        :raises StepError: one has failed.
        """
        self.junit.unlink(missing_ok=True)
        command = [self.python, "-m", "pytest", "tests/unit", "-q", "-p", "no:cacheprovider"]
        command += [f"--ignore={path}" for path in SKIPPED_XCOM_KEY]
        command += [f"--junitxml={self.junit}", *arguments]
        try:
            self.step("tests", command)
        finally:
            if self.junit.is_file():
                self.result.tests = counts(self.junit)

    def run(self, pytest_arguments: Iterable[str]) -> Result:
        """All steps; those after a failure only if they do not depend on it."""
        self.log.unlink(missing_ok=True)
        try:
            self.install(self.resolve())
        except StepError:
            return self.result
        probe = str(PROJECT / "scripts" / "compat_probe.py")
        for check in ("imports", "hooks", "dags"):
            try:
                self.step(check, [self.python, probe, check])
            except StepError:
                continue
        with contextlib.suppress(StepError):
            self.unit_tests(pytest_arguments)
        return self.result


def counts(junit: Path) -> dict[str, int]:
    """How many tests of a report passed, failed and were skipped."""
    suites = list(ElementTree.parse(junit).getroot().iter("testsuite"))  # noqa: S314 - pytest has just written it

    def total(name: str) -> int:
        return sum(int(suite.get(name, 0)) for suite in suites)

    failed = total("failures") + total("errors")
    return {
        "passed": total("tests") - failed - total("skipped"),
        "failed": failed,
        "skipped": total("skipped"),
    }


def table(results: Sequence[Result]) -> str:
    """The results, one environment a line, in Markdown."""
    head = ["python", "which", *SHOWN, "steps", "unit tests", "seconds"]
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for result in results:
        failed = [step.name for step in result.steps if not step.passed]
        tests = ", ".join(f"{number} {what}" for what, number in result.tests.items() if number)
        cells = [
            result.python,
            result.which,
            *(result.versions.get(name, "-") for name in SHOWN.values()),
            f"FAILED: {', '.join(failed)}" if failed else "passed",
            tests or "-",
            f"{sum(step.seconds for step in result.steps):.0f}",
        ]
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def report(results: Sequence[Result], missing: Sequence[str]) -> str:
    """Return the content of ``build/compat.json``."""
    environments = [{**asdict(result), "passed": result.passed} for result in results]
    return json.dumps({"environments": environments, "missing_pythons": list(missing)}, indent=2) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return the exit code: 0 all passed, 1 something failed, 2 a Python is missing and that is an error."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], epilog="Arguments after -- go to pytest: -- -n 2"
    )
    parser.add_argument("--only", action="append", metavar="3.12-newest", help="may be given several times")
    parser.add_argument("--strict", action="store_true", help="a Python that is not there is an error")
    parser.add_argument("pytest", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    wanted = [(python, which) for python in PYTHONS for which in WHICH]
    if options.only:
        unknown = set(options.only) - {f"{python}-{which}" for python, which in wanted}
        if unknown:
            parser.error(f"no such environment: {', '.join(sorted(unknown))}")
        wanted = [pair for pair in wanted if "-".join(pair) in options.only]
    pythons = {version: find_python(version) for version in sorted({python for python, _ in wanted})}
    missing = [version for version, found in pythons.items() if found is None]
    if missing:
        print(f"Not on this machine, so not tried: Python {', '.join(missing)}", file=sys.stderr)
        if options.strict:
            return 2
    uv = find_uv()
    BUILD.mkdir(parents=True, exist_ok=True)
    output = BUILD.with_suffix(".json")
    results: list[Result] = []
    for version, which in wanted:
        python = pythons[version]
        if python is None:
            continue
        results.append(Environment(python, version, which, uv).run(options.pytest))
        # After each environment, so that an interrupted run keeps its results.
        output.write_text(report(results, missing))
    print(f"\n{table(results)}\n\nWrote {output.relative_to(PROJECT)}")
    return 0 if results and all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
