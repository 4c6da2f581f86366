"""DAG that erases people from all audiences. Its input is hashes only, and it stores none of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, BaseOperator, Param, TriggerRule, get_current_context, task
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding.base.erasure import CRM_FIRST_HINT, ErasureDeferral, ErasureJob, ErasureResult
from audience_onboarding.base.erasure_conf import HASH_FIELDS, REMOVED, UNKNOWN
from audience_onboarding.base.links import AudiencePageLink, AudiencesPageLink, with_links
from audience_onboarding.base.retry_policy import OnboardingRetryPolicy, fail_on_terminal_error
from audience_onboarding.base.sensors import DEFERRAL_GRACE
from audience_onboarding.dag_ids import ERASE_DAG_ID
from audience_onboarding.definitions import AudienceDefinition
from audience_onboarding.exceptions import AudienceOnboardingError, AudienceRetiredError, ConfigurationError
from audience_onboarding.pipelines.common import (
    choices_schema,
    find_definition,
    flag_param,
    get_asset,
    select_pool,
    shared_dag_arguments,
    snapshot_location,
)
from audience_onboarding.pipelines.task_docs import ERASURE, set_task_docs
from audience_onboarding.platform_registry import get_platform
from audience_onboarding.state.store import get_state_store

log = logging.getLogger(__name__)

SELECT_TASK, ERASE_TASK, REPORT_TASK = "select_audiences", "erase", "report"

SKIPPED_XCOM_KEY = "skipped_audiences"
"""XCom key of the skipped audiences, each with its reason."""

MAX_HASHES = 1000
"""Hashes of each kind in one run."""

_HASH_LABELS = {
    "email_sha256": ("Hashes of e-mail addresses", "normalized addresses: lower case, no spaces"),
    "phone_sha256": ("Hashes of phone numbers", "international digits without plus, such as 31612345678"),
    "personal_id_sha256": (
        "Hashes of personal ids",
        "the twelve digits of Swedish personal identity numbers",
    ),
}

_HASH_HINT = (
    "**Never the value itself**: Airflow stores the form. Compute the hashes on your own machine, with "
    "'python -m audience_onboarding hash'."
)


@dataclass(frozen=True)
class DefinitionCatalog:
    """Definitions that the tasks use. Airflow stores its ``str()`` only.

    :param base: folder of relative paths.
    """

    by_key: Mapping[str, AudienceDefinition]
    base: Path

    def __str__(self) -> str:
        return "the definitions"

    def __repr__(self) -> str:
        return str(self)

    def get(self, key: str) -> AudienceDefinition:
        """Return a definition.

        :raises ConfigurationError: it was deleted or is invalid now.
        """
        next_step = "Nothing was sent for it. Fix the definition, and clear this task"
        return find_definition(self.by_key, key, dag_id=ERASE_DAG_ID, next_step=next_step)


class ErasePersonOperator(BaseOperator):
    """Erase people from one audience, as far as its platform supports it, and wait until the vendor processed it.

    The hashes are read from the conf of the run: they are neither an argument nor a result.

    :param audience: key of the definition.
    :param audiences: all definitions.
    :return: see :class:`..base.erasure.ErasureResult`; without hashes.
    """

    # Not templated: Airflow would store rendered fields.
    template_fields: Sequence[str] = ()
    operator_extra_links = (AudiencePageLink(),)

    def __init__(self, *, audience: str, audiences: DefinitionCatalog, **kwargs: Any) -> None:
        kwargs.setdefault("retry_policy", OnboardingRetryPolicy())
        super().__init__(**kwargs)
        self.audience = audience
        self.audience_key = audience
        self.audiences = audiences

    @fail_on_terminal_error
    def execute(self, context: Context) -> dict[str, Any]:
        """Start the erasure, or continue that of an earlier try."""
        job = self._job(context)
        with _errors_name_audience(job):
            return self._finish(job, get_platform(job.definition.platform).erasure.start(job))

    @fail_on_terminal_error
    def execute_complete(self, context: Context, event: dict[str, Any], after: str) -> dict[str, Any]:
        """Continue after a wait.

        :param after: the step that was waited for.
        """
        job = self._job(context)
        with _errors_name_audience(job):
            return self._finish(job, get_platform(job.definition.platform).erasure.resume(job, after, event))

    def _job(self, context: Any) -> ErasureJob:
        definition = self.audiences.get(self.audience)
        dag_run, params = context["dag_run"], context["params"]
        return ErasureJob(
            definition=definition,
            store=get_state_store(context, get_asset(definition)),
            progress=get_state_store(context, None),
            people=subject_hashes(context),
            snapshots=snapshot_location(definition, self.audiences.base),
            run_after=dag_run.run_after,
            run={"dag-id": context["ti"].dag_id, "run-id": str(context["run_id"])},
            is_dry_run=bool(params["dry_run"]),
            ignore_snapshots=bool(params["ignore_snapshots"]),
        )

    def _finish(self, job: ErasureJob, result: ErasureResult | ErasureDeferral) -> dict[str, Any]:
        if isinstance(result, ErasureDeferral):
            self.log.info("Waiting for the vendor in the triggerer: %s", result.after)
            self.defer(
                trigger=result.trigger,
                method_name="execute_complete",
                kwargs={"after": result.after},
                timeout=timedelta(seconds=result.seconds) + DEFERRAL_GRACE,
            )
        self.log.info("%s: %s. %s", job.key, result.status, result.message)
        return {"audience": job.key, "platform": job.definition.platform, **result.to_dict()}


@contextmanager
def _errors_name_audience(job: ErasureJob) -> Iterator[None]:
    try:
        yield
    except AudienceOnboardingError as error:
        error.prefix_subject(job.key)
        raise


def subject_hashes(context: Any) -> Any:
    """Return the :class:`..crm.snapshots.subjects.SubjectHashes` of a run.

    :raises ConfigurationError: the run has no hashes, or no longer; or fields that the form does not have.
    """
    from audience_onboarding.crm.snapshots.subjects import IDENTIFIERS, SubjectHashes

    conf, params = context["dag_run"].conf or {}, context["params"]
    if conf.get(UNKNOWN):
        raise ConfigurationError(
            what=f"The run had {conf[UNKNOWN]} unknown fields; they were removed",
            where=ERASE_DAG_ID,
            next_step=f"Nothing was sent. Trigger a new run with hashes only, in {', '.join(HASH_FIELDS)}",
        )
    if conf.get(REMOVED):
        raise ConfigurationError(
            what="The hashes of this run were removed after its end",
            where=ERASE_DAG_ID,
            next_step="Nothing was sent now. Trigger a new run with the hashes",
        )
    # In the order of the fields.
    subjects = SubjectHashes.read(dict(zip(IDENTIFIERS, (params[name] for name in HASH_FIELDS), strict=True)))
    if not subjects.count:
        raise ConfigurationError(
            what="Missing hash",
            where=ERASE_DAG_ID,
            next_step=f"Fill in at least one of {', '.join(HASH_FIELDS)}",
        )
    return subjects


def build_erase_dag(definitions: Sequence[AudienceDefinition], *, base: Path) -> DAG:
    """Build the DAG that erases people from the audiences of all definitions.

    :param definitions: all valid definitions.
    :param base: folder of relative paths.
    """
    audiences = DefinitionCatalog({item.key: item for item in definitions}, base)
    assets = [get_asset(item) for item in definitions]
    with DAG(
        dag_id=ERASE_DAG_ID,
        dag_display_name="Erase a person",
        description="Erase people from all audiences, by the hashes of their identifiers",
        schedule=None,
        # Two concurrent runs would overwrite each other's lists.
        max_active_runs=1,
        params=_form(audiences),
        **shared_dag_arguments(_DOCUMENTATION, tag="privacy"),
    ) as dag:

        @task(task_id=SELECT_TASK, inlets=assets, pool=select_pool(definitions), multiple_outputs=False)
        @fail_on_terminal_error
        def select_audiences() -> list[str]:
            """Return the keys of the audiences to process."""
            context: Any = get_current_context()
            subjects = subject_hashes(context)
            keys = list(dict.fromkeys(context["params"]["audiences"])) or sorted(audiences.by_key)
            skipped = {key: reason for key in keys if (reason := _skip_reason(audiences.get(key), context))}
            for key, reason in skipped.items():
                log.info("Skipped %s: %s", key, reason)
            selected = [key for key in keys if key not in skipped]
            log.info("Erasing %s hashes from %s audiences", subjects.count, len(selected))
            context["ti"].xcom_push(key=SKIPPED_XCOM_KEY, value=skipped)
            return selected

        selected: Any = with_links(select_audiences(), AudiencesPageLink())
        erased = ErasePersonOperator.partial(
            task_id=ERASE_TASK,
            audiences=audiences,
            inlets=assets,
            map_index_template="{{ task.audience }}",
            pool=select_pool(definitions),
        ).expand(audience=selected)

        @task(task_id=REPORT_TASK, trigger_rule=TriggerRule.ALL_DONE, multiple_outputs=False)
        @fail_on_terminal_error
        def report(keys: list[str] | None) -> dict[str, Any]:
            """Report the result of each audience, and fail if one needs a manual action."""
            context: Any = get_current_context()
            if keys is None:
                raise AirflowFailException(f"Nothing was done: {SELECT_TASK} failed, see its log")
            ti = context["ti"]
            skipped = ti.xcom_pull(task_ids=SELECT_TASK, key=SKIPPED_XCOM_KEY) or {}
            is_dry_run = bool(context["params"]["dry_run"])
            return build_report(keys, _results(ti, len(keys)), skipped, is_dry_run=is_dry_run)

        erased >> with_links(report(selected), AudiencesPageLink())
        set_task_docs(dag, ERASURE)
    return dag


def _results(ti: Any, count: int) -> list[dict[str, Any]]:
    if not count:
        return []
    pulled = ti.xcom_pull(task_ids=ERASE_TASK, map_indexes=list(range(count)))
    return [item for item in pulled or () if isinstance(item, dict)]


def build_report(
    keys: Sequence[str],
    results: Sequence[Mapping[str, Any]],
    skipped: Mapping[str, str],
    *,
    is_dry_run: bool = False,
) -> dict[str, Any]:
    """Log and return the result of each audience.

    :raises AirflowFailException: an audience failed, or needs a manual action.
    """
    by_key = {item["audience"]: item for item in results}
    lines = [f"  {key}: skipped, {reason}" for key, reason in skipped.items()]
    lines += [f"  {key}: {item['status']}. {item['message']}" for key, item in by_key.items()]
    failed = [key for key in keys if key not in by_key]
    lines += [f"  {key}: failed, see its task" for key in failed]
    log.info("Results:\n%s\n%s.", "\n".join(lines) or "  no audience", CRM_FIRST_HINT)
    manual = [
        f"{key}: {item['message']}"
        for key, item in by_key.items()
        if item["status"] == "manual_action_required"
    ]
    if failed or (manual and not is_dry_run):
        errors = [*manual, *(f"{key}: its task failed; fix the cause and clear it" for key in failed)]
        raise AirflowFailException(
            f"The erasure is incomplete. {' | '.join(errors)}. Then clear this task, or mark the run a success, which "
            f"also removes its hashes. {CRM_FIRST_HINT}"
        )
    return {
        "audiences": {key: item["status"] for key, item in by_key.items()},
        "skipped_audiences": dict(skipped),
    }


def _skip_reason(definition: AudienceDefinition, context: Any) -> str:
    """Return the reason to skip an audience; empty if it is processed, or if its own task reports the error."""
    try:
        store = get_state_store(context, get_asset(definition))
        if get_platform(definition.platform).erasure.find_audience_id(definition, store) is None:
            return "the vendor has no audience of it yet"
    except AudienceRetiredError as error:
        return error.what
    except AudienceOnboardingError as error:
        log.warning("%s: %s", definition.key, error)
    return ""


def _form(audiences: DefinitionCatalog) -> dict[str, Param]:
    keys = sorted(audiences.by_key)
    return {
        **{
            name: Param(
                [],
                type="array",
                # The length, too: a line break at the end would pass the pattern.
                items={"type": "string", "pattern": "^[0-9a-fA-F]{64}$", "maxLength": 64},
                maxItems=MAX_HASHES,
                title=title,
                description_md=f"SHA-256 of {label}; one per line, 64 hexadecimal digits each. Optional. {_HASH_HINT}",
            )
            for name, (title, label) in _HASH_LABELS.items()
        },
        "audiences": Param(
            [],
            type="array",
            items={"type": "string", **choices_schema(keys)},
            examples=keys,
            values_display={key: f"{audiences.by_key[key].name} ({key})" for key in keys},
            title="Audiences",
            section="Scope",
            description_md="Empty: all. Definitions without an audience at the vendor are skipped.",
        ),
        "ignore_snapshots": flag_param(
            "Ignore snapshots",
            "Also send the people to audiences of Digital Audience whose snapshot does not contain them: for audiences "
            "that other systems load, too.",
            section="Scope",
        ),
        "dry_run": flag_param(
            "Dry run", f"Report the actions, and send nothing. Before the real run: **{CRM_FIRST_HINT}.**"
        ),
    }


_DOCUMENTATION = f"""\
### Erase a person
Erases people from all audiences, by the **hashes** of their e-mail addresses, phone numbers and personal ids. Compute
them with `python -m audience_onboarding hash`; the form accepts hashes only. {CRM_FIRST_HINT}.

- **Digital Audience**: sends an opt-out file and waits for it; rewrites the snapshots without the person.
- **CommBox**: replaces the list by one without the person, if the definition has `snapshots`; without them, it needs a
  manual action.
- **Fanfare**: its API has no operation that removes a member. The run reports whether the person is a member, and fails
  until a user has removed them manually.

The hashes are removed from the conf after the run succeeds, or 30 days after it fails.
"""
