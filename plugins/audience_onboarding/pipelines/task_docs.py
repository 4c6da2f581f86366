"""Documentation of each task of the package's DAGs, shown by Airflow: summary, failure, clearing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow.sdk import DAG


@dataclass(frozen=True)
class TaskDoc:
    """Documentation of a task.

    :param summary: effect of the task.
    :param on_failure: action of the user after a failure.
    :param on_clear: whether the task may be cleared, and the effect.
    """

    summary: str
    on_failure: str
    on_clear: str

    def markdown(self) -> str:
        """Return the text for ``doc_md``."""
        return f"{self.summary}\n\n**If it fails:** {self.on_failure}\n\n**Clear it?** {self.on_clear}\n"


def set_task_docs(dag: DAG, docs: Mapping[str, TaskDoc]) -> None:
    """Set ``doc_md`` of the tasks of a DAG; a task without an entry keeps its own.

    :param docs: by task id, or by the start of a task id followed by ``*``.
    """
    for task_id, task in dag.task_dict.items():
        doc = docs.get(task_id) or next(
            (item for name, item in docs.items() if name.endswith("*") and task_id.startswith(name[:-1])),
            None,
        )
        if doc is None:
            continue
        if hasattr(task, "partial_kwargs"):
            # A mapped task copies its attributes from here.
            task.partial_kwargs["doc_md"] = doc.markdown()
        else:
            task.doc_md = doc.markdown()


_READ_THE_LOG = "The last line of its log names the failure, its place and the next step."
_UNCHANGED = f"Nothing was changed. {_READ_THE_LOG}"
_RETRIED = "Airflow retries transient errors first."
_AMBIGUOUS = (
    "`AmbiguousCreateError`: it is unknown whether the vendor created the object. Search for it in the vendor's "
    "portal, trigger `resolve_ambiguous_create` as the message describes, and clear this task."
)
_READS_ONLY = "Yes. It only reads."
_RESUMES = "Yes. It resumes waiting."
_FINDS = "Yes. An existing object is found and never created again."

ONBOARDING = {
    "lookup_audience": TaskDoc(
        summary="Reads the stored ids of the audience and its campaign, and skips the tasks that would create them. "
        "Only the first load creates them. Sends no request to the vendor.",
        on_failure=_UNCHANGED,
        on_clear="Yes. It only reads. Clear the tasks after it, too.",
    ),
    "audience_ready": TaskDoc(
        summary="Succeeds once the audience exists. Uses no worker.",
        on_failure="It cannot fail by itself: check the tasks before it.",
        on_clear="Yes. It does nothing.",
    ),
    "ensure_campaign": TaskDoc(
        summary="Finds or creates the campaign of the audience, once, even if several audiences share it. Therefore "
        "it runs for one audience at a time. Skipped if the id of the campaign or audience is stored.",
        on_failure=f"{_RETRIED} {_AMBIGUOUS}",
        on_clear=_FINDS,
    ),
    "ensure_audience": TaskDoc(
        summary="Finds or creates the audience at the vendor, once over all runs, retries and clears. Stores its id "
        "with the audience's asset.",
        on_failure=f"{_RETRIED} {_AMBIGUOUS}",
        on_clear=_FINDS,
    ),
    "find_audience": TaskDoc(
        summary="Finds the audience. This vendor creates an audience with its first list, in `upload`.",
        on_failure=_UNCHANGED,
        on_clear=_READS_ONLY,
    ),
    "wait_for_prerequisites": TaskDoc(
        summary="Waits in the triggerer, without a worker, until the source exists (if the definition waits for it) "
        "and the loads of earlier dates have finished.",
        on_failure="Timed out waiting for the source or for an earlier load, which the log names. Let that run "
        "finish, or mark it failed.",
        on_clear=_RESUMES,
    ),
    "upload": TaskDoc(
        summary="Reads the list, normalizes and hashes it as the platform requires, checks the guards, and sends it "
        "once. The log shows how many rows were read, sent and rejected, with reasons; *Rejects* lists the rejected "
        "rows, if the definition stores them.",
        on_failure=f"{_READ_THE_LOG} `GuardError`: nothing was sent; if the list is correct, trigger the date with "
        "*Ignore guards*. `UploadConflictError`: this date was sent with other content; if the new content is "
        "correct, trigger it with *Overwrite*. Both are under *Exceptions* in the form.",
        on_clear="Yes. It reads the list again; an unchanged list is not sent twice.",
    ),
    "wait_for_confirmation": TaskDoc(
        summary="Waits in the triggerer, without a worker, until the vendor has processed this upload. Earlier "
        "results of the vendor do not count.",
        on_failure="Timed out: the message has the last state; check the audience in the vendor's portal (link "
        "above). Failed at the vendor: the log has the vendor's message; fix the list, and trigger the date with "
        "*Overwrite*, under *Exceptions* in the form.",
        on_clear="Yes. It resumes waiting; nothing is sent again.",
    ),
    "record_load": TaskDoc(
        summary="Stores the confirmed load with the audience, and logs its counts, match rates and the location of "
        "the rejects.",
        on_failure="The vendor has the load; only its record is missing. Fix the cause, and clear this task.",
        on_clear="Yes. It writes the same record again.",
    ),
    "publish_load": TaskDoc(
        summary="Emits the event of the audience's asset, which starts the activation. Skipped for historical loads, "
        "unless the form has *Activate after backfill*.",
        on_failure="`MatchRateError`: the vendor has the load, but it is not activated. Check the source; if it is "
        "correct, run the date again with *Ignore match rates*.",
        on_clear="Yes. Each success emits another event and starts another activation run, which finds its segments "
        "and creates none again.",
    ),
    "write_audit_row": TaskDoc(
        summary="Writes one row about this run into the audit table of the definition, whether the run succeeded or "
        "failed.",
        on_failure="The load is not affected. Fix the connection or the table, and clear this task.",
        on_clear="Yes. A run has one row, which is rewritten.",
    ),
}

ACTIVATION = {
    "approve_*": TaskDoc(
        summary="Asks a user to approve the segment (*Required actions*). Skipped if the segment exists.",
        on_failure="No user answered in time. Clear it to ask again.",
        on_clear="Yes. It asks again, also after a rejection.",
    ),
    "activate_*": TaskDoc(
        summary="Finds the segment on the platform account by its name, or creates it. An ended target is skipped.",
        on_failure=f"{_RETRIED} `ConfigurationError` lists the existing accounts. {_AMBIGUOUS}",
        on_clear=_FINDS,
    ),
    "wait_until_active_*": TaskDoc(
        summary="Waits in the triggerer, without a worker, until the segment is active on its platform.",
        on_failure="Check the segment in the vendor's portal (link above).",
        on_clear=_RESUMES,
    ),
}

EXTENSION = {
    "find_segments": TaskDoc(
        summary="Reads the segments of all audiences, and selects those that end soon.",
        on_failure=_UNCHANGED,
        on_clear="Yes. It only reads. Clear the tasks after it, too.",
    ),
    "extend": TaskDoc(
        summary="Moves the end date of one segment forward, never back.",
        on_failure=f"The other segments are still extended. {_RETRIED}",
        on_clear="Yes. An end date that is already set stays.",
    ),
    "report": TaskDoc(
        summary="Lists the result of each segment.",
        on_failure="An extension has failed: the message names the task to clear.",
        on_clear=_READS_ONLY,
    ),
}

EXTENSION_FORM = {
    "extend": TaskDoc(
        summary="Moves the end date of the segment in the form.",
        on_failure=_UNCHANGED,
        on_clear="Yes. An end date that is already set stays.",
    ),
}

DRIFT = {
    "detect_drift": TaskDoc(
        summary="Compares the objects at the vendors with the definitions. Changes objects only with *Apply*.",
        on_failure=f"All reachable audiences were compared. {_READ_THE_LOG} It also fails on differences, with *Fail "
        "on drift*.",
        on_clear="Yes. It compares again.",
    ),
}

RESOLVE_CREATE = {
    "resolve": TaskDoc(
        summary="Stores the result of a create that ended without an answer, as a user found it in the vendor's "
        "portal.",
        on_failure=_UNCHANGED,
        on_clear="Yes. A resolved create is no longer ambiguous, which it reports.",
    ),
}

LOAD_RANGE = {
    "validate_params": TaskDoc(
        summary="Validates the form before a run starts.",
        on_failure="The message names the invalid field. Trigger the DAG again with another value.",
        on_clear="Yes. It changes nothing.",
    ),
    "trigger_onboarding": TaskDoc(
        summary="Starts a run of the audience's onboarding DAG, and waits in the triggerer, without a worker, until "
        "it ends.",
        on_failure="Follow the link *Triggered DAG*, clear the failed task there, and clear this task.",
        on_clear="Yes. It waits for the same run, and starts no other.",
    ),
}

ERASURE = {
    "select_audiences": TaskDoc(
        summary="Selects the audiences. The hashes stay in the conf of the run.",
        on_failure=f"Nothing was sent. {_READ_THE_LOG}",
        on_clear="Yes. It only reads. The hashes of a run are deleted after its success; a new run is needed then.",
    ),
    "erase": TaskDoc(
        summary="Removes the people from one audience, as far as its platform supports it, and waits until the "
        "vendor has processed it.",
        on_failure=f"The other audiences are still processed. {_RETRIED}",
        on_clear="Yes. It continues from its last step, and removes no other person.",
    ),
    "report": TaskDoc(
        summary="Reports the result of each audience. Fails if an audience needs a manual action.",
        on_failure="The message names the audiences and the manual action for each.",
        on_clear="Yes, after the manual actions.",
    ),
}

RETIREMENT = {
    "inspect": TaskDoc(
        summary="Shows the objects to delete: audience, members, segments. Changes nothing.",
        on_failure=_READ_THE_LOG,
        on_clear="Yes. It reads again, and the next task asks again.",
    ),
    "approve": TaskDoc(
        summary="Asks a user to approve the deletion that `inspect` has shown (*Required actions*).",
        on_failure="No user answered in time; nothing is deleted. Clear it to ask again.",
        on_clear="Yes. It asks again.",
    ),
    "delete": TaskDoc(
        summary="Deletes exactly the approved objects, segments first. It cannot be undone.",
        on_failure="The objects differ from the approved ones, or the vendor refused. Clear `inspect`, so that a user "
        "approves the current objects.",
        on_clear="Yes. Deleted objects stay deleted; it deletes only approved objects.",
    ),
    "record_retirement": TaskDoc(
        summary="Stores who retired the audience and who approved it, and clears its other state.",
        on_failure="The vendor has deleted the audience; only the record is missing. Clear this task.",
        on_clear="Yes.",
    ),
    "reopen": TaskDoc(
        summary="Lets the next load create a retired audience again.",
        on_failure=_UNCHANGED,
        on_clear="Yes.",
    ),
}
