"""The list of rejects: positions, reasons and masked samples."""

from __future__ import annotations

import csv
import errno
import io
from pathlib import Path
from typing import Any

import pytest

from audience_onboarding.crm.identifiers.reject_reasons import RejectReason
from audience_onboarding.crm.output.profiles import DIGITAL_AUDIENCE_S3
from audience_onboarding.crm.prepare import CsvSource, RejectsList, prepare
from audience_onboarding.crm.rejects import RejectLines
from audience_onboarding.crm.sources.base import RowBatch, build_frame
from audience_onboarding.exceptions import ConfigurationError, EmptySourceError
from tests.unit.crm.loads import BOTH, content, load


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "crm.csv"


def rejects(path: Path, data: bytes, **settings: Any) -> list[dict[str, str]]:
    path.write_bytes(data)
    arguments = {"columns": BOTH, "profile": DIGITAL_AUDIENCE_S3, **settings}
    with prepare(CsvSource(path), **arguments) as prepared:
        text = b"".join(prepared.rejects()).decode()
        lines = list(csv.DictReader(io.StringIO(text)))
        assert prepared.rejects_count == len(lines)
        return lines


def test_rejects_lines_have_position_reason_and_masked_sample(path: Path) -> None:
    lines = rejects(
        path,
        content(
            "a@x.example,06-bad",
            "jan.de.vries@x,+31 6 1234567890123",
            ",",
            "one field",
            f"{'a' * 64},",
            "b@x.example,0612345678",
        ),
    )
    keys = ("row", "field", "outcome", "reason", "sample")
    assert [
        tuple(line[key] for key in keys)
        for line in sorted(lines, key=lambda line: (line["row"], line["field"]))
    ] == [
        ("1", "phone", "field", "invalid_phone", "06****"),
        ("2", "email", "row", "invalid_email", "j***@***"),
        ("2", "phone", "row", "invalid_phone", "+3" + "*" * 16 + "*"),
        ("3", "", "row", "no_identifier", ""),
        ("4", "", "row", "malformed_row", ""),
        ("5", "email", "row", "already_hashed", "a***"),
    ]


def test_rejects_of_all_rows_are_passed_to_callback(path: Path) -> None:
    calls: list[tuple[int, bytes]] = []

    def record(rejects_list: RejectsList) -> None:
        calls.append((rejects_list.count, b"".join(rejects_list.read())))

    with pytest.raises(EmptySourceError) as caught:
        load(path, content("bad,", "worse,"), when_all_rejected=record)
    assert caught.value.rows_read == 2
    ((count, text),) = calls
    assert count == text.count(b"\n") - 1 == 2


def test_rejects_full_disk_raises(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Path, *mode: str, **more: Any) -> Any:
        if file.name == "rejects.csv":
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(file, *mode, **more)

    opened = Path.open
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(ConfigurationError, match="No space left for the spill files"):
        load(path, content("a@x.example,", "bad,"))


@pytest.mark.parametrize(
    ("file", "cell"),
    [
        ("2026-11-20.csv", "2026-11-20.csv"),
        ("=cmd|' /c x'!A1.csv", "'=cmd|' /c x'!A1.csv"),
        ("@x.csv", "'@x.csv"),
    ],
)
def test_rejects_file_name_is_no_formula_of_a_spreadsheet(file: str, cell: str) -> None:
    lines = RejectLines(RowBatch(build_frame([["x"]]), 1, file=file))
    lines.add_rows([1], RejectReason.MALFORMED_ROW)

    assert next(csv.reader([lines.text()]))[0] == cell
