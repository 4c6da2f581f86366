"""Names and slots of the pools that the DAGs use.

Airflow (3.3.2) never starts a task whose pool does not exist, and reports it in the scheduler's log only. So the
scheduler, which has database access, creates the pools before the first task of a run, see :mod:`..plugin`. The DAG
processor and the workers only use their names.
"""

from __future__ import annotations

import logging
import os

log = logging.getLogger(__name__)

DEFAULT_POOL = "default_pool"
"""Always exists. Set explicitly, as a mapped task (Airflow 3.3.2) treats ``None`` as no pool at all."""

POOL_PREFIX = "audience_onboarding_"
"""Start of the names of all pools of the package."""

CREATE_POOL = f"{POOL_PREFIX}create"
"""One slot: one task at a time, over all DAGs, creates objects that audiences share (campaigns). The state store has no
compare-and-set, so this pool is the only guard against two DAGs that create the same campaign. Only tasks that may
create a shared object use it, as it is one queue for all audiences."""

CREATE_POOL_DESCRIPTION = "One slot, never more: creates shared objects, one at a time."

CONNECTION_POOL_DESCRIPTION = (
    "Limits the concurrent tasks that call the vendor of this connection. Change the slots freely."
)

SLOTS_VARIABLE = "AUDIENCE_ONBOARDING_POOL_SLOTS"
"""Environment variable of the scheduler: slots of a new connection pool."""

DEFAULT_SLOTS = 8

MAX_NAME_LENGTH = 256
"""Characters, in Airflow's database."""


def connection_pool(conn_id: str) -> str:
    """Return the pool of the tasks that call the vendor of a connection."""
    return f"{POOL_PREFIX}conn_{conn_id}"[:MAX_NAME_LENGTH]


def slots_of(pool: str) -> int:
    """Return the slots of a new pool of the package."""
    if pool == CREATE_POOL:
        return 1
    setting = os.environ.get(SLOTS_VARIABLE, "").strip()
    if setting.isdecimal() and int(setting) > 0:
        return int(setting)
    if setting:
        log.error("Invalid number of slots %r in %s; using %s", setting, SLOTS_VARIABLE, DEFAULT_SLOTS)
    return DEFAULT_SLOTS


def description_of(pool: str) -> str:
    """Return the description of a pool of the package, for the UI."""
    return CREATE_POOL_DESCRIPTION if pool == CREATE_POOL else CONNECTION_POOL_DESCRIPTION
