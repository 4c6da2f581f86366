"""What is left of the conf and the audit log of an erasure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from audience_onboarding.orchestration.forgetting import (
    HASH_FIELDS,
    audit_without_people,
    without_people,
    without_unknown,
)

HASH = "ab" * 32


def test_numbers_take_the_place_of_hashes() -> None:
    conf = {"email_sha256": [HASH, HASH], "phone_sha256": [], "audiences": ["a"], "dry_run": False}

    left = without_people(conf)

    assert left == {
        "email_sha256": [],
        "phone_sha256": [],
        "audiences": ["a"],
        "dry_run": False,
        "removed": {"email_sha256": 2},
    }
    assert without_people(left) is None


@pytest.mark.parametrize("conf", [None, {}, {"audiences": []}, {"email_sha256": []}])
def test_where_there_is_no_hash_nothing_changes(conf: Any) -> None:
    assert without_people(conf) is None
    assert without_unknown(conf) is None


def test_of_a_field_that_the_form_does_not_have_neither_name_nor_value_stays() -> None:
    conf = {"anna@example.com": "", "email": "ben@example.com", "email_sha256": [HASH]}

    left = without_unknown(conf)

    assert left == {"email_sha256": [HASH], "unknown_fields_removed": 2}
    assert without_unknown(left) is None
    assert without_people(conf) == {
        "email_sha256": [],
        "unknown_fields_removed": 2,
        "removed": {"email_sha256": 1},
    }


@pytest.mark.parametrize("field", HASH_FIELDS)
def test_the_audit_log_loses_what_was_typed_also_if_it_was_refused(field: str) -> None:
    extra = json.dumps({"conf": {field: ["anna@example.com", HASH], "audiences": ["a"]}, "method": "POST"})

    left = audit_without_people(extra)

    assert left is not None
    assert json.loads(left) == {"conf": {"audiences": ["a"]}, "method": "POST"}
    assert audit_without_people(left) is None


@pytest.mark.parametrize(
    "extra",
    [
        json.dumps({"conf": {"audiences": ["anna@example.com"], "dry_run": "anna@example.com"}}),
        json.dumps({"conf": {"anna@example.com": 1}}),
        json.dumps({"conf": "anna@example.com"}),
        json.dumps(
            {"full_command": "['airflow', 'dags', 'trigger', 'erase_person', '--conf', 'anna@example.com']"}
        ),
        json.dumps({"full_command": ["airflow", "-c", f'{{"conf": "{HASH}"}}']}),
        json.dumps({"note": f"for {HASH}"}),
        f"no JSON, {HASH}",
        json.dumps([HASH]),
    ],
)
def test_the_audit_log_loses_it_wherever_it_was_typed(extra: str) -> None:
    left = audit_without_people(extra)

    assert left is not None
    assert "anna" not in left
    assert HASH not in left


@pytest.mark.parametrize(
    "extra", ["", "text", "{}", '{"method": "POST"}', '{"conf": {}}', '{"conf": {"dry_run": true}}']
)
def test_an_entry_with_nothing_in_it_stays(extra: str) -> None:
    assert audit_without_people(extra) is None
