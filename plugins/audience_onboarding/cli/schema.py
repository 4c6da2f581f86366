"""``schema``: the JSON schemas that editors complete and check with."""

from __future__ import annotations

import sys
from pathlib import Path

from audience_onboarding.cli.common import EXIT_INVALID, EXIT_OK, EXIT_USAGE
from audience_onboarding.definitions.json_schema import schemas


def run(folder: Path, *, only_check: bool) -> int:
    """Write the schemas into the folder of the definitions.

    :param only_check: write nothing; a schema that is out of date is an error.
    :return: the exit code.
    """
    if not folder.is_dir():
        print(f"{folder}: the folder of the definitions is not there", file=sys.stderr)
        return EXIT_USAGE
    code = EXIT_OK
    for name, text in schemas().items():
        path = folder / name
        is_new = path.is_file() and path.read_text(encoding="utf-8") == text
        if only_check and not is_new:
            print(f"{path} is out of date; write it anew with 'python -m audience_onboarding schema'")
            code = EXIT_INVALID
        elif not only_check:
            path.write_text(text, encoding="utf-8")
            print(f"{path} {'is up to date' if is_new else 'is written'}")
    return code
