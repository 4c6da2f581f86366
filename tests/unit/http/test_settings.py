"""Settings of every connection, and of one with a key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.http import BearerSettings, ClientSettings
from tests.unit.http.plain import error_of


@dataclass(frozen=True, kw_only=True)
class Settings(ClientSettings):
    """The least that a platform adds."""

    vendor: ClassVar[str] = "Vendor"
    own_options: ClassVar[frozenset[str]] = frozenset({"colour"})
    portal_placeholders: ClassVar[frozenset[str]] = frozenset({"audience_id", "segment_id"})


@dataclass(frozen=True, kw_only=True)
class KeySettings(BearerSettings):
    """A platform with a key, a known host, and an option of its own."""

    vendor: ClassVar[str] = "Vendor"
    default_host: ClassVar[str] = "https://api.vendor.example"
    own_options: ClassVar[frozenset[str]] = frozenset({"colour"})

    colour: str = "red"


def settings(host: str = "https://vendor.example", **options: Any) -> Settings:
    return Settings(**Settings.parse_common(host=host, options=options))


def key_settings(host: str = "", key: str = "sk_test_1", **options: Any) -> KeySettings:
    made: KeySettings = KeySettings.from_options(host=host, key=key, options=options)
    return made


def refusal(**given: Any) -> ConfigurationError:
    return error_of(lambda: settings(**given), ConfigurationError)


# --- the address --------------------------------------------------------------------------------------------

HOSTS = {
    "https://vendor.example": "https://vendor.example",
    "https://vendor.example/": "https://vendor.example",
    "https://vendor.example:8443": "https://vendor.example:8443",
    "http://127.0.0.1:9300": "http://127.0.0.1:9300",
    "vendor.example": "https://vendor.example",
    "vendor.example:8443/": "https://vendor.example:8443",
    "vendor.example/sub/path/": "https://vendor.example/sub/path",
    " https://vendor.example ": "https://vendor.example",
}


def test_the_forms_of_a_host() -> None:
    assert {host: settings(host).base_url for host in HOSTS} == HOSTS
    assert {host: settings(host).transport.base_url for host in HOSTS} == HOSTS
    assert {host: settings(host).account for host in HOSTS} == HOSTS


@pytest.mark.parametrize("host", ["", "  "])
def test_an_empty_host_is_the_vendors_or_else_missing(host: str) -> None:
    assert key_settings(host).base_url == "https://api.vendor.example"
    assert key_settings("https://staging.example").base_url == "https://staging.example"
    assert "connection has no host (Vendor)" in str(refusal(host=host))


# --- options ------------------------------------------------------------------------------------------------


def test_an_unknown_option_is_refused() -> None:
    error = refusal(colr="red", zzz=1)

    assert "unknown options: colr, zzz (Vendor)" in str(error)
    assert error.next_step == (
        "Allowed are colour, connect_timeout, max_requests_per_minute, portal_url, read_timeout, verify_tls"
    )


def test_empty_fields_of_the_form_mean_the_defaults() -> None:
    empty = settings(verify_tls=None, connect_timeout=None, read_timeout="", portal_url="", colour=None)

    assert empty == settings()
    assert (empty.verify_tls, empty.connect_timeout, empty.read_timeout) == (True, 10.0, 60.0)


def test_the_spellings_of_verify_tls(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("")
    spellings: dict[Any, bool | str] = {
        True: True,
        False: False,
        "true": True,
        "False": False,
        " TRUE ": True,
        " false": False,
        # Taken for a CA file, these would fail at the first request only, as an OSError.
        "no": False,
        "yes": True,
        "0": False,
        "1": True,
        "off": False,
        "on": True,
        str(bundle): str(bundle),
    }

    assert {given: settings(verify_tls=given).transport.verify_tls for given in spellings} == spellings
    assert settings(verify_tls=0).transport.verify_tls is False
    assert settings(verify_tls=1).transport.verify_tls is True


@pytest.mark.parametrize("name", ["connect_timeout", "read_timeout"])
def test_time_outs_are_positive_numbers_of_seconds(name: str) -> None:
    given = {5: 5.0, "2.5": 2.5, 0.1: 0.1}

    assert {value: getattr(settings(**{name: value}).transport, name) for value in given} == given
    for value in (0, -1, "soon", "nan", "inf", [], "1s"):
        assert f"'{name}'" in str(refusal(**{name: value})), value


# --- the portal ---------------------------------------------------------------------------------------------


def test_a_portal_link_needs_all_ids_that_its_template_names() -> None:
    both = "https://portal/{audience_id}/{segment_id}"
    links = {
        ("", 7, None): None,
        ("https://portal/a/{audience_id}", 7, None): "https://portal/a/7",
        ("https://portal/a/{audience_id}", 7, 5): "https://portal/a/7",
        ("https://portal/a/{audience_id}", 0, None): "https://portal/a/0",
        (both, 7, 5): "https://portal/7/5",
        (both, 7, None): None,
        (both, "a-7", "s-5"): "https://portal/a-7/s-5",
        ("https://portal", 7, None): "https://portal",
        ("https://portal/{{x}}/{audience_id}", 7, None): "https://portal/{x}/7",
    }

    def link(template: str, audience_id: Any, segment_id: Any) -> str | None:
        return settings(portal_url=template).portal_link(audience_id=audience_id, segment_id=segment_id)

    assert {given: link(*given) for given in links} == links
    assert settings(portal_url=both).portal_link() is None
    assert settings(portal_url=both).portal_link(audience_id="a-7") is None


def test_a_portal_link_with_an_unknown_placeholder_is_refused_at_once() -> None:
    # Found at the first link instead, it would be a KeyError after something was created.
    for end in ("{id}", "{}", "{audience_id", "{audience_id.real}", "{audience_id[0]}"):
        error = refusal(portal_url=f"https://portal/{end}")

        assert "portal_url" in str(error), end
        assert error.next_step == "Allowed are {audience_id}, {segment_id}", end
    error = error_of(lambda: key_settings(portal_url="https://portal/{segment_id}"), ConfigurationError)
    assert error.next_step == "Allowed are {audience_id}"


# --- a key --------------------------------------------------------------------------------------------------


def test_the_platforms_own_options_are_text_and_empty_ones_the_default() -> None:
    assert key_settings(colour="blue").colour == "blue"
    assert key_settings(colour=5).colour == "5"
    assert key_settings(colour="").colour == key_settings(colour=None).colour == "red"
    assert key_settings(read_timeout=5).read_timeout == 5.0


def test_a_connection_without_a_key_names_the_field() -> None:
    for key in ("", "  ", "\n"):
        with pytest.raises(ConfigurationError, match=r"connection has no key \(Password\)"):
            key_settings(key=key)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("top secret", id="space"),
        pytest.param("top\nsecret", id="line end"),
        pytest.param("top\r\nX-Injected: secret", id="header"),
        pytest.param("top\tsecret", id="tab"),
        pytest.param("top\x00secret", id="null byte"),
        pytest.param("top\x7fsecret", id="delete"),
        pytest.param("top-sécret", id="not ASCII"),
        pytest.param("top\u00a0secret", id="no-break space"),
        pytest.param("top\u2028secret", id="line separator"),
        pytest.param("top\u200bsecret", id="zero width space"),
    ],
)
def test_a_key_that_cannot_stand_in_a_header_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(ConfigurationError, match="Invalid key of the connection") as caught:
        key_settings(key=key)

    assert "secret" not in str(caught.value)
    assert "sécret" not in str(caught.value)
    assert "Password" in str(caught.value)


def test_another_key_makes_other_settings() -> None:
    # They are the key under which a process keeps its clients: a new key must not be answered with the old client.
    assert key_settings(key="one") != key_settings(key="two")
    assert len({key_settings(key="one"), key_settings(key="one"), key_settings(key="two")}) == 2
