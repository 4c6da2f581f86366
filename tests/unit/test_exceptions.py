"""Error classes: messages, attributes, and pickling to another process."""

from __future__ import annotations

import copy
import inspect
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

from audience_onboarding import exceptions
from audience_onboarding.exceptions import (
    AudienceOnboardingError,
    NotFoundError,
    Outcome,
    RateLimitedError,
    RequestRejectedError,
    TerminalError,
    TransientError,
    VendorError,
    VendorUnavailableError,
)

CLASSES = [
    value
    for _, value in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(value, AudienceOnboardingError)
]
LEAVES = [
    value
    for value in CLASSES
    if value not in {AudienceOnboardingError, VendorError, TransientError, TerminalError}
]


def full(cls: type[AudienceOnboardingError]) -> AudienceOnboardingError:
    """An instance with every attribute set."""
    more: dict[str, object] = {}
    if issubclass(cls, VendorError):
        more = {"outcome": Outcome.UNKNOWN, "status": 503, "request_id": "r-1"}
    if issubclass(cls, VendorUnavailableError):
        more["retry_after"] = 2.5
    return cls(what="It broke", where="somewhere", why="because", next_step="Mend it", **more)


def raise_full(cls: type[AudienceOnboardingError]) -> None:
    raise full(cls)


def test_a_message_has_the_parts_that_are_given() -> None:
    for parts, message in (
        ({}, "It broke."),
        ({"what": "It broke."}, "It broke."),
        ({"where": "here"}, "It broke (here)."),
        ({"why": "rust."}, "It broke: rust."),
        ({"next_step": "Mend it."}, "It broke. Mend it."),
        ({"where": "here", "why": "rust", "next_step": "Mend it"}, "It broke (here): rust. Mend it."),
    ):
        assert str(TerminalError(**{"what": "It broke", **parts})) == message


def test_an_error_of_a_vendor_ends_with_status_and_request_id() -> None:
    details: list[tuple[dict[str, Any], str]] = [
        ({}, "It broke."),
        ({"status": 500}, "It broke. [HTTP 500]"),
        ({"request_id": "r-1"}, "It broke. [request id r-1]"),
        ({"status": 500, "request_id": "r-1"}, "It broke. [HTTP 500, request id r-1]"),
    ]
    assert [str(RequestRejectedError(what="It broke", **given)) for given, _ in details] == [
        message for _, message in details
    ]
    error = VendorUnavailableError(what="It broke")
    assert (error.outcome, error.status, error.request_id) == (Outcome.NOT_DONE, None, None)


def test_every_error_is_either_transient_or_terminal() -> None:
    for cls in LEAVES:
        assert issubclass(cls, TransientError) != issubclass(cls, TerminalError), cls


def test_a_copy_has_the_same_message_and_attributes() -> None:
    for cls in CLASSES:
        error = full(cls)
        for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert type(twin) is cls
            assert str(twin) == str(error)
            assert vars(twin) == vars(error)


def test_errors_reach_the_parent_of_a_worker_process() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        for cls in (RateLimitedError, NotFoundError, exceptions.AmbiguousCreateError):
            with pytest.raises(cls) as caught:
                pool.submit(raise_full, cls).result()
            assert vars(caught.value).items() >= vars(full(cls)).items()


def test_a_changed_error_is_pickled_as_it_is_now() -> None:
    error = full(NotFoundError)
    error.prefix_subject("Audience 7")

    assert "audience 7" in str(pickle.loads(pickle.dumps(error))).lower()


def test_concerning_puts_the_object_in_front_and_keeps_a_next_step() -> None:
    error = NotFoundError(what="The vendor does not know it", where="GET /x", status=404)
    error.prefix_subject("Audience 7", next_step="Look in the portal")
    assert str(error) == "Audience 7: the vendor does not know it (GET /x). Look in the portal. [HTTP 404]"

    error = NotFoundError(what="Gone", next_step="Ask them")
    error.prefix_subject("Audience 7", next_step="Look in the portal")
    assert error.next_step == "Ask them"
    assert "portal" not in str(error)

    error = NotFoundError(what="Gone")
    error.prefix_subject("", next_step="Look in the portal")
    assert str(error) == "Gone. Look in the portal."


def test_no_error_takes_a_body_or_credentials() -> None:
    for cls in CLASSES:
        for name in ("body", "response", "request", "json", "headers", "cookie"):
            with pytest.raises(TypeError):
                cls(what="It broke", **{name: "secret"})


def test_a_message_for_people_ends_with_a_link_to_the_docs() -> None:
    for cls in CLASSES:
        error = full(cls)
        message = str(error)

        assert error.full_message() == f"{message} See docs/how-to/troubleshooting.md#{cls.__name__.lower()}"
        assert error.labelled_message() == f"{cls.__name__}: {error.full_message()}"
        # Other messages quote the error and add the link once.
        assert str(error) == message
        assert exceptions.append_help_link(cls.__name__, error.full_message()) == error.full_message()


def test_below_a_list_the_link_stands_in_a_line_of_its_own() -> None:
    error = exceptions.DefinitionError(
        what="2 are broken", next_step="Mend them", diagnostics=["a.yaml:1: x"]
    )

    error.attach_help()

    assert str(error) == (
        "2 are broken. Mend them.\n  a.yaml:1: x\nSee docs/how-to/troubleshooting.md#definitionerror"
    )


def test_the_link_may_lead_to_a_site(monkeypatch: pytest.MonkeyPatch) -> None:
    for site in ("https://docs.example/audiences", "https://docs.example/audiences/ "):
        monkeypatch.setenv(exceptions.DOCS_VARIABLE, site)

        assert (
            exceptions.help_url("GuardError")
            == "https://docs.example/audiences/how-to/troubleshooting/#guarderror"
        )
