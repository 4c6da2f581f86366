"""What can go wrong with an exchange, and what the package owes to whoever runs it then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

S3 = "s3"

READS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True)
class Exchange:
    """A request and its answer.

    :param number: from 1, counted from the start of the run.
    :param vendor: who was asked, ``s3`` for the storage.
    :param operation: in the vendor's words.
    :param method: of HTTP.
    :param path: without the query.
    """

    number: int
    vendor: str
    operation: str
    method: str
    path: str

    @classmethod
    def of(cls, number: int, item: Mapping[str, Any]) -> Exchange:
        """From an item of the sandbox's list."""
        return cls(number, item["vendor"], item["operation"] or "?", item["method"], item["path"])

    def __str__(self) -> str:
        return f"{self.vendor} {self.operation.removeprefix(f'{self.vendor}.')} ({self.method})"

    @property
    def is_s3(self) -> bool:
        """Whether it is one with the storage."""
        return self.vendor == S3

    @property
    def is_presigned(self) -> bool:
        """Whether it is an upload to an address that the vendor gives out, into a bucket of its own."""
        return self.is_s3 and "/imports/" in self.path

    @property
    def mutating(self) -> bool:
        """Whether it is more than a look or a login."""
        return self.method not in READS and self.operation != "login"

    def repeats(self, before: Exchange) -> bool:
        """Whether it is the same look once more."""
        return not self.mutating and (self.operation, self.path) == (before.operation, before.path)


@dataclass(frozen=True)
class Fault:
    """Something that can go wrong with an exchange.

    :param name: for reports.
    :param order: what the sandbox is asked to do.
    :param where: with whom it can happen: a vendor's API, or the storage.
    :param vendors: with which of the vendors; all where empty.
    :param operations: with which operations only; all where empty.
    :param of: whether it can happen to what changes something only.
    :param heals: whether the package has to get over it without a person. What it need not get over has to be
        explained to one, and to be through once the vendor is well again and the run is cleared.
    :param presigned: whether it can happen to an upload to an address that the vendor gives out only, or to none
        such; both where ``None``.
    :param leaves_unclear: whether nobody can tell from the answer if the request was carried out. Then, and only then,
        a creation that cannot be looked up may stop as ambiguous.
    :param arrives_late: whether it may be carried out when all that came of the repetition is over. What it leaves open
        then, the next run of the day has to close.
    """

    name: str
    order: Mapping[str, Any]
    where: Literal["api", "s3"] = "api"
    vendors: frozenset[str] = frozenset()
    operations: frozenset[str] = frozenset()
    of: Literal["all", "changes"] = "all"
    heals: bool = True
    leaves_unclear: bool = False
    presigned: bool | None = None
    arrives_late: bool = False

    def fits(self, exchange: Exchange) -> bool:
        """Whether it can happen to an exchange."""
        return (
            (self.where == "s3") is exchange.is_s3
            and (not self.vendors or exchange.vendor in self.vendors)
            and (not self.operations or exchange.operation in self.operations)
            and self.presigned in {None, exchange.is_presigned}
            and (self.of == "all" or exchange.mutating)
        )


REFUSED = 0.01
"""Seconds of real time for which connections are refused: some retries long, as sleeping takes no time here."""

SLOW = 1.2
"""Seconds that a slow answer takes: longer than the connections of this suite wait."""

FOR_GOOD = 1_000_000
"""Calls."""

BOTH = ("before", "after")
_BEARER = frozenset({"fanfare", "commbox"})
_DIGITAL_AUDIENCE = frozenset({"digital_audience"})


def _api() -> Iterator[Fault]:
    yield Fault("connection refused", {"preset": "refuse", "seconds": REFUSED})
    for when in BOTH:
        yield Fault(f"connection closed {when}", {"action": "drop", "when": when}, leaves_unclear=True)
        yield Fault(f"connection reset {when}", {"action": "reset", "when": when}, leaves_unclear=True)
        yield Fault(f"HTTP 500 {when}", {"status": 500, "when": when}, leaves_unclear=True)
        yield Fault(f"HTTP 502 {when}", {"preset": "bad_gateway", "when": when}, leaves_unclear=True)
        yield Fault(f"HTTP 503 {when}", {"preset": "unavailable", "when": when}, leaves_unclear=True)
        yield Fault(f"HTTP 504 {when}", {"preset": "gateway_timeout", "when": when}, leaves_unclear=True)
        yield Fault(
            f"too slow {when}", {"action": "delay", "when": when, "seconds": SLOW}, leaves_unclear=True
        )
    yield Fault("HTTP 429", {"preset": "rate_limited"})
    yield Fault("HTTP 429 for some seconds", {"preset": "rate_limited_seconds", "wait": 30})
    yield Fault("HTTP 429 until a date", {"preset": "rate_limited_date", "wait": 30})
    yield Fault("session expired", {"preset": "session_expired"}, vendors=_DIGITAL_AUDIENCE)
    yield Fault("HTTP 401", {"status": 401}, vendors=_BEARER, heals=False)
    yield Fault("HTTP 403", {"status": 403}, vendors=_BEARER, heals=False)
    yield Fault("HTTP 404", {"status": 404}, heals=False)
    yield Fault("success: false", {"preset": "success_false"}, vendors=_DIGITAL_AUDIENCE, heals=False)
    yield Fault("HTML", {"preset": "html_instead"}, heals=False, leaves_unclear=True)
    yield Fault("truncated JSON", {"preset": "truncated"}, heals=False, leaves_unclear=True)
    yield Fault("answer cut off", {"preset": "cut_off"}, leaves_unclear=True)
    yield Fault("empty 204", {"preset": "empty"}, heals=False, leaves_unclear=True)
    yield Fault(
        "wrong types",
        {"action": "change", "set": {"data": "unexpected", "id": {"un": "expected"}}},
        heals=False,
        leaves_unclear=True,
    )


def _states() -> Iterator[Fault]:
    for preset, operation in {
        "unknown_audience_state": "loadAudienceById",
        "audience_state_back": "loadAudienceById",
        "audience_data_gone": "loadAudienceById",
        "unknown_import_status": "fanfare.getAudiencesByAudienceIdImport",
        "import_status_back": "fanfare.getAudiencesByAudienceIdImport",
        "user_count_behind": "commbox.getAudiences",
    }.items():
        yield Fault(
            preset.replace("_", " "), {"preset": preset, "times": 3}, operations=frozenset({operation})
        )
    for preset, operation in {
        "audience_data_gone": "loadAudienceById",
        "unknown_import_status": "fanfare.getAudiencesByAudienceIdImport",
        "user_count_behind": "commbox.getAudiences",
    }.items():
        yield Fault(
            f"{preset.replace('_', ' ')} for good",
            {"preset": preset, "times": FOR_GOOD},
            operations=frozenset({operation}),
            heals=False,
        )


def _s3() -> Iterator[Fault]:
    writes = frozenset({"PutObject", "CompleteMultipartUpload"})
    bodies = frozenset({"PutObject", "UploadPart"})
    parts = frozenset({"UploadPart", "CompleteMultipartUpload"})
    yield Fault("storage: connection refused", {"preset": "refuse", "vendor": S3, "seconds": REFUSED}, "s3")
    for when in BOTH:
        yield Fault(
            f"storage: connection reset {when}", {"vendor": S3, "action": "reset", "when": when}, "s3"
        )
        yield Fault(f"storage: InternalError {when}", {"preset": "s3_internal_error", "when": when}, "s3")
        yield Fault(f"storage: SlowDown {when}", {"preset": "s3_slow_down", "when": when}, "s3")
        yield Fault(
            f"storage: too slow {when}",
            {"vendor": S3, "action": "delay", "when": when, "seconds": SLOW},
            "s3",
            arrives_late=when == "before",
        )
    yield Fault("storage: reset in the body", {"preset": "s3_reset_in_body"}, "s3", operations=bodies)
    timeout = {"preset": "s3_request_timeout"}
    yield Fault("storage: RequestTimeout", timeout, "s3", operations=bodies, presigned=False)
    # There it is told by nothing but its code from a refusal, and the answer of a vendor's storage is not read.
    yield Fault(
        "upload address: RequestTimeout", timeout, "s3", operations=bodies, presigned=True, heals=False
    )
    for when in BOTH:
        yield Fault(
            f"storage: ConditionalRequestConflict {when}",
            {"preset": "s3_conditional_conflict", "when": when},
            "s3",
            operations=writes,
            presigned=False,
        )
        yield Fault(
            f"storage: PreconditionFailed {when}",
            {"preset": "s3_precondition_failed", "when": when},
            "s3",
            operations=writes,
            presigned=False,
        )
    yield Fault(
        "storage: 200 with an error",
        {"preset": "s3_complete_error"},
        "s3",
        operations=frozenset({"CompleteMultipartUpload"}),
    )
    yield Fault("storage: NoSuchUpload", {"preset": "s3_no_such_upload"}, "s3", operations=parts)
    yield Fault("storage: clock skew", {"preset": "s3_time_skewed"}, "s3", heals=False)
    yield Fault("storage: AccessDenied", {"preset": "s3_access_denied"}, "s3", heals=False)
    yield Fault("storage: NoSuchBucket", {"preset": "s3_no_such_bucket"}, "s3", heals=False)
    yield Fault("storage: ExpiredToken", {"preset": "s3_expired_token"}, "s3", heals=False)


FAULTS: tuple[Fault, ...] = (*_api(), *_states(), *_s3())


def fault_called(name: str) -> Fault:
    """The fault of a name."""
    return next(fault for fault in FAULTS if fault.name == name)


def fitting(exchange: Exchange) -> Iterator[Fault]:
    """What can happen to an exchange."""
    return (fault for fault in FAULTS if fault.fits(exchange))
