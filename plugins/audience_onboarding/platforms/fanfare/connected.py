"""What takes a connection to Fanfare."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.sdk import BaseOperator

from audience_onboarding.platforms.fanfare.hooks import FanfareHook


class FanfareConnected(BaseOperator):
    """Mixed into operators and sensors. An operator itself, or Airflow would take its argument neither from
    ``default_args`` nor in ``partial()``.

    :param fanfare_conn_id: a connection of type ``fanfare`` (templated).
    """

    def __init__(self, *, fanfare_conn_id: str = FanfareHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fanfare_conn_id = fanfare_conn_id

    @cached_property
    def hook(self) -> FanfareHook:
        """The connection to the vendor."""
        return FanfareHook(self.fanfare_conn_id)
