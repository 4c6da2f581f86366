"""The DAG that takes people out of all audiences, by hand. It is given hashes only, and keeps none of them."""

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
    PACKAGE_TAG,
    choices_schema,
    default_args,
    get_asset,
    select_pool,
    snapshot_location,
)
from audience_onboarding.pipelines.dag_docs import all_audiences
from audience_onboarding.pipelines.task_docs import ERASURE, set_task_docs
from audience_onboarding.platform_registry import get_platform
from audience_onboarding.state.store import get_state_store

log = logging.getLogger(__name__)

SELECT_TASK, ERASE_TASK, REPORT_TASK = "select_audiences", "erase", "report"

SKIPPED_XCOM_KEY = "skipped_audiences"
"""XCom key of the audiences that there is nothing to do in, with the reason."""

MAX_HASHES = 1000
"""Of each kind in one run."""

_IN_WORDS = {
    "email_sha256": ("Hashes of e-mail addresses", "normalised addresses: lower case, no spaces"),
    "phone_sha256": ("Hashes of phone numbers", "international digits without plus, such as 31612345678"),
    "personal_id_sha256": (
        "Hashes of personal ids",
        "the twelve digits of Swedish personal identity numbers",
    ),
}


_HOW = (
    "**Never the value itself**: Airflow stores what is typed here. On your own machine, the command "
    "'python -m audience_onboarding hash' makes the hashes."
)


@dataclass(frozen=True)
class DefinitionCatalog:
    """The audiences that can be chosen, for the tasks.

    Its text is all that Airflow stores of it.

    :param by_key: the definitions.
    :param base: what a relative path of theirs counts from.
    """

    by_key: Mapping[str, AudienceDefinition]
    base: Path

    def __str__(self) -> str:
        return "the definitions"

    def __repr__(self) -> str:
        return str(self)

    def get(self, key: str) -> AudienceDefinition:
        """One of them.

        :raises ConfigurationError: the form knew it a moment ago.
        """
        if key in self.by_key:
            return self.by_key[key]
        raise ConfigurationError(
            what=f"The definition of the audience {key!r} is gone or broken",
            where=ERASE_DAG_ID,
            next_step="Nothing was sent for it. Mend the definition, then clear this task",
        )


class ErasePersonOperator(BaseOperator):
    """Take people out of one audience, as far as its platform allows, and wait until the vendor has done it.

    The hashes are read from the conf of the run: they are neither an argument nor a result.

    :param audience: key of the definition.
    :param audiences: to choose from.
    :return: what has become of it, see :class:`..base.erasure.ErasureResult`; no hash.
    """

    # Not templated: nothing of it is to be rendered and stored.
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
        """Begin, or find what an earlier try has done."""
        job = self._job(context)
        with _hushed(job):
            return self._end(job, get_platform(job.definition.platform).erasure.start(job))

    @fail_on_terminal_error
    def execute_complete(self, context: Context, event: dict[str, Any], after: str) -> dict[str, Any]:
        """Go on after a wait.

        :param after: what was waited for.
        """
        job = self._job(context)
        with _hushed(job):
            return self._end(job, get_platform(job.definition.platform).erasure.resume(job, after, event))

    def _job(self, context: Any) -> ErasureJob:
        definition = self.audiences.get(self.audience)
        dag_run, params = context["dag_run"], context["params"]
        return ErasureJob(
            definition=definition,
            store=get_state_store(context, get_asset(definition)),
            progress=get_state_store(context, None),
            people=people_in(context),
            snapshots=snapshot_location(definition, self.audiences.base),
            run_after=dag_run.run_after,
            run={"dag-id": context["ti"].dag_id, "run-id": str(context["run_id"])},
            is_dry_run=bool(params["dry_run"]),
            ignore_snapshots=bool(params["ignore_snapshots"]),
        )

    def _end(self, job: ErasureJob, found: ErasureResult | ErasureDeferral) -> dict[str, Any]:
        if isinstance(found, ErasureDeferral):
            self.log.info("Waiting for the vendor in the triggerer: %s", found.after)
            self.defer(
                trigger=found.trigger,
                method_name="execute_complete",
                kwargs={"after": found.after},
                timeout=timedelta(seconds=found.seconds) + DEFERRAL_GRACE,
            )
        self.log.info("%s: %s. %s", job.key, found.status, found.message)
        return {"audience": job.key, "platform": job.definition.platform, **found.to_dict()}


@contextmanager
def _hushed(job: ErasureJob) -> Iterator[None]:
    """Put the audience in front of what goes wrong."""
    try:
        yield
    except AudienceOnboardingError as error:
        error.prefix_subject(job.key)
        raise


def people_in(context: Any) -> Any:
    """The people that a run is about.

    :raises ConfigurationError: it has no hashes, or not any more; or fields that the form does not have.
    """
    from audience_onboarding.crm.snapshots.subjects import IDENTIFIERS, SubjectHashes

    conf, params = context["dag_run"].conf or {}, context["params"]
    if conf.get(UNKNOWN):
        raise ConfigurationError(
            what=f"The run was given {conf[UNKNOWN]} fields that the form does not have; they were removed",
            where=ERASE_DAG_ID,
            next_step=f"Nothing was sent. Give {', '.join(HASH_FIELDS)} in a new run, and nothing but hashes in them",
        )
    if conf.get(REMOVED):
        raise ConfigurationError(
            what="The hashes of this run were removed when it had ended",
            where=ERASE_DAG_ID,
            next_step="Nothing was sent now. To erase again, trigger a new run with the hashes",
        )
    # In the order of the fields.
    people = SubjectHashes.read(dict(zip(IDENTIFIERS, (params[name] for name in HASH_FIELDS), strict=True)))
    if not people.count:
        raise ConfigurationError(
            what="No hash is given",
            where=ERASE_DAG_ID,
            next_step=f"Fill in at least one of {', '.join(HASH_FIELDS)}",
        )
    return people


def build_erase_dag(definitions: Sequence[AudienceDefinition], *, base: Path) -> DAG:
    """The DAG that takes people out of the audiences of all definitions, by hand only.

    :param definitions: all that are good.
    :param base: what a relative path of theirs counts from.
    """
    audiences = DefinitionCatalog({item.key: item for item in definitions}, base)
    assets = [get_asset(item) for item in definitions]
    with DAG(
        dag_id=ERASE_DAG_ID,
        dag_display_name="Erase a person",
        description="Take people out of all audiences, by the hashes of their identifiers",
        doc_md=f"{_DOCUMENTATION}\n{all_audiences()}\n",
        tags=[PACKAGE_TAG, "privacy"],
        default_args=default_args(owner="audience-onboarding", retries=3),
        schedule=None,
        catchup=False,
        # Two at once would each write the list that the other one has shortened.
        max_active_runs=1,
        params=_form(audiences),
    ) as dag:

        @task(task_id=SELECT_TASK, inlets=assets, pool=select_pool(definitions), multiple_outputs=False)
        @fail_on_terminal_error
        def select_audiences() -> list[str]:
            """The keys of the audiences to look into."""
            context: Any = get_current_context()
            people = people_in(context)
            chosen = list(dict.fromkeys(context["params"]["audiences"])) or sorted(audiences.by_key)
            skipped_audiences = {key: why for key in chosen if (why := _why_not(audiences.get(key), context))}
            for key, why in skipped_audiences.items():
                log.info("%s is left out: %s", key, why)
            found = [key for key in chosen if key not in skipped_audiences]
            log.info("%s hashes to look for in %s audiences", people.count, len(found))
            context["ti"].xcom_push(key=SKIPPED_XCOM_KEY, value=skipped_audiences)
            return found

        found: Any = with_links(select_audiences(), AudiencesPageLink())
        erased = ErasePersonOperator.partial(
            task_id=ERASE_TASK,
            audiences=audiences,
            inlets=assets,
            map_index_template="{{ task.audience }}",
            pool=select_pool(definitions),
        ).expand(audience=found)

        @task(task_id=REPORT_TASK, trigger_rule=TriggerRule.ALL_DONE, multiple_outputs=False)
        @fail_on_terminal_error
        def report(keys: list[str] | None) -> dict[str, Any]:
            """Say what each has done, and fail if one needs a person."""
            context: Any = get_current_context()
            if keys is None:
                raise AirflowFailException(f"Nothing was done: {SELECT_TASK} has failed, see its log")
            ti = context["ti"]
            outcomes = _results(ti, len(keys))
            skipped_audiences = ti.xcom_pull(task_ids=SELECT_TASK, key=SKIPPED_XCOM_KEY) or {}
            return build_report(
                keys, outcomes, skipped_audiences, is_dry_run=bool(context["params"]["dry_run"])
            )

        last: Any = with_links(report(found), AudiencesPageLink())
        erased >> last
        set_task_docs(dag, ERASURE)
    return dag


def _results(ti: Any, count: int) -> list[dict[str, Any]]:
    if not count:
        return []
    pulled = ti.xcom_pull(task_ids=ERASE_TASK, map_indexes=list(range(count)))
    return [item for item in pulled or () if isinstance(item, dict)]


def build_report(
    keys: Sequence[str],
    outcomes: Sequence[Mapping[str, Any]],
    skipped_audiences: Mapping[str, str],
    *,
    is_dry_run: bool = False,
) -> dict[str, Any]:
    """What the report says.

    :raises AirflowFailException: an audience failed, or needs a person.
    """
    by_key = {item["audience"]: item for item in outcomes}
    lines = [f"  {key}: left out, {why}" for key, why in skipped_audiences.items()]
    lines += [f"  {key}: {item['status']}. {item['message']}" for key, item in by_key.items()]
    failed = [key for key in keys if key not in by_key]
    lines += [f"  {key}: failed, see its task" for key in failed]
    log.info("What became of it:\n%s\n%s.", "\n".join(lines) or "  there is no audience", CRM_FIRST_HINT)
    by_hand = [
        f"{key}: {item['message']}"
        for key, item in by_key.items()
        if item["status"] == "manual_action_required"
    ]
    if failed or (by_hand and not is_dry_run):
        problems = [
            *by_hand,
            *(f"{key}: its task has failed, clear it once the cause is gone" for key in failed),
        ]
        raise AirflowFailException(
            f"Not everything is done. {' | '.join(problems)}. Then clear this task, or mark the run a success: that "
            f"also removes the hashes from it. {CRM_FIRST_HINT}"
        )
    return {
        "audiences": {key: item["status"] for key, item in by_key.items()},
        "skipped_audiences": dict(skipped_audiences),
    }


def _why_not(definition: AudienceDefinition, context: Any) -> str:
    """Why there is nothing to do in an audience; empty where there is, or where its own task has to say what is
    wrong."""
    try:
        store = get_state_store(context, get_asset(definition))
        if get_platform(definition.platform).erasure.find_audience_id(definition, store) is None:
            return "it has no audience at the vendor yet"
    except AudienceRetiredError as error:
        return f"{error.what}"
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
                description_md=f"SHA-256 of {what}; one a line, 64 hexadecimal digits each. May be empty. {_HOW}",
            )
            for name, (title, what) in _IN_WORDS.items()
        },
        "audiences": Param(
            [],
            type="array",
            items={"type": "string", **choices_schema(keys)},
            examples=keys,
            values_display={key: f"{audiences.by_key[key].name} ({key})" for key in keys},
            title="Audiences",
            section="Where",
            description_md="Empty: all. Those without an audience at the vendor are left out.",
        ),
        "ignore_snapshots": Param(
            False,
            type="boolean",
            title="Also where the snapshot does not show them",
            section="Where",
            description_md="For audiences of Digital Audience that others put people into as well.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description_md=f"Only say what would be done. Before the real run: **{CRM_FIRST_HINT}.**",
        ),
    }


_DOCUMENTATION = f"""\
### Erase a person
Takes people out of all audiences, by the **hashes** of their e-mail addresses, phone numbers and personal ids. Make
them with `python -m audience_onboarding hash`; nothing else may be typed into the form. {CRM_FIRST_HINT}.

- **Digital Audience**: an opt-out file, waited for; the snapshots are written anew without the person.
- **CommBox**: the list without the person replaces the one that is there, if there are snapshots (`state`); else it is
  to be done by hand.
- **Fanfare**: its API takes nobody out of a list. The run says whether the person is in it, and fails until that is
  done by hand.

The hashes are removed from the conf when the run has succeeded, and 30 days after it has failed.
"""
