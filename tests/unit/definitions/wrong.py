"""Invalid definitions with their exact diagnostics, for the tests of the models and of the command."""

# ruff: noqa: E501 - a message stands on one line here, as it is printed
from __future__ import annotations

from dataclasses import dataclass

HEAD = """\
platform: digital_audience
name: Newsletter
owner: crm-team
campaign: {name: Always-on}
source: {path: "crm/{load_date}.csv", columns: {email: E-mail}}
"""
"""Five good lines; the error follows in the sixth."""

SOURCE = HEAD.partition("source:")[0] + "source:\n"
"""Five lines without the fields of the source."""

RAW = """\
platform: %s
name: %s
owner: crm-team
allow_unhashed: true
source: {path: "crm/{load_date}.csv", columns: {phone: Phone}}
"""
"""The same for Fanfare and CommBox."""


@dataclass(frozen=True)
class Wrong:
    """Files of one folder, and their diagnostics in order."""

    name: str
    files: dict[str, str | bytes]
    expected: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


def one(name: str, text: str | bytes, *expected: str) -> Wrong:
    """One file; each diagnostic follows its name."""
    return Wrong(name, {f"{name}.yaml": text}, tuple(f"{name}.yaml:{line}" for line in expected))


def sixth(name: str, text: str, *expected: str) -> Wrong:
    """:data:`HEAD` and this text; every diagnostic is for line 6."""
    return one(name, f"{HEAD}{text}\n", *(f"6: {line}" for line in expected))


WRONG = (
    sixth("typo_of_a_field", "gaurds: {min_rows: 5}", "gaurds: unknown field. Did you mean 'guards'?"),
    one(
        "typo_of_an_identifier",
        SOURCE + "  path: crm/{load_date}.csv\n  columns:\n    phone: Phone\n    emial: E-mail\n",
        "9: source.columns.emial: unknown field. Did you mean 'email'?",
    ),
    sixth(
        "field_of_another_place", "cron: 0 3 * * *", "cron: unknown field here. Did you mean 'schedule.cron'?"
    ),
    one(
        "field_of_another_platform",
        RAW % ("fanfare", "Fans") + "campaign: {name: Always-on}\n",
        "6: campaign: unknown field on this platform, only valid on digital_audience",
    ),
    sixth("field_that_is_none", "xyzzy: 1", "xyzzy: unknown field"),
    one(
        "missing_fields",
        "platform: digital_audience\nname: Newsletter\ncampaign: {id: 5}\n",
        "1: owner: missing",
        "1: source: missing",
    ),
    sixth("missing_in_a_group", "schedule:\n  cron: 0 3 * * *", "schedule.start: missing"),
    one(
        "missing_in_a_list",
        HEAD + "activation:\n  targets:\n    - key: one\n      account: {id: 5}\n      segment_name: S\n",
        "8: activation.targets[0].description: missing",
    ),
    sixth(
        "choice_that_is_none",
        "upload: {mode: opt_in}",
        "upload.mode: invalid value. Allowed: 'opt-in', 'opt-out', 'replace', 'mirror'. Did you mean 'opt-in'?",
    ),
    sixth(
        "key_of_a_mapping",
        "match_rates: {min_rate: {emial: 0.4}}",
        "match_rates.min_rate.emial: invalid value. Allowed: 'email', 'phone', 'postal_code', 'personal_id', 'aaid'. Did you mean 'email'?",
    ),
    one(
        "choice_of_another_platform",
        RAW % ("fanfare", "Fans") + "upload: {mode: replace}\n",
        "6: upload.mode: 'replace' is not supported on fanfare, because its API cannot remove people from a list, an import only adds them. Allowed: 'opt-in'",
    ),
    one(
        "no_platform",
        "name: Newsletter\n",
        "1: platform: missing. Allowed: 'commbox', 'digital_audience', 'fanfare'",
    ),
    one(
        "platform_misspelt",
        "# a list\nplatform: Digital Audience\nname: Newsletter\n",
        "2: platform: unknown platform. Allowed: 'commbox', 'digital_audience', 'fanfare'. Did you mean 'digital_audience'?",
    ),
    sixth(
        "number_for_text",
        "tags: [crm, 2026]",
        "tags[1]: must be text. Quote it, because YAML reads it as a number",
    ),
    sixth("text_for_a_number", "retries: three", "retries: must be a whole number"),
    sixth(
        "text_for_a_share", "guards: {max_rejected_ratio: 30%}", "guards.max_rejected_ratio: must be a number"
    ),
    sixth(
        "share_in_percent",
        "guards: {max_row_drop: 30}",
        "guards.max_row_drop: must be between 0 and 1. For 30 percent, write 0.3",
    ),
    sixth("part_of_a_whole_number", "retries: 2.5", "retries: must be a whole number"),
    sixth("too_small", "retries: -1", "retries: must be at least 0"),
    sixth("too_large", "wait: {timeout_hours: 10000}", "wait.timeout_hours: must be at most 8,760"),
    sixth(
        "yes_or_no",
        "output_file: {strip_plus_tag: sometimes}",
        "output_file.strip_plus_tag: must be true or false",
    ),
    sixth("text_for_a_list", "tags: crm", "tags: must be a list"),
    sixth("text_for_a_group", "upload: opt-in", "upload: must be a mapping of fields"),
    sixth("list_for_a_group", "wait:\n  - poll_interval_seconds: 5", "wait: must be a mapping of fields"),
    sixth(
        "text_for_a_date",
        "schedule: {cron: '0 3 * * *', start: soon}",
        "schedule.start: must be a date, for example 2026-11-20",
    ),
    one(
        "empty_value",
        "platform: digital_audience\nname:\nowner: ''\ncampaign: {id: 5}\nsource: {path: x.csv, columns: {email: E}}\n",
        "2: name: is empty. It must be text",
        "3: owner: must not be empty",
    ),
    sixth("too_long", "description: " + "x" * 300, "description: must have at most 250 characters"),
    sixth(
        "no_cron",
        "schedule: {cron: every day, start: 2026-11-16}",
        "schedule.cron: invalid cron expression. Use five fields, for example '0 3 * * *', or one of @hourly, @daily, @weekly, @monthly, @quarterly, @yearly",
    ),
    sixth(
        "no_time_zone",
        "schedule: {cron: '@daily', start: 2026-11-16, timezone: Europe/Amsterdm}",
        "schedule.timezone: unknown time zone. Use a name of the tz database, for example Europe/Amsterdam. Did you mean 'Europe/Amsterdam'?",
    ),
    sixth(
        "end_before_start",
        "schedule: {cron: '@daily', start: 2026-11-16, end: 2026-11-01}",
        "schedule: 'end' is before 'start'",
    ),
    one(
        "wrong_placeholder",
        SOURCE + "  path: crm/{date}.csv\n  columns: {email: E-mail}\n",
        "6: source.path: unknown placeholder. Use {load_date} or, for another format, {load_date:%Y%m%d}",
    ),
    sixth(
        "template",
        "description: as of {{ ds }}",
        "description: must not contain {{, {% or {#. Templates are not rendered here",
    ),
    one(
        "path_and_query",
        SOURCE + "  path: crm/{load_date}.csv\n  query: SELECT 1\n  columns: {email: E-mail}\n",
        "5: source: needs either 'path' (of a file) or 'query' (with 'conn_id')",
    ),
    one(
        "does_not_fit_together",
        SOURCE
        + '  path: crm/{load_date}.parquet\n  format: parquet\n  delimiter: ";"\n  columns: {email: E-mail}\n',
        "5: source: 'delimiter' is only valid for CSV files",
    ),
    one(
        "two_of_one_key",
        HEAD
        + "activation:\n  targets:\n    - &t {key: a, account: {id: 5}, segment_name: S, description: D}\n    - *t\n",
        "7: activation.targets: two targets have the same key",
    ),
    one(
        "no_campaign",
        "platform: digital_audience\nname: N\nowner: O\nsource: {path: x.csv, columns: {email: E}}\n",
        "1: needs 'campaign' (to create the audience in) or 'id' (of an existing audience)",
    ),
    one(
        "raw_without_leave",
        RAW.replace("allow_unhashed: true\n", "") % ("commbox", "Alerts"),
        "1: allow_unhashed: required, because this platform receives 'phone' unhashed. If your data protection officer agrees, set it to true",
    ),
    one(
        "column_that_is_no_text",
        SOURCE + "  path: crm/{load_date}.csv\n  columns:\n    email: E-mail\n    house_number: No\n",
        "9: source.columns.house_number: must be text. Quote the name of the column, because YAML reads it as a number or as true or false",
    ),
    one(
        "no_hash",
        SOURCE.replace("source:", "allow_unhashed: true\nsource:")
        + "  path: crm/{load_date}.csv\n  columns:\n    custom: {column: Id, hashed: true}\n",
        "9: source.columns.custom: must not be hashed, because this platform accepts it unhashed only",
    ),
    one(
        "several_kinds",
        HEAD.replace("E-mail}", "E-mail}, sheet: [1]"),
        "5: source.sheet: must be a whole number or text",
    ),
    sixth("key_of_its_own", "key: other", "key: unknown field. The file name is the key"),
    one(
        "many_at_once",
        "platform: commbox\nname: Alerts\ndescription: not on this platform\nowner: service-team\nalow_unhashed: true\nretries: -1\nsource:\n  path: x.csv\n  encoding: utf8\n  columns: {phone: 5}\n",
        "5: alow_unhashed: unknown field. Did you mean 'allow_unhashed'?",
        "6: retries: must be at least 0",
        "9: source.encoding: invalid value. Allowed: 'auto', 'utf-8', 'cp1252', 'latin-1', 'utf-16'. Did you mean 'utf-8'?",
        "10: source.columns.phone: must be text. Quote the name of the column, because YAML reads it as a number or as true or false",
    ),
    one(
        "one_environment",
        HEAD + "environments:\n  staging: {retries: 0}\n  production: {retries: many}\n",
        "8: environments.production.retries: must be a whole number",
    ),
    one(
        "not_in_one_environment",
        HEAD + "environments:\n  testing:\n    campaign: null\n",
        "1: needs 'campaign' (to create the audience in) or 'id' (of an existing audience) (environment testing)",
    ),
    one(
        "environment_changes_platform",
        HEAD + "environments:\n  staging: {platform: fanfare}\n",
        "7: environments.staging.platform: must not differ between environments",
    ),
    one(
        "environment_without_fields",
        HEAD + "environments:\n  staging: connection_b\n",
        "7: environments.staging: must be a mapping of the fields that differ there",
    ),
    sixth(
        "environments_as_a_list",
        "environments: [staging]",
        "environments: must be a mapping of environment names to the fields that differ there",
    ),
    one(
        "not_closed",
        "name: [a\nplatform: fanfare\n",
        "2: invalid YAML: missing ',' or ']' (the value begins in line 1)",
    ),
    one(
        "tab",
        "platform: fanfare\nsource:\n\tpath: x.csv\n",
        "3: invalid YAML: tab character. Indent with spaces",
    ),
    one(
        "two_colons",
        "platform: fanfare\nname: News: the list\n",
        "2: invalid YAML: a second ':' in a line, or inconsistent indentation. Quote text with ': '",
    ),
    one(
        "given_twice",
        "platform: fanfare\nname: One\nname: Two\n",
        "3: name: duplicate field, first in line 2",
    ),
    sixth(
        "no_day",
        "schedule: {cron: '@daily', start: 2026-02-30}",
        "schedule.start: not a valid date",
    ),
    sixth(
        "strange_character",
        "tags: [@crm]",
        "invalid YAML: text cannot begin with this character. Quote it",
    ),
    one(
        "not_indented",
        "platform: fanfare\n name: x\n",
        "2: invalid YAML: a second ':' in a line, or inconsistent indentation. Quote text with ': '",
    ),
    one("empty", "", " is empty. A definition is a mapping of fields"),
    one("a_list", "- a\n- b\n", "1: must be a mapping of fields"),
    one(
        "two_documents",
        "platform: fanfare\n---\nplatform: fanfare\n",
        "2: invalid YAML: a second document begins here. One file is one definition",
    ),
    one(
        "not_utf_8",
        b"platform: fanfare\nname: caf\xe9\n",
        "2: not UTF-8 text. Save the file in this encoding",
    ),
    sixth(
        "tag",
        "description: !secret x",
        "description: unknown tag (a word that begins with '!'). Remove it",
    ),
    sixth(
        "no_anchor",
        "description: *text",
        "invalid YAML: an alias ('*name') without an anchor ('&name')",
    ),
)

ALONE = (
    Wrong("a_folder", {"a_folder.yaml/x": ""}, ("a_folder.yaml: cannot be read: it is a folder",)),
    Wrong(
        "A-name",
        {"A-name.yaml": HEAD},
        (
            "A-name.yaml: invalid file name, which becomes part of DAG ids. Use up to 100 lower-case letters, digits and "
            "underscores, not starting with an underscore",
        ),
    ),
    Wrong(
        "one_key",
        {"one_key.yaml": HEAD, "one_key.yml": HEAD},
        (
            "one_key.yaml: same key as one_key.yml. Rename one of them",
            "one_key.yml: same key as one_key.yaml. Rename one of them",
        ),
    ),
    Wrong(
        "one_audience",
        {f"one_audience_{letter}.yaml": RAW % ("commbox", "The same") for letter in "ab"},
        tuple(
            f"one_audience_{letter}.yaml:2: name: same name as one_audience_{other}.yaml on commbox, connection "
            "commbox_default. Audiences are found by name there, so each definition would overwrite the other. Give each "
            "a unique name"
            for letter, other in ("ab", "ba")
        ),
    ),
    Wrong(
        "one_id",
        {f"one_id_{letter}.yaml": f"id: 7\n{RAW % ('commbox', f'Name {letter}')}" for letter in "ab"},
        tuple(
            f"one_id_{letter}.yaml:1: id: same id as one_id_{other}.yaml on commbox, connection commbox_default. Each "
            "definition would overwrite the other. Give each a unique id"
            for letter, other in ("ab", "ba")
        ),
    ),
)
"""Errors of files, not of the content of one."""
