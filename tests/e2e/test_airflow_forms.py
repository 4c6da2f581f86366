"""What needs no run: connection types, their forms and test buttons, the pool, the form of a run."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_the_connection_type_is_listed_with_its_form_and_its_test_button(stack: Stack) -> None:
    assert "digital_audience" in stack.airflow.cli("providers", "hooks")
    metas = stack.airflow.ask("/ui/connections/hook_meta").json()
    (meta,) = [item for item in metas if item["connection_type"] == "digital_audience"]
    assert {"api_prefix", "paths", "portal_url", "verify_tls"} <= set(meta["extra_fields"])
    connection = {
        "connection_id": "trial",
        "conn_type": "digital_audience",
        "host": stack.sandbox.info["api_url"],
        "login": stack.sandbox.info["username"],
        "password": stack.sandbox.info["password"],
    }
    right = stack.airflow.api("connections/test", method="POST", json=connection)
    assert right["status"] is True
    assert "Logged in as" in right["message"]
    wrong = stack.airflow.api("connections/test", method="POST", json=connection | {"password": "wrong"})
    assert wrong["status"] is False
    assert "Correct Login and Password" in wrong["message"]


def test_what_tasks_need_is_imported_before_their_workers_are_forked(stack: Stack) -> None:
    lines = (stack.airflow.home / "standalone.log").read_text(errors="replace").splitlines()
    of_scheduler = [line for line in lines if line.startswith("scheduler")]
    imported = [number for number, line in enumerate(of_scheduler) if "Preloaded the modules" in line]
    forked = [number for number, line in enumerate(of_scheduler) if "Worker starting up" in line]
    assert imported
    assert imported[0] < forked[0]


@pytest.mark.parametrize(
    ("conn_type", "url", "key", "right_words", "wrong_words"),
    [
        ("fanfare", "fanfare_url", "fanfare_secret_key", "belongs to organization", "Rotating a secret key"),
        ("commbox", "commbox_url", "commbox_api_key", "The key is accepted", "Settings > API"),
    ],
)
def test_the_connection_types_have_forms_and_test_buttons(
    stack: Stack, conn_type: str, url: str, key: str, right_words: str, wrong_words: str
) -> None:
    metas = stack.airflow.ask("/ui/connections/hook_meta").json()
    assert conn_type in {item["connection_type"] for item in metas}
    # Alone there: a creation at the others' Fanfare would take the fault that another test has ordered.
    info = stack.quiet_sandbox.info
    connection = {
        "connection_id": "trial",
        "conn_type": conn_type,
        "host": info[url],
        "password": info[key],
    }
    if conn_type == "fanfare":
        # Fanfare names the organization only with an audience of it.
        made = requests.post(
            f"{info[url]}/audiences",
            json={"name": "For the test button", "type": "STATIC_LIST"},
            headers={"Authorization": f"Bearer {info[key]}"},
            timeout=30,
        )
        made.raise_for_status()
    right = stack.airflow.api("connections/test", method="POST", json=connection)
    assert right["status"] is True, right
    assert right_words in right["message"]
    wrong = stack.airflow.api(
        "connections/test", method="POST", json=connection | {"password": "sk_test_wrong"}
    )
    assert wrong["status"] is False
    assert wrong_words in wrong["message"]


def test_the_pool_of_the_shared_campaign_was_created_by_the_plugin(stack: Stack) -> None:
    pool = stack.airflow.api("pools/audience_onboarding_create")
    assert pool["slots"] == 1


@pytest.mark.parametrize("conf", [{"load_date": "20/11/2026"}, {"mode": "append"}, {"dry_run": "maybe"}])
def test_wrong_input_in_the_form_is_refused_before_the_run(stack: Stack, conf: dict[str, Any]) -> None:
    assert stack.airflow.submit("onboard_manual_list", conf) in {400, 422}
