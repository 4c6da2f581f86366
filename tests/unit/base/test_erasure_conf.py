"""Removal of people from the conf and the audit log of an erasure."""

from __future__ import annotations

import json

from audience_onboarding.base.erasure_conf import (
    HASH_FIELDS,
    drop_unknown_fields,
    redact_audit_entry,
    redact_hashes,
)
from tests.unit.state.helpers import check

HASH = "ab" * 32
ANNA = "anna@example.com"


def test_numbers_take_the_place_of_hashes() -> None:
    others = {"phone_sha256": [], "audiences": ["a"], "dry_run": False}

    left = redact_hashes({"email_sha256": [HASH, HASH], **others})

    assert left == {"email_sha256": [], **others, "removed": {"email_sha256": 2}}
    assert redact_hashes(left) is None


def test_a_conf_without_a_hash_does_not_change() -> None:
    nothing = [None, {}, {"audiences": []}, {"email_sha256": []}]
    check(
        lambda conf: (redact_hashes(conf), drop_unknown_fields(conf)),
        [(conf, (None, None)) for conf in nothing],
    )


def test_neither_name_nor_value_of_an_unknown_field_stays() -> None:
    conf = {ANNA: "", "email": "ben@example.com", "email_sha256": [HASH]}

    left = drop_unknown_fields(conf)

    assert left == {"email_sha256": [HASH], "unknown_fields_removed": 2}
    assert drop_unknown_fields(left) is None
    assert redact_hashes(conf) == {
        "email_sha256": [],
        "unknown_fields_removed": 2,
        "removed": {"email_sha256": 1},
    }


def test_the_audit_log_loses_refused_values_of_each_field() -> None:
    for field in HASH_FIELDS:
        extra = json.dumps({"conf": {field: [ANNA, HASH], "audiences": ["a"]}, "method": "POST"})

        left = redact_audit_entry(extra)

        assert left is not None, field
        assert json.loads(left) == {"conf": {"audiences": ["a"]}, "method": "POST"}
        assert redact_audit_entry(left) is None, field


def test_the_audit_log_loses_it_wherever_it_was_typed() -> None:
    command = f"['airflow', 'dags', 'trigger', 'erase_person', '--conf', '{ANNA}']"
    typed = [
        json.dumps({"conf": {"audiences": [ANNA], "dry_run": ANNA}}),
        json.dumps({"conf": {ANNA: 1}}),
        json.dumps({"conf": ANNA}),
        json.dumps({"full_command": command}),
        json.dumps({"full_command": ["airflow", "-c", f'{{"conf": "{HASH}"}}']}),
        json.dumps({"note": f"for {HASH}"}),
        f"no JSON, {HASH}",
        json.dumps([HASH]),
    ]

    def is_clean(extra: str) -> bool:
        left = redact_audit_entry(extra)
        return left is not None and "anna" not in left and HASH not in left

    check(is_clean, [(extra, True) for extra in typed])


def test_an_entry_without_people_stays() -> None:
    entries = ["", "text", "{}", '{"method": "POST"}', '{"conf": {}}', '{"conf": {"dry_run": true}}']
    check(redact_audit_entry, [(entry, None) for entry in entries])
