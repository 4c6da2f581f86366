"""Find words in docs, docstrings, comments and messages for which this project uses a standard term.

``python scripts/reject_words.py [PATH...]`` prints each hit as ``path:line: word: text`` and exits with 1 after a
hit. ``make lint`` runs it. :data:`EXCEPTIONS` lists the sentences that keep such a word, each with its reason.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import token
import tokenize
from collections.abc import Iterator
from pathlib import Path

PATHS = (
    "plugins",
    "include",
    "dags",
    "docs",
    "scripts",
    "benchmarks",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
)

TERMS = {
    r"look(?:s|ed|ing)?\b(?![- ]?ups?\b)": "poll, inspect, read",
    r"(?:told|tells?|telling|said|says?|saying)": "report, emit, notify, return; name the actor",
    r"(?:is|are|was|were|be|been|gone|goes|go|went|not) through": "finished, written, processed",
    r"(?:in|its|their|whose|a|each|next) turns?": "order, slot",
    r"puts?": "upload, set, write",
    r"begun": "pending, started",
    r"(?:remember(?:s|ed|ing)?|forg[eo]t\w*)": "store, stored, clear",
    r"moments?": "datetime, timestamp",
    r"mend(?:s|ed|ing)?": "fix",
    r"anew": "again, recreate, rewrite",
    r"(?:take|takes|taken|taking) in\b(?! (?:to|account))": "process, ingest",
    r"(?:let|lets|letting) go|left alone": "expired, unchanged",
    r"(?:somebody|nobody|anybody|whoever)": "name the actor",
    r"but for": "except",
    r"(?:a|the|its|longest|shortest|longer|shorter) pauses?": "delay, interval",
    r"ceilings?": "rate limit",
    r"(?:roads?|stretch(?:es)?)": "path, option, chunk",
    r"(?:rooms?|houses?(?! numbers?)|doors?)": "package, entry point",
    r"upkeep": "maintenance",
    r"settl(?:e|es|ed|ing)": "resolve",
    r"raw (?:identifiers?|e-mails?|phones?|values?|addresses)": "unhashed, plaintext",
    r"of late": "recent",
    r"what(?:ever)?\b(?![^.!]*\?)": "the noun",
    r"(?:(?<=\. )|(?<=^)|(?<=: )|(?<=, )|(?<=; ))who(?:se)?\b(?![^.!]*\?)": "the noun",
    r"where (?:there|nothing|it is|it has|no|one)\b(?![^.!]*\?)": "if, when",
    r"(?:(?<=\. )|(?<=^))(?:which|where)\b(?![^.!]*\?)": "the noun",
}
"""Word, as a pattern, to the terms that replace it."""

EXCEPTIONS: dict[tuple[str, str], str] = {
    ("scripts/reject_words.py", '"'): "the list of the words",
    ("plugins/audience_onboarding/state/reconcile.py", '"what": "{'): "a field of the form, in JSON",
}
"""Path and part of the line to the reason why the word stays."""

_REJECTED = re.compile("|".join(rf"(?P<w{i}>\b{word}\b)" for i, word in enumerate(TERMS)), re.IGNORECASE)
_CODE = re.compile(
    r"^:param \w+:|``.*?``|`[^`]*`|<[^>]*>|https?://\S+|\]\([^)]*\)|\bPUT\b|%\(\w+\)s|\{[^{}]*\}"
)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Return the lines of prose in a file, each with its number."""
    content = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from _texts_of_python(content)
    elif path.suffix == ".md":
        fenced = False
        for number, line in enumerate(content.splitlines(), 1):
            fenced ^= line.lstrip().startswith("```")
            if not fenced:
                yield number, line
    else:
        prose = re.compile(r"(?:#|//|\*) .*|\"[^\"]* [^\"]*\"|'[^']* [^']*'|`[^`]* [^`]*`")
        for number, line in enumerate(content.splitlines(), 1):
            yield from ((number, text.strip("`")) for text in prose.findall(line))


def _texts_of_python(content: str) -> Iterator[tuple[int, str]]:
    kinds = {token.STRING, tokenize.COMMENT, getattr(token, "FSTRING_MIDDLE", token.STRING)}
    for item in tokenize.generate_tokens(io.StringIO(content).readline):
        if item.type in kinds and " " in item.string.strip():
            for number, line in enumerate(item.string.splitlines(), item.start[0]):
                yield number, re.sub(r"^\s*(?:#:?|[rbfRBF]{0,2}\"{1,3}|[rbfRBF]{0,2}')\s*", "", line).strip()


def hits(path: Path) -> Iterator[tuple[int, str, str]]:
    """Return each rejected word in a file: line number, word, line."""
    content = path.read_text(encoding="utf-8").splitlines()
    for number, line in texts(path):
        for match in _REJECTED.finditer(_CODE.sub("``", line)):
            if not any(str(path) == name and part in content[number - 1] for name, part in EXCEPTIONS):
                yield number, match[0], line.strip()


def main(arguments: list[str]) -> int:
    """Print the hits below the paths and return the exit code."""
    command = ["git", "ls-files", *(arguments or PATHS)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()  # noqa: S603
    found = 0
    for name in listed:
        path = Path(name)
        if (
            path.suffix not in {".py", ".md", ".js", ".yaml", ".html"}
            or "vendor" in path.parts
            or not path.is_file()
        ):
            continue
        for number, word, line in hits(path):
            found += 1
            print(f"{path}:{number}: {word}: {line[:110]}")
    print(f"{found} rejected words", file=sys.stderr)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
