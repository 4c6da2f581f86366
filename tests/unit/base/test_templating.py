"""Values that come through a template."""

from __future__ import annotations

from audience_onboarding.base.templating import as_bool


def test_booleans_that_come_through_a_template() -> None:
    for value in (True, "True", "true", " TRUE ", "1", "yes"):
        assert as_bool(value) is True
    for value in (False, "False", "false", "", "None", "0", "no"):
        assert as_bool(value) is False
