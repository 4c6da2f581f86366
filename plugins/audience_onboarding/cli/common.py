"""What the commands share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from audience_onboarding.definitions import Problem

EXIT_OK, EXIT_INVALID, EXIT_USAGE = 0, 1, 2


def print_json(value: Any) -> None:
    """Print JSON as people can read it."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def pluralize(number: int, what: str) -> str:
    """``1 problem``, ``2 problems``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def files_in(problems: Sequence[Problem]) -> int:
    """In how many files the problems are."""
    return len({problem.file for problem in problems})
