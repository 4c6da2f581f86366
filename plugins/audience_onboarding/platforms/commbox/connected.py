"""What takes a connection to CommBox."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.sdk import BaseOperator

from audience_onboarding.platforms.commbox.hooks import CommBoxHook


class CommBoxConnected(BaseOperator):
    """Mixed into operators and sensors. An operator itself, or Airflow would take its argument neither from
    ``default_args`` nor in ``partial()``.

    :param commbox_conn_id: a connection of type ``commbox`` (templated).
    """

    def __init__(self, *, commbox_conn_id: str = CommBoxHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.commbox_conn_id = commbox_conn_id

    @cached_property
    def hook(self) -> CommBoxHook:
        """The connection to the vendor."""
        return CommBoxHook(self.commbox_conn_id)
