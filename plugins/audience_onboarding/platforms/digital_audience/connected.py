"""What takes a connection to Digital Audience."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.sdk import BaseOperator

from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook


class DigitalAudienceConnected(BaseOperator):
    """Mixed into operators and sensors. An operator itself, or Airflow would take its argument neither from
    ``default_args`` nor in ``partial()``.

    :param digital_audience_conn_id: a connection of type ``digital_audience`` (templated).
    """

    def __init__(
        self, *, digital_audience_conn_id: str = DigitalAudienceHook.default_conn_name, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.digital_audience_conn_id = digital_audience_conn_id

    @cached_property
    def hook(self) -> DigitalAudienceHook:
        """The connection to the vendor."""
        return DigitalAudienceHook(self.digital_audience_conn_id)
