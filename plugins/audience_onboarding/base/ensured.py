"""What the tasks that see to an audience leave to those that come after them."""

from __future__ import annotations

from dataclasses import dataclass

from airflow.sdk import BaseOperator

from audience_onboarding.base.templating import RemoteId


@dataclass(frozen=True)
class Ensured:
    """An audience that is seen to.

    :param audience_id: its id, or where it comes from: the output of a task, or a template.
    :param by: tasks that have to be a success first, where ``audience_id`` does not say so itself.
    """

    audience_id: RemoteId
    by: tuple[BaseOperator, ...] = ()
