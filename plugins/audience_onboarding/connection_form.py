"""Connection forms: the fields that all platforms share, and how Airflow wants a form described."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def form_field(label: str, *, kind: str = "string", description: str = "", **schema: Any) -> dict[str, Any]:
    """A field of a connection form; what is left empty is ``None``."""
    return {
        "label": label,
        "description": description,
        "schema": {"type": [kind, "null"], **schema},
    }


def connection_form(  # noqa: PLR0913
    *,
    conn_type: str,
    hook: str,
    name: str,
    relabeling: Mapping[str, str],
    placeholders: Mapping[str, str],
    hidden: tuple[str, ...] = (),
    fields: Mapping[str, dict[str, Any]] | None = None,
    portal_ids: str = "{audience_id}",
    default_requests: float = 1200,
) -> dict[str, Any]:
    """A connection type as Airflow's providers describe it.

    :param hook: dotted name of the hook's class.
    :param name: what people call the platform.
    :param relabeling: Airflow's names of the standard fields to ours.
    :param placeholders: what an empty field shows.
    :param hidden: standard fields that the platform has no use for.
    :param fields: the platform's own extra fields, shown before the common ones.
    :param portal_ids: what the portal's address may hold in braces.
    :param default_requests: requests a minute where the field is left empty.
    """
    return {
        "connection-type": conn_type,
        "hook-class-name": hook,
        "hook-name": name,
        "ui-field-behaviour": {
            "hidden-fields": ["schema", "extra", *hidden],
            "relabeling": {
                "host": "Host (API address)",
                "port": "Port (only if not in the host)",
                **relabeling,
            },
            # Airflow (3.3.2) takes an empty port for port 0 when it tests, and then asks for the password again.
            "placeholders": {"port": "443; Test asks for it", **placeholders},
        },
        "conn-fields": {
            **(fields or {}),
            "verify_tls": form_field(
                "Verify TLS",
                description="true, or the path of a CA file on every worker, as behind a proxy with a certificate of "
                "its own; false only to try something. Empty: true.",
            ),
            "connect_timeout": form_field(
                "Connect time-out (s)",
                kind="number",
                minimum=0.1,
                description="Until the vendor's host has to take a connection. Empty: 10.",
            ),
            "read_timeout": form_field(
                "Read time-out (s)",
                kind="number",
                minimum=0.1,
                description="That the vendor may stay silent. Empty: 60.",
            ),
            "max_requests_per_minute": form_field(
                "Requests per minute",
                kind="number",
                minimum=1,
                description="The most that one process (a worker's task, a triggerer) sends in a minute, logins and "
                f"repeats included; others wait for their turn. Empty: {default_requests:g}.",
            ),
            "portal_url": form_field(
                "Portal link",
                description="Open an audience in the vendor's portal, copy the address, and put "
                f"{portal_ids} in the place of its id. Tasks and the Audiences page link to it. Empty: no link.",
            ),
        },
    }
