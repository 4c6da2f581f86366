"""Storage and databases through Airflow's connections."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from audience_onboarding.exceptions import ConfigurationError

_MAX_CLIENTS = 16
"""Bound for long-lived processes: each change of a connection adds a client."""

_s3_clients: dict[str, Any] = {}


def s3_client(aws_conn_id: str) -> Any:
    """Return a boto3 client for S3, cached until the connection changes.

    Creating one takes a third of a second of a core, and a load may need four: for its source, the vendor's bucket, its
    snapshots and its rejects. Clients are thread-safe, and refresh expiring credentials.

    :param aws_conn_id: a connection of type ``aws``.
    """
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    hook = S3Hook(aws_conn_id=aws_conn_id)
    config = hook.conn_config
    if config.conn_type is None:
        # Without a connection, boto3 uses the credentials of this machine, which may change.
        return hook.get_conn()
    fields = (aws_conn_id, config.login, config.password, config.schema, config.extra_config)
    key = hashlib.sha256(json.dumps(fields, sort_keys=True, default=str).encode()).hexdigest()
    if key not in _s3_clients:
        if len(_s3_clients) >= _MAX_CLIENTS:
            _s3_clients.clear()
        _s3_clients[key] = hook.get_conn()
    return _s3_clients[key]


def database(conn_id: str, *, used_by: str = "the source") -> Callable[[], Any]:
    """Return the function that opens a DB-API connection to a database.

    :param conn_id: a connection of any type whose hook is a ``DbApiHook``.
    :param used_by: its user, for the message.
    :raises ConfigurationError: the connection does not exist, its provider is not installed, or it is no database.
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
