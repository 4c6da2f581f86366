"""What the page of an onboarding DAG says, written from the definition."""

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
from audience_onboarding.urls import audience_page, audiences_page, dag_page


def documentation(definition: AudienceDefinition) -> str:
    """Markdown for ``doc_md``."""
    schedule = definition.schedule
    when = f"`{schedule.cron}` ({schedule.timezone})" if schedule else "by hand only"
    columns = ", ".join(
        f"{name} from *{column}*"
        if isinstance(column, str)
        else f"{name} from *{column.name}* (hashed already)"
        for name, column in definition.source.columns.by_identifier().items()
    )
    if definition.allow_unhashed:
        treatment = (
            "normalised and **sent unhashed** where this platform needs it, which `allow_unhashed` permits"
        )
    else:
        treatment = "normalised and hashed before anything leaves this machine"
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

* **Again**: a re-run of a day sends nothing if the extract is unchanged, and stops with `UploadConflictError` if it is
  not, unless *Overwrite* is ticked (in the form, under *Exceptions*).
* **By hand**: *Trigger* opens a form; *Load date* says which day's extract it is, *First day of a range* merges
  several.
* **Dry run**: does everything but create, send and write; the log of `upload` shows the counts and which guards would
  stop it.
* **Backfill**: *Trigger*, then *Backfill*, with a range of dates and an empty *Load date*; or
  `airflow backfill create --dag-id onboard_{definition.key} --from-date ... --to-date ...T23:59`. It activates nothing
  unless *Activate after backfill* is ticked.
* **Stopped by a guard** (`GuardError` in `upload`): nothing was sent. Look into the source; if it is right, trigger
  the day with *Ignore guards*, under *Exceptions* in the form.
{_if_stopped(definition)}* **Failed**: the message of the task says what to do; then clear it. Nothing is sent twice.
"""


def links_of(definition: AudienceDefinition) -> Iterator[str]:
    """Where a reader goes from a DAG of an audience, in Markdown."""
    base = base_url()
    yield f"[The audience]({audience_page(definition.key, base_url=base)})"
    dags = {"load it": onboarding_dag_id(definition.key)}
    if getattr(definition, "activation", None) is not None:
        dags["activate it"] = activation_dag_id(definition.key)
        dags["extend segments"] = EXTENSION_DAG_ID
    dags |= {
        "load a range of days": LOAD_RANGE_DAG_ID,
        "settle what is unclear": RESOLVE_CREATE_DAG_ID,
        "check for drift": DRIFT_DAG_ID,
        "erase a person": ERASE_DAG_ID,
        "retire it": RETIRE_DAG_ID,
    }
    for label, dag_id in dags.items():
        yield f"[{label}]({dag_page(dag_id, base_url=base)})"
    yield f"[the vendor's pages]({get_platform(definition.platform).docs_url})"


def all_audiences() -> str:
    """The link from a DAG that works for all audiences, in Markdown."""
    return f"[All audiences]({audiences_page(base_url=base_url())})"


def _guards(definition: AudienceDefinition) -> str:
    given = definition.guards
    limits = [
        f"`{name}` {'off' if value is None else value}"
        for name in type(given).model_fields
        if name in given.model_fields_set
        for value in (getattr(given, name),)
    ]
    return f"{', '.join(limits)}; the rest as by default" if limits else "as by default"


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
    does = "stops the activation" if watched.on_violation == "fail" else "is told"
    return f"{'; '.join(limits) or 'no limit'}; a load outside {does}"


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
        return "the asset's events only"
    return f"a row a run in `{definition.audit.table}`, connection `{definition.audit.conn_id}`"


def _if_stopped(definition: AudienceDefinition) -> str:
    watched = getattr(definition, "match_rates", None)
    if watched is None or watched.on_violation != "fail":
        return ""
    return """\
* **Stopped by match rates** (`MatchRateError` in `publish_load`): the load is at the vendor, but not activated.
  Check the source; if it is right, run the day again with *Ignore match rates*: nothing is sent twice.
"""
