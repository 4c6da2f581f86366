"""Pools that the DAGs use: which there are, and how many slots each has.

A task whose pool does not exist is never started: Airflow (3.3.2) says so in the scheduler's log and nowhere else. So
the scheduler, which has the database, makes them before a run's first task is due, see :mod:`..plugin`. Whoever parses
DAG files, or runs a task, only names them.
"""

from __future__ import annotations

import logging
import os

log = logging.getLogger(__name__)

DEFAULT_POOL = "default_pool"
"""Always there. Named, as a mapped task (Airflow 3.3.2) takes ``None`` for no pool at all."""

POOL_PREFIX = "audience_onboarding_"
"""How the names of all pools of the package begin."""

CREATE_POOL = f"{POOL_PREFIX}create"
"""One slot: what several audiences share (a campaign) is created by one task at a time, over all DAGs. The state
store has no compare-and-set, so nothing less would keep two DAGs from creating the same campaign. Only what may have to
create something goes here: it is one queue for all audiences."""

CREATE_POOL_DESCRIPTION = "One slot, never more: creates what several audiences share, one at a time."

CONNECTION_POOL_DESCRIPTION = (
    "Tasks that call the vendor of this connection, so many at once. Change the slots freely."
)

SLOTS_VARIABLE = "AUDIENCE_ONBOARDING_POOL_SLOTS"
"""Environment variable of the scheduler: the slots of a connection's pool when it is made."""

DEFAULT_SLOTS = 8

LONGEST_NAME = 256
"""Characters, in Airflow's database."""


def connection_pool(conn_id: str) -> str:
    """The pool of the tasks that call the vendor of a connection."""
    return f"{POOL_PREFIX}conn_{conn_id}"[:LONGEST_NAME]


def slots_of(pool: str) -> int:
    """How many slots one of our pools gets when it is made."""
    if pool == CREATE_POOL:
        return 1
    given = os.environ.get(SLOTS_VARIABLE, "").strip()
    if given.isdecimal() and int(given) > 0:
        return int(given)
    if given:
        log.error("%s is %r, which is no number of slots; %s are made", SLOTS_VARIABLE, given, DEFAULT_SLOTS)
    return DEFAULT_SLOTS


def description_of(pool: str) -> str:
    """What the list of pools in the UI says of one of ours."""
    return CREATE_POOL_DESCRIPTION if pool == CREATE_POOL else CONNECTION_POOL_DESCRIPTION
