"""Blocks of code, links and headings of the pages, and the targets of the Makefile."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "include").rglob("README.md")),
]
"""All pages; of CHANGELOG.md, only the links are checked."""


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    page: str
    line: int
    """Number of its first line, from 1."""
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@cache
def targets() -> frozenset[str]:
    """Return the targets of the Makefile that are for people."""
    found = re.findall(r"^([a-z-]+):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    return frozenset(found) - {"force"}


def markdown() -> MarkdownIt:
    """Return a parser that reads as Git hosts do: CommonMark and tables."""
    return MarkdownIt("commonmark").enable("table")


@cache
def tokens_of(path: Path) -> tuple[Token, ...]:
    """Parse a page."""
    return tuple(markdown().parse(path.read_text(encoding="utf-8")))


def name_of(path: Path) -> str:
    """Return the path from the repository's top."""
    return path.relative_to(ROOT).as_posix()


def blocks() -> Iterator[Block]:
    """Yield every block of every page."""
    for path in PAGES:
        for token in tokens_of(path):
            if token.type in {"fence", "code_block"}:
                yield Block(name_of(path), (token.map or [0])[0] + 1, token.info.strip(), token.content)


def inline_code(path: Path) -> Iterator[str]:
    """Yield the code in backquotes."""
    for token in tokens_of(path):
        for child in token.children or ():
            if child.type == "code_inline":
                yield " ".join(child.content.split())


def links(path: Path) -> Iterator[str]:
    """Yield the targets of the links and pictures of a page."""
    for token in tokens_of(path):
        for child in token.children or ():
            target = child.attrs.get("href" if child.type == "link_open" else "src")
            if isinstance(target, str):
                yield target


@cache
def anchors(path: Path) -> frozenset[str]:
    """Return the anchors of a page's headings, as Git hosts and the site (see mkdocs.yml) make them."""
    slugs: Counter[str] = Counter()
    found: set[str] = set()
    tokens = tokens_of(path)
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            text = "".join(
                child.content
                for child in tokens[number + 1].children or ()
                if child.type in {"text", "code_inline"}
            )
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            found.add(f"{slug}-{slugs[slug]}" if slug in slugs else slug)
            slugs[slug] += 1
    return frozenset(found)
