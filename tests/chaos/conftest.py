"""A stage for a slice of the chaos suite; ``make chaos`` plays all of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.faults import Exchange
from tests.chaos.flows import FLOWS, Flow
from tests.chaos.schedules import Stage
from tests.chaos.sweep import discover, sandbox_in


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage with a sandbox of its own."""
    folder = tmp_path_factory.mktemp("chaos")
    with pytest.MonkeyPatch.context() as patch:
        sandbox = sandbox_in(folder, set_variable=patch.setenv)
        try:
            yield Stage(sandbox, folder)
        finally:
            sandbox.stop()


@pytest.fixture(scope="session")
def exchanges(stage: Stage) -> dict[str, list[Exchange]]:
    """The exchanges of all flows."""
    with stage.set_up():
        return discover(stage, FLOWS)


@pytest.fixture(params=FLOWS, ids=lambda flow: flow.name)
def flow(request: pytest.FixtureRequest) -> Flow:
    """Each flow in turn."""
    found: Flow = request.param
    return found
