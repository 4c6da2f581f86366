"""Links and anchors of the pages resolve, and the site renders them as a Git host does."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import zip_longest
from typing import Any
from urllib.parse import unquote

import markdown
from pymdownx.slugs import slugify

from scripts.docs_site import OUTSIDE, page_of, with_links
from tests.repo.pages import PAGES, ROOT, anchors, links, name_of, tokens_of
from tests.repo.pages import markdown as as_on_a_git_host

LINKED = [*PAGES, ROOT / "CHANGELOG.md"]


def test_links_and_anchors_resolve() -> None:
    broken = []
    for page, target in ((path, target) for path in LINKED for target in links(path)):
        if "://" in target or target.startswith("mailto:"):
            is_good = target.startswith(("https://", "mailto:"))
        else:
            to, _, anchor = target.partition("#")
            file = (page.parent / unquote(to)).resolve() if to else page
            is_good = file.exists() and file.is_relative_to(ROOT)
            is_good = is_good and (not anchor or (file.suffix == ".md" and anchor in anchors(file)))
        broken += [] if is_good else [f"{name_of(page)}: {target}"]
    assert not broken, "\n".join(broken)


DECISION = re.compile(r"# (\d{4}): (.+)\n\nStatus: (\w+)[^\n]*, (\d{4}-\d\d-\d\d)\n\n\S")


def test_pages_are_short_and_have_one_title() -> None:
    problems = []
    for path in (path for path in PAGES if path.is_relative_to(ROOT / "docs")):
        text = path.read_text(encoding="utf-8")
        titles = [token for token in tokens_of(path) if token.type == "heading_open" and token.tag == "h1"]
        if len(titles) != 1 or not text.startswith("# ") or len(text.splitlines()) > 300:
            problems.append(name_of(path))
    assert problems == []


def test_the_index_lists_every_decision_with_its_status_and_date() -> None:
    folder = ROOT / "docs" / "decisions"
    rows = []
    for path in sorted(folder.glob("0*.md")):
        match = DECISION.match(path.read_text(encoding="utf-8"))
        assert match, path.name
        number, title, status, date = match.groups()
        assert path.name.startswith(f"{number}-")
        rows.append(f"| [{number}]({path.name}) | {title} | {status} | {date} |")
    index = (folder / "README.md").read_text(encoding="utf-8")
    assert [line for line in index.splitlines() if line.startswith("| [")] == rows


# --- the site reads as a Git host does ------------------------------------------------------------------------

EXTENSIONS: list[Any] = ["admonition", "attr_list", "md_in_html", "tables", "toc"]
EXTENSIONS += ["pymdownx.highlight", "pymdownx.superfences"]
CONFIGS = {"toc": {"slugify": slugify(case="lower")}}
SHOWN = {
    "a", "blockquote", "em", "h1", "h2", "h3", "h4", "img", "li", "ol", "pre", "strong", "table", "td", "ul",
}  # fmt: skip


class Shape(HTMLParser):
    """The elements in their order, each with its depth in lists, and the ids of the headings."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, int]] = []
        self.ids: set[str] = set()
        self._depth = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        if tag in SHOWN:
            self.elements.append((tag, self._depth))
        self._depth += tag == "li"
        if re.fullmatch("h[1-4]", tag):
            self.ids |= {value for name, value in attrs if name == "id" and value}

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        self._depth -= tag == "li"


def test_the_site_shows_what_a_git_host_shows() -> None:
    """Above all lists and the blocks in them: the two understand indentation differently."""
    problems = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        there = Shape(as_on_a_git_host().render(text))
        here = Shape(markdown.markdown(text, extensions=EXTENSIONS, extension_configs=CONFIGS))
        pairs = zip_longest(here.elements, there.elements)
        if different := next((f"{site} for {host}" for site, host in pairs if site != host), None):
            problems.append(f"{name_of(path)}: {different}")
        # Of equal headings, the site ends the ids of the later ones in another way; mkdocs finds links to these.
        if {re.sub(r"_(\d+)$", r"-\1", anchor) for anchor in here.ids} != anchors(path):
            problems.append(f"{name_of(path)}: other anchors")
    assert not problems, "\n".join(problems)


# --- links on the site ----------------------------------------------------------------------------------------


SITE_LINKS = [
    ("README.md", "[x](docs/explanation/privacy.md#y)", "[x](explanation/privacy.md#y)"),
    ("README.md", "![x](docs/images/onboarding-run.png)", "![x](images/onboarding-run.png)"),
    ("README.md", "[x](include/sandbox/README.md)", "[x](sandbox.md)"),
    ("docs/decisions/README.md", "[x](../explanation/x.md)", "[x](../explanation/x.md)"),
    ("docs/decisions/README.md", "[x](../../CHANGELOG.md)", "[x](../changelog.md)"),
    ("docs/how-to/upgrade.md", "[a\nb](../../CHANGELOG.md)", "[a\nb](../changelog.md)"),
    ("include/sandbox/README.md", "[x](#faults)", "[x](#faults)"),
    ("docs/explanation/privacy.md", "[x](https://example.com)", "[x](https://example.com)"),
    # A file that is no page is no link, if no address of the sources is known.
    ("docs/explanation/privacy.md", "see [`LICENSE`](../../LICENSE) there", "see `LICENSE` there"),
    # A file that does not exist is left for mkdocs to find.
    ("docs/explanation/privacy.md", "[x](../nowhere.md)", "[x](../nowhere.md)"),
    ("docs/explanation/privacy.md", "`[x](../CHANGELOG.md)`", "`[x](../CHANGELOG.md)`"),
    ("docs/explanation/privacy.md", "```text\n[x](../LICENSE)\n```\n", "```text\n[x](../LICENSE)\n```\n"),
    (
        "docs/a.md",
        "1. x\n    ```text\n    [x](../LICENSE)\n    ```\n    [y](../CHANGELOG.md)",
        "1. x\n    ```text\n    [x](../LICENSE)\n    ```\n    [y](changelog.md)",
    ),
]


def test_links_become_those_of_the_site() -> None:
    for source, given, expected in SITE_LINKS:
        assert with_links(given, source=source, root=ROOT) == expected
    found = with_links("[x](../LICENSE)", source="docs/a.md", root=ROOT, repo_url="https://git.example/r/")
    assert found == "[x](https://git.example/r/blob/HEAD/LICENSE)"


def test_every_page_is_one_of_the_site() -> None:
    assert [name_of(path) for path in LINKED if page_of(name_of(path)) is None] == []
    assert all((ROOT / source).is_file() for source in OUTSIDE)
