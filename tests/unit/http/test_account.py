"""What every connection may hold, and what one with a key may."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from audience_onboarding.errors import ConfigurationError
from audience_onboarding.http import AccountSettings, BearerSettings


@dataclass(frozen=True, kw_only=True)
class Settings(AccountSettings):
    """The least that a platform adds."""

    vendor: ClassVar[str] = "Vendor"
    own_options: ClassVar[frozenset[str]] = frozenset({"colour"})
    portal_placeholders: ClassVar[frozenset[str]] = frozenset({"audience_id", "segment_id"})


@dataclass(frozen=True, kw_only=True)
class KeySettings(BearerSettings):
    """A platform with a key, a host that is known, and an option of its own."""

    vendor: ClassVar[str] = "Vendor"
    default_host: ClassVar[str] = "https://api.vendor.example"
    own_options: ClassVar[frozenset[str]] = frozenset({"colour"})

    colour: str = "red"


def settings(host: str = "https://vendor.example", **options: Any) -> Settings:
    return Settings(**Settings.common(host=host, options=options))


def key_settings(host: str = "", key: str = "sk_test_1", **options: Any) -> KeySettings:
    made: KeySettings = KeySettings.from_options(host=host, key=key, options=options)
    return made


# --- the address --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "base_url"),
    [
        ("https://vendor.example", "https://vendor.example"),
        ("https://vendor.example/", "https://vendor.example"),
        ("https://vendor.example:8443", "https://vendor.example:8443"),
        ("http://127.0.0.1:9300", "http://127.0.0.1:9300"),
        ("vendor.example", "https://vendor.example"),
        ("vendor.example:8443/", "https://vendor.example:8443"),
        ("vendor.example/sub/path/", "https://vendor.example/sub/path"),
        (" https://vendor.example ", "https://vendor.example"),
    ],
)
def test_the_forms_of_a_host(host: str, base_url: str) -> None:
    assert settings(host).base_url == base_url
    assert settings(host).transport.base_url == base_url
    assert settings(host).account == base_url


@pytest.mark.parametrize("host", ["", "  "])
def test_a_host_that_nobody_knows_is_asked_for(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"connection has no host \(Vendor\)"):
        settings(host)


@pytest.mark.parametrize("host", ["", "  "])
def test_an_empty_host_is_the_vendors_where_there_is_one(host: str) -> None:
    assert key_settings(host).base_url == "https://api.vendor.example"
    assert key_settings("https://staging.example").base_url == "https://staging.example"


# --- options ------------------------------------------------------------------------------------------------


def test_an_unknown_option_is_a_typo() -> None:
    with pytest.raises(ConfigurationError, match=r"unknown options: colr, zzz \(Vendor\)") as caught:
        settings(colr="red", zzz=1)

    assert caught.value.next_step == (
        "Allowed are colour, connect_timeout, max_requests_per_minute, portal_url, read_timeout, verify_tls"
    )


def test_empty_fields_of_the_form_mean_the_defaults() -> None:
    empty = settings(verify_tls=None, connect_timeout=None, read_timeout="", portal_url="", colour=None)

    assert empty == settings()
    assert (empty.verify_tls, empty.connect_timeout, empty.read_timeout) == (True, 10.0, 60.0)


def test_settings_are_given_by_name_only() -> None:
    with pytest.raises(TypeError, match="positional"):
        Settings("https://vendor.example")  # type: ignore[misc]


# --- the transport ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "verify"),
    [(True, True), (False, False), ("true", True), ("False", False), (" TRUE ", True), (" false", False)],
)
def test_the_spellings_of_verify_tls(given: Any, verify: bool) -> None:
    assert settings(verify_tls=given).transport.verify_tls is verify


def test_verify_tls_may_be_a_ca_file(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("")

    assert settings(verify_tls=str(bundle)).transport.verify_tls == str(bundle)


@pytest.mark.parametrize("given", ["no", "yes", "0", "off", 0, 1])
def test_a_word_for_yes_or_no_is_never_taken_for_a_ca_file(given: Any) -> None:
    # It would be found out by the first request only, as an OSError.
    assert isinstance(settings(verify_tls=given).transport.verify_tls, bool)


@pytest.mark.parametrize("name", ["connect_timeout", "read_timeout"])
@pytest.mark.parametrize(("given", "seconds"), [(5, 5.0), ("2.5", 2.5), (0.1, 0.1)])
def test_time_outs_are_seconds(name: str, given: Any, seconds: float) -> None:
    assert getattr(settings(**{name: given}).transport, name) == seconds


@pytest.mark.parametrize("name", ["connect_timeout", "read_timeout"])
@pytest.mark.parametrize("given", [0, -1, "soon", "nan", "inf", [], "1s"])
def test_a_time_out_that_is_none_is_refused(name: str, given: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"'{name}'"):
        settings(**{name: given})


# --- the portal ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "segment_id", "link"),
    [
        ("", None, None),
        ("https://portal/a/{audience_id}", None, "https://portal/a/7"),
        ("https://portal/a/{audience_id}", 5, "https://portal/a/7"),
        ("https://portal/a/{audience_id}/s/{segment_id}", 5, "https://portal/a/7/s/5"),
        ("https://portal/a/{audience_id}/s/{segment_id}", None, None),
        ("https://portal", None, "https://portal"),
        ("https://portal/{{x}}/{audience_id}", None, "https://portal/{x}/7"),
    ],
)
def test_a_portal_link_needs_all_that_its_template_names(
    template: str, segment_id: int | None, link: str | None
) -> None:
    assert settings(portal_url=template).portal_link(audience_id=7, segment_id=segment_id) == link


def test_a_portal_link_needs_ids_that_are_given_at_all() -> None:
    made = settings(portal_url="https://portal/{audience_id}/{segment_id}")

    assert made.portal_link() is None
    assert made.portal_link(audience_id="a-7") is None
    assert made.portal_link(audience_id="a-7", segment_id="s-5") == "https://portal/a-7/s-5"


def test_an_id_of_zero_is_an_id() -> None:
    assert (
        settings(portal_url="https://portal/{audience_id}").portal_link(audience_id=0) == "https://portal/0"
    )


@pytest.mark.parametrize(
    "template",
    [
        "https://portal/{id}",
        "https://portal/{}",
        "https://portal/{audience_id",
        "https://portal/{audience_id.real}",
        "https://portal/{audience_id[0]}",
    ],
)
def test_a_portal_link_with_another_placeholder_is_refused_at_once(template: str) -> None:
    # Found out by the first link instead, it would be a KeyError after something was created.
    with pytest.raises(ConfigurationError, match="portal_url") as caught:
        settings(portal_url=template)

    assert caught.value.next_step == "Allowed are {audience_id}, {segment_id}"


def test_which_placeholders_there_are_is_the_platforms_to_say() -> None:
    with pytest.raises(ConfigurationError) as caught:
        key_settings(portal_url="https://portal/{segment_id}")

    assert caught.value.next_step == "Allowed are {audience_id}"


# --- a key --------------------------------------------------------------------------------------------------


def test_a_key_is_read_without_the_spaces_around_it() -> None:
    assert key_settings(key="  sk_test_1\n").key == "sk_test_1"


def test_the_platforms_own_options_are_text_and_empty_ones_the_default() -> None:
    assert key_settings(colour="blue").colour == "blue"
    assert key_settings(colour=5).colour == "5"
    assert key_settings(colour="").colour == key_settings(colour=None).colour == "red"
    assert key_settings(read_timeout=5).read_timeout == 5.0


@pytest.mark.parametrize("key", ["", "  ", "\n"])
def test_a_connection_without_a_key_says_where_it_goes(key: str) -> None:
    with pytest.raises(ConfigurationError, match=r"connection has no key \(Password\)"):
        key_settings(key=key)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("top secret", id="a space"),
        pytest.param("top\nsecret", id="a line end"),
        pytest.param("top\r\nX-Injected: secret", id="a header of its own"),
        pytest.param("top\tsecret", id="a tab"),
        pytest.param("top\x00secret", id="a null byte"),
        pytest.param("top\x7fsecret", id="delete"),
        pytest.param("top-sécret", id="not ASCII"),
        pytest.param("top\u2028secret", id="a line separator"),
        pytest.param("top\u200bsecret", id="a space without width"),
    ],
)
def test_a_key_that_cannot_stand_in_a_header_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(ConfigurationError, match=r"key of the connection holds") as caught:
        key_settings(key=key)

    assert "secret" not in str(caught.value)
    assert "sécret" not in str(caught.value)
    assert "Password" in str(caught.value)


def test_a_key_is_never_shown() -> None:
    made = key_settings(key="sk_live_hunter22")

    assert "hunter22" not in repr(made)
    assert "hunter22" not in str(made)
    assert "hunter22" not in made.account


def test_another_key_makes_other_settings() -> None:
    # They are the key under which a process keeps its clients: a new key must not be answered with the old client.
    assert key_settings(key="one") != key_settings(key="two")
    assert len({key_settings(key="one"), key_settings(key="one"), key_settings(key="two")}) == 2
