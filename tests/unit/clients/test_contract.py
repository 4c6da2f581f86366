"""Contract of all clients, over real HTTP: requests, errors, outcomes, secrets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from audience_onboarding.exceptions import (
    AudienceOnboardingError,
    AuthenticationError,
    ConflictError,
    NotFoundError,
    Outcome,
    PermissionDeniedError,
    RateLimitedError,
    RequestRejectedError,
    TooLargeError,
    TransientError,
    UnexpectedResponseError,
    VendorError,
    VendorUnavailableError,
)
from audience_onboarding.http import rate_limiter
from tests.unit.clients.commbox import COMMBOX
from tests.unit.clients.contract import EMAIL, PHONE, Operation, Platform
from tests.unit.clients.digital_audience import DIGITAL_AUDIENCE
from tests.unit.clients.fanfare import FANFARE
from tests.unit.http.conftest import no_pauses  # noqa: F401 - an autouse fixture
from tests.unit.http.loopback import Action, Loopback, Reply, Reset, Seen, closed_port
from tests.unit.http.plain import error_of, parts_of
from tests.unit.http.vendor import ScriptedVendor

NOW = datetime(2026, 11, 20, 3, tzinfo=timezone.utc)
PERSONAL = ("anna", "brien", "612345678", "442079832100")
SECRETS = (*PERSONAL, "hunter22", "session-0")


@pytest.fixture(params=[COMMBOX, DIGITAL_AUDIENCE, FANFARE], ids=lambda platform: platform.name)
def platform(request: pytest.FixtureRequest) -> Platform:
    found: Platform = request.param
    return found


@pytest.fixture
def vendor(platform: Platform) -> Iterator[ScriptedVendor]:
    made = platform.vendor()
    with made.server:
        yield made


@pytest.fixture
def client(platform: Platform, vendor: ScriptedVendor) -> Any:
    return client_of(platform, vendor.server.url)


def client_of(platform: Platform, url: str, **options: Any) -> Any:
    # The usual ceiling of requests would make these tests wait.
    return platform.client(platform.settings(url, max_requests_per_minute=1_000_000, **options))


def after(
    vendor: ScriptedVendor, operation: Operation, client: Any, answer: Action
) -> tuple[Any, list[Seen]]:
    """Return the error of an operation (or its result), and its requests."""
    vendor.answers[operation.asked] = answer
    before = len(vendor.calls)
    try:
        found = operation.call(client)
    except AudienceOnboardingError as error:
        found = error
    return found, vendor.calls[before:]


def outcome_of(operation: Operation) -> Outcome:
    """Return the outcome if it is unclear how far the request came."""
    return Outcome.UNKNOWN if operation.mutating else Outcome.NOT_DONE


def body_of(seen: Seen) -> Any:
    content_type = seen.headers.get("Content-Type", "")
    return parts_of(content_type, seen.body) if content_type.startswith("multipart/") else seen.json


def test_each_operation_is_sent_as_the_vendors_pages_show_it(
    platform: Platform, vendor: ScriptedVendor, client: Any
) -> None:
    problems = []
    for name, operation in platform.operations.items():
        found, seen = after(vendor, operation, client, Reply(200, platform.wrap(operation.answer)))
        sent = [(f"{one.method} {one.path}", body_of(one)) for one in seen]
        if isinstance(found, Exception) or sent != [(operation.asked, operation.sent)]:
            problems.append(f"{name}: {found}, {sent}")
            continue
        headers = seen[0].headers
        if platform.sends_key and headers["Authorization"] != f"Bearer {vendor.key}":  # type: ignore[attr-defined]
            problems.append(f"{name}: no key")
        if operation.sent is None:
            if "Content-Type" in headers or int(headers.get("Content-Length") or 0):
                problems.append(f"{name}: a body")
        elif isinstance(operation.sent, dict) and headers["Content-Type"] != "application/json":
            problems.append(f"{name}: {headers['Content-Type']}")
        if headers.get("Content-Length", "0") != str(len(seen[0].body)) or "Transfer-Encoding" in headers:
            problems.append(f"{name}: length")
        if operation.asked in platform.problems_of:
            problems += [f"{name}: {one}" for one in platform.problems_of[operation.asked](operation.sent)]

    assert not problems, "\n".join(problems)
    bodies = {operation.asked for operation in platform.operations.values() if operation.sent is not None}
    assert set(platform.problems_of) in (set(), bodies)


def test_every_method_is_among_the_operations(platform: Platform) -> None:
    own = [cls for cls in platform.client.__mro__ if ".platforms." in cls.__module__]
    public = {name for cls in own for name in vars(cls) if not name.startswith("_")}

    assert public - {name.partition(" ")[0] for name in platform.operations} == platform.others


STATUSES: dict[int, type[VendorError]] = {
    400: RequestRejectedError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    405: NotFoundError,
    409: ConflictError,
    413: TooLargeError,
    422: RequestRejectedError,
    423: VendorUnavailableError,
    429: RateLimitedError,
    500: VendorUnavailableError,
    501: VendorUnavailableError,
    502: VendorUnavailableError,
    503: VendorUnavailableError,
    504: VendorUnavailableError,
}


def test_each_status_is_one_error_for_every_operation(
    platform: Platform, vendor: ScriptedVendor, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="audience_onboarding")
    body = platform.refusal(f"Row 3: {EMAIL}, {PHONE} or 442079832100 is taken")
    problems = []
    for name, operation in platform.operations.items():
        for status, kind in STATUSES.items():
            reply = Reply(status, body, {"X-Request-Id": "req-42", "Retry-After": "7"})
            error, seen = after(vendor, operation, client, reply)
            if status in operation.absorbs:
                assert error is None, f"{name}: {error}"
                continue
            # A session that is over: Digital Audience logs in once more.
            again = not platform.sends_key and status in {401, 403}
            message = str(error)
            checks = {
                "kind": type(error) is kind,
                "transient": isinstance(error, TransientError) is (status >= 423),
                "outcome": error.outcome is (outcome_of(operation) if status >= 500 else Outcome.NOT_DONE),
                "pause": getattr(error, "retry_after", 7) == 7,
                "status": error.status == status and f"HTTP {status}" in message,
                "request id": again or error.request_id == "req-42",
                "place": f"{platform.name} {operation.where}" in message and "?" not in message,
                "words": "Row 3: <e-mail>, <number> or <number> is taken" in message,
                "object": not operation.subject
                or message.startswith(operation.subject) is (status not in {401, 403} and status < 423),
                "secrets": not any(text in f"{message} {error.__dict__}" for text in SECRETS),
                "requests": len(seen)
                == (2 if again else 3 if status > 501 and operation.method == "GET" else 1),
            }
            problems += [f"{name}, {status}: {check}: {error}" for check, good in checks.items() if not good]

    assert not problems, "\n".join(problems)
    assert not [text for text in SECRETS if text in caplog.text]


def test_wrong_credentials_say_how_to_get_valid_ones(platform: Platform, vendor: ScriptedVendor) -> None:
    for name, operation in platform.operations.items():
        wrong = client_of(platform, vendor.server.url, secret="sk_test_of_yesterday")

        error = error_of(lambda o=operation, c=wrong: o.call(c), AuthenticationError)

        for words in platform.renewal:
            assert words in str(error), name
        assert "yesterday" not in str(error), name


def test_a_broken_connection_leaves_a_change_unclear_and_only_reads_are_repeated(
    platform: Platform, vendor: ScriptedVendor, client: Any
) -> None:
    for name, operation in platform.operations.items():
        error, seen = after(vendor, operation, client, Reset())

        assert type(error) is VendorUnavailableError, name
        assert error.outcome is outcome_of(operation), name
        assert len(seen) == (1 if operation.mutating else 3), name


def test_a_vendor_that_is_not_there_has_done_nothing(platform: Platform) -> None:
    client = client_of(platform, f"http://127.0.0.1:{closed_port()}")
    for name, operation in platform.operations.items():
        error = error_of(lambda o=operation: o.call(client), VendorUnavailableError)

        assert error.outcome is Outcome.NOT_DONE, name


def test_a_success_that_cannot_be_read_leaves_a_change_unclear(
    platform: Platform, vendor: ScriptedVendor, client: Any
) -> None:
    problems = []
    for name, operation in platform.operations.items():
        bodies: list[Any] = ["<html>Sign in</html>", '{"cut": "of', b"\xff\xfe\x00", "null"]
        if not operation.any_json:
            bodies += ["", "7", f'"{EMAIL}"', *(platform.wrap(answer) for answer in operation.odd)]
        for body in bodies:
            error, seen = after(vendor, operation, client, Reply(200, body, {"Content-Type": "text/html"}))
            found = (type(error), getattr(error, "outcome", None), len(seen))
            if found != (UnexpectedResponseError, outcome_of(operation), 1):
                problems.append(f"{name}, {body}: {found} {error}")
            elif client.hint not in str(error) or any(text in str(error) for text in (*SECRETS, "Sign in")):
                problems.append(f"{name}, {body}: {error}")

    assert not problems, "\n".join(problems)


def test_credentials_and_data_do_not_follow_a_redirect(
    platform: Platform, vendor: ScriptedVendor, client: Any
) -> None:
    with Loopback(lambda seen: Reply(200, {})) as elsewhere:
        for name, operation in platform.operations.items():
            for status in (302, 307):
                reply = Reply(status, headers={"Location": f"{elsewhere.url}/audiences"})
                error, seen = after(vendor, operation, client, reply)

                assert type(error) is UnexpectedResponseError, name
                assert (error.outcome, len(seen)) == (Outcome.NOT_DONE, 1), name

    assert elsewhere.seen == []


def test_a_long_message_is_cut_only_after_it_was_redacted(
    platform: Platform, vendor: ScriptedVendor, client: Any
) -> None:
    # A cut in the middle of an address or number would hide it from the redaction.
    texts = [f"{'x' * length} {EMAIL} {PHONE} {EMAIL}" for length in range(250, 301)]
    for text in (*texts, "a" * 200_000, "y " * 100_000):
        error, _ = after(
            vendor, platform.operations[platform.create], client, Reply(400, platform.refusal(text))
        )

        assert isinstance(error, RequestRejectedError)
        assert not any(personal in str(error) for personal in (*PERSONAL, "+31"))
        assert len(str(error)) < 700


def test_the_rate_limit_of_the_headers_is_kept(
    platform: Platform, vendor: ScriptedVendor, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limiter, "time", SimpleNamespace(time=NOW.timestamp))
    create = platform.operations[platform.create]
    used_up = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(NOW.timestamp() + 3600)}
    after(vendor, create, client, Reply(200, platform.wrap(create.answer), used_up))

    found, seen = after(vendor, create, client, Reply(200, platform.wrap(create.answer)))

    if platform.sends_key:
        assert isinstance(found, RateLimitedError)
        assert (found.outcome, found.retry_after, seen) == (Outcome.NOT_DONE, 3600, [])
    else:
        assert len(seen) == 1
