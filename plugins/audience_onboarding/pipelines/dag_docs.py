"""Documentation of an onboarding DAG, generated from its definition."""

from __future__ import annotations

from collections.abc import Iterator

from audience_onboarding.base.links import base_url
from audience_onboarding.dag_ids import ERASE_DAG_ID, RESOLVE_CREATE_DAG_ID, RETIRE_DAG_ID
from audience_onboarding.definitions import AudienceDefinition
from audience_onboarding.pipelines.common import (
    DRIFT_DAG_ID,
    EXTENSION_DAG_ID,
    LOAD_RANGE_DAG_ID,
    activation_dag_id,
    onboarding_dag_id,
)
from audience_onboarding.platform_registry import get_platform
from audience_onboarding.urls import audience_page, dag_page


def documentation(definition: AudienceDefinition) -> str:
    """Return the Markdown for ``doc_md``."""
    schedule = definition.schedule
    when = f"`{schedule.cron}` ({schedule.timezone})" if schedule else "manual only"
    columns = ", ".join(
        f"{name} from *{column}*"
        if isinstance(column, str)
        else f"{name} from *{column.name}* (already hashed)"
        for name, column in definition.source.columns.by_identifier().items()
    )
    if definition.allow_unhashed:
        treatment = (
            "normalized and **sent unhashed** if this platform requires it, which `allow_unhashed` permits"
        )
    else:
        treatment = "normalized and hashed before the worker sends them"
    rows = [
        ("platform", f"{definition.platform}, connection `{definition.conn_id}`"),
        ("source", f"`{definition.source.label}`"),
        ("identifiers", f"{columns}; {treatment}"),
        ("mode", definition.mode),
        ("schedule", when),
        ("owner", definition.owner),
        ("guards", _guards(definition)),
        ("match rates", _match_rates(definition)),
        (
            "alerts",
            "; ".join(_alerts(definition)) or "none, see docs/reference/definitions/alerts-and-audit.md",
        ),
        ("audit", _audit(definition)),
    ]
    table = "\n".join(f"| {name} | {text} |" for name, text in rows)
    return f"""\
### {definition.name}
{definition.description or ""}

{" · ".join(links_of(definition))}

| | |
|---|---|
{table}

Made from `include/audiences/{definition.key}.yaml`.

* **Rerun**: a rerun of a date sends nothing if the extract is unchanged. If it differs, the run fails with
  `UploadConflictError`, unless *Overwrite* is set (in the form, under *Exceptions*).
* **Manual run**: *Trigger* opens a form. *Load date* is the date of the extract; *Range start* merges several dates.
* **Dry run**: creates, sends and writes nothing; the log of `upload` shows the counts and the guards that would fail.
* **Backfill**: *Trigger*, then *Backfill*, with a range of dates and an empty *Load date*; or
  `airflow backfill create --dag-id onboard_{definition.key} --from-date ... --to-date ...T23:59`. It activates nothing
  unless *Activate after backfill* is set.
* **Failed guard** (`GuardError` in `upload`): nothing was sent. Check the source; if it is correct, trigger the date
  with *Ignore guards*, under *Exceptions* in the form.
{_match_rate_help(definition)}* **Failed task**: follow the message of the task, and clear it. Nothing is sent twice.
"""


def links_of(definition: AudienceDefinition) -> Iterator[str]:
    """Return the links from a DAG of an audience, in Markdown."""
    base = base_url()
    yield f"[The audience]({audience_page(definition.key, base_url=base)})"
    dags = {"load": onboarding_dag_id(definition.key)}
    if getattr(definition, "activation", None) is not None:
        dags["activate"] = activation_dag_id(definition.key)
        dags["extend segments"] = EXTENSION_DAG_ID
    dags |= {
        "load a date range": LOAD_RANGE_DAG_ID,
        "resolve an ambiguous create": RESOLVE_CREATE_DAG_ID,
        "drift": DRIFT_DAG_ID,
        "erase a person": ERASE_DAG_ID,
        "retire": RETIRE_DAG_ID,
    }
    for label, dag_id in dags.items():
        yield f"[{label}]({dag_page(dag_id, base_url=base)})"
    yield f"[vendor documentation]({get_platform(definition.platform).docs_url})"


def _guards(definition: AudienceDefinition) -> str:
    changed = definition.guards.model_dump(exclude_unset=True)
    limits = [f"`{name}` {'off' if value is None else value}" for name, value in changed.items()]
    return f"{', '.join(limits)}; defaults for the others" if limits else "defaults"


def _match_rates(definition: AudienceDefinition) -> str:
    watched = getattr(definition, "match_rates", None)
    if watched is None:
        return "recorded only"
    limits = [
        *(f"{name} at least {share:g}" for name, share in watched.min_rates.items()),
        *(
            [f"at most {watched.max_drop:g} below the mean of the last {watched.window} loads"]
            if watched.max_drop is not None
            else []
        ),
        *(
            [f"rows within {watched.max_rows_deviation:g} of it"]
            if watched.max_rows_deviation is not None
            else []
        ),
    ]
    effect = "blocks the activation" if watched.on_violation == "fail" else "is reported"
    return f"{'; '.join(limits) or 'no limit'}; a violation {effect}"


def _alerts(definition: AudienceDefinition) -> Iterator[str]:
    for alert in definition.alerts:
        hours = alert.late_after_hours
        when = [
            f"late (after {hours:g} hours)" if kind == "late" else kind.replace("_", " ")
            for kind in alert.events
            if kind != "late" or hours is not None
        ]
        yield f"{', '.join(when)} by `{alert.notifier.rpartition('.')[2]}`"


def _audit(definition: AudienceDefinition) -> str:
    if definition.audit is None:
        return "asset events only"
    return f"one row per run in `{definition.audit.table}`, connection `{definition.audit.conn_id}`"


def _match_rate_help(definition: AudienceDefinition) -> str:
    watched = getattr(definition, "match_rates", None)
    if watched is None or watched.on_violation != "fail":
        return ""
    return """\
* **Low match rates** (`MatchRateError` in `publish_load`): the vendor has the load, but it is not activated. Check the
  source; if it is correct, run the date again with *Ignore match rates*. Nothing is sent twice.
"""
