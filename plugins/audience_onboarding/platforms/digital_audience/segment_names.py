"""Names of segments: a template in the definition, and the names at the vendor that match it.

A segment is found by its name, so the name must be the same for a retry, a clear and the next load. A load date in it
makes a new segment per load date, or per month with ``{load_date:%Y-%m}``; that date is the load's, never the clock's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from string import Formatter

from audience_onboarding.exceptions import ConfigurationError

LOAD_DATE = "load_date"
PLACEHOLDERS = ("audience", "key", "target", "platform", "account", LOAD_DATE)
"""Fields in braces: name and key of the audience, key of the target, ad platform and account name as the vendor has
them, load date."""

_DIGITS = {"%Y": 4, "%y": 2, "%m": 2, "%d": 2, "%j": 3, "%G": 4, "%V": 2}
"""Parts of a date, and their number of digits. No names of months or days: these depend on the worker's locale."""

_ISO = "%Y-%m-%d"


def checked_template(template: str) -> str:
    """Return the template.

    :raises ValueError: it has an unknown placeholder or an invalid format.
    """
    try:
        fields = [
            (name, form, conversion)
            for _, name, form, conversion in Formatter().parse(template)
            if name is not None
        ]
    except ValueError:
        raise ValueError("unbalanced braces") from None
    for name, form, conversion in fields:
        if name not in PLACEHOLDERS or conversion:
            allowed = ", ".join(f"{{{item}}}" for item in PLACEHOLDERS)
            raise ValueError(f"{{{name}}} is an unknown placeholder; allowed are {allowed}")
        if form and name != LOAD_DATE:
            raise ValueError(f"{{{name}}} takes no format")
        if form and (not _directives(form) or set(_directives(form)) - set(_DIGITS)):
            raise ValueError(
                f"{{{name}:{form}}}: a format is made of {', '.join(_DIGITS)}, for example {{load_date:%Y-%m}}"
            )
    return template


def _directives(form: str) -> list[str]:
    return re.findall(r"%.?", form)


@dataclass(frozen=True)
class SegmentName:
    """The name of one target's segments.

    :param template: as the definition has it, see :data:`PLACEHOLDERS`.
    :param audience: the audience's name.
    :param key: of the definition.
    :param target: key of the target.
    """

    template: str
    audience: str
    key: str
    target: str

    @property
    def is_dated(self) -> bool:
        """Whether each load date, or each month, has its own segment."""
        return any(name == LOAD_DATE for _, name, _, _ in Formatter().parse(self.template))

    def of(self, load_date: date | None, *, platform: str, account: str) -> str:
        """Return the name for a load.

        :param account: name of the account on the ad platform.
        :raises ConfigurationError: the name needs a load date, and there is none.
        """
        self._check_date(load_date)
        return self.template.format(**self._values(platform, account), load_date=load_date)

    def period(self, load_date: date | None) -> str:
        """Return the part of the load date in the name: ``2026-11``; empty if the name has none.

        :raises ConfigurationError: the name needs a load date, and there is none.
        """
        self._check_date(load_date)
        parts = [
            format(load_date, form or _ISO)
            for _, name, form, _ in Formatter().parse(self.template)
            if name == LOAD_DATE and load_date is not None
        ]
        return re.sub(r"[^0-9]+", "-", "-".join(parts)).strip("-")

    def fits(self, name: str | None, *, platform: str, account: str) -> bool:
        """Return whether the name matches the template, for any load date."""
        return name is not None and re.fullmatch(self._pattern(platform, account), name) is not None

    def _pattern(self, platform: str, account: str) -> str:
        values, pattern = self._values(platform, account), ""
        for text, name, form, _ in Formatter().parse(self.template):
            pattern += re.escape(text)
            if name == LOAD_DATE:
                pieces = re.split(r"(%.)", form or _ISO)
                pattern += "".join(
                    rf"\d{{{_DIGITS[piece]}}}" if piece in _DIGITS else re.escape(piece) for piece in pieces
                )
            elif name is not None:
                pattern += re.escape(values[name])
        return pattern

    def _values(self, platform: str, account: str) -> dict[str, str]:
        own = {"audience": self.audience, "key": self.key, "target": self.target}
        return {**own, "platform": platform, "account": account}

    def _check_date(self, load_date: date | None) -> None:
        if load_date is None and self.is_dated:
            raise ConfigurationError(
                what=f"The segment's name {self.template!r} holds the load date, and this run has none",
                where=f"target {self.target!r} of {self.key!r}",
                next_step="Trigger the DAG again with a load date in its form",
            )
