"""How often to look."""

from __future__ import annotations

from itertools import islice

import pytest

from audience_onboarding.orchestration.polling import growing_pauses


@pytest.mark.parametrize(
    ("longest", "pauses"),
    [
        (60.0, [5, 10, 20, 40, 60, 60]),
        (10.0, [5, 10, 10]),
        (1.0, [1, 1, 1]),
        (0.25, [0.25, 0.25, 0.25]),
    ],
)
def test_pauses_double_up_to_the_longest(longest: float, pauses: list[float]) -> None:
    assert list(islice(growing_pauses(longest), len(pauses))) == pauses
