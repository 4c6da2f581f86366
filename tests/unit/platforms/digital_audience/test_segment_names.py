"""Names of segments: filled in for a load, and recognised at the vendor."""

from __future__ import annotations

from datetime import date

import pytest

from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.platforms.digital_audience.segment_names import SegmentName, checked_template
from tests.unit.platforms.cases import every_case

DAY = date(2026, 11, 5)
ACCOUNT = {"platform": "DV360", "account": "Example NL"}


def name(template: str) -> SegmentName:
    return SegmentName(template, "News (NL)", "newsletter", "dv360")


def test_a_name_is_filled_in_and_recognised() -> None:
    with every_case() as case:
        for template, filled_in, period in (
            ("Fixed", "Fixed", ""),
            ("{audience}|{key}|{target}", "News (NL)|newsletter|dv360", ""),
            ("{platform}: {account}", "DV360: Example NL", ""),
            ("CRM {load_date}", "CRM 2026-11-05", "2026-11-05"),
            ("CRM {load_date:%Y-%m}", "CRM 2026-11", "2026-11"),
            ("CRM {load_date:%GW%V}", "CRM 2026W45", "2026-45"),
            ("{load_date:%Y}/{load_date:%j}", "2026/309", "2026-309"),
            ("{load_date:%d.%m.%y}", "05.11.26", "05-11-26"),
        ):
            with case(template):
                naming = name(checked_template(template))
                assert naming.of(DAY, **ACCOUNT) == filled_in
                assert naming.period(DAY) == period
                assert naming.is_dated is bool(period)
                assert naming.fits(filled_in, **ACCOUNT)


def test_other_names_are_not_ours() -> None:
    ours = name("CRM {load_date:%Y-%m}")
    others = (None, "", "CRM 2026-11 of somebody", "my CRM 2026-11", "CRM 2026-1", "CRM 2026-11-05")

    assert [other for other in (*others, "CRM soon", "crm 2026-11") if ours.fits(other, **ACCOUNT)] == []


def test_what_is_special_in_patterns_is_not_special_in_names() -> None:
    assert not name("{audience}.").fits("News (NL)x", **ACCOUNT)
    assert not name("{audience}").fits("News NL", **ACCOUNT)


def test_a_template_that_cannot_be_filled_in_is_refused() -> None:
    with every_case() as case:
        for template, message in (
            ("{name}", r"\{name\} is an unknown placeholder; allowed are \{audience\}, \{key\}"),
            *(
                (wrong, "is an unknown placeholder")
                for wrong in ("{}", "{0}", "{audience.key}", "{audience!r}")
            ),
            ("{audience:>30}", r"\{audience\} takes no format"),
            ("{load_date:%B}", "a format is made of %Y"),
            *((f"{{load_date:{wrong}}}", "a format is made of") for wrong in ("%H", "week", "%")),
            *((wrong, "unbalanced braces") for wrong in ("{load_date", "load_date}")),
        ):
            with case(template), pytest.raises(ValueError, match=message):
                checked_template(template)


def test_a_load_date_is_never_guessed() -> None:
    for wanting in (name("{load_date}").of, name("{load_date}").period):
        with pytest.raises(ConfigurationError, match="Trigger the DAG again with a load date"):
            wanting(None, **(ACCOUNT if wanting.__name__ == "of" else {}))
    assert name("Fixed").of(None, **ACCOUNT) == "Fixed"
