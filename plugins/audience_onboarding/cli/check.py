"""``check``: all that is wrong with the definitions."""

from __future__ import annotations

from pathlib import Path

from audience_onboarding.cli.common import EXIT_INVALID, EXIT_OK, files_in, pluralize, print_json
from audience_onboarding.definitions.loader import check_folder, chosen_environment
from audience_onboarding.exceptions import DefinitionError, help_url


def run(folder: Path, *, environment: str | None, as_json: bool) -> int:
    """Print one line for each problem, and how many there are.

    :param environment: the one that is chosen; default that of the process.
    :return: the exit code.
    """
    checked = check_folder(folder, environment=environment or chosen_environment())
    problems = checked.problems
    if as_json:
        print_json([problem.as_dict() for problem in problems])
    else:
        for problem in problems:
            print(problem)
        if problems:
            print(
                f"{pluralize(len(problems), 'problem')} in {pluralize(files_in(problems), 'file')} of {folder}; "
                f"{len(checked.definitions)} of {pluralize(len(checked.keys), 'definition')} good\n"
                f"See {help_url(DefinitionError.__name__)}"
            )
        else:
            print(f"{pluralize(len(checked.keys), 'definition')} in {folder}, no problems")
    return EXIT_INVALID if problems else EXIT_OK
