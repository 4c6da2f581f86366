"""Write ``.env`` for docker-compose.yaml: fresh secrets, readable by the owner alone.

Needs nothing but Python, so that it runs where only Docker is installed. An existing file is kept unless ``FORCE=1``:
with another Fernet key, Airflow can no longer read the connections it has stored.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
SANDBOX_USER = "sandbox@example.com"
SANDBOX_BUCKET = "audience-onboarding"
SANDBOX_LOGS = "airflow-logs"
"""A bucket of the sandbox that no vendor reads."""


def fernet_key() -> str:
    """A new key in the form that ``cryptography.fernet`` wants."""
    return urlsafe_b64encode(secrets.token_bytes(32)).decode()


def settings(*, sandbox: bool, local: bool = False) -> dict[str, str]:
    """All variables, by the name that docker-compose.yaml knows them by.

    :param sandbox: also start the sandbox, and point the connections, and the logs of tasks, to it.
    :param local: one host without Celery, see docker-compose.local.yaml.
    """
    # Hexadecimal where the value becomes part of a URL, or of a command: Airflow's image hands the password to
    # "airflow users create", which takes one that begins with a dash for an option, and there is no user then.
    values = {
        "AIRFLOW_UID": "50000",
        "AIRFLOW_PORT": "8080",
        "AIRFLOW_ADMIN_USERNAME": "admin",
        "AIRFLOW_ADMIN_PASSWORD": secrets.token_hex(24),
        "AIRFLOW_FERNET_KEY": fernet_key(),
        "AIRFLOW_JWT_SECRET": secrets.token_urlsafe(64),
        "AIRFLOW_API_SECRET_KEY": secrets.token_urlsafe(48),
        "POSTGRES_PASSWORD": secrets.token_hex(24),
        "REDIS_PASSWORD": secrets.token_hex(24),
        # Also part of a secret key, which knows letters, digits and underscores only.
        "SANDBOX_PASSWORD": secrets.token_hex(24),
    }
    if local:
        values["COMPOSE_FILE"] = "docker-compose.yaml:docker-compose.local.yaml"
    if sandbox:
        values["COMPOSE_PROFILES"] = "sandbox"
        values["AIRFLOW_REMOTE_LOGGING"] = "true"
        values["AIRFLOW_REMOTE_LOG_FOLDER"] = f"s3://{SANDBOX_LOGS}/tasks"
        values.update(sandbox_connections(values["SANDBOX_PASSWORD"]))
    return values


def sandbox_connections(password: str) -> dict[str, str]:
    """The Airflow connections to the service ``sandbox`` of docker-compose.yaml."""
    api = {
        "conn_type": "digital_audience",
        "host": "http://sandbox:8100",
        "login": SANDBOX_USER,
        "password": password,
    }
    s3: dict[str, Any] = {
        "conn_type": "aws",
        "login": "sandbox-access-key",
        "password": password,
        "extra": {
            "region_name": "eu-west-1",
            "endpoint_url": "http://sandbox:8101",
            "config_kwargs": {"s3": {"addressing_style": "path"}},
            "service_config": {"s3": {"bucket_name": SANDBOX_BUCKET}},
        },
    }
    logs = {**s3, "extra": {name: value for name, value in s3["extra"].items() if name != "service_config"}}
    fanfare = {
        "conn_type": "fanfare",
        "host": "http://sandbox:8100/fanfare/api",
        "password": f"sk_test_{password}",
    }
    commbox = {"conn_type": "commbox", "host": "http://sandbox:8100/commbox", "password": password}
    return {
        "AIRFLOW_CONN_DIGITAL_AUDIENCE_DEFAULT": json.dumps(api),
        "AIRFLOW_CONN_AUDIENCE_S3": json.dumps(s3),
        "AIRFLOW_CONN_AIRFLOW_LOGS": json.dumps(logs),
        "AIRFLOW_CONN_FANFARE_DEFAULT": json.dumps(fanfare),
        "AIRFLOW_CONN_COMMBOX_DEFAULT": json.dumps(commbox),
    }


def render(values: dict[str, str]) -> str:
    """The text of the file. Single quotes: Compose does not interpolate inside them."""
    lines = ["# Written by make env. Keep it out of version control, and keep a copy of the Fernet key."]
    lines += [f"{name}='{value}'" for name, value in values.items()]
    return "\n".join(lines) + "\n"


def write(path: Path, text: str, *, force: bool) -> None:
    """Create the file with mode 0600, complete or not at all.

    :raises FileExistsError: it is there already, and ``force`` is not set.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        if force:
            part.replace(path)
        else:
            os.link(part, path)  # unlike a rename, fails if the name is taken
    finally:
        part.unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return the exit code: 0 written, 1 refused."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--output", type=Path, default=PROJECT / ".env", help="default: .env of the repository"
    )
    parser.add_argument("--force", action="store_true", help="overwrite an existing file and its secrets")
    parser.add_argument("--sandbox", action="store_true", help="start the sandbox too and connect to it")
    parser.add_argument("--local", action="store_true", help="one host: LocalExecutor, no Redis, no workers")
    options = parser.parse_args(arguments)
    output: Path = options.output
    try:
        write(output, render(settings(sandbox=options.sandbox, local=options.local)), force=options.force)
    except FileExistsError:
        print(
            f"{output} exists and stays as it is. FORCE=1 replaces it: Airflow can then no longer read values "
            "encrypted with the old Fernet key, and the old database password is lost.",
            file=sys.stderr,
        )
        return 1
    print(f"Wrote {output}. Log in as 'admin' with AIRFLOW_ADMIN_PASSWORD from it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
