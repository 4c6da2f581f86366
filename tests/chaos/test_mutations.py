"""The judges see a broken rule."""

from __future__ import annotations

import pytest

from tests.chaos.faults import Exchange, fault_called
from tests.chaos.flows import flow_called
from tests.chaos.mutations import MUTATIONS, Mutation
from tests.chaos.schedules import Planned, Stage


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_broken_rule_is_caught(
    stage: Stage, exchanges: dict[str, list[Exchange]], mutation: Mutation
) -> None:
    flow = flow_called(mutation.flow)
    plan = []
    if mutation.operation:
        numbers = [item.number for item in exchanges[flow.name] if item.operation == mutation.operation]
        # The second one is the first poll after the upload; a slow machine may have recorded more of them.
        plan = [Planned(numbers[:2][-1], fault_called(mutation.fault))]
    with stage.set_up():
        whole = stage.play(flow, plan)
        with mutation.broken():
            broken = stage.play(flow, plan)
    assert not whole.violations
    assert {violation.kind for violation in broken.violations} & mutation.caught_as
