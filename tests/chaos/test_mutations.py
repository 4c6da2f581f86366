"""The judges see a broken rule."""

from __future__ import annotations

import pytest

from tests.chaos.faults import Exchange
from tests.chaos.mutations import MUTATIONS, Mutation
from tests.chaos.schedules import Stage
from tests.chaos.sweep import Task, play


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_broken_rule_is_caught(
    stage: Stage, exchanges: dict[str, list[Exchange]], mutation: Mutation
) -> None:
    task = Task(mutation.flow)
    if mutation.operation:
        numbers = [item.number for item in exchanges[mutation.flow] if item.operation == mutation.operation]
        # The second one is the first poll after the upload; a slow machine may have recorded more of them.
        task = Task(mutation.flow, ((numbers[:2][-1], mutation.fault),), is_aimed=True)
    with stage.set_up():
        whole = play(task, stage)
        with mutation.broken():
            broken = play(task, stage)
    assert not whole.violations
    assert {violation.kind for violation in broken.violations} & mutation.caught_as
