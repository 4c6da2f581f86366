"""What can be ordered."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sandbox.faults.presets import PRESETS
from sandbox.faults.s3_errors import S3_ERRORS
from sandbox.journal import Action, When

S3: Final = "s3"
"""Name under which faults for the S3 side are ordered."""

_OF_CHANGE: Final = frozenset({"set", "remove", "truncate", "remove_headers"})
_OF_REFUSE: Final = frozenset({"preset", "vendor", "action", "exchange", "seconds"})


class FaultOrder(BaseModel):
    """Body of POST /_sandbox/faults. What is left out fits every call; S3 has to be named, or aimed at by number."""

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
        description="begin with the N-th exchange from now on (1: the next), whatever it is, S3 included",
    )
    times: int = Field(default=1, ge=1, description="calls that get it")
    skip: int = Field(default=0, ge=0, description="fitting calls let pass before")

    action: Action = Field(
        default="answer",
        description="answer in the vendor's place; drop (close) or reset (TCP RST) the connection; delay; hold "
        "until released; change the vendor's answer; expire the session; refuse connections",
    )
    when: When = Field(
        default="before",
        description="before: the vendor does not see the call (delay and hold: only later); after: it has done it "
        "already; during: half of the body has been read (reset only)",
    )

    status: int = Field(
        default=500, ge=200, le=599, description="of an answer; change: in place of the real one"
    )
    body: Any = Field(
        default=None,
        description="of an answer: text as it is, anything else as JSON; left out: the vendor's own error shape "
        "for the status",
    )
    page: Literal["vendor", "html"] = Field(
        default="vendor", description="what a body left out is: the vendor's, or a page as a proxy sends it"
    )
    code: str | None = Field(
        default=None, description="of an answer of S3: its error code, which also gives the status"
    )
    headers: dict[str, str] = Field(default_factory=dict, description="added to those of the answer")
    retry_after: Literal["vendor", "none", "seconds", "date"] = Field(
        default="vendor",
        description="Retry-After of an answer: as the vendor has it, none, seconds, or an HTTP date by the "
        "machine's clock",
    )
    wait: float = Field(default=2.0, ge=0, description="seconds that retry_after tells the caller to wait")

    set: dict[str, Any] = Field(
        default_factory=dict,
        description="change: path in the vendor's JSON answer (names and list positions, with dots between; * is "
        "every one) -> new value",
    )
    remove: list[str] = Field(default_factory=list, description="change: paths of what is taken out")
    remove_headers: list[str] = Field(default_factory=list, description="change: headers taken out")
    truncate: Literal["length", "connection"] | None = Field(
        default=None,
        description="change: half of the body, with the Content-Length of the half, or with that of the whole and "
        "the connection closed behind the half",
    )

    seconds: float = Field(
        default=1.0, ge=0, description="of a delay or a refusal, at most, on the machine's clock"
    )
    abandoned: Literal["done", "dropped"] | None = Field(
        default=None,
        description="what becomes of a call that waits before the vendor once its caller has gone: still done "
        "(default for delay), or never (default for hold)",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        name = data.get("preset")
        if name is not None:
            if name not in PRESETS:
                raise ValueError(f"preset is none of {', '.join(PRESETS)}")
            data = {**PRESETS[name], **data}
        if data.get("action") == "change":
            data = {"when": "after", **data}
        code = data.get("code")
        if code is not None and "status" not in data:
            if code not in S3_ERRORS:
                raise ValueError(f"status is needed; it is known for {', '.join(S3_ERRORS)}")
            data = {**data, "status": S3_ERRORS[code].status}
        return data

    @field_validator("path")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from None
        return value

    @model_validator(mode="after")
    def _makes_sense(self) -> FaultOrder:
        given = self.model_fields_set
        if self.when == "during" and self.action != "reset":
            raise ValueError("during: only a reset comes in the middle of a call")
        if self.action == "change":
            if self.when != "after":
                raise ValueError("change: there is no answer to change before the vendor has given one")
            if not given & {*_OF_CHANGE, "status", "headers"}:
                raise ValueError("change: none of set, remove, truncate, remove_headers, status, headers")
        elif given & _OF_CHANGE:
            raise ValueError(f"{', '.join(sorted(given & _OF_CHANGE))}: only with action change")
        if self.action == "refuse" and given - _OF_REFUSE:
            # nothing of the call arrives, so there is nothing to tell it by
            raise ValueError(
                f"refuse: takes vendor, exchange and seconds, not {', '.join(sorted(given - _OF_REFUSE))}"
            )
        if self.code is not None and self.vendor != S3:
            raise ValueError("code: only with vendor s3")
        return self

    @property
    def ends_abandoned(self) -> bool:
        """Whether a call that waits is over when its caller has gone."""
        if self.when == "after":
            return True
        return (self.abandoned or ("dropped" if self.action == "hold" else "done")) == "dropped"


class FaultLine(FaultOrder):
    """An item of GET /_sandbox/faults."""

    id: int
    times: int = Field(description="calls that will still get it")
    skip: int = Field(description="fitting calls that will still pass before")
    held: list[int] = Field(default_factory=list, description="numbers of the exchanges being held now")
    refusing: bool = Field(default=False, description="whether connections are being refused now")
