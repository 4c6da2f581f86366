"""The tree of errors: what a message says, and that it survives the way to another process."""

from __future__ import annotations

import copy
import inspect
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import pytest

from audience_onboarding import errors
from audience_onboarding.errors import (
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
    for _, value in inspect.getmembers(errors, inspect.isclass)
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


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"what": "It broke"}, "It broke."),
        ({"what": "It broke."}, "It broke."),
        ({"what": "It broke", "where": "here"}, "It broke (here)."),
        ({"what": "It broke", "why": "rust."}, "It broke: rust."),
        ({"what": "It broke", "next_step": "Mend it."}, "It broke. Mend it."),
        (
            {"what": "It broke", "where": "here", "why": "rust", "next_step": "Mend it"},
            "It broke (here): rust. Mend it.",
        ),
    ],
)
def test_a_message_has_the_parts_that_there_are(parts: dict[str, str], message: str) -> None:
    assert str(TerminalError(**parts)) == message


@pytest.mark.parametrize(
    ("details", "ending"),
    [
        ({}, "It broke."),
        ({"status": 500}, "It broke. [HTTP 500]"),
        ({"request_id": "r-1"}, "It broke. [request id r-1]"),
        ({"status": 500, "request_id": "r-1"}, "It broke. [HTTP 500, request id r-1]"),
    ],
)
def test_an_error_of_a_vendor_ends_with_status_and_request_id(
    details: dict[str, object], ending: str
) -> None:
    assert str(RequestRejectedError(what="It broke", **details)) == ending


@pytest.mark.parametrize("cls", LEAVES)
def test_every_error_says_whether_a_retry_makes_sense(cls: type[AudienceOnboardingError]) -> None:
    assert issubclass(cls, TransientError) != issubclass(cls, TerminalError)


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("transport", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy])
def test_a_copy_has_the_same_message_and_attributes(cls: type[AudienceOnboardingError], transport) -> None:
    error = full(cls)

    twin = transport(error)

    assert type(twin) is cls
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)


def test_errors_reach_the_parent_of_a_worker_process() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        for cls in (RateLimitedError, NotFoundError, errors.AmbiguousCreateError):
            with pytest.raises(cls) as caught:
                pool.submit(raise_full, cls).result()
            assert vars(caught.value).items() >= vars(full(cls)).items()


def test_a_changed_error_is_pickled_as_it_is_now() -> None:
    error = full(NotFoundError)
    error.concerning("Audience 7")

    assert "audience 7" in str(pickle.loads(pickle.dumps(error))).lower()


def test_concerning_puts_the_object_in_front() -> None:
    error = NotFoundError(what="The vendor does not know it", where="GET /x", status=404)

    error.concerning("Audience 7", next_step="Look in the portal")

    assert str(error) == "Audience 7: the vendor does not know it (GET /x). Look in the portal. [HTTP 404]"


def test_concerning_keeps_a_next_step_that_is_there() -> None:
    error = NotFoundError(what="Gone", next_step="Ask them")

    error.concerning("Audience 7", next_step="Look in the portal")

    assert error.next_step == "Ask them"
    assert "portal" not in str(error)


def test_concerning_nothing_leaves_the_subject_out() -> None:
    error = NotFoundError(what="Gone")

    error.concerning("", next_step="Look in the portal")

    assert str(error) == "Gone. Look in the portal."


def test_not_done_is_the_default_outcome_and_status_is_unknown() -> None:
    error = VendorUnavailableError(what="It broke")

    assert error.outcome is Outcome.NOT_DONE
    assert error.status is None
    assert error.request_id is None


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("name", ["body", "response", "request", "json", "headers", "cookie"])
def test_no_error_can_be_given_a_body_or_credentials(cls: type[AudienceOnboardingError], name: str) -> None:
    with pytest.raises(TypeError):
        cls(what="It broke", **{name: "secret"})


@pytest.mark.parametrize("cls", CLASSES)
def test_what_a_person_reads_ends_with_where_to_read_more(cls: type[AudienceOnboardingError]) -> None:
    error = full(cls)
    message = str(error)

    assert error.told() == f"{message} See docs/troubleshooting.md#{cls.__name__.lower()}"
    assert error.named() == f"{cls.__name__}: {error.told()}"
    # It is put into other messages, which say so once.
    assert str(error) == message
    assert errors.with_help(cls.__name__, error.told()) == error.told()


def test_below_a_list_it_stands_in_a_line_of_its_own() -> None:
    error = errors.DefinitionError(what="2 are broken", next_step="Mend them", problems=["a.yaml:1: x"])

    error.tell()

    assert str(error) == (
        "2 are broken. Mend them.\n  a.yaml:1: x\nSee docs/troubleshooting.md#definitionerror"
    )


@pytest.mark.parametrize("site", ["https://docs.example/audiences", "https://docs.example/audiences/ "])
def test_the_site_may_be_somewhere(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(errors.DOCS_VARIABLE, site)

    assert errors.help_for("GuardError") == "https://docs.example/audiences/troubleshooting/#guarderror"
