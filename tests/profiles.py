"""Size of the generated tests: ``quick`` by default, ``thorough`` in ``.ci/run``.

``TEST_PROFILE=thorough`` (``make test THOROUGH=1``) draws more and other examples. The quick profile draws the same
examples in each run, so that its result depends on the code alone.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

THOROUGH = os.environ.get("TEST_PROFILE") == "thorough"

_common = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.register_profile("quick", _common, max_examples=10, derandomize=True, database=None)
settings.register_profile("thorough", _common, max_examples=100, print_blob=True)
settings.load_profile("thorough" if THOROUGH else "quick")
