"""Notifiers that need no network."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.sdk import BaseNotifier


class Kept(BaseNotifier):
    """Keeps its arguments."""

    template_fields = ("subject", "text", "more")
    told: ClassVar[list[Kept]] = []

    def __init__(self, *, subject: str, text: str, more: str = "", number: int = 0) -> None:
        super().__init__()
        self.subject, self.text, self.more, self.number = subject, text, more, number

    def notify(self, context: Any) -> None:
        """Keep it."""
        self.told.append(self)


class Broken(BaseNotifier):
    """Has no network."""

    def notify(self, context: Any) -> None:
        """Fail."""
        raise ConnectionError("there is no network")
