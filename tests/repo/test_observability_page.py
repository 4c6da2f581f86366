"""docs/observability.md lists what the code has. To write its tables anew: run this file as a module."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from audience_onboarding.orchestration.events import FIELDS, WHICH
from audience_onboarding.orchestration.metrics import METRICS, PREFIX, Kind

PAGE = Path(__file__).resolve().parents[2] / "docs" / "observability.md"


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
    """The page as it should be."""
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


def alerts() -> list[dict[str, str]]:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    rules: list[dict[str, str]] = yaml.safe_load(block)["groups"][0]["rules"]
    return rules


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_the_alerts_ask_for_metrics_and_tags_that_there_are(rule: dict[str, str]) -> None:
    known = {
        f"airflow_{PREFIX}_{metric.name}{'_total' if metric.kind is Kind.COUNTER else ''}": set(metric.tags)
        for metric in METRICS
    }
    asked = set(re.findall(r"airflow_\w+", rule["expr"]))
    assert asked
    assert asked <= set(known)
    tags = {tag.strip() for found in re.findall(r"by \((.*?)\)", rule["expr"]) for tag in found.split(",")}
    tags |= set(re.findall(r"\{(\w+)=", rule["expr"]))
    assert all(tags <= known[name] for name in asked)


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
