"""Storage and databases through Airflow's connections."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from audience_onboarding.exceptions import ConfigurationError

_MOST_CLIENTS = 16
"""Of a process that lives long: a connection that says something else from now on has another client."""

_s3_clients: dict[str, Any] = {}


def s3_client(aws_conn_id: str) -> Any:
    """A boto3 client for S3: the same one each time, as long as the connection says the same.

    boto3 reads the description of the whole service for each client, a third of a second of a core, and a load may ask
    for four: of its source, of the vendor's bucket, of its snapshots and of its rejects. Clients may be used by several
    threads, and see to credentials that expire.

    :param aws_conn_id: a connection of type ``aws``.
    """
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    hook = S3Hook(aws_conn_id=aws_conn_id)
    said = hook.conn_config
    if said.conn_type is None:
        # There is no such connection: boto3 looks for credentials where they are on this machine by now.
        return hook.get_conn()
    fields = (aws_conn_id, said.login, said.password, said.schema, said.extra_config)
    key = hashlib.sha256(json.dumps(fields, sort_keys=True, default=str).encode()).hexdigest()
    if key not in _s3_clients:
        if len(_s3_clients) >= _MOST_CLIENTS:
            _s3_clients.clear()
        _s3_clients[key] = hook.get_conn()
    return _s3_clients[key]


def database(conn_id: str, *, used_by: str = "the source") -> Callable[[], Any]:
    """What opens a DB-API connection to a database.

    :param conn_id: a connection of any type whose hook is a ``DbApiHook``.
    :param used_by: what it is for, for the message.
    :raises ConfigurationError: there is none of this name, its provider is not installed, or it is no database.
    """
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowException

    try:
        hook = BaseHook.get_hook(conn_id)
    except (AirflowException, ImportError) as error:
        raise ConfigurationError(
            what=f"The connection {conn_id!r} of {used_by} cannot be used",
            why=str(error),
            next_step="Create it under Admin > Connections, and install the provider of its type",
        ) from None
    if not isinstance(hook, DbApiHook):
        raise ConfigurationError(
            what=f"The connection {conn_id!r} of {used_by} is no database",
            why=f"its hook is {type(hook).__name__}",
            next_step="Name one of a database"
            + ("; files come from a path or an s3:// URL" if used_by == "the source" else ""),
        )
    return hook.get_conn
