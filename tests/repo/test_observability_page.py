"""docs/observability.md lists the metrics and events of the code. Run this file as a module to write its tables."""

from __future__ import annotations

import re

import yaml

from audience_onboarding.orchestration.events import FIELDS, WHICH
from audience_onboarding.orchestration.metrics import METRICS, PREFIX, Kind
from tests.repo.pages import ROOT, blocks, name_of

PAGE = ROOT / "docs" / "observability.md"


def metrics_table() -> str:
    lines = ["| name | type | unit | tags | when |", "|---|---|---|---|---|"]
    for metric in METRICS:
        tags = ", ".join(f"`{tag}`" for tag in metric.tags)
        lines.append(f"| `{metric.name}` | {metric.kind.value} | {metric.unit} | {tags} | {metric.when} |")
    return "\n".join(lines)


def events_table() -> str:
    lines = ["| event | fields |", "|---|---|"]
    for event, fields in FIELDS.items():
        lines.append(f"| `{event}` | {', '.join(f'`{name}`' for name in fields)} |")
    return "\n".join(lines)


def written() -> str:
    """Return the page with tables made from the code."""
    text = PAGE.read_text(encoding="utf-8")
    for name, content in (
        ("metrics", f"\n{metrics_table()}\n"),
        ("events", f"\n{events_table()}\n"),
        ("which", ", ".join(f"`{name}`" for name in WHICH)),
    ):
        text, found = re.subn(
            rf"(<!-- {name} -->).*?(<!-- /{name} -->)",
            lambda match, content=content: match[1] + content + match[2],
            text,
            flags=re.DOTALL,
        )
        assert found == 1, name
    return text


def test_the_page_lists_all_metrics_and_log_fields() -> None:
    assert PAGE.read_text(encoding="utf-8") == written(), "run: python -m tests.repo.test_observability_page"


def test_the_alerts_use_metrics_and_tags_that_exist() -> None:
    known = {
        f"airflow_{PREFIX}_{metric.name}{'_total' if metric.kind is Kind.COUNTER else ''}": set(metric.tags)
        for metric in METRICS
    }
    (block,) = (block for block in blocks() if block.page == name_of(PAGE) and block.language == "yaml")
    rules = yaml.safe_load(block.text)["groups"][0]["rules"]
    assert rules
    for rule in rules:
        names = set(re.findall(r"airflow_\w+", rule["expr"]))
        assert names, rule
        assert names <= set(known)
        groups = re.findall(r"by \((.*?)\)", rule["expr"])
        tags = {tag.strip() for group in groups for tag in group.split(",")}
        tags |= set(re.findall(r"\{(\w+)=", rule["expr"]))
        assert all(tags <= known[name] for name in names), rule


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
