"""Fault orders, as the admin API accepts them."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sandbox.faults.presets import PRESETS
from sandbox.faults.s3_errors import S3_ERRORS
from sandbox.journal import Action, When

S3: Final = "s3"
"""Vendor name of orders for S3."""

_OF_CHANGE: Final = frozenset({"set", "remove", "truncate", "remove_headers"})
_OF_REFUSE: Final = frozenset({"preset", "vendor", "action", "exchange", "seconds"})


class FaultOrder(BaseModel):
    """Body of POST /_sandbox/faults. Omitted filters fit every call, except those of S3, which needs ``vendor``."""

    model_config = ConfigDict(extra="forbid")

    preset: str | None = Field(
        default=None, description="name of a set of fields (GET /_sandbox/faults/presets); other fields win"
    )

    vendor: str | None = Field(default=None, description="name of a vendor, or s3")
    operation: str | None = Field(default=None, description="operation as the journal names it")
    method: str | None = None
    path: str | None = Field(
        default=None,
        description="regular expression for the whole path, with the vendor's mount and without the query; "
        "for S3, for the key or for /bucket/key",
    )
    exchange: int | None = Field(
        default=None,
        ge=1,
        description="begin with the N-th exchange from now on (1: the next), S3 included",
    )
    times: int = Field(default=1, ge=1, description="calls that get it")
    skip: int = Field(default=0, ge=0, description="fitting calls to skip before")

    action: Action = Field(
        default="answer",
        description="answer in place of the vendor; drop (close) or reset (TCP RST) the connection; delay; hold "
        "until released; change the vendor's answer; expire the session; refuse connections",
    )
    when: When = Field(
        default="before",
        description="before: the vendor does not get the call (delay and hold: only later); after: it has processed "
        "the call; during: half of the body has been read (reset only)",
    )

    status: int = Field(
        default=500, ge=200, le=599, description="of an answer; change: in place of the vendor's"
    )
    body: Any = Field(
        default=None,
        description="of an answer: text unchanged, anything else as JSON; omitted: the vendor's own error shape "
        "for the status",
    )
    page: Literal["vendor", "html"] = Field(
        default="vendor",
        description="default of an omitted body: the vendor's, or a page as a proxy sends it",
    )
    code: str | None = Field(
        default=None, description="of an answer of S3: its error code, which also gives the status"
    )
    headers: dict[str, str] = Field(default_factory=dict, description="added to those of the answer")
    retry_after: Literal["vendor", "none", "seconds", "date"] = Field(
        default="vendor",
        description="Retry-After of an answer: the vendor's, none, seconds, or an HTTP date by the "
        "machine's clock",
    )
    wait: float = Field(default=2.0, ge=0, description="seconds in retry_after")

    set: dict[str, Any] = Field(
        default_factory=dict,
        description="change: path in the vendor's JSON answer (names and list positions, joined by dots; * is "
        "every one) -> new value",
    )
    remove: list[str] = Field(default_factory=list, description="change: paths to remove")
    remove_headers: list[str] = Field(default_factory=list, description="change: headers to remove")
    truncate: Literal["length", "connection"] | None = Field(
        default=None,
        description="change: half of the body, with the Content-Length of the half, or with that of the whole and "
        "the connection closed after the half",
    )

    seconds: float = Field(
        default=1.0, ge=0, description="of a delay or a refusal, at most, on the machine's clock"
    )
    abandoned: Literal["done", "dropped"] | None = Field(
        default=None,
        description="outcome of a call that waits before the vendor and whose caller has gone: still processed "
        "(default for delay), or not (default for hold)",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        name = data.get("preset")
        if name is not None:
            if name not in PRESETS:
                raise ValueError(f"unknown preset; known are {', '.join(PRESETS)}")
            data = {**PRESETS[name], **data}
        if data.get("action") == "change":
            data = {"when": "after", **data}
        code = data.get("code")
        if code is not None and "status" not in data:
            if code not in S3_ERRORS:
                raise ValueError(f"missing status; only these codes imply one: {', '.join(S3_ERRORS)}")
            data = {**data, "status": S3_ERRORS[code].status}
        return data

    @field_validator("path")
    @classmethod
    def _check_pattern(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from None
        return value

    @model_validator(mode="after")
    def _check_combination(self) -> FaultOrder:
        fields = self.model_fields_set
        if self.when == "during" and self.action != "reset":
            raise ValueError("during: only for action reset")
        if self.action == "change":
            if self.when != "after":
                raise ValueError("change: requires when=after, as only then there is an answer")
            if not fields & {*_OF_CHANGE, "status", "headers"}:
                raise ValueError("change: none of set, remove, truncate, remove_headers, status, headers")
        elif fields & _OF_CHANGE:
            raise ValueError(f"{', '.join(sorted(fields & _OF_CHANGE))}: only with action change")
        if self.action == "refuse" and fields - _OF_REFUSE:
            # nothing of the call arrives, so there is nothing to filter by
            raise ValueError(
                f"refuse: takes vendor, exchange and seconds, not {', '.join(sorted(fields - _OF_REFUSE))}"
            )
        if self.code is not None and self.vendor != S3:
            raise ValueError("code: only with vendor s3")
        return self

    @property
    def ends_abandoned(self) -> bool:
        """Whether a waiting call ends when its caller has gone."""
        if self.when == "after":
            return True
        return (self.abandoned or ("dropped" if self.action == "hold" else "done")) == "dropped"


class FaultLine(FaultOrder):
    """An item of GET /_sandbox/faults."""

    id: int
    times: int = Field(description="calls still to get it")
    skip: int = Field(description="fitting calls still to skip")
    held: list[int] = Field(default_factory=list, description="numbers of the exchanges being held now")
    refusing: bool = Field(default=False, description="whether connections are being refused now")
