"""The check that text uses standard terms."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import reject_words


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.py", '"""Look at the file."""\nlook = 1  # nobody reads it\n', ["Look", "nobody"]),
        ("a.py", 'log.info("The audience is told %s times", told)\n', ["told"]),
        ("a.py", '"""Return ``told`` and the house number, once looked up."""\n', []),
        ("a.md", "What was sent is `told`.\n\n```\nput x\n```\nWhat is sent?\n", ["What"]),
        ("a.js", "// The room\nconst room = 1;\n", ["room"]),
    ],
)
def test_hits_are_rejected_words_in_prose_and_not_in_code(
    name: str, content: str, words: list[str], tmp_path: Path
) -> None:
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")

    assert [word for _, word, _ in reject_words.hits(file)] == words
