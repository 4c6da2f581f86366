"""The rule of each identifier. The rules themselves: test_normalize.py; fast paths against them: test_vectorized.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from audience_onboarding.crm.identifiers.normalize import EMPTY_HASH, Rejected
from audience_onboarding.crm.identifiers.reject_reasons import RejectReason
from audience_onboarding.crm.identifiers.rules import get_rule
from audience_onboarding.crm.output.profiles import Identifier

HASH = "a7df77a9db89b44110c704b680a24978579a3069b419db95cbda84541094adba"
PAGE = Path(__file__).parents[4] / "docs" / "reference" / "identifiers.md"


def documented() -> Iterator[tuple[str, str, str, str]]:
    """The examples of the page: identifier or "hashed", country, value of the source, value sent."""
    names: list[str] = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            names = re.findall("`(.+?)`", line) or ["hashed"]
        elif line.startswith("For `"):
            names = re.findall("`(.+?)`", line)
        elif (
            row := re.fullmatch(r"\| (?:`([A-Z]{2})` \| )?`([^`]*)` \| (?:`([^`]*)`|refused) \|", line)
        ) is not None:
            for name in names:
                yield name, row[1] or "NL", row[2], row[3]


def test_docs_page_has_examples_of_all_identifiers() -> None:
    assert {name for name, *_ in documented()} == {identifier.value for identifier in Identifier} | {"hashed"}


def test_docs_page_examples_are_correct() -> None:
    """They distinguish the rules of the identifiers; the parts of an address share one."""
    wrong = []
    for name, country, value, sent in documented():
        identifier = Identifier.EMAIL if name == "hashed" else Identifier(name)
        rule = get_rule(identifier, country=country, strip_plus_tag=False, hashed=name == "hashed")
        answer = rule.reference(value)
        if not (answer == sent if sent else isinstance(answer, Rejected)):
            wrong.append((name, country, value, answer))
    assert wrong == []


@pytest.mark.parametrize("identifier", list(Identifier))
def test_rule_hash_in_unhashed_column_is_rejected(identifier: Identifier) -> None:
    answer = get_rule(identifier, country="NL", strip_plus_tag=False).reference(HASH.upper())
    # An advertiser may well have made its own ids by hashing something.
    assert answer == (
        HASH.upper() if identifier is Identifier.CUSTOM else Rejected(RejectReason.ALREADY_HASHED)
    )


@pytest.mark.parametrize("identifier", list(Identifier))
def test_rule_hashed_column_accepts_hashes_only(identifier: Identifier) -> None:
    rule = get_rule(identifier, country="NL", strip_plus_tag=False, hashed=True)
    assert rule.fast_path is not None
    assert rule.reference(HASH.upper()) == HASH
    assert rule.reference("john@mail.example") == Rejected(RejectReason.NOT_HASHED)
    assert rule.reference(EMPTY_HASH) == Rejected(RejectReason.EMPTY_HASH)


def test_get_rule_settings_are_applied() -> None:
    assert (
        get_rule(Identifier.PHONE, country="BE", strip_plus_tag=False).reference("0470123456")
        == "32470123456"
    )
    tagless = get_rule(Identifier.EMAIL, country="NL", strip_plus_tag=True)
    assert tagless.reference("a+b@x.example") == "a@x.example"
