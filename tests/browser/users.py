"""A second Airflow whose users log in and may do different things: an API server alone, with the FAB auth manager.

The shared one lets in everybody who reaches it, as an admin.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Page

from scripts.local_stack import PROJECT, Airflow, Process, StackError, wait_for
from tests.browser.browsing import Pages
from tests.children import child_env
from tests.e2e.stack import Stack

AIRFLOW = str(Path(sys.executable).parent / "airflow")

SEEN, UNSEEN = "seen_by_reader", "unseen_by_reader"
"""The two audiences: the reader may see the onboarding DAG of one of them."""

PAGES = ("can_read", "Website")
"""Permission to open any page."""

PEOPLE: dict[str, dict[str, Any]] = {
    "admin": {"role": "Admin"},
    "reader": {
        "may": [
            PAGES,
            ("menu_access", "DAGs"),
            ("can_read", f"DAG:onboard_{SEEN}"),
            # Airflow's list of DAGs shows these.
            ("can_read", "DAG Runs"),
            ("can_read", "HITL Detail"),
            ("can_read", "Task Instances"),
        ]
    },
    "stranger": {"may": [PAGES]},
}
"""Permissions by user: a role of Airflow, or actions on resources. ``stranger`` may only log in."""


@dataclass
class Site:
    """The Airflow with users.

    :param url: base URL.
    :param home: its ``AIRFLOW_HOME``.
    :param env: its settings, for a program that is to fill its database.
    """

    url: str
    home: Path
    env: Mapping[str, str] = field(repr=False)
    _passwords: dict[str, str] = field(repr=False)

    def signed_in(self, pages: Pages, person: str, **options: Any) -> Page:
        """A window in which a person has logged in through the form.

        :param person: one of ``PEOPLE``.
        :param options: of ``pages.open``.
        """
        page = pages.open(self.url, **options)
        page.goto("/")
        self.log_in(page, person)
        page.wait_for_url(lambda url: "/auth/" not in url)
        return page

    def log_in(self, page: Page, person: str, *, password: str | None = None) -> None:
        """Fill in and send the form of the page of logging in.

        :param password: another one than that of the person.
        """
        page.get_by_label("Username").fill(person)
        page.get_by_label("Password").fill(password or self._passwords[person])
        page.get_by_role("button", name="Sign In").click()

    def session(self, person: str | None) -> requests.Session:
        """Return a session of the API.

        :param person: one of ``PEOPLE``; ``None``: not logged in.
        """
        session = requests.Session()
        # Tests expect 401, not the redirect to the login.
        session.max_redirects = 0
        if person is not None:
            body = {"username": person, "password": self._passwords[person]}
            answer = session.post(f"{self.url}/auth/token", json=body, timeout=60)
            answer.raise_for_status()
            session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return session

    def get(self, person: str | None, path: str) -> requests.Response:
        """Send a request as a user, without following redirects.

        :param person: one of ``PEOPLE``; ``None``: not logged in.
        """
        return self.session(person).get(f"{self.url}{path}", timeout=60, allow_redirects=False)


@contextmanager
def running_site(folder: Path, *, fill: Callable[[Site], None] | None = None) -> Iterator[Site]:
    """Run the Airflow with users.

    :param folder: of its files.
    :param fill: writes more into its database before the server starts.
    """
    home = folder / "airflow"
    home.mkdir(parents=True)
    include = folder / "include"
    airflow = Airflow(
        home,
        definitions=include / "audiences",
        env={
            "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
            # The form is filled in once a test.
            "AIRFLOW__FAB__AUTH_RATE_LIMITED": "False",
            "PYTHONPATH": child_env(PROJECT)["PYTHONPATH"],
        },
    )
    # Only to write definitions: it has no vendor, and nothing runs.
    writer = Stack(airflow, None, include, None)  # type: ignore[arg-type]
    for key in (SEEN, UNSEEN):
        writer.define(key)
    passwords = {name: secrets.token_urlsafe(12) for name in PEOPLE}
    people = {name: {**person, "password": passwords[name]} for name, person in PEOPLE.items()}
    site = Site(airflow.url, home, airflow.env, passwords)
    _run([sys.executable, "-m", "tests.browser.seed_users", json.dumps(people)], site)
    if fill is not None:
        fill(site)
    server = Process(
        [AIRFLOW, "api-server", "--apps", "core", "--host", "127.0.0.1", "--port", str(airflow.port)],
        log=home / "server.log",
        env=airflow.env,
    )
    try:
        wait_for(lambda: _answers(server, site), "The start of the Airflow with users", timeout=180)
        yield site
    finally:
        server.stop(timeout=0)


def _run(command: list[str], site: Site) -> None:
    done = subprocess.run(
        command, env=dict(site.env), cwd=site.home, capture_output=True, text=True, check=False, timeout=180
    )
    if done.returncode:
        raise StackError(f"The users could not be added:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")


def _answers(server: Process, site: Site) -> bool:
    server.check()
    try:
        return requests.get(f"{site.url}/api/v2/version", timeout=5).ok
    except requests.RequestException:
        return False
