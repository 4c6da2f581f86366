"""What definitions inherit, and what differs from environment to environment."""

# ruff: noqa: E501 - a message stands on one line here, as it is printed
from __future__ import annotations

from pathlib import Path

import pytest

from audience_onboarding.definitions import (
    AudienceDefinition,
    InvalidDefinition,
    read_definition,
    read_definitions,
)
from audience_onboarding.definitions.loader import check_folder
from audience_onboarding.exceptions import DefinitionError
from audience_onboarding.platforms.digital_audience.definition import DigitalAudienceDefinition

NEWS = """\
platform: digital_audience
name: News
campaign: {name: Always-on}
source: {path: "crm/{load_date}.csv", columns: {email: E-mail}}
"""
ALERTS = """\
platform: commbox
name: Alerts
source: {path: "crm/{load_date}.csv", columns: {phone: Phone}}
"""
OWNER = "owner: crm-team\n"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUDIENCE_ONBOARDING_ENVIRONMENT", raising=False)


def choose(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("AUDIENCE_ONBOARDING_ENVIRONMENT", name)


def folder_of(path: Path, **files: str) -> Path:
    for name, text in files.items():
        (path / f"{name}.yaml").write_text(text, encoding="utf-8")
    return path


def said(path: Path, environment: str | None = None) -> list[str]:
    return list(map(str, check_folder(path, environment=environment).diagnostics))


def news(path: Path) -> DigitalAudienceDefinition:
    definition = read_definition(path / "news.yaml")
    assert isinstance(definition, DigitalAudienceDefinition)
    return definition


# --- defaults -------------------------------------------------------------------------------------------------


def test_all_inherit_and_each_may_say_otherwise(tmp_path: Path) -> None:
    folder_of(
        tmp_path,
        _defaults="owner: crm-team\nretries: 7\ntags: [crm, nl]\nwait: {poll_interval_seconds: 5, timeout_hours: 1}\n",
        news=NEWS + "tags: [mail]\nwait: {timeout_hours: 2}\n",
        alerts=ALERTS + "allow_unhashed: true\nowner: service-team\n",
    )

    alerts, mail = read_definitions(tmp_path)

    assert isinstance(alerts, AudienceDefinition)
    assert isinstance(mail, AudienceDefinition)
    assert (alerts.owner, alerts.retries, alerts.tags) == ("service-team", 7, ("crm", "nl"))
    assert (mail.owner, mail.retries, mail.tags) == ("crm-team", 7, ("mail",))
    assert (mail.wait.poll_interval_seconds, mail.wait.timeout_hours) == (5, 2)


def test_one_platform_may_have_defaults_of_its_own(tmp_path: Path) -> None:
    folder_of(
        tmp_path,
        _defaults=OWNER + "retries: 1\nplatforms:\n  commbox: {allow_unhashed: true, retries: 2}\n"
        "  digital_audience:\n    upload: {bucket: b}\n",
        news=NEWS,
        alerts=ALERTS,
    )

    assert said(tmp_path) == []
    assert read_definition(tmp_path / "alerts.yaml").retries == 2
    assert (news(tmp_path).retries, news(tmp_path).upload.bucket) == (1, "b")


def test_null_takes_a_default_away_and_turns_a_guard_off(tmp_path: Path) -> None:
    defaults = (
        OWNER + "retries: 7\nschedule: {cron: '@daily', start: 2026-11-16}\nsource: {aws_conn_id: s3}\n"
        "guards: {max_row_drop: 0.2, min_rows: 50}\n"
    )
    query = "aws_conn_id: null, query: SELECT 1, conn_id: db"
    text = NEWS.replace('path: "crm/{load_date}.csv"', query)
    nulls = "schedule: null\nretries: null\nguards: {max_row_drop: null}\n"
    folder_of(tmp_path, _defaults=defaults, news=text + nulls)

    assert said(tmp_path) == []
    assert (news(tmp_path).schedule, news(tmp_path).retries) == (None, 3)
    guards = news(tmp_path).guards
    assert (guards.max_row_drop, guards.min_rows) == (None, 50)


def test_a_default_may_complete_what_is_required(tmp_path: Path) -> None:
    folder_of(
        tmp_path,
        _defaults=OWNER
        + "source: {path: 'crm/{load_date}.csv'}\nplatforms: {digital_audience: {campaign: {id: 5}}}\n",
        news="platform: digital_audience\nname: News\nsource: {columns: {email: E}}\n",
    )

    assert said(tmp_path) == []
    assert news(tmp_path).source.path == "crm/{load_date}.csv"


def test_an_invalid_inherited_value_is_reported_at_its_line(tmp_path: Path) -> None:
    # Each by itself is right; Fanfare and CommBox have no such mode together with these.
    folder_of(
        tmp_path,
        _defaults="owner: crm-team\nupload:\n  mode: mirror\n",
        fans=ALERTS.replace("commbox", "fanfare") + "allow_unhashed: true\n",
        more=ALERTS.replace("commbox", "fanfare").replace("Alerts", "More") + "allow_unhashed: true\n",
    )

    assert said(tmp_path) == [
        "_defaults.yaml:3: upload.mode: 'mirror' is not supported on fanfare, because its API cannot remove people from "
        "a list, an import only adds them. Allowed: 'opt-in' (inherited by fans.yaml, more.yaml)"
    ]


def test_what_does_not_fit_names_the_default_that_does_not(tmp_path: Path) -> None:
    folder_of(
        tmp_path,
        _defaults=OWNER + "source:\n  delimiter: ';'\n",
        news=NEWS.replace(".csv", ".parquet").replace("columns", "format: parquet, columns"),
    )

    assert said(tmp_path) == [
        "news.yaml:4: source: 'delimiter' is only valid for CSV files. 'delimiter' comes from _defaults.yaml:3"
    ]


def test_a_part_of_a_group_that_is_inherited_says_how_to_be_rid_of_it(tmp_path: Path) -> None:
    folder_of(tmp_path, _defaults=OWNER + "schedule:\n  timezone: Europe/Amsterdam\n", news=NEWS)

    advice = "missing. Add it, or remove the inherited group with 'schedule: null' (inherited by news.yaml)"
    assert said(tmp_path) == [
        f"_defaults.yaml:2: schedule.cron: {advice}",
        f"_defaults.yaml:2: schedule.start: {advice}",
    ]


NOT_INHERITED = "cannot be inherited, because it identifies one audience"
WRONG_DEFAULTS: dict[str, str | list[str]] = {
    "key: a": f"1: key: {NOT_INHERITED}",
    "name: a": f"1: name: {NOT_INHERITED}",
    "id: 5": f"1: id: {NOT_INHERITED}",
    "platform: fanfare": f"1: platform: {NOT_INHERITED}",
    "platforms:\n  fanfare: {id: x}": f"2: platforms.fanfare.id: {NOT_INHERITED}",
    "environments:\n  test:\n    name: x": f"3: environments.test.name: {NOT_INHERITED}",
    "retires: 5": "1: retires: unknown field. Did you mean 'retries'?",
    "plattforms: {}": "1: plattforms: unknown field. Did you mean 'platforms'?",
    "campaign: {id: 5}": "1: campaign: unknown field, not valid on all platforms. Move it below 'platforms'",
    "upload: {on_second_daily_file: fail}": (
        "1: upload.on_second_daily_file: unknown field, not valid on all platforms. Move it below 'platforms'"
    ),
    "platforms: {fanfare: {campaign: {id: 5}}}": (
        "1: platforms.fanfare.campaign: unknown field on this platform, only valid on digital_audience"
    ),
    "platforms: {Fanfare: {}}": (
        "1: platforms.Fanfare: unknown platform. Allowed: 'commbox', 'digital_audience', 'fanfare'. Did you mean 'fanfare'?"
    ),
    "platforms: [fanfare]": "1: platforms: must be a mapping of platform names to their defaults",
    "platforms: {fanfare: yes}": "1: platforms.fanfare: must be a mapping of the defaults of this platform",
    "retries: -1\nguards:\n  max_row_drop: 30%": [
        "1: retries: must be at least 0",
        "3: guards.max_row_drop: must be a number",
    ],
    "environments: {test: {retries: x}}": "1: environments.test.retries: must be a whole number",
    "environments:\n  test:\n    platforms:\n      commbox: {retries: x}": (
        "4: environments.test.platforms.commbox.retries: must be a whole number"
    ),
    "a: [": "1: invalid YAML: missing value",
    "- a": "1: must be a mapping of fields",
}


def test_wrong_defaults_break_all_and_are_reported_once(tmp_path: Path) -> None:
    problems = []
    for defaults, lines in WRONG_DEFAULTS.items():
        files = {"news": NEWS + OWNER, "alerts": ALERTS + OWNER + "retries: few\n"}
        folder_of(tmp_path, _defaults=f"{defaults}\n", **files)
        broken = list(read_definitions(tmp_path))
        if [type(item) for item in broken] != [InvalidDefinition] * 3:
            problems.append(f"{defaults}: {broken}")
        # Errors of a file by itself are reported in the same pass; fields that the defaults may bring are not missed.
        expected = [f"_defaults.yaml:{line}" for line in ([lines] if isinstance(lines, str) else lines)]
        found = said(tmp_path)
        if found != [*expected, "alerts.yaml:5: retries: must be a whole number"]:
            problems.append(f"{defaults}: {found}")
        with pytest.raises(DefinitionError, match=r"Invalid _defaults\.yaml: no definition of its folder"):
            news(tmp_path)
    assert not problems, "\n".join(problems)


def test_defaults_that_hold_nothing_or_have_another_name_are_reported(tmp_path: Path) -> None:
    folder_of(tmp_path, _defaults="# nothing yet\n", news=NEWS + OWNER)
    assert said(tmp_path) == ["_defaults.yaml: is empty. A definition is a mapping of fields"]

    (tmp_path / "_defaults.yaml").rename(tmp_path / "_defaults.yml")
    assert said(tmp_path) == ["_defaults.yml: is ignored. Rename it to _defaults.yaml"]


# --- environments ---------------------------------------------------------------------------------------------


def test_the_environment_is_chosen_by_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(
        tmp_path,
        news=NEWS
        + OWNER
        + "schedule: {cron: '@daily', start: 2026-11-16}\n"
        + "environments:\n  staging: {id: 4, retries: 0, schedule: null}\n  production: {id: 5}\n",
    )

    assert (news(tmp_path).id, news(tmp_path).retries) == (None, 3)
    choose(monkeypatch, "staging")
    assert (news(tmp_path).id, news(tmp_path).retries, news(tmp_path).schedule) == (4, 0, None)
    choose(monkeypatch, "production")
    assert (news(tmp_path).id, news(tmp_path).retries) == (5, 3)
    choose(monkeypatch, " ")
    assert news(tmp_path).id is None
    assert news(tmp_path).schedule is not None


def test_who_goes_before_whom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each layer overrides the ones before it."""
    defaults = OWNER + (
        "{0}platforms:\n  digital_audience:\n    {1}environments:\n  staging:\n    {2}"
        "    platforms:\n      digital_audience:\n        {3}"
    )
    definition = "{4}environments:\n  staging:\n    {5}"
    choose(monkeypatch, "staging")
    for layer in range(6):
        lines = [f"conn_id: layer_{n}\n" if n <= layer else "retries: 1\n" for n in range(6)]
        folder_of(tmp_path, _defaults=defaults.format(*lines), news=NEWS + definition.format(*lines))
        assert news(tmp_path).conn_id == f"layer_{layer}"


def test_every_environment_is_checked_whichever_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of(
        tmp_path,
        _defaults=OWNER + "environments:\n  production:\n    wait: {poll_interval_seconds: 5}\n",
        news=NEWS + "environments:\n  staging: {retries: 0}\n",
        alerts=ALERTS
        + "allow_unhashed: true\nenvironments:\n  production:\n    wait: {poll_second: 9}\n    allow_unhashed: false\n",
    )
    problems = [
        "alerts.yaml:8: environments.production.allow_unhashed: required, because this platform receives 'phone' "
        "unhashed. If your data protection officer agrees, set it to true",
        "alerts.yaml:7: environments.production.wait.poll_second: unknown field. Did you mean 'poll_interval_seconds'?",
    ]

    assert said(tmp_path) == said(tmp_path, "staging") == problems[1:]
    text = (tmp_path / "alerts.yaml").read_text().replace("poll_second:", "poll_interval_seconds:")
    folder_of(tmp_path, alerts=text)
    assert said(tmp_path) == said(tmp_path, "staging") == problems[:1]
    # It is staging's DAGs that are made, and they are good.
    choose(monkeypatch, "staging")
    assert read_definition(tmp_path / "alerts.yaml").wait.poll_interval_seconds == 60
    choose(monkeypatch, "production")
    with pytest.raises(
        DefinitionError, match=r"allow_unhashed: required, because this platform receives 'phone'"
    ):
        read_definition(tmp_path / "alerts.yaml")


def test_two_of_one_name_in_one_environment(tmp_path: Path) -> None:
    folder_of(
        tmp_path,
        _defaults=OWNER + "allow_unhashed: true\n",
        one=ALERTS,
        two=ALERTS.replace("Alerts", "Other") + "environments:\n  staging:\n    name: Alerts\n",
    )

    problems = said(tmp_path)

    assert [line.split(" same name as ")[0] for line in problems] == [
        "one.yaml:2: name:",
        "two.yaml:6: environments.staging.name:",
    ]
    assert problems[0].endswith("(environment staging)")


def test_an_unknown_environment_is_reported_as_a_typo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of(
        tmp_path,
        news=NEWS + OWNER + "environments:\n  staging: {retries: 0}\n",
        alerts=ALERTS + OWNER + "allow_unhashed: true\nenvironments:\n  production: {retries: 1}\n",
    )
    choose(monkeypatch, "prodution")
    line = (
        "AUDIENCE_ONBOARDING_ENVIRONMENT: unknown environment. Allowed: 'production', 'staging'. "
        "Did you mean 'production'?"
    )

    assert [type(item) for item in read_definitions(tmp_path)] == [InvalidDefinition]
    assert said(tmp_path, "prodution") == [line]
    folder_of(tmp_path, other=ALERTS + OWNER + "retries: few\n")
    assert said(tmp_path, "prodution") == [line, "other.yaml:5: retries: must be a whole number"]
    (tmp_path / "other.yaml").unlink()
    for key in ("news", "alerts"):
        # A task reads one file alone, and is not to work with what another environment has, either.
        assert [type(item) for item in read_definitions(tmp_path, only=key)] == [InvalidDefinition]
        with pytest.raises(DefinitionError, match="unknown environment"):
            read_definition(tmp_path / f"{key}.yaml")


def test_an_environment_that_one_file_knows_is_good_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of(
        tmp_path,
        news=NEWS + OWNER + "environments:\n  staging: {retries: 0}\n",
        alerts=ALERTS + OWNER + "allow_unhashed: true\n",
    )
    choose(monkeypatch, "staging")

    assert read_definition(tmp_path / "alerts.yaml").retries == 3
    assert [type(item) for item in read_definitions(tmp_path, only="alerts")] != [InvalidDefinition]


def test_invalid_environments_are_reported(tmp_path: Path) -> None:
    folder_of(tmp_path, news=NEWS + OWNER)
    assert said(tmp_path, "staging") == [
        "AUDIENCE_ONBOARDING_ENVIRONMENT: unknown environment. Neither a definition nor _defaults.yaml has 'environments'"
    ]
    for name in ("a b", "", "ä", "x" * 51, "-a"):
        folder_of(tmp_path, news=NEWS + OWNER + f"environments:\n  '{name}': {{}}\n")
        (line,) = said(tmp_path)
        assert line.endswith(
            ": invalid environment name. Use up to 50 letters, digits, dashes and underscores"
        )
