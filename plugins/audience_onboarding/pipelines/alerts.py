"""Alerts: what is told to people when a load fails, is stopped, is late or matches too few, through any notifier.

One message for a run and cause. That a run has failed is told by the DAG's callback, once, when all is through; what
stopped it is read from what the failed tasks have noted, so that a guard or low match rates are told as such, and not a
second time as a failure.

An alert is a dict here, as the one for lateness is stored by Airflow as JSON and called in a process of its own.
"""

from __future__ import annotations

import ast
import html
import inspect
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache, partial
from importlib import import_module
from importlib.machinery import all_suffixes
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pendulum
from airflow.sdk.configuration import conf
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from audience_onboarding.base.failure_xcom import describe_failure, pull_failures
from audience_onboarding.definitions import AudienceDefinition
from audience_onboarding.exceptions import DefinitionError, GuardError, MatchRateError
from audience_onboarding.pipelines.common import onboarding_dag_id
from audience_onboarding.state.load_date import BACKFILL

log = logging.getLogger(__name__)

VARIABLES = "audience_onboarding"
"""What the message is called in the templates of a notifier's arguments."""

AUDIT_TASK = "write_audit_row"

FILLED_IN = {
    "subject": "subject",
    "html_content": "html",
    "text": "text",
    "message": "text",
    "message_body": "text",
    "body": "text",
}
"""Arguments of notifiers that get a part of the message where the definition gives none."""

_KIND_OF = {GuardError.__name__: "guard", MatchRateError.__name__: "match_rate"}

_RERUN = "When it is mended, clear the failed task, or run the load date again: nothing is sent twice"


def dag_arguments(definition: AudienceDefinition) -> dict[str, Any]:
    """The arguments of an onboarding DAG that make it tell.

    :raises DefinitionError: a notifier is not there.
    """
    alerts = alerts_of(definition)
    for alert in alerts:
        check_notifier(alert["notifier"])
    if not alerts:
        return {}
    about = alert_context(definition)
    hours = sorted({each["late_after_hours"] for each in alerts if each["late_after_hours"] is not None})
    return {
        "on_failure_callback": partial(notify_failure, alerts=alerts, about=about),
        "deadline": [
            DeadlineAlert(
                reference=DeadlineReference.DAGRUN_QUEUED_AT,
                interval=timedelta(hours=after),
                # On the executor: any notifier can be called there, in the triggerer only one that is asynchronous.
                callback=SyncCallback(
                    notify_late,
                    kwargs={
                        "alerts": [each for each in alerts if each["late_after_hours"] == after],
                        "about": about,
                        "hours": after,
                    },
                ),
                name=f"late_after_{after:g}_hours",
            )
            for after in hours
        ]
        or None,
    }


def alerts_of(definition: AudienceDefinition) -> list[dict[str, Any]]:
    """The alerts of a definition, as Airflow can store them."""
    return [alert.model_dump(mode="json") for alert in definition.alerts]


def alert_context(definition: AudienceDefinition) -> dict[str, str]:
    """What messages say of an audience."""
    return {
        "audience": definition.key,
        "audience_name": definition.name,
        "platform": definition.platform,
        "timezone": definition.timezone,
    }


# --- when -----------------------------------------------------------------------------------------------------


def notify_failure(context: Any, *, alerts: Sequence[Mapping[str, Any]], about: Mapping[str, str]) -> None:
    """For ``on_failure_callback`` of a DAG: tell that a run has failed, and why. Never raises."""
    try:
        ti = context.get("ti")
        stops = pull_failures(ti) if ti is not None else {}
        # It comes after all others, and tells of itself.
        stops.pop(AUDIT_TASK, None)
        kind, variables = _of_failure(stops, str(context.get("reason") or ""))
        run = _run_of(context)
    except Exception:
        log.exception("What has failed cannot be found out")
        kind, variables, run = "failure", _failure_of_nothing(""), {"run_id": str(context.get("run_id", ""))}
    _tell(alerts, kind, {**variables, **run}, about, context)


def notify_audit_failure(
    context: Any, *, alerts: Sequence[Mapping[str, Any]], about: Mapping[str, str]
) -> None:
    """For ``on_failure_callback`` of the task that writes the audit, which the run is judged without. Never raises."""
    error = context.get("exception")
    stop = describe_failure(error) if isinstance(error, BaseException) else {"error": "", "message": ""}
    variables = {
        "happened": "The audit row of a run could not be written; the load itself is not concerned",
        "details": stop["message"] or stop["error"] or "the worker of the task was lost",
        "error": stop["error"],
        "next_step": f"Clear the task {AUDIT_TASK!r} when the database is there",
        **_run_of(context),
    }
    _tell(alerts, "failure", variables, about, context)


def notify_late(
    context: Mapping[str, Any], alerts: Sequence[Mapping[str, Any]], about: Mapping[str, str], hours: float
) -> None:
    """For a deadline: tell that a run has not succeeded in time. Never raises.

    :param context: ``dag_run``, as the REST API shows it, and ``deadline``; Airflow gives no more.
    :param hours: since the run was queued.
    """
    run = dict(context["dag_run"])
    state = str(run.get("state") or "unknown")
    # The runs of a backfill are all queued at once and wait for each other; whoever has started it looks after them.
    if state == "success" or run.get("run_type") == BACKFILL:
        return
    more = (
        f"It has failed, and was not mended since. {_RERUN}"
        if state == "failed"
        else "Look at the run: which of its tasks is under way, and what it waits for is at the end of that one's log"
    )
    variables = {
        "happened": f"The load has not succeeded within {hours:.3g} hours after its run was queued",
        "details": f"the run is {state}",
        "next_step": more,
        "load_date": _load_date(
            (run.get("conf") or {}).get("load_date"), run.get("partition_key"), run.get("run_after"), about
        ),
        "run_id": str(run.get("dag_run_id") or ""),
        "run_type": str(run.get("run_type") or ""),
    }
    _tell(alerts, "late", variables, about, context)


def notify_match_rates(
    context: Any, watched: Mapping[str, Any], *, load_date: str, definition: AudienceDefinition
) -> None:
    """Tell that a load is outside the limits of the match rates, but goes on. Never raises."""
    variables = {
        "happened": "The load is confirmed, but too few of its people match",
        "details": "; ".join(watched["findings"]),
        "next_step": "Look into the source. The load is published all the same; 'then: fail' would stop it here",
        "numbers": {"rates": watched["rates"], "means": watched["means"]},
        **_run_of(context),
        "load_date": load_date,
    }
    _tell(alerts_of(definition), "match_rate", variables, alert_context(definition), context)


def _of_failure(stops: Mapping[str, Mapping[str, str]], reason: str) -> tuple[str, dict[str, Any]]:
    if not stops:
        return "failure", _failure_of_nothing(reason)
    # One with a message of ours says more than one that was killed.
    task_id, stop = max(stops.items(), key=lambda item: len(item[1]["message"]))
    kind = _KIND_OF.get(stop["error"], "failure")
    happened = {
        "guard": "A guard has stopped the load, nothing was sent",
        "match_rate": "The load is confirmed, but too few of its people match, so it is not activated",
        "failure": f"The load has failed in the task {task_id!r}",
    }[kind]
    said = stop["message"] or (
        f"{stop['error']}; the log of the task says more"
        if stop["error"]
        else "its worker was lost, or somebody has marked it; the log of the task may say more"
    )
    return kind, {
        "happened": happened,
        "details": said,
        "error": stop["error"],
        # Our own messages end with the next step.
        "next_step": "" if stop["message"] else _RERUN,
    }


def _failure_of_nothing(reason: str) -> dict[str, Any]:
    return {
        "happened": "The run has failed",
        "details": f"no task says why ({reason})" if reason else "no task says why",
        "next_step": _RERUN,
    }


def _run_of(context: Any) -> dict[str, str]:
    dag_run = context.get("dag_run")
    if dag_run is None:
        return {"run_id": str(context.get("run_id", ""))}
    kind = getattr(dag_run, "run_type", "")
    return {
        "run_id": str(context["run_id"]),
        "run_type": str(getattr(kind, "value", kind)),
        "chosen_date": str((context.get("params") or {}).get("load_date") or ""),
        "partition_key": str(getattr(dag_run, "partition_key", None) or ""),
        "run_after": str(getattr(dag_run, "run_after", None) or ""),
    }


def _load_date(chosen: Any, partition_key: Any, run_after: Any, about: Mapping[str, str]) -> str:
    """As :func:`..orchestration.load_date.resolve_load_date`, of texts; what is no date is no reason to fail here."""
    if chosen or partition_key:
        return str(chosen or partition_key)
    try:
        moment = datetime.fromisoformat(str(run_after).replace("Z", "+00:00"))
        return pendulum.instance(moment).in_timezone(about["timezone"]).date().isoformat()
    except ValueError:
        return ""


# --- what -----------------------------------------------------------------------------------------------------


def message(kind: str, variables: Mapping[str, Any], about: Mapping[str, str]) -> dict[str, Any]:
    """What the templates of a notifier's arguments can use. Counts, names and dates: nobody's data."""
    dag_id = onboarding_dag_id(about["audience"])
    load_date = variables.get("load_date") or _load_date(
        variables.get("chosen_date"), variables.get("partition_key"), variables.get("run_after"), about
    )
    what = {"guard": "stopped by a guard", "late": "late", "match_rate": "low match rates"}.get(
        kind, "failed"
    )
    known = {
        "kind": kind,
        "subject": f"{about['audience_name']}: {what}{f' ({load_date})' if load_date else ''}",
        "audience": about["audience"],
        "audience_name": about["audience_name"],
        "platform": about["platform"],
        "load_date": load_date,
        "dag_id": dag_id,
        "run_id": variables["run_id"],
        "run_type": variables.get("run_type", ""),
        "happened": variables["happened"],
        "details": variables["details"],
        "error": variables.get("error", ""),
        "next_step": variables["next_step"],
        "numbers": variables.get("numbers", {}),
        "link": _link(dag_id, variables["run_id"]),
    }
    lines = [
        f"{known['happened']}.",
        f"Audience: {known['audience_name']} ({known['audience']} on {known['platform']})",
        f"Load date: {load_date or 'unknown'}",
        f"Run: {known['run_id']}",
        f"Why: {known['details']}",
        *([f"What to do: {known['next_step']}"] if known["next_step"] else []),
        *([known["link"]] if known["link"] else []),
    ]
    text = "\n".join(lines)
    return {**known, "text": text, "html": f"<pre>{html.escape(text)}</pre>"}


def _link(dag_id: str, run_id: str) -> str:
    base = str(conf.get("api", "base_url", fallback="") or "")
    return f"{base.rstrip('/')}/dags/{quote(dag_id)}/runs/{quote(run_id)}" if base and run_id else ""


# --- to whom --------------------------------------------------------------------------------------------------


def _tell(
    alerts: Sequence[Mapping[str, Any]],
    kind: str,
    variables: Mapping[str, Any],
    about: Mapping[str, str],
    context: Any,
) -> None:
    for alert in alerts:
        if kind not in alert["events"]:
            continue
        # Whatever a notifier does, the run goes on, and so do the others.
        try:
            # A notifier writes into the context that it is given.
            _notifier_of(alert)({**context, VARIABLES: message(kind, variables, about)})
        except Exception:
            log.exception("The alert %r could not be sent by %s", kind, alert["notifier"])
        else:
            log.info("The alert %r was sent by %s", kind, alert["notifier"])


def _notifier_of(alert: Mapping[str, Any]) -> Any:
    module, _, name = alert["notifier"].rpartition(".")
    notifier = getattr(import_module(module), name)
    known = inspect.signature(notifier).parameters
    usual = {name: f"{{{{ {VARIABLES}.{part} }}}}" for name, part in FILLED_IN.items() if name in known}
    return notifier(**{**usual, **alert["arguments"]})


def check_notifier(path: str) -> None:
    """Check that a notifier is there, without importing anything: DAG files are parsed often, and so is this.

    :param path: dotted path of a class.
    :raises DefinitionError: there is no such module, or it has no such name.
    """
    module, _, name = path.rpartition(".")
    names = _names_in(module)
    if names is None:
        raise DefinitionError(
            what=f"alerts.notifier: there is no module {module!r}",
            next_step="Correct the dotted path, or install the provider that the notifier is from",
        )
    if names and name not in names:
        raise DefinitionError(
            what=f"alerts.notifier: the module {module!r} has no {name!r}",
            next_step="Correct the dotted path",
        )


@lru_cache(maxsize=128)
def _names_in(module: str) -> frozenset[str] | None:
    """The names that a module's source defines; none if it has no source that can be read, ``None`` if it is not
    there."""
    *packages, last = module.split(".")
    folders = [Path(entry or ".") for entry in sys.path]
    for package in packages:
        folders = [folder / package for folder in folders if (folder / package).is_dir()]
    for folder in folders:
        for path in (folder / last / "__init__.py", folder / f"{last}.py"):
            if path.is_file():
                try:
                    return frozenset(_defined(ast.parse(path.read_text(encoding="utf-8"))))
                except (OSError, ValueError, SyntaxError):
                    return frozenset()
        if any((folder / f"{last}{suffix}").is_file() for suffix in all_suffixes()):
            return frozenset()
    return None


def _defined(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.alias):
            yield node.asname or node.name.partition(".")[0]
