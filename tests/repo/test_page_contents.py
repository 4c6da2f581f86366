"""Tables, queries and figures of single pages are those of the code.

Run this file as a module to write the tables of docs/reference/observability.md.
"""

from __future__ import annotations

import inspect
import json
import re
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from audience_onboarding import exceptions
from audience_onboarding.base.load import format_report
from audience_onboarding.base.load_events import FIELDS, LOAD_LABELS
from audience_onboarding.base.metrics import METRICS, PREFIX
from audience_onboarding.crm.output.profiles import DIGITAL_AUDIENCE_S3, Identifier
from audience_onboarding.crm.prepare import prepare
from audience_onboarding.crm.sources.csv_file import CsvSource
from audience_onboarding.exceptions import AudienceOnboardingError, TransientError, VendorError, help_url
from audience_onboarding.platforms.commbox.client import CommBoxClient
from audience_onboarding.platforms.fanfare.client import FanfareClient
from audience_onboarding.storage.audit_table import COLUMNS, ddl, write_row
from tests.repo.pages import ROOT, Block, blocks


def blocks_of(page: str, language: str) -> list[str]:
    return [block.text for block in blocks() if (block.page, block.language) == (page, language)]


# --- docs/how-to/audit.md, docs/how-to/alerts.md -------------------------------------------------------------------

AUDIT = "audience_onboarding_audit"
LOADS = (
    # type, date, outcome, by, error
    ("scheduled", "2026-11-18", "confirmed", None, None),
    ("scheduled", "2026-11-19", "failed", None, "GuardError"),
    ("manual", "2026-11-20", "failed", "jo", None),
    ("manual", "2026-11-20", "unchanged", "jo", None),
    ("scheduled", "2026-11-13", "dry_run", None, None),
)


def test_the_audit_table_and_its_queries(tmp_path: Path) -> None:
    create, *queries = blocks_of("docs/how-to/audit.md", "sql")
    assert create.strip() == ddl(AUDIT).replace(" IF NOT EXISTS", "")

    path = tmp_path / "audit.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(create)
    names = ("run_type", "load_date", "outcome", "triggered_by", "error")
    for number, values in enumerate(LOADS):
        row = dict.fromkeys(COLUMNS) | {"dag_id": "onboard_x", "audience_key": "x", "run_id": str(number)}
        row |= {"ended_at": f"2026-11-21 00:00:0{number}", **dict(zip(names, values, strict=True))}
        write_row(lambda: sqlite3.connect(path), row, table=AUDIT, label="db")
    with closing(sqlite3.connect(path)) as connection:
        week, missing, by_hand = (connection.execute(query).fetchall() for query in queries)

    assert [row[1:3] for row in week] == [load[1:3] for load in LOADS if load[2] != "dry_run"]
    assert missing == [("x", "2026-11-19", "GuardError")]
    assert [row[1:6] for row in by_hand] == [
        ("jo", "x", "2026-11-20", None, "unchanged"),
        ("jo", "x", "2026-11-20", None, "failed"),
    ]


def test_the_example_of_a_notifier_works(tmp_path: Path) -> None:
    from airflow.sdk import BaseNotifier

    known: dict[str, Any] = {"BaseNotifier": BaseNotifier}
    (code,) = blocks_of("docs/how-to/alerts.md", "python")
    exec("from __future__ import annotations\n" + code, known)  # noqa: S102
    path = tmp_path / "out.jsonl"

    known["FileNotifier"](path=str(path))({"audience_onboarding": {"subject": 'it\'s "late"'}})

    assert json.loads(path.read_text()) == {"subject": 'it\'s "late"'}


# --- docs/reference/vendor-api-coverage.md ---------------------------------------------------------------------

NO_OPERATIONS = {"find_audience", "check_type", "find_import", "load_audience", "check_static"}
"""Public methods that are made of others."""


def test_every_operation_of_a_client_has_its_row_and_its_test() -> None:
    page = (ROOT / "docs" / "reference" / "vendor-api-coverage.md").read_text(encoding="utf-8")
    for title, client in {"Fanfare": FanfareClient, "CommBox": CommBoxClient}.items():
        section = page.partition(f"\n## {title}")[2].partition("\n## ")[0]
        methods = {
            name
            for name, value in vars(client).items()
            if not name.startswith("_") and callable(getattr(client, name))
        }
        folders = (ROOT / "tests" / "integration" / title.lower(), ROOT / "tests" / "unit" / "clients")
        tests = "".join(
            path.read_text(encoding="utf-8") for folder in folders for path in folder.glob("test_*.py")
        )

        rows = re.findall(r"^\| .+ \| `(\w+)` \| `test_\w+` \|$", section, re.MULTILINE)
        assert set(rows) == methods - NO_OPERATIONS
        named = re.findall(r"`(test_\w+)`", section)
        assert [name for name in named if f"def {name}(" not in tests] == []


# --- docs/how-to/troubleshooting.md ----------------------------------------------------------------------------

NEVER_RAISED = {AudienceOnboardingError, VendorError}
"""Base classes only. ``TransientError`` and ``TerminalError`` are raised if no other class fits."""

CLASSES = {
    name: cls
    for name, cls in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(cls, AudienceOnboardingError) and cls not in NEVER_RAISED
}


def test_every_error_has_its_paragraph_under_the_anchor_of_its_message() -> None:
    text = (ROOT / "docs" / "how-to" / "troubleshooting.md").read_text(encoding="utf-8")
    found = re.findall(r"^### (\S+)\n\n(.+?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    paragraphs = {name: " ".join(words.split()) for name, words in found}
    assert set(paragraphs) == set(CLASSES)
    assert len(re.findall(r"^### ", text, re.MULTILINE)) == len(paragraphs)
    for name, paragraph in paragraphs.items():
        cause, check, fix, retried = re.split(r"\*\*(?:Check|Fix|Retried:)\*\*", paragraph)
        assert min(map(len, (cause, check, fix))) > 10, name
        expected = "yes" if issubclass(CLASSES[name], TransientError) else "no"
        assert retried.strip().startswith(expected), name

        path, _, anchor = help_url(name).partition("#")
        assert (ROOT / path).read_text(encoding="utf-8") == text
        # Both a Git host and the site make the anchor of a heading of one word by lower case.
        assert anchor in {heading.lower() for heading in paragraphs}
        assert re.fullmatch(r"[a-z]+", anchor)


def test_every_error_of_the_package_is_in_one_module() -> None:
    """Outcomes that callers handle themselves are no errors of this kind."""
    bases = "|".join([*CLASSES, *(cls.__name__ for cls in NEVER_RAISED)])
    found = [
        path.name
        for path in (ROOT / "plugins" / "audience_onboarding").rglob("*.py")
        if path.name != "exceptions.py"
        and re.search(rf"^class \w+\(.*\b({bases})\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert found == []


# --- docs/tutorials/quick-start.md -----------------------------------------------------------------------------


def quick_start(part: str) -> Block:
    (found,) = (
        block for block in blocks() if block.page == "docs/tutorials/quick-start.md" and part in block.text
    )
    return found


def test_the_quick_start_shows_the_figures_of_its_list(tmp_path: Path) -> None:
    written = re.search(r"<<'END'\n(.*)^END$", quick_start("<<'END'").text, re.DOTALL | re.MULTILINE)
    assert written
    (tmp_path / "list.csv").write_text(written[1], encoding="utf-8")
    mapped = yaml.safe_load(quick_start("platform:").text)["source"]["columns"]
    columns = {Identifier(name): column for name, column in mapped.items()}

    with prepare(CsvSource(tmp_path / "list.csv"), columns=columns, profile=DIGITAL_AUDIENCE_S3) as load:
        assert format_report(load.report) == quick_start("Prepared the list").text.rstrip("\n")
        assert b"".join(load.rejects()).decode() == quick_start("file,row,field").text

    samples = {path.stem for path in (ROOT / "include" / "audiences").glob("[!_]*.yaml")} - {"my_customers"}
    assert f"{len(samples) + 1} definitions in include/audiences" in quick_start("onboarding check").text


# --- docs/reference/observability.md ---------------------------------------------------------------------------

OBSERVABILITY = ROOT / "docs" / "reference" / "observability.md"


def code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def table(*rows: Sequence[str]) -> str:
    header, *others = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join(["", header, f"|{'---|' * len(rows[0])}", *others, ""])


def written() -> str:
    """Return the page with tables made from the code."""
    text = OBSERVABILITY.read_text(encoding="utf-8")
    metrics = [(code([item.name]), item.kind, item.unit, code(item.tags), item.when) for item in METRICS]
    events = [(code([event]), code(fields)) for event, fields in FIELDS.items()]
    for name, content in {
        "metrics": table(("name", "type", "unit", "tags", "when"), *metrics),
        "events": table(("event", "fields"), *events),
        "which": code(LOAD_LABELS),
    }.items():
        head, begin, rest = text.partition(f"<!-- {name} -->")
        _, end, tail = rest.partition(f"<!-- /{name} -->")
        assert begin, name
        assert end, name
        text = head + begin + content + end + tail
    return text


def test_the_page_lists_all_metrics_and_log_fields() -> None:
    text = OBSERVABILITY.read_text(encoding="utf-8")
    assert text == written(), "run: python -m tests.repo.test_page_contents"


def test_the_alerts_use_metrics_and_tags_that_exist() -> None:
    known = {
        f"airflow_{PREFIX}_{metric.name}{'_total' if metric.kind == 'counter' else ''}": set(metric.tags)
        for metric in METRICS
    }
    (block,) = blocks_of("docs/reference/observability.md", "yaml")
    rules = yaml.safe_load(block)["groups"][0]["rules"]
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
    OBSERVABILITY.write_text(written(), encoding="utf-8")
