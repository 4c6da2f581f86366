"""``make demo``: the main job, end to end, on one machine and without any account.

Starts the sandbox, its S3 and a standalone Airflow; loads the newest sample extract of one audience on each platform;
activates the one on Digital Audience; extends its segment's end date; checks the results against the sandbox's journal.
Writes ``build/demo.json``. At a terminal the stack then stays up until Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.local_stack import PROJECT, Airflow, Sandbox, StackError, wait_for

AUDIENCE = "newsletter_nl"
OTHERS = {"fanfare": "presale_fans", "commbox": "service_alerts"}
"""The audience that is loaded on each of the other platforms."""
CAMPAIGN_ASSET = "campaign/digital_audience_default/Always-on CRM"
EXTEND_WITHIN_DAYS = 60
EXTEND_DAYS = 90


class Progress:
    """Lines with the time since the start."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started

    def __call__(self, text: str) -> None:
        print(f"[{self.seconds:5.1f}s] {text}", flush=True)


def newest_extract(audience: str) -> str:
    """The load date of the newest sample extract."""
    return max(path.stem for path in (PROJECT / "include" / "crm" / audience).glob("????-??-??.csv"))


def follow(airflow: Airflow, dag_id: str, run_id: str, say: Progress) -> None:
    """Show each task of a run as it changes, until the run has ended.

    :raises StackError: it has failed.
    """
    shown: dict[str, str | None] = {}

    def ended() -> str | None:
        for task, state in sorted(airflow.task_states(dag_id, run_id).items()):
            if state is not None and state not in {"scheduled", "queued"} and shown.get(task) != state:
                shown[task] = state
                say(f"  {dag_id}.{task}: {state}")
        state = airflow.run(dag_id, run_id)["state"]
        return state if state in {"success", "failed"} else None

    if wait_for(ended, f"The end of {dag_id}", timeout=300) == "failed":
        raise StackError(f"{dag_id} failed; the logs are under {airflow.home / 'logs'}")


def main_job(sandbox: Sandbox, airflow: Airflow, say: Progress) -> dict[str, Any]:
    """Load, activate, extend; return the results."""
    onboard, activate, extend = f"onboard_{AUDIENCE}", f"activate_{AUDIENCE}", "extend_segment_end_dates"
    airflow.wait_for_dags(onboard, activate, extend)
    for dag_id in (onboard, activate, extend):
        airflow.unpause(dag_id)
    load_date = newest_extract(AUDIENCE)
    say(f"Loading the extract of {load_date}")
    onboarding_run = airflow.trigger(onboard, {"load_date": load_date})
    follow(airflow, onboard, onboarding_run, say)
    record = airflow.xcom(onboard, onboarding_run, "record_load")

    say("The confirmed load starts the activation")
    run = wait_for(lambda: next(iter(airflow.runs(activate)), None), "The activation", timeout=60)
    follow(airflow, activate, run["dag_run_id"], say)
    segment = airflow.xcom(activate, run["dag_run_id"], "wait_until_active_dv360")

    say(f"Extending the segments that end within {EXTEND_WITHIN_DAYS} days")
    extension_run = airflow.trigger(extend, {"within_days": EXTEND_WITHIN_DAYS, "days": EXTEND_DAYS})
    follow(airflow, extend, extension_run, say)

    api = requests_as_vendor_user(sandbox)
    live = api(f"/segment/{segment['segment_id']}")
    campaign = airflow.asset_state(CAMPAIGN_ASSET).get("campaign") or {}
    result = {
        "campaign_id": campaign.get("id"),
        "audience_id": record["audience_id"],
        "s3_key": record["s3_key"],
        "rows_read": record["rows_read"],
        "rows_sent": record["rows_sent"],
        "duplicates": record["duplicates"],
        "rejected": record["rejected"],
        "audience_state": record["audience_state"],
        "match_rates": record["match_rates"],
        "segment_id": segment["segment_id"],
        "segment_status": live["status"],
        "segment_end_date": live["endDate"],
    }
    compare_with_journal(sandbox, result, end_date_before=segment["end_date"])
    return result


def onboard_elsewhere(sandbox: Sandbox, airflow: Airflow, say: Progress) -> dict[str, dict[str, Any]]:
    """Load one audience on each of the other platforms, at the same time; return the result of each."""
    dag_ids = {platform: f"onboard_{audience}" for platform, audience in OTHERS.items()}
    airflow.wait_for_dags(*dag_ids.values())
    runs = {}
    for platform, dag_id in dag_ids.items():
        airflow.unpause(dag_id)
        runs[platform] = airflow.trigger(dag_id, {"load_date": newest_extract(OTHERS[platform])})
    results = {}
    for platform, dag_id in dag_ids.items():
        follow(airflow, dag_id, runs[platform], say)
        record = airflow.xcom(dag_id, runs[platform], "record_load")
        results[platform] = {name: value for name, value in record.items() if name not in NOT_SHOWN}
        compare_with_list(sandbox, platform, record)
    return results


NOT_SHOWN = {"content_id", "rejected_by_reason", "run_id", "run_type"}
"""Fields of a load's record that the demo does not print."""


def compare_with_list(sandbox: Sandbox, platform: str, record: dict[str, Any]) -> None:
    """Check a record against the list of the vendor's API.

    :raises StackError: they differ.
    """
    import requests

    headers = {"Authorization": f"Bearer {sandbox.info[KEYS[platform]]}"}

    def get(path: str) -> Any:
        response = requests.get(f"{sandbox.info[f'{platform}_url']}{path}", headers=headers, timeout=30)
        response.raise_for_status()
        return response.json()

    listed = get("/audiences")["data"]
    if [item["id"] for item in listed] != [record["audience_id"]]:
        raise StackError(f"{platform} lists {len(listed)} audiences, not the one that was created")
    members = (
        listed[0]["user_count"]
        if platform == "commbox"
        else get(f"/audiences/{record['audience_id']}/count")["count"]
    )
    if members != record["rows_sent"]:
        raise StackError(f"{platform} counts {members} members, {record['rows_sent']} were sent")


KEYS = {"fanfare": "fanfare_secret_key", "commbox": "commbox_api_key"}
"""Name of each platform's key in the settings of the sandbox."""


def requests_as_vendor_user(sandbox: Sandbox) -> Callable[[str], Any]:
    """A way to ask the vendor directly, beside the package."""
    import requests

    session = requests.Session()
    url = sandbox.info["api_url"]
    credentials = {"userName": sandbox.info["username"], "password": sandbox.info["password"]}
    session.post(f"{url}/account/login", json=credentials, timeout=30).raise_for_status()

    def get(path: str) -> Any:
        response = session.get(f"{url}{path}", timeout=30)
        response.raise_for_status()
        return response.json()["data"]

    return get


def compare_with_journal(sandbox: Sandbox, result: dict[str, Any], *, end_date_before: str) -> None:
    """Check the result against the sandbox's journal.

    :raises StackError: they differ.
    """
    calls = sandbox.admin("summary")["operations"]
    objects = sandbox.admin("objects")
    problems = [
        f"{operation} was called {calls.get(operation, {}).get('success', 0)} times"
        for operation in ("createCampaign", "createCrmAudience", "activateAudience", "updateSegmentEndDate")
        if calls.get(operation, {}).get("success", 0) != 1
    ]
    keys = [item["key"] for item in objects["objects"]]
    if keys != [result["s3_key"]]:
        problems.append(f"the bucket holds {keys}")
    if objects["open_uploads"]:
        problems.append("an upload was left open")
    if _parse_datetime(result["segment_end_date"]) <= _parse_datetime(end_date_before):
        problems.append(f"the end date did not move forward from {end_date_before}")
    if problems:
        raise StackError(f"The sandbox saw something else: {'; '.join(problems)}")


def _parse_datetime(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def show(result: dict[str, Any]) -> None:
    """Print a short result for people."""
    print()
    for platform, record in result["platforms"].items():
        print(
            f"  {platform}: audience {record['audience_id']}, {record['rows_read']:,} rows read = "
            f"{record['rows_sent']:,} sent + {record['duplicates']:,} duplicates + {record['rejected']:,} rejected"
        )
    rates = ", ".join(f"{name} {rate:.0%}" for name, rate in sorted(result["match_rates"].items()))
    print(
        f"""
  On Digital Audience: campaign {result["campaign_id"]}, audience {result["audience_id"]} {result["audience_state"]}
  match rates: {rates}
  uploaded as {result["s3_key"]}
  segment {result["segment_id"]}: {result["segment_status"]}, ends {result["segment_end_date"]}
""",
        flush=True,
    )


def main() -> int:
    """Run the demo; the exit code is 0 if all of it went well."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--build", type=Path, default=PROJECT / "build", help="folder for all output")
    build: Path = parser.parse_args().build.resolve()
    folder = build / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    report = build / "demo.json"
    report.unlink(missing_ok=True)

    # A polite kill ends like Ctrl-C, and Ctrl-C works in a background job too, so that nothing is left running.
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.default_int_handler)
    say = Progress()
    sandbox = Sandbox(folder)
    airflow: Airflow | None = None
    try:
        say("Starting the sandbox vendor and its S3")
        sandbox.start()
        say(f"  vendor {sandbox.info['api_url']}, S3 {sandbox.info['s3_url']}")
        say("Starting Airflow (scheduler, DAG processor, triggerer, API server); this takes half a minute")
        airflow = Airflow(folder / "airflow", env=sandbox.connections())
        airflow.start()
        say(f"  Airflow {airflow.url}")
        main_result = main_job(sandbox, airflow, say)
        say("The same for Fanfare and CommBox")
        others = onboard_elsewhere(sandbox, airflow, say)
        # The fields of the main job stand at the top, where they always stood.
        result = {
            **main_result,
            "seconds": round(say.seconds, 1),
            "platforms": {"digital_audience": main_result, **others},
        }
        report.write_text(json.dumps(result, indent=2) + "\n")
        show(result)
        print(f"Result: {report}", flush=True)
        if sys.stdin.isatty() and sys.stdout.isatty():
            print(f"Airflow is up at {airflow.url} (no password). Ctrl-C stops it.", flush=True)
            signal.pause()
        else:
            print(f"Airflow was up at {airflow.url}; at a terminal it stays up until Ctrl-C.", flush=True)
    except StackError as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0 if report.exists() else 130
    finally:
        say("Stopping")
        if airflow is not None:
            airflow.stop()
        sandbox.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
