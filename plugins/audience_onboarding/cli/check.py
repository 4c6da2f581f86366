"""``check``: all that is wrong with the definitions."""

from __future__ import annotations

from pathlib import Path

from audience_onboarding.cli.common import GOOD, WRONG_DEFINITIONS, counted, files_in, print_json
from audience_onboarding.definitions.loader import check_folder, chosen_environment
from audience_onboarding.exceptions import DefinitionError, help_for


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
                f"{counted(len(problems), 'problem')} in {counted(files_in(problems), 'file')} of {folder}; "
                f"{len(checked.definitions)} of {counted(len(checked.keys), 'definition')} good\n"
                f"See {help_for(DefinitionError.__name__)}"
            )
        else:
            print(f"{counted(len(checked.keys), 'definition')} in {folder}, no problems")
    return WRONG_DEFINITIONS if problems else GOOD
