"""Alerts about failed, late and poorly matched loads, sent by any Airflow notifier.

A run sends one message per cause. The DAG's failure callback sends it after the run ends. It reads the failures that
the tasks have stored in XCom, so a failed guard or a low match rate is one alert of its kind, not two.

An alert is a dict, as Airflow stores a deadline's callback as JSON and runs it in another process.
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
"""Name of the message in the templates of a notifier's arguments."""

AUDIT_TASK = "write_audit_row"

DEFAULT_ARGUMENTS = {
    "subject": "subject",
    "html_content": "html",
    "text": "text",
    "message": "text",
    "message_body": "text",
    "body": "text",
}
"""Arguments of notifiers with a default: the part of the message. The definition may override it."""

_KIND_OF = {GuardError.__name__: "guard", MatchRateError.__name__: "match_rate"}

_RERUN = "Fix the cause, and clear the failed task or run the load date again: nothing is sent twice"


def dag_arguments(definition: AudienceDefinition) -> dict[str, Any]:
    """Return the arguments of an onboarding DAG that send its alerts.

    :raises DefinitionError: a notifier does not exist.
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
                # On the executor, which supports every notifier; the triggerer supports asynchronous ones only.
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
    """Return the alerts of a definition as JSON, which Airflow can store."""
    return [alert.model_dump(mode="json") for alert in definition.alerts]


def alert_context(definition: AudienceDefinition) -> dict[str, str]:
    """Return the facts about an audience for the messages."""
    return {
        "audience": definition.key,
        "audience_name": definition.name,
        "platform": definition.platform,
        "timezone": definition.timezone,
    }


# --- events ---------------------------------------------------------------------------------------------------


def notify_failure(context: Any, *, alerts: Sequence[Mapping[str, Any]], about: Mapping[str, str]) -> None:
    """Send the alert about a failed run, as ``on_failure_callback`` of its DAG. Never raises."""
    try:
        ti = context.get("ti")
        failures = pull_failures(ti) if ti is not None else {}
        # The audit task has a callback of its own.
        failures.pop(AUDIT_TASK, None)
        kind, variables = _failure_variables(failures, str(context.get("reason") or ""))
        run = _run_variables(context)
    except Exception:
        log.exception("Reading the failures of the run failed")
        kind, variables, run = "failure", _unknown_failure(""), {"run_id": str(context.get("run_id", ""))}
    _send(alerts, kind, {**variables, **run}, about, context)


def notify_audit_failure(
    context: Any, *, alerts: Sequence[Mapping[str, Any]], about: Mapping[str, str]
) -> None:
    """Send the alert about a failed audit task, as its ``on_failure_callback``. Never raises.

    The failure of this task does not fail the run.
    """
    error = context.get("exception")
    failure = describe_failure(error) if isinstance(error, BaseException) else {"error": "", "message": ""}
    variables = {
        "happened": "Writing the audit row of a run failed; the load is not affected",
        "details": failure["message"] or failure["error"] or "the worker of the task was lost",
        "error": failure["error"],
        "next_step": f"Make the database available, and clear the task {AUDIT_TASK!r}",
        **_run_variables(context),
    }
    _send(alerts, "failure", variables, about, context)


def notify_late(
    context: Mapping[str, Any], alerts: Sequence[Mapping[str, Any]], about: Mapping[str, str], hours: float
) -> None:
    """Send the alert about a late run, as the callback of a deadline. Never raises.

    :param context: ``dag_run``, as in the REST API, and ``deadline``; Airflow passes no more.
    :param hours: since the run was queued.
    """
    run = dict(context["dag_run"])
    state = str(run.get("state") or "unknown")
    # Airflow queues all runs of a backfill at once; they wait for each other.
    if state == "success" or run.get("run_type") == BACKFILL:
        return
    next_step = (
        _RERUN
        if state == "failed"
        else "Open the run: the log of its running task ends with the reason for the wait"
    )
    variables = {
        "happened": f"The load did not succeed within {hours:.3g} hours after its run was queued",
        "details": f"the run is {state}",
        "next_step": next_step,
        "load_date": _load_date(
            (run.get("conf") or {}).get("load_date"), run.get("partition_key"), run.get("run_after"), about
        ),
        "run_id": str(run.get("dag_run_id") or ""),
        "run_type": str(run.get("run_type") or ""),
    }
    _send(alerts, "late", variables, about, context)


def notify_match_rates(
    context: Any, watched: Mapping[str, Any], *, load_date: str, definition: AudienceDefinition
) -> None:
    """Send the alert about a load that violates match-rate limits but is published. Never raises."""
    variables = {
        "happened": "The load is confirmed, but its match rates violate a limit",
        "details": "; ".join(watched["findings"]),
        "next_step": "Check the source. The load is published; 'match_rates.on_violation: fail' would block it",
        "numbers": {"rates": watched["rates"], "means": watched["means"]},
        **_run_variables(context),
        "load_date": load_date,
    }
    _send(alerts_of(definition), "match_rate", variables, alert_context(definition), context)


def _failure_variables(failures: Mapping[str, Mapping[str, str]], reason: str) -> tuple[str, dict[str, Any]]:
    if not failures:
        return "failure", _unknown_failure(reason)
    # The longest message is that of the cause; a killed task has none.
    task_id, failure = max(failures.items(), key=lambda item: len(item[1]["message"]))
    kind = _KIND_OF.get(failure["error"], "failure")
    happened = {
        "guard": "A guard failed; nothing was sent",
        "match_rate": "The load is confirmed, but its match rates violate a limit; it is not activated",
        "failure": f"The load failed in the task {task_id!r}",
    }[kind]
    details = failure["message"] or (
        f"{failure['error']}; see the log of the task"
        if failure["error"]
        else "its worker was lost, or a user marked it; see the log of the task"
    )
    return kind, {
        "happened": happened,
        "details": details,
        "error": failure["error"],
        # The messages of this package end with the next step.
        "next_step": "" if failure["message"] else _RERUN,
    }


def _unknown_failure(reason: str) -> dict[str, Any]:
    return {
        "happened": "The run failed",
        "details": f"no task stored a reason ({reason})" if reason else "no task stored a reason",
        "next_step": _RERUN,
    }


def _run_variables(context: Any) -> dict[str, str]:
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
    """Return the load date as :func:`..state.load_date.resolve_load_date` does, from strings; empty if invalid."""
    if chosen or partition_key:
        return str(chosen or partition_key)
    try:
        timestamp = datetime.fromisoformat(str(run_after).replace("Z", "+00:00"))
        return pendulum.instance(timestamp).in_timezone(about["timezone"]).date().isoformat()
    except ValueError:
        return ""


# --- message ---------------------------------------------------------------------------------------------------


def message(kind: str, variables: Mapping[str, Any], about: Mapping[str, str]) -> dict[str, Any]:
    """Return the values for the templates of a notifier's arguments: counts, names and dates, no personal data."""
    dag_id = onboarding_dag_id(about["audience"])
    load_date = variables.get("load_date") or _load_date(
        variables.get("chosen_date"), variables.get("partition_key"), variables.get("run_after"), about
    )
    label = {"guard": "failed guard", "late": "late", "match_rate": "low match rates"}.get(kind, "failed")
    values = {
        "kind": kind,
        "subject": f"{about['audience_name']}: {label}{f' ({load_date})' if load_date else ''}",
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
        f"{values['happened']}.",
        f"Audience: {values['audience_name']} ({values['audience']} on {values['platform']})",
        f"Load date: {load_date or 'unknown'}",
        f"Run: {values['run_id']}",
        f"Reason: {values['details']}",
        *([f"Next step: {values['next_step']}"] if values["next_step"] else []),
        *([values["link"]] if values["link"] else []),
    ]
    text = "\n".join(lines)
    return {**values, "text": text, "html": f"<pre>{html.escape(text)}</pre>"}


def _link(dag_id: str, run_id: str) -> str:
    base = str(conf.get("api", "base_url", fallback="") or "")
    return f"{base.rstrip('/')}/dags/{quote(dag_id)}/runs/{quote(run_id)}" if base and run_id else ""


# --- sending ---------------------------------------------------------------------------------------------------


def _send(
    alerts: Sequence[Mapping[str, Any]],
    kind: str,
    variables: Mapping[str, Any],
    about: Mapping[str, str],
    context: Any,
) -> None:
    for alert in alerts:
        if kind not in alert["events"]:
            continue
        # A failing notifier must not affect the run or the other alerts.
        try:
            # Pass a copy: a notifier writes into its context.
            _build_notifier(alert)({**context, VARIABLES: message(kind, variables, about)})
        except Exception:
            log.exception("Sending the alert %r by %s failed", kind, alert["notifier"])
        else:
            log.info("Sent the alert %r by %s", kind, alert["notifier"])


def _build_notifier(alert: Mapping[str, Any]) -> Any:
    module, _, name = alert["notifier"].rpartition(".")
    notifier = getattr(import_module(module), name)
    parameters = inspect.signature(notifier).parameters
    defaults = {
        name: f"{{{{ {VARIABLES}.{part} }}}}"
        for name, part in DEFAULT_ARGUMENTS.items()
        if name in parameters
    }
    return notifier(**{**defaults, **alert["arguments"]})


def check_notifier(path: str) -> None:
    """Check that a notifier exists, without importing it, as each parse of a DAG file calls this.

    :param path: dotted path of a class.
    :raises DefinitionError: the module does not exist, or it has no such name.
    """
    module, _, name = path.rpartition(".")
    names = _names_in(module)
    if names is None:
        raise DefinitionError(
            what=f"alerts.notifier: module {module!r} not found",
            next_step="Correct the dotted path, or install the provider of the notifier",
        )
    if names and name not in names:
        raise DefinitionError(
            what=f"alerts.notifier: module {module!r} has no {name!r}",
            next_step="Correct the dotted path",
        )


@lru_cache(maxsize=128)
def _names_in(module: str) -> frozenset[str] | None:
    """Return the names that a module's source defines; empty without readable source, ``None`` without the module."""
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
