"""Fills the database of an Airflow with users: run as a program, in the environment of that Airflow.

One process: each ``airflow`` command would import all of Airflow again.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def main(people: dict[str, dict[str, Any]]) -> None:
    """Make the database, store all DAGs in it, and add users with roles.

    :param people: by name: ``password``, and ``role`` (one of Airflow's) or ``may`` (pairs of action and resource).
    """
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session

    initdb()
    folder = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]
    bundle = "dags-folder"
    with create_session() as session:
        session.add(DagBundleModel(name=bundle))
    bag = DagBag(folder, bundle_path=Path(folder), bundle_name=bundle)
    if bag.import_errors:
        raise SystemExit(str(bag.import_errors))
    sync_bag_to_db(bag, bundle, None)

    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    with get_application_builder() as builder:
        security = builder.sm
        security.sync_roles()
        for dag_id in bag.dags:
            security.sync_perm_for_dag(dag_id)
        for name, person in people.items():
            role = security.find_role(person["role"]) if "role" in person else security.add_role(f"of {name}")
            for action, resource in person.get("may", ()):
                security.add_permission_to_role(role, security.create_permission(action, resource))
            added = security.add_user(
                name, name.title(), "Tester", f"{name}@example.com", role, password=person["password"]
            )
            if not added:
                raise SystemExit(f"{name} was not added")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
