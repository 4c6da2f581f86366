"""What each task of the package's DAGs says of itself in Airflow.

That is: what it does, what to do if it fails, and whether it may be cleared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow.sdk import DAG


@dataclass(frozen=True)
class TaskDoc:
    """What a task says.

    :param does: what it does.
    :param if_failed: what a person does then.
    :param cleared: whether it may be cleared, and what that does.
    """

    does: str
    if_failed: str
    cleared: str

    def markdown(self) -> str:
        """For ``doc_md``."""
        return f"{self.does}\n\n**If it fails:** {self.if_failed}\n\n**Clear it?** {self.cleared}\n"


def set_task_docs(dag: DAG, notes: Mapping[str, TaskDoc]) -> None:
    """Let the tasks of a DAG say what they are for.

    :param notes: by task id, or by its beginning with a ``*`` after it. A task that none is for keeps its own.
    """
    for task_id, task in dag.task_dict.items():
        note = notes.get(task_id) or next(
            (item for name, item in notes.items() if name.endswith("*") and task_id.startswith(name[:-1])),
            None,
        )
        if note is None:
            continue
        if hasattr(task, "partial_kwargs"):
            # A mapped task takes it from here.
            task.partial_kwargs["doc_md"] = note.markdown()
        else:
            task.doc_md = note.markdown()


_READ_THE_MESSAGE = "the last line of its log says what and where, and what to do next."
_READ_THE_MESSAGE_FIRST = _READ_THE_MESSAGE[0].upper() + _READ_THE_MESSAGE[1:]
"""The same, where a text begins with it."""
_TRIED_AGAIN = "What may go away by itself is tried again first."
_UNCLEAR = (
    "`AmbiguousCreateError` means that nobody knows whether it was created: look in the vendor's portal, "
    "then trigger `resolve_ambiguous_create` as the message says, and clear this task."
)
_WAIT = TaskDoc(
    does="Waits, in the triggerer and without a worker, until the vendor has taken in what `upload` has "
    "sent. What was there before is never taken for it.",
    if_failed="A time-out says the last state seen: look at the audience in the vendor's portal (link "
    "above). A failure that the vendor reports has its words in the log: mend the list, then trigger the "
    "day with *Overwrite*, under *Exceptions* in the form.",
    cleared="Yes, at any time: it waits on, and nothing is sent again.",
)
_ENSURE = TaskDoc(
    does="Finds the audience at the vendor, or creates it: once, over all runs, retries and clears. Its id "
    "is remembered with the audience's asset.",
    if_failed=f"{_TRIED_AGAIN} {_UNCLEAR}",
    cleared="Yes: what is there already is found, never created again.",
)

ONBOARDING = {
    "lookup_audience": TaskDoc(
        does="Looks whether the audience and its campaign are known, and skips the tasks that would create "
        "what is known: of all loads but the first, this is all that is done. Asks nobody but Airflow.",
        if_failed=f"Nothing was changed; {_READ_THE_MESSAGE}",
        cleared="Yes: it only looks. Clear it with what comes after it.",
    ),
    "audience_ready": TaskDoc(
        does="Goes on once the audience is there, whoever has created it. Takes no worker.",
        if_failed="It cannot fail by itself: look at the tasks before it.",
        cleared="Yes: it does nothing.",
    ),
    "ensure_campaign": TaskDoc(
        does="Finds the campaign that the audience belongs to, or creates it: once, also where several "
        "audiences share it. So it does this for one audience at a time, and is skipped where audience or "
        "campaign are known.",
        if_failed=f"{_TRIED_AGAIN} {_UNCLEAR}",
        cleared="Yes: what is there already is found, never created again.",
    ),
    "ensure_audience": _ENSURE,
    "find_audience": TaskDoc(
        does="Looks whether the audience is there. This vendor creates one together with its first list, "
        "which `upload` does.",
        if_failed=f"Nothing was changed; {_READ_THE_MESSAGE}",
        cleared="Yes: it only reads.",
    ),
    "wait_for_prerequisites": TaskDoc(
        does="Waits, in the triggerer and without a worker, for the source where the definition says so, "
        "and until no load of an earlier day is under way.",
        if_failed="The source did not come in time, or an earlier load hangs: the log names it. Finish that "
        "run, or mark it failed to let this one go ahead.",
        cleared="Yes: it waits on.",
    ),
    "upload": TaskDoc(
        does="Reads the list, normalises and hashes it as the platform wants it, checks the guards, and "
        "sends it once. The log shows how many rows were read, sent, left out and why; *Rejects* lists them "
        "where they are kept in S3.",
        if_failed=f"{_READ_THE_MESSAGE_FIRST} `GuardError`: nothing was sent; if the list is right, trigger "
        "the day with *Ignore guards*. `UploadConflictError`: this day was sent with other content; if the new "
        "one is right, trigger it with *Overwrite*. Both are under *Exceptions* in the form.",
        cleared="Yes: the same list is not sent twice. It is read anew.",
    ),
    "wait_for_confirmation": _WAIT,
    "record_load": TaskDoc(
        does="Remembers the confirmed load with the audience, and shows what came of it: counts, match "
        "rates, where the rejects are.",
        if_failed="The load is at the vendor, only its record is missing. Clear this task once the cause is "
        "gone.",
        cleared="Yes: it writes the same record again.",
    ),
    "publish_load": TaskDoc(
        does="Tells Airflow that the audience was loaded (an event of its asset), which starts the "
        "activation. Skipped for loads of the past, unless the form says otherwise.",
        if_failed="`MatchRateError`: the load is at the vendor, but not activated. Look into the source; if "
        "it is right, run the day again with *Ignore match rates*.",
        cleared="Yes, but each success is one more event, and so one more run of the activation; that finds "
        "its segments and creates none again.",
    ),
    "write_audit_row": TaskDoc(
        does="Writes one row about this run into the table that the definition names, however the run has "
        "ended.",
        if_failed="The load itself is not touched. Mend the connection or the table, then clear this task.",
        cleared="Yes: a run has one row, which is written anew.",
    ),
}

ACTIVATION = {
    "approve_*": TaskDoc(
        does="Asks a person whether the segment may be created (*Required actions*). Skipped where it is "
        "there already.",
        if_failed="Nobody has answered in time. Clear it to ask again.",
        cleared="Yes: it asks again, also after a refusal.",
    ),
    "activate_*": TaskDoc(
        does="Finds the segment on the platform account, by name, or creates it. One that is over is left "
        "alone.",
        if_failed=f"{_TRIED_AGAIN} `ConfigurationError` lists the accounts there are. {_UNCLEAR}",
        cleared="Yes: a segment that is there is found, never created again.",
    ),
    "wait_until_active_*": TaskDoc(
        does="Waits, in the triggerer and without a worker, until the segment is active on its platform.",
        if_failed="Look at the segment in the vendor's portal (link above).",
        cleared="Yes: it waits on.",
    ),
}

EXTENSION = {
    "find_segments": TaskDoc(
        does="Looks at the segments of all audiences, and finds those that end soon.",
        if_failed=f"Nothing was changed; {_READ_THE_MESSAGE}",
        cleared="Yes: it only reads. The tasks after it are to be cleared with it.",
    ),
    "extend": TaskDoc(
        does="Moves the end date of one segment forward; never back.",
        if_failed=f"The other segments are extended all the same. {_TRIED_AGAIN}",
        cleared="Yes: an end date that is there already stays.",
    ),
    "report": TaskDoc(
        does="Lists what became of each segment.",
        if_failed="It fails where one of the others has: the message says which task to clear.",
        cleared="Yes: it only reads.",
    ),
}

EXTENSION_FORM = {
    "extend": TaskDoc(
        does="Moves the end date of the segment that the form names.",
        if_failed=f"Nothing was changed; {_READ_THE_MESSAGE}",
        cleared="Yes: an end date that is there already stays.",
    ),
}

DRIFT = {
    "detect_drift": TaskDoc(
        does="Compares what is at the vendors with the definitions. Changes something only with *Apply*.",
        if_failed=f"What could be compared was; {_READ_THE_MESSAGE} Also fails on differences, with *Fail "
        "on drift*.",
        cleared="Yes: it compares again.",
    ),
}

RESOLVE_CREATE = {
    "resolve": TaskDoc(
        does="Writes down what a person has found in the vendor's portal about a creation that ended "
        "without an answer.",
        if_failed=f"Nothing was changed; {_READ_THE_MESSAGE}",
        cleared="Yes, but what is settled is not unclear any more, and it says so.",
    ),
}

LOAD_RANGE = {
    "validate_params": TaskDoc(
        does="Checks what the form asks for, before anything runs.",
        if_failed="The message says which field cannot be. Trigger the DAG again with another value.",
        cleared="Yes: it changes nothing.",
    ),
    "trigger_onboarding": TaskDoc(
        does="Starts a run of the audience's own DAG and waits for its end, in the triggerer and without a "
        "worker.",
        if_failed="Follow the link *Triggered DAG*, clear what failed there, then clear this task.",
        cleared="Yes: it waits for the same run, and starts no other.",
    ),
}

ERASURE = {
    "select_audiences": TaskDoc(
        does="Finds the audiences to look into. The hashes stay in the conf of the run.",
        if_failed=f"Nothing was sent; {_READ_THE_MESSAGE}",
        cleared="Yes: it only reads. Once a run has succeeded its hashes are gone, and a new run is needed.",
    ),
    "erase": TaskDoc(
        does="Takes the people out of one audience, as far as its platform allows, and waits until the "
        "vendor has done it.",
        if_failed=f"The other audiences are looked into all the same. {_TRIED_AGAIN}",
        cleared="Yes: it goes on where it was, and takes nobody else out.",
    ),
    "report": TaskDoc(
        does="Says what each audience has come to, and fails if one needs a person.",
        if_failed="It names the audiences that need you, and what is to be done there by hand.",
        cleared="Yes, after what it names is done.",
    ),
}

RETIREMENT = {
    "inspect": TaskDoc(
        does="Shows what would be deleted: audience, members, segments. Changes nothing.",
        if_failed=_READ_THE_MESSAGE_FIRST,
        cleared="Yes: it looks again, and what comes after it asks again.",
    ),
    "approve": TaskDoc(
        does="Asks a person whether what `inspect` has shown is to be deleted (*Required actions*).",
        if_failed="Nobody has answered in time: nothing is deleted. Clear it to ask again.",
        cleared="Yes: it asks again.",
    ),
    "delete": TaskDoc(
        does="Deletes exactly what was approved, segments first. There is no way back.",
        if_failed="Something else is there than was approved, or the vendor refuses. Clear `inspect`, so that "
        "a person approves of what is there now.",
        cleared="Yes: what is gone already stays gone, and nothing beyond what was approved is deleted.",
    ),
    "record_retirement": TaskDoc(
        does="Writes down who has retired the audience and who has approved it, and forgets the rest.",
        if_failed="The audience is deleted at the vendor, only the record is missing. Clear this task.",
        cleared="Yes.",
    ),
    "reopen": TaskDoc(
        does="Lets the next load begin anew with an audience that was retired.",
        if_failed=f"Nothing was changed; {_READ_THE_MESSAGE}",
        cleared="Yes.",
    ),
}
