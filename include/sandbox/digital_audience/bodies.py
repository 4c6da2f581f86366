"""Strictly validated request bodies. Names bind in any case, as in ASP.NET."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr, model_validator

_ISO: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,7}))?(Z|[+-]\d{2}:\d{2})",
)
_MICROSECOND_DIGITS: Final = 6


def parse_time(value: Any) -> datetime:
    """Read an ISO 8601 date and time with a zone and up to seven fractional digits.

    Pages: Audience API, activate (``2024-01-01T00:00:00Z``); Segment API, updateenddate
    (``2025-12-16T11:36:10.6878666Z``). [I] A time without a zone is refused as ambiguous.

    :raises ValueError: anything else.
    """
    match = _ISO.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("not an ISO 8601 date and time with a time zone")
    seconds, fraction, zone = match.groups()
    fraction = (fraction or "").ljust(_MICROSECOND_DIGITS, "0")[:_MICROSECOND_DIGITS]
    parsed = datetime.fromisoformat(f"{seconds}.{fraction}{'+00:00' if zone == 'Z' else zone}")
    return parsed.astimezone(timezone.utc)


def _quoted(value: Any) -> Any:
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value) else value


Time = Annotated[datetime, BeforeValidator(parse_time)]
Ident = Annotated[StrictInt, Field(gt=0)]
QuotedIdent = Annotated[StrictInt, Field(gt=0), BeforeValidator(_quoted)]
"""An id that the page's own example quotes."""
Name = Annotated[StrictStr, Field(min_length=1, pattern=r"\S")]


class Body(BaseModel):
    """Fields are declared in lower case and bind in any case. Unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _any_case(cls, data: Any) -> Any:
        return {str(key).lower(): value for key, value in data.items()} if isinstance(data, dict) else data


class Login(Body):
    """Page: Create CRM audience, step 1."""

    username: StrictStr
    password: StrictStr


class CreateCampaign(Body):
    """Page: Create CRM audience, step 2."""

    name: Name


class CreateCrmAudience(Body):
    """Page: Audience API; ``campaignId`` is a number in the cURL and quoted in the request body box."""

    name: Name
    description: StrictStr | None = None
    campaignid: QuotedIdent


class UpdateAudience(Body):
    """Page: Audience API; ``id`` is quoted in the request body box."""

    id: QuotedIdent
    name: Name
    description: StrictStr | None = None


class Activate(Body):
    """Page: Audience API: all fields are required."""

    audienceid: Ident
    accountid: Ident
    name: Name
    description: StrictStr
    startdate: Time
    enddate: Time

    @model_validator(mode="after")
    def _in_order(self) -> Activate:
        if self.enddate <= self.startdate:
            raise ValueError("endDate is not after startDate")
        return self


class UpdateEndDate(Body):
    """Page: Segment API; the page spells ``segmentid`` all in lower case."""

    segmentid: Ident
    enddate: Time
