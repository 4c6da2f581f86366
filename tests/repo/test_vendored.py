"""What is in the package but from elsewhere is as its makers published it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

VENDORED = Path("plugins/audience_onboarding/ui/static/vendor")
LINE = re.compile(
    r"^\| `(?P<name>[^`]+)` .*`(?P<licence>[^`]+)` \| `(?P<sum>[0-9a-f]{64})` \|$", re.MULTILINE
)


def test_each_file_has_the_sum_that_is_written_down_and_its_licence(root: Path) -> None:
    folder = root / VENDORED
    lines = [match.groupdict() for match in LINE.finditer((folder / "README.md").read_text(encoding="utf-8"))]
    assert lines
    told = {"README.md"}
    for line in lines:
        assert hashlib.sha256((folder / line["name"]).read_bytes()).hexdigest() == line["sum"], line["name"]
        assert "MIT License" in (folder / line["licence"]).read_text(encoding="utf-8")
        told |= {line["name"], line["licence"]}
    assert {path.name for path in folder.iterdir()} == told


def test_the_version_is_the_one_in_the_file(root: Path) -> None:
    text = (root / VENDORED / "README.md").read_text(encoding="utf-8")
    (version,) = re.findall(r"\| ([\d.]+) \| MIT", text)
    assert (
        f"Chart.js v{version}\n" in (root / VENDORED / "chart.umd.min.js").read_text(encoding="utf-8")[:200]
    )


def test_the_page_fetches_nothing_from_elsewhere(root: Path) -> None:
    """And has nothing inline, which its policy would refuse."""
    static = root / VENDORED.parent
    for path in [*static.glob("*.js"), *static.glob("*.css"), *static.glob("*.html")]:
        text = path.read_text(encoding="utf-8")
        found = set(re.findall(r"https?://[^\s\"'`)]+", text)) - {"http://www.w3.org/2000/svg"}
        assert found == set(), path.name
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " style="):
            assert word not in text, f"{path.name} has {word}"
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style| on\w+=\"", text), path.name
