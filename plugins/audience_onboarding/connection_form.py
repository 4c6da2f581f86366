"""Connection forms: the fields that all platforms share, in the format of Airflow's providers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def form_field(label: str, *, kind: str = "string", description: str = "", **schema: Any) -> dict[str, Any]:
    """Build a field of a connection form; an empty field is ``None``."""
    return {"label": label, "description": description, "schema": {"type": [kind, "null"], **schema}}


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
    """Build a connection type.

    :param hook: dotted name of the hook's class.
    :param name: name of the platform, as the form shows it.
    :param relabeling: labels of the standard fields.
    :param placeholders: text that an empty field shows.
    :param hidden: standard fields that the platform does not use.
    :param fields: the platform's own extra fields, shown before the common ones.
    :param portal_ids: placeholders of the portal's address.
    :param default_requests: requests per minute for an empty field.
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
            # Airflow (3.3.2) reads an empty port as 0 when it tests, and then asks for the password again.
            "placeholders": {"port": "443; required for Test", **placeholders},
        },
        "conn-fields": {
            **(fields or {}),
            "verify_tls": form_field(
                "Verify TLS",
                description="true, or the path of a CA file on every worker, for example behind a proxy with its own "
                "certificate; false only for a test. Empty: true.",
            ),
            "connect_timeout": form_field(
                "Connect timeout (s)",
                kind="number",
                minimum=0.1,
                description="Limit for opening a connection to the vendor. Empty: 10.",
            ),
            "read_timeout": form_field(
                "Read timeout (s)",
                kind="number",
                minimum=0.1,
                description="Limit for each wait for data from the vendor. Empty: 60.",
            ),
            "max_requests_per_minute": form_field(
                "Requests per minute",
                kind="number",
                minimum=1,
                description="Rate limit of each process (a task, a triggerer), including logins and retries; further "
                f"requests wait. Empty: {default_requests:g}.",
            ),
            "portal_url": form_field(
                "Portal link",
                description="Open an audience in the vendor's portal, copy the address, and replace its id by "
                f"{portal_ids}. Tasks and the Audiences page link to it. Empty: no link.",
            ),
        },
    }
