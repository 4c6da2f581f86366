"""Rules broken on purpose: a sweep that does not notice one of these proves nothing."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any
from unittest import mock

from audience_onboarding.base import triggers
from audience_onboarding.platforms.digital_audience import load_files, segment_operators
from audience_onboarding.state import create_once
from audience_onboarding.storage import s3_upload, s3_write
from tests.chaos.judging import DOUBLED, DUPLICATE, HANG, LEAK, LOST, OPEN_UPLOAD


@dataclass(frozen=True)
class Mutation:
    """A broken rule, and where it shows.

    :param name: of the rule.
    :param broken: breaks it.
    :param flow: in which it shows.
    :param operation: the exchange that is disturbed; none where it shows by itself.
    :param fault: how.
    :param caught_as: kinds of violations, one of which has to be found.
    """

    name: str
    broken: Callable[[], AbstractContextManager[None]]
    flow: str
    operation: str
    fault: str
    caught_as: frozenset[str]


@contextmanager
def _blind_retry() -> Iterator[None]:
    """A creation whose answer is lost is simply tried again."""

    def create_blindly(store: Any, key: str, creation: Any, *, read: Any, **_: Any) -> Any:
        known = create_once.stored_id(store, key, account=creation.account, read=read)
        if known is not None:
            return known
        for _try in range(3):
            try:
                made = creation.create()
            except create_once.VendorError:
                continue
            store.set(key, {"id": made})
            return made
        raise AssertionError("three tries")

    with mock.patch("audience_onboarding.base.operators.create_once", create_blindly):
        yield


@contextmanager
def _clock_in_the_key() -> Iterator[None]:
    """The key of a file is the moment of its upload."""
    numbers = itertools.count()

    def object_key(audience_id: int, mode: str, load_date: date, **_: Any) -> str:
        return f"onboard/audience={audience_id}/{mode}/{load_date:%Y%m%d}_{next(numbers):06}.csv"

    with mock.patch.object(load_files, "object_key", object_key):
        yield


@contextmanager
def _always_put() -> Iterator[None]:
    """What is there already is written all the same."""
    real = s3_upload.publish_object

    def publish_object(client: Any, **arguments: Any) -> Any:
        return real(client, **{**arguments, "overwrite": True})

    with (
        mock.patch.object(s3_upload, "publish_object", publish_object),
        mock.patch.object(s3_write.ExistingObject, "content_id", None),
    ):
        yield


@contextmanager
def _nothing_aborted() -> Iterator[None]:
    """An upload that was broken off stays open."""
    with mock.patch.object(s3_write, "_abort"):
        yield


@contextmanager
def _endless_wait() -> Iterator[None]:
    """A wait has no end."""
    real = triggers.PollingTrigger.__init__

    def init(self: Any, **arguments: Any) -> None:
        real(self, **{**arguments, "deadline": float("inf")})

    with mock.patch.object(triggers.PollingTrigger, "__init__", init):
        yield


@contextmanager
def _rows_in_the_log() -> Iterator[None]:
    """The log shows what is uploaded."""
    real = s3_upload.publish_object

    def publish_object(client: Any, *, chunks: Any, **arguments: Any) -> Any:
        logging.getLogger("audience_onboarding").info("%s", next(iter(chunks(1024))))
        return real(client, chunks=chunks, **arguments)

    with mock.patch.object(s3_upload, "publish_object", publish_object):
        yield


@contextmanager
def _end_date_from_the_clock() -> Iterator[None]:
    """An end date is computed from the moment of the try."""
    now = lambda _: datetime.now(timezone.utc)  # noqa: E731
    with mock.patch("audience_onboarding.pipelines.extension.pendulum.instance", now):
        yield


@contextmanager
def _segments_not_looked_up() -> Iterator[None]:
    """Whether a segment is there already is asked, and the answer passed over."""
    real = segment_operators.DigitalAudienceActivateAudienceOperator._creation

    def creation(self: Any, *arguments: Any, find: Callable[[], Any], **more: Any) -> Any:
        return real(self, *arguments, find=lambda: find() and None, **more)

    with (
        mock.patch.object(segment_operators.DigitalAudienceActivateAudienceOperator, "_creation", creation),
        mock.patch.object(create_once, "VISIBILITY_TIMEOUT", timedelta(0)),
    ):
        yield


MUTATIONS: tuple[Mutation, ...] = (
    Mutation(
        "a create is retried blindly",
        _blind_retry,
        "da_onboarding",
        "createCampaign",
        "connection reset after",
        frozenset({DUPLICATE}),
    ),
    Mutation(
        "a segment is not looked up",
        _segments_not_looked_up,
        "da_activation",
        "activateAudience",
        "HTTP 502 after",
        frozenset({DUPLICATE}),
    ),
    Mutation(
        "the key comes from the clock", _clock_in_the_key, "da_onboarding", "", "", frozenset({DOUBLED})
    ),
    Mutation(
        "a file is written whatever is there", _always_put, "da_onboarding", "", "", frozenset({DOUBLED})
    ),
    Mutation(
        "a broken upload is not aborted",
        _nothing_aborted,
        "da_multipart",
        "UploadPart",
        "storage: AccessDenied",
        frozenset({OPEN_UPLOAD}),
    ),
    Mutation(
        "a wait has no end",
        _endless_wait,
        "da_onboarding",
        "loadAudienceById",
        "audience data gone for good",
        frozenset({HANG}),
    ),
    Mutation("rows are logged", _rows_in_the_log, "da_onboarding", "", "", frozenset({LEAK})),
    Mutation(
        "an end date comes from the clock",
        _end_date_from_the_clock,
        "da_extension",
        "",
        "",
        frozenset({LOST, DOUBLED}),
    ),
)
