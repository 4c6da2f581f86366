"""The pages that people read, taken apart: blocks of code, links, headings."""

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
"""All of them; CHANGELOG.md is looked at for its links alone."""


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    page: str
    line: int
    """Where it begins, from 1."""
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@cache
def tokens_of(path: Path) -> tuple[Token, ...]:
    """A page as a Git host understands it."""
    return tuple(markdown().parse(path.read_text(encoding="utf-8")))


def markdown() -> MarkdownIt:
    """As Git hosts: CommonMark and tables."""
    return MarkdownIt("commonmark").enable("table")


def name_of(path: Path) -> str:
    """From the repository's top."""
    return path.relative_to(ROOT).as_posix()


def blocks() -> Iterator[Block]:
    """Every block of every page."""
    for path in PAGES:
        for token in tokens_of(path):
            if token.type in {"fence", "code_block"}:
                yield Block(name_of(path), (token.map or [0])[0] + 1, token.info.strip(), token.content)


def inline_code(path: Path) -> Iterator[str]:
    """What stands in backquotes."""
    for token in tokens_of(path):
        for child in token.children or ():
            if child.type == "code_inline":
                yield " ".join(child.content.split())


def links(path: Path) -> Iterator[str]:
    """Where the links and pictures of a page lead."""
    for token in tokens_of(path):
        for child in token.children or ():
            target = child.attrs.get("href" if child.type == "link_open" else "src")
            if isinstance(target, str):
                yield target


@cache
def anchors(path: Path) -> frozenset[str]:
    """Of the headings of a page, as Git hosts and the site (see mkdocs.yml) make them."""
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
