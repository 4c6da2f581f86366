"""The command that makes hashes: by the rules of the loads, and without repeating what it is given."""

from __future__ import annotations

import getpass
import hashlib
import io
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from audience_onboarding.cli import main


def sha(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def hashed(monkeypatch: pytest.MonkeyPatch, text: str, *options: str) -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    return main(["hash", *options])


def test_lines_are_normalised_and_hashed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        " Anna@Example.COM \n06-12345678\n\n+31 6 12345678\nphone: 020 1234567\nPersonal-Id: 19640823-3234\n"
    )

    assert hashed(monkeypatch, text) == 0

    assert json.loads(capsys.readouterr().out) == {
        "email_sha256": [sha("anna@example.com")],
        "phone_sha256": [sha("31612345678"), sha("31201234567")],
        "personal_id_sha256": [sha("196408233234")],
    }


def test_options_are_those_of_the_definitions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        hashed(monkeypatch, "anna+x@example.com\n0171 1234567\n", "--phone-region", "de", "--strip-plus-tag")
        == 0
    )

    found = json.loads(capsys.readouterr().out)
    assert found["email_sha256"] == [sha("anna@example.com")]
    assert found["phone_sha256"] == [sha("491711234567")]


def test_what_cannot_be_used_is_an_error_that_does_not_repeat_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in ("anna@example", "0612", "no identifier", "name: Anna Secret", "personal_id: 1234", sha("x")):
        assert hashed(monkeypatch, f"ben@example.com\n{text}\n") == 2, text
        said = capsys.readouterr()
        assert said.out == ""
        assert "line 2" in said.err
        assert text not in said.err
        assert "Anna" not in said.err
    assert hashed(monkeypatch, "\n") == 2
    assert "No value given" in capsys.readouterr().err


def test_in_a_terminal_it_asks_without_showing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: Iterator[str] = iter(["anna@example.com", "", "0612345678", "0623456789", "", ""])
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", lambda prompt: next(answers))

    assert main(["hash"]) == 0

    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["email_sha256"] == [sha("anna@example.com")]
    assert found["phone_sha256"] == [sha("31612345678"), sha("31623456789")]
