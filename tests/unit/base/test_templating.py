"""Values that come through a template."""

from __future__ import annotations

from datetime import date

import pytest

from audience_onboarding.base.templating import as_bool, source_url
from audience_onboarding.exceptions import ConfigurationError

DAY = date(2026, 11, 20)


def test_booleans_that_come_through_a_template() -> None:
    for value in (True, "True", "true", " TRUE ", "1", "yes"):
        assert as_bool(value) is True
    for value in (False, "False", "false", "", "None", "0", "no"):
        assert as_bool(value) is False


@pytest.mark.parametrize(
    ("template", "url"),
    [
        ("crm/{load_date}.csv", "crm/2026-11-20.csv"),
        ("s3://bucket/{load_date:%Y/%m/%d}/x.csv", "s3://bucket/2026/11/20/x.csv"),
        ("{load_date:%Y%m%d}-{load_date}.csv", "20261120-2026-11-20.csv"),
        ("one file for all days.csv", "one file for all days.csv"),
        ("{{literally}}.csv", "{literally}.csv"),
    ],
)
def test_the_load_date_is_filled_in(template: str, url: str) -> None:
    assert source_url(template, DAY) == url


@pytest.mark.parametrize(
    "template",
    ["{date}.csv", "{}.csv", "{load_date", "load_date}", "{load_date.week}.csv", "{load_date[0]}.csv"],
)
def test_any_other_placeholder_is_refused(template: str) -> None:
    with pytest.raises(ConfigurationError, match="placeholder that is not known") as caught:
        source_url(template, DAY)

    assert repr(template) in str(caught.value)
