"""The page that errors lead to: a paragraph for each, under the anchor that its message has."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from audience_onboarding import errors
from audience_onboarding.errors import AudienceOnboardingError, TransientError, VendorError, help_for

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")

NEVER_RAISED = {AudienceOnboardingError, VendorError}
"""Bases only. ``TransientError`` and ``TerminalError`` are raised where nothing else is to be said."""

CLASSES = {
    name: cls
    for name, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, AudienceOnboardingError) and cls not in NEVER_RAISED
}
PARAGRAPHS = {
    name: " ".join(text.split())
    for name, text in re.findall(r"^### (\S+)\n\n(.+?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL)
}


def test_every_error_has_its_paragraph_and_every_paragraph_its_error() -> None:
    assert set(PARAGRAPHS) == set(CLASSES)
    assert len(re.findall(r"^### ", TEXT, re.MULTILINE)) == len(PARAGRAPHS)


def test_no_error_of_the_package_lives_elsewhere() -> None:
    """Outcomes that callers settle are not told; what is told is in one module, and so on this page."""
    package = ROOT / "plugins" / "audience_onboarding"
    bases = "|".join([*CLASSES, *(cls.__name__ for cls in NEVER_RAISED)])
    found = [
        path.name
        for path in package.rglob("*.py")
        if path.name != "errors.py"
        and re.search(rf"^class \w+\(.*\b({bases})\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert found == []


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_it_says_what_to_look_at_what_to_do_and_whether_it_is_tried_again(name: str) -> None:
    text = PARAGRAPHS[name]
    means, look, do, again = re.split(r"\*\*(?:Look at|Do|Tried again:)\*\*", text)

    assert min(map(len, (means, look, do))) > 10
    assert again.strip().startswith("yes" if issubclass(CLASSES[name], TransientError) else "no")


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_the_message_leads_to_the_paragraph(name: str) -> None:
    path, _, anchor = help_for(name).partition("#")

    assert (ROOT / path).read_text(encoding="utf-8") == TEXT
    # Both a Git host and the site make the anchor of a heading that is one word by lower case.
    assert anchor in {heading.lower() for heading in PARAGRAPHS}
    assert re.fullmatch(r"[a-z]+", anchor)
