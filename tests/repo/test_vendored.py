"""Files of other makers in the package are those that were published."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

VENDORED = Path("plugins/audience_onboarding/ui/static/vendor")
LINE = re.compile(
    r"^\| `(?P<name>[^`]+)` .*`(?P<licence>[^`]+)` \| `(?P<sum>[0-9a-f]{64})` \|$", re.MULTILINE
)


def test_each_file_has_its_sum_its_licence_and_its_version(root: Path) -> None:
    folder = root / VENDORED
    text = (folder / "README.md").read_text(encoding="utf-8")
    names = {"README.md"}
    for line in LINE.finditer(text):
        assert hashlib.sha256((folder / line["name"]).read_bytes()).hexdigest() == line["sum"], line["name"]
        assert "MIT License" in (folder / line["licence"]).read_text(encoding="utf-8")
        names |= {line["name"], line["licence"]}
    assert {path.name for path in folder.iterdir()} == names
    (version,) = re.findall(r"\| ([\d.]+) \| MIT", text)
    assert f"Chart.js v{version}\n" in (folder / "chart.umd.min.js").read_text(encoding="utf-8")[:200]


def test_the_page_fetches_nothing_from_elsewhere(root: Path) -> None:
    """Inline scripts and styles are forbidden, too: the policy of the page refuses them."""
    static = root / VENDORED.parent
    for path in [*static.glob("*.js"), *static.glob("*.css"), *static.glob("*.html")]:
        text = path.read_text(encoding="utf-8")
        found = set(re.findall(r"https?://[^\s\"'`)]+", text)) - {"http://www.w3.org/2000/svg"}
        assert found == set(), path.name
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " style="):
            assert word not in text, f"{path.name} has {word}"
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style| on\w+=\"", text), path.name
