"""The pages as pages: links and anchors lead somewhere, and the site shows what a Git host shows."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import markdown
import pytest
from pymdownx.slugs import slugify

from scripts.docs_site import OUTSIDE, page_of, with_links
from tests.repo.pages import PAGES, ROOT, anchors, links, name_of
from tests.repo.pages import markdown as as_on_a_git_host

LINKED = [*PAGES, ROOT / "CHANGELOG.md"]


@pytest.mark.parametrize("path", LINKED, ids=name_of)
def test_links_and_anchors_lead_somewhere(path: Path) -> None:
    broken = []
    for target in links(path):
        if "://" in target or target.startswith("mailto:"):
            continue
        to, _, anchor = target.partition("#")
        file = (path.parent / unquote(to)).resolve() if to else path
        if (
            not file.exists()
            or not file.is_relative_to(ROOT)
            or (anchor and (file.suffix != ".md" or anchor not in anchors(file)))
        ):
            broken.append(target)
    assert broken == []


def test_links_elsewhere_are_safe() -> None:
    elsewhere = {target for path in LINKED for target in links(path) if "://" in target}
    assert elsewhere
    assert [target for target in elsewhere if not target.startswith("https://")] == []


# --- the site reads as a Git host does ------------------------------------------------------------------------

EXTENSIONS: list[Any] = ["admonition", "attr_list", "md_in_html", "tables", "toc"]
EXTENSIONS += ["pymdownx.highlight", "pymdownx.superfences"]
CONFIGS = {"toc": {"slugify": slugify(case="lower")}}
SHOWN = {
    "a",
    "blockquote",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "img",
    "li",
    "ol",
    "pre",
    "strong",
    "table",
    "td",
    "ul",
}


class Shape(HTMLParser):
    """The elements in their order, each with how deep in lists it is, and the ids of the headings."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, int]] = []
        self.ids: set[str] = set()
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        if tag in SHOWN:
            self.elements.append((tag, self._depth))
        if tag == "li":
            self._depth += 1
        if re.fullmatch("h[1-4]", tag):
            self.ids |= {value for name, value in attrs if name == "id" and value}

    def handle_endtag(self, tag: str) -> None:
        """Leave it."""
        if tag == "li":
            self._depth -= 1


def shape(html: str) -> Shape:
    found = Shape()
    found.feed(html)
    return found


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_the_site_shows_what_a_git_host_shows(path: Path) -> None:
    """Above all lists and what stands inside them: the two understand indentation differently."""
    text = path.read_text(encoding="utf-8")
    there = shape(as_on_a_git_host().render(text))
    here = shape(markdown.markdown(text, extensions=EXTENSIONS, extension_configs=CONFIGS))

    assert here.elements == there.elements
    # Of headings that are there twice, the site ends the later ones in another way; mkdocs finds links to these.
    assert {re.sub(r"_(\d+)$", r"-\1", anchor) for anchor in here.ids} == anchors(path)


# --- links on the site ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "given", "expected"),
    [
        ("README.md", "[x](docs/privacy.md#y)", "[x](privacy.md#y)"),
        ("README.md", "![x](docs/images/onboarding-run.png)", "![x](images/onboarding-run.png)"),
        ("README.md", "[x](include/sandbox/README.md)", "[x](sandbox.md)"),
        ("docs/decisions/README.md", "[x](../benchmarks.md)", "[x](../benchmarks.md)"),
        ("docs/decisions/README.md", "[x](../../CHANGELOG.md)", "[x](../changelog.md)"),
        ("docs/upgrade.md", "[a\nb](../CHANGELOG.md)", "[a\nb](changelog.md)"),
        ("include/sandbox/README.md", "[x](#faults)", "[x](#faults)"),
        ("docs/privacy.md", "[x](https://example.com)", "[x](https://example.com)"),
        # What is no page is no link, where nobody shows the sources.
        ("docs/privacy.md", "see [`LICENSE`](../LICENSE) there", "see `LICENSE` there"),
        # What is not there at all is left for mkdocs to find.
        ("docs/privacy.md", "[x](../nowhere.md)", "[x](../nowhere.md)"),
        ("docs/privacy.md", "`[x](../CHANGELOG.md)`", "`[x](../CHANGELOG.md)`"),
        ("docs/privacy.md", "```text\n[x](../LICENSE)\n```\n", "```text\n[x](../LICENSE)\n```\n"),
        ("docs/a.md", "1. x\n    ```text\n    [x](../LICENSE)\n    ```\n    [y](../CHANGELOG.md)", None),
    ],
)
def test_links_become_those_of_the_site(source: str, given: str, expected: str | None) -> None:
    found = with_links(given, source=source, root=ROOT)

    assert found == (expected or given.replace("[y](../CHANGELOG.md)", "[y](changelog.md)"))


def test_sources_are_linked_to_where_they_are_shown() -> None:
    found = with_links("[x](../LICENSE)", source="docs/a.md", root=ROOT, repo_url="https://git.example/r/")

    assert found == "[x](https://git.example/r/blob/HEAD/LICENSE)"


def test_every_page_is_one_of_the_site() -> None:
    assert [name_of(path) for path in LINKED if page_of(name_of(path)) is None] == []
    assert all((ROOT / source).is_file() for source in OUTSIDE)
