"""The client against the sandbox, which is written from the vendor's pages alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from audience_onboarding.digital_audience.client import DigitalAudienceClient
from audience_onboarding.digital_audience.settings import DEFAULT_PATHS, DigitalAudienceSettings
from audience_onboarding.errors import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    RequestRejectedError,
    VendorUnavailableError,
)
from scripts.local_stack import Sandbox, free_ports

START = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
MakeClient = Callable[..., DigitalAudienceClient]


@pytest.fixture
def make_client(sandbox: Sandbox) -> MakeClient:
    def make(
        *, password: str | None = None, on_secret: Callable[[str], None] | None = None, **options: Any
    ) -> DigitalAudienceClient:
        settings = DigitalAudienceSettings.from_options(
            host=sandbox.info["api_url"],
            user_name=sandbox.info["username"],
            password=password or sandbox.info["password"],
            options=options,
        )
        return DigitalAudienceClient(settings, on_secret=on_secret)

    return make


@pytest.fixture
def client(make_client: MakeClient) -> DigitalAudienceClient:
    return make_client()


def logins(sandbox: Sandbox) -> dict[str, int]:
    counts: dict[str, int] = sandbox.admin("summary")["logins"]
    return counts


def make_segment(client: DigitalAudienceClient) -> tuple[int, int]:
    campaign = client.create_campaign("campaign")
    audience = client.create_crm_audience(name="audience", campaign_id=campaign.id)
    account = client.load_platform_accounts()[0]
    activation = client.activate_audience(
        audience_id=audience.id,
        account_id=account.id,
        name="segment",
        description="about it",
        start_date=START,
        end_date=START + timedelta(days=30),
    )
    return audience.id, activation.segment_id


def test_all_twelve_operations(client: DigitalAudienceClient, sandbox: Sandbox) -> None:
    client.login()
    campaign = client.create_campaign("Always-on CRM")
    audience = client.create_crm_audience(
        name="Newsletter", campaign_id=campaign.id, description="All of them"
    )
    assert (audience.audience_state, audience.type, audience.campaign_id) == (
        "NODATA",
        "ONBOARDING",
        campaign.id,
    )
    client.update_audience(audience.id, name="Newsletter NL", description="The Dutch ones")
    loaded = client.load_audience(audience.id)
    assert (loaded.name, loaded.description) == ("Newsletter NL", "The Dutch ones")
    account = client.find_platform_account(platform="dv360", name="example nl")
    activation = client.activate_audience(
        audience_id=audience.id,
        account_id=account.id,
        name="segment",
        description="about it",
        start_date=START,
        end_date=START + timedelta(days=30),
    )
    assert [item.segment_id for item in client.load_audience_segments(audience.id)] == [activation.segment_id]
    later = START + timedelta(days=90, microseconds=123456)
    client.update_segment_end_date(activation.segment_id, later)
    segment = client.load_segment(activation.segment_id)
    assert segment.end_date == later
    assert segment.id != segment.segment_id
    client.delete_segment(activation.segment_id)
    assert client.load_audience_segments(audience.id) == []
    client.delete_audience(audience.id)
    with pytest.raises(NotFoundError, match=f"Audience {audience.id}"):
        client.load_audience(audience.id)
    called = {name for name, count in sandbox.admin("summary")["operations"].items() if count["success"] > 0}
    assert len(called) == len(DEFAULT_PATHS)
    assert logins(sandbox) == {"success": 1, "failure": 0}


@pytest.mark.parametrize(
    ("prefix", "paths"),
    [
        ("/api", {}),
        ("", {"create_campaign": "/campaign/create"}),
        ("", {"create_crm_audience": "/audience/create/api/audience/createcrmaudience"}),
        (
            "",
            {
                "load_segment": "/segment/{segment_id}",
                "load_audience": "/audience/loadaudiencebyid/{audience_id}",
            },
        ),
        ("", {"load_platform_accounts": "/organistion/loadplatformaccounts"}),
        ("", {"delete_audience": "/audience/delete"}),
        ("", {"delete_audience": "/audience/delete/{audience_id}"}),
    ],
)
def test_other_spellings_of_the_pages(make_client: MakeClient, prefix: str, paths: dict[str, str]) -> None:
    client = make_client(api_prefix=prefix, paths=json.dumps(paths))
    audience_id, segment_id = make_segment(client)
    assert client.load_segment(segment_id).audience_id == audience_id
    assert client.load_audience(audience_id).id == audience_id
    client.delete_audience(audience_id)
    with pytest.raises(NotFoundError):
        client.load_audience(audience_id)


@pytest.mark.parametrize("answer", ["401", "403", "redirect", "envelope"])
def test_an_expired_session_is_renewed_once(make_client: MakeClient, sandbox: Sandbox, answer: str) -> None:
    sandbox.admin("settings", method="PATCH", json={"expired_session_answer": answer})
    client = make_client()
    client.load_platform_accounts()
    sandbox.admin("expire-sessions", method="POST")
    client.create_campaign("only once")
    assert logins(sandbox)["success"] == 2
    assert sandbox.admin("summary")["operations"]["createCampaign"]["success"] == 1


def test_many_threads_share_one_login_also_after_expiry(
    client: DigitalAudienceClient, sandbox: Sandbox
) -> None:
    with ThreadPoolExecutor(16) as pool:
        for round_ in (1, 2):
            for accounts in pool.map(lambda _: client.load_platform_accounts(), range(64)):
                assert accounts
            assert logins(sandbox)["success"] == round_
            sandbox.admin("expire-sessions", method="POST")


@pytest.mark.parametrize("answer", ["401", "envelope"])
def test_a_wrong_password_is_tried_once(make_client: MakeClient, sandbox: Sandbox, answer: str) -> None:
    sandbox.admin("settings", method="PATCH", json={"failed_login_answer": answer})
    client = make_client(password="wrong")
    for _ in range(3):
        with pytest.raises(
            AuthenticationError, match=r"Correct Login and Password of the connection"
        ) as caught:
            client.load_platform_accounts()
        assert "wrong" not in str(caught.value).replace("Wrong user name or password", "")
    assert logins(sandbox) == {"success": 0, "failure": 1}


def test_what_belongs_to_others_is_not_found(sandbox: Sandbox, client: DigitalAudienceClient) -> None:
    stranger = DigitalAudienceClient(
        DigitalAudienceSettings.from_options(
            host=sandbox.info["api_url"],
            user_name="foreign@example.com",
            password="foreign-password",
            options={},
        )
    )
    audience_id, segment_id = make_segment(client)
    with pytest.raises(NotFoundError, match=f"Audience {audience_id}"):
        stranger.load_audience(audience_id)
    with pytest.raises(NotFoundError, match=f"Segment {segment_id}"):
        stranger.update_segment_end_date(segment_id, START + timedelta(days=99))
    with pytest.raises(NotFoundError, match=f"Segment {segment_id}"):
        stranger.delete_segment(segment_id)


def test_a_refused_request_says_why(client: DigitalAudienceClient) -> None:
    audience_id, _ = make_segment(client)
    account = client.load_platform_accounts()[0]
    with pytest.raises((RequestRejectedError, NotFoundError), match=rf"Audience {audience_id}.*end"):
        client.activate_audience(
            audience_id=audience_id,
            account_id=account.id,
            name="ends before it starts",
            description="about it",
            start_date=START,
            end_date=START - timedelta(days=1),
        )


def test_platform_tokens_are_handed_to_the_masker_and_to_nobody_else(make_client: MakeClient) -> None:
    secrets: list[str] = []
    client = make_client(on_secret=secrets.append)
    accounts = client.load_platform_accounts()
    cookie, *tokens = secrets
    assert len(tokens) == 4  # one of the five accounts has none
    shown = " ".join(account.model_dump_json() + repr(account) for account in accounts)
    assert not [secret for secret in (cookie, *tokens) if secret in shown]


def test_an_account_that_is_not_clear_lists_the_choices(client: DigitalAudienceClient) -> None:
    with pytest.raises(ConfigurationError, match=r"^2 platform accounts fit name 'Example NL'.*501.*502"):
        client.find_platform_account(name="Example NL")
    with pytest.raises(ConfigurationError, match=r"^No platform accounts fit platform 'Nowhere'.*501"):
        client.find_platform_account(platform="Nowhere")


def test_nobody_at_the_address() -> None:
    (port,) = free_ports(1)
    client = DigitalAudienceClient(
        DigitalAudienceSettings.from_options(
            host=f"http://127.0.0.1:{port}",
            user_name="user",
            password="password",
            options={"connect_timeout": 1},
        )
    )
    with pytest.raises(VendorUnavailableError, match="no connection could be made"):
        client.load_platform_accounts()
