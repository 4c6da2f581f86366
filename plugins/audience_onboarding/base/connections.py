"""Storage and databases through Airflow's connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from audience_onboarding.errors import ConfigurationError


def s3_client(aws_conn_id: str) -> Any:
    """A boto3 client for S3.

    :param aws_conn_id: a connection of type ``aws``.
    """
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    return S3Hook(aws_conn_id=aws_conn_id).get_conn()


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
