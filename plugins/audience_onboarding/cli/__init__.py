"""Command line. Needs no running Airflow."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from audience_onboarding.cli import check, hash, plan
from audience_onboarding.cli.check import EXIT_INVALID, EXIT_OK, EXIT_USAGE
from audience_onboarding.definitions import definitions_folder

PROGRAM = "python -m audience_onboarding"
_FOLDER = Path("include", "audiences")


def main(argv: Sequence[str] | None = None, *, now: datetime | None = None) -> int:
    """Run a command and return the exit code: 0 success, 1 invalid definitions, 2 wrong usage.

    :param argv: default: the arguments of the process.
    :param now: time to plan from; default: the current time.
    """
    parser = _parser()
    try:
        options = parser.parse_args(argv)
    except SystemExit as stopped:
        # argparse has printed the reason; --help is no error.
        return EXIT_USAGE if stopped.code else EXIT_OK
    try:
        return _run(options, now)
    except BrokenPipeError:
        # The reader of the output, such as "head", has closed it. Python must write nothing more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_INVALID


def _run(options: argparse.Namespace, now: datetime | None) -> int:
    if options.command == "hash":
        return hash.run(options)
    folder = options.folder or _default_folder()
    if options.command == "check":
        return check.run(folder, environment=options.environment, as_json=options.json)
    if options.command == "plan":
        return plan.run(
            folder, keys=options.keys, environment=options.environment, as_json=options.json, now=now
        )
    return check.run_schema(folder, only_check=options.check)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Check and plan audience definitions, and compute hashes. Needs no running Airflow.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("check", "find the problems of the definitions, in all environments"),
        ("plan", "show the next load of each audience, from the files alone; nothing is sent"),
        ("schema", "write the JSON schemas that editors complete and check with"),
    ):
        command = commands.add_parser(name, help=text, description=f"{text[:1].upper()}{text[1:]}.")
        command.add_argument(
            "--folder",
            type=Path,
            metavar="F",
            help="of the definitions; default: $AUDIENCE_ONBOARDING_DEFINITIONS, or include/audiences of the current "
            "folder or the nearest one above it",
        )
        if name == "schema":
            command.add_argument(
                "--check", action="store_true", help="write nothing; fail if a schema is out of date"
            )
            continue
        command.add_argument("--json", action="store_true", help="print JSON")
        command.add_argument(
            "--environment", metavar="E", default=None, help="default: $AUDIENCE_ONBOARDING_ENVIRONMENT"
        )
        if name == "plan":
            command.add_argument("keys", nargs="*", metavar="KEY", help="of audiences; default: all")
    hash.add_command(commands)
    return parser


def _default_folder() -> Path:
    here = Path(os.curdir)
    above = [here, *(Path(*[os.pardir] * number) for number in range(1, len(Path.cwd().parts)))]
    project = next((folder for folder in above if (folder / _FOLDER).is_dir()), here)
    return definitions_folder(project)
