"""The command line: what needs no Airflow."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from audience_onboarding.cli import check, hash, plan, schema
from audience_onboarding.cli.common import EXIT_INVALID, EXIT_OK, EXIT_USAGE
from audience_onboarding.definitions import definitions_folder

PROGRAM = "python -m audience_onboarding"
_FOLDER = Path("include", "audiences")


def main(argv: Sequence[str] | None = None, *, now: datetime | None = None) -> int:
    """Run a command.

    :param argv: default those of the process.
    :param now: the moment to plan from; default now.
    :return: the exit code: 0 where all is well, 1 where definitions are wrong, 2 for wrong usage.
    """
    parser = _parser()
    try:
        options = parser.parse_args(argv)
    except SystemExit as left:
        # argparse has said why; --help is no error.
        return EXIT_USAGE if left.code else EXIT_OK
    try:
        return _run(options, now)
    except BrokenPipeError:
        # Whoever reads the output has read enough, as "head" does. Nothing is left to say to it when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_INVALID


def _run(options: argparse.Namespace, now: datetime | None) -> int:
    if options.command == "hash":
        return hash.run(options)
    folder = options.folder or _usual_folder()
    if options.command == "check":
        return check.run(folder, environment=options.environment, as_json=options.json)
    if options.command == "plan":
        return plan.run(
            folder, keys=options.keys, environment=options.environment, as_json=options.json, now=now
        )
    return schema.run(folder, only_check=options.check)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Work with the audience definitions of a folder, and make hashes. Needs no Airflow that runs.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, told in (
        ("check", "find all that is wrong with the definitions, in all environments"),
        ("plan", "say what each audience would do next, from the files alone; nothing is sent"),
        ("schema", "write the JSON schemas that editors complete and check with"),
    ):
        command = commands.add_parser(name, help=told, description=told[:1].upper() + told[1:] + ".")
        command.add_argument(
            "--folder",
            type=Path,
            metavar="F",
            help="of the definitions; default: $AUDIENCE_ONBOARDING_DEFINITIONS, or include/audiences of the current "
            "folder or the nearest one above it",
        )
        if name == "schema":
            command.add_argument(
                "--check", action="store_true", help="write nothing; fail if what is there is out of date"
            )
            continue
        command.add_argument("--json", action="store_true", help="print JSON")
        command.add_argument(
            "--environment",
            metavar="E",
            default=None,
            help="the environment that is chosen; default: $AUDIENCE_ONBOARDING_ENVIRONMENT",
        )
        if name == "plan":
            command.add_argument("keys", nargs="*", metavar="KEY", help="of audiences; default: all")
    hash.add_command(commands)
    return parser


def _usual_folder() -> Path:
    here = Path(os.curdir)
    above = [here, *(Path(*[os.pardir] * number) for number in range(1, len(Path.cwd().parts)))]
    project = next((folder for folder in above if (folder / _FOLDER).is_dir()), here)
    return definitions_folder(project)
