"""Operations of CommBox, as the vendor's pages show them."""

from __future__ import annotations

from typing import Any

from audience_onboarding.http import FileContent
from audience_onboarding.platforms.commbox.client import CommBoxClient
from audience_onboarding.platforms.commbox.connection import CommBoxSettings
from tests.unit.clients.contract import EMAIL, Operation, Platform
from tests.unit.platforms.commbox.conftest import KEY, Vendor, envelope, static

CSV = b"phone1\r\n31612345678\r\n442079832100\r\n"
FILE_PART = {"name": "audience_file", "filename": "20261120.csv", "type": "text/csv", "content": CSV}
NOT_AN_ID: tuple[Any, ...] = (
    None,
    {},
    {"id": None},
    {"id": ""},
    {"id": "../1"},
    {"id": EMAIL},
    [{"id": "1"}],
)
NOT_A_LIST: tuple[Any, ...] = (
    None,
    {},
    "none",
    [{"id": "1"}],
    [7],
    [static(audience_id="a/b")],
    [static(audience_id=True)],
)


def settings(host: str, *, secret: str = KEY, **options: Any) -> CommBoxSettings:
    made: CommBoxSettings = CommBoxSettings.from_options(host=host, key=secret, options=options)
    return made


def file(content: bytes = CSV, *, name: str = "20261120.csv") -> FileContent:
    return FileContent(
        name=name, content_type="text/csv", size=len(content), chunks=lambda: iter([content[:5], content[5:]])
    )


OPERATIONS = {
    "list_audiences": Operation(
        lambda client: client.list_audiences(), "GET /audiences", answer=[], odd=NOT_A_LIST
    ),
    "load_audience": Operation(
        lambda client: client.load_audience("312345"),
        "GET /audiences",
        answer=[static("312345")],
        odd=NOT_A_LIST,
    ),
    "find_audience": Operation(
        lambda client: client.find_audience("x"), "GET /audiences", answer=[], odd=NOT_A_LIST
    ),
    "create_audience": Operation(
        lambda client: client.create_audience(name="Service alerts", file=file()),
        "POST /audiences",
        answer={"id": "312345"},
        sent=[{"name": "name", "filename": None, "type": None, "content": b"Service alerts"}, FILE_PART],
        subject="Audience 'Service alerts': ",
        odd=NOT_AN_ID,
    ),
    # With a capital letter, as the page spells it.
    "replace_audience": Operation(
        lambda client: client.replace_audience("312345", file=file()),
        "PUT /Audiences/312345",
        answer={"id": "312345"},
        sent=[FILE_PART],
        subject="Audience 312345: ",
        odd=NOT_AN_ID,
    ),
}

COMMBOX = Platform(
    name="CommBox",
    vendor=Vendor,
    client=CommBoxClient,
    settings=settings,
    operations=OPERATIONS,
    wrap=envelope,
    refusal=lambda words: envelope(description=words),
    create="create_audience",
    others=frozenset({"renewal", "check_static"}),
    renewal=(
        "administrator",
        "management console",
        "Settings > API",
        "Password of the connection",
        "clear the task",
    ),
)
