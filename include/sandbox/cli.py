"""The command line: every setting is an option; the ready file holds addresses and credentials."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError

from sandbox.runtime import Sandbox, SandboxStartError
from sandbox.settings import SandboxSettings

_WATCH_SECONDS = 1.0


def build_parser() -> argparse.ArgumentParser:
    """Build the parser from the settings model, so that every setting has an option."""
    parser = argparse.ArgumentParser(
        prog="python include/sandbox",
        description="Simulates Digital Audience, Fanfare, CommBox and S3 over HTTP. Everything is lost on exit.",
        epilog="[I] marks choices on which the vendors' pages are silent; see include/sandbox/README.md.",
    )
    parser.add_argument(
        "--ready-file",
        type=Path,
        help="file to write (atomically) once ready, with URLs and credentials as JSON",
    )
    for name, field in SandboxSettings.model_fields.items():
        options: dict[str, Any] = {
            "help": f"{field.description} (default: {field.default})".replace("%", "%%")
        }
        if get_origin(field.annotation) is Literal:
            options["choices"] = get_args(field.annotation)
        else:
            options["type"] = field.annotation if field.annotation in (int, float) else str
            options["metavar"] = {int: "N", float: "NUMBER"}.get(options["type"], "TEXT")
        parser.add_argument(f"--{name.replace('_', '-')}", default=argparse.SUPPRESS, **options)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM.

    :returns: 0 after a signal, 1 if it could not start or ended by itself, 2 for wrong options.
    """
    parser = build_parser()
    options = vars(parser.parse_args(argv))
    ready_file: Path | None = options.pop("ready_file")
    try:
        settings = SandboxSettings.model_validate(options)
    except ValidationError as error:
        parser.error("; ".join(f"--{e['loc'][0]}: {e['msg']}".replace("_", "-") for e in error.errors()))
    # before the start, so that a signal during it is not lost
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)

    sandbox = Sandbox(settings)
    try:
        try:
            handle = sandbox.start()
        except SandboxStartError as error:
            print(f"sandbox: {error}", file=sys.stderr)
            return 1
        ready = json.dumps(handle.ready_info())
        if ready_file is not None:
            _write(ready_file, ready)
        print(ready, flush=True)
        while not stopping.wait(_WATCH_SECONDS):
            if not sandbox.running():
                print("sandbox: the API server ended by itself", file=sys.stderr)
                return 1
        return 0
    finally:
        sandbox.stop()
        if ready_file is not None:
            # the file exists only while the sandbox runs
            with suppress(OSError):
                ready_file.unlink()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)
