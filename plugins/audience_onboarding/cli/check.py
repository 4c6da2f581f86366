"""``check``: the problems of all definitions; ``schema``: the JSON schemas for editors."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from audience_onboarding.definitions.json_schema import schemas
from audience_onboarding.definitions.loader import check_folder, chosen_environment
from audience_onboarding.exceptions import DefinitionError, help_url

EXIT_OK, EXIT_INVALID, EXIT_USAGE = 0, 1, 2


def print_json(value: Any) -> None:
    """Print indented JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def pluralize(number: int, noun: str) -> str:
    """Return ``1 problem``, ``2 problems``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def run(folder: Path, *, environment: str | None, as_json: bool) -> int:
    """Print one line per problem and a summary, and return the exit code.

    :param environment: default: that of the process.
    """
    checked = check_folder(folder, environment=environment or chosen_environment())
    problems = checked.diagnostics
    if as_json:
        print_json([problem.to_dict() for problem in problems])
    elif problems:
        for problem in problems:
            print(problem)
        files = len({problem.file for problem in problems})
        print(
            f"{pluralize(len(problems), 'problem')} in {pluralize(files, 'file')} of {folder}; "
            f"{len(checked.definitions)} of {pluralize(len(checked.keys), 'definition')} valid\n"
            f"See {help_url(DefinitionError.__name__)}"
        )
    else:
        print(f"{pluralize(len(checked.keys), 'definition')} in {folder}, no problems")
    return EXIT_INVALID if problems else EXIT_OK


def run_schema(folder: Path, *, only_check: bool) -> int:
    """Write the JSON schemas to the folder of the definitions, and return the exit code.

    :param only_check: write nothing; an outdated schema is an error.
    """
    if not folder.is_dir():
        print(f"{folder}: folder not found", file=sys.stderr)
        return EXIT_USAGE
    code = EXIT_OK
    for name, text in schemas().items():
        path = folder / name
        is_current = path.is_file() and path.read_text(encoding="utf-8") == text
        if only_check and not is_current:
            print(f"{path} is out of date. Run 'python -m audience_onboarding schema'")
            code = EXIT_INVALID
        elif not only_check:
            path.write_text(text, encoding="utf-8")
            print(f"{path} {'is up to date' if is_current else 'written'}")
    return code
