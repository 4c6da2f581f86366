"""Stand-ins for the images that docker-compose.yaml names.

Those of Airflow and the sandbox have the content that the Dockerfile copies: the packages of the lock, which are those
of the environment that runs the tests, and the package itself from ``/opt/airflow/plugins``.
"""

from __future__ import annotations

import compileall
import re
from collections.abc import Callable
from pathlib import Path

from scripts.local_stack import PROJECT
from tests.distributed.compose import ComposeError, Service
from tests.distributed.containers import ContainerError, Image

HOME = "/opt/airflow"
SYSTEM = "/usr/local/bin:/usr/bin:/bin"

_AIRFLOW = {
    "AIRFLOW_HOME": HOME,
    "PYTHONPATH": f"{HOME}/plugins",  # an editable install in the image
    "PYTHONUNBUFFERED": "1",
    # The packages are mounted read-only, with their byte code.
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONWARNINGS": "ignore",
}


def _copied() -> dict[str, Path]:
    """Return the folders that the Dockerfile copies into the image, and compile them as it does."""
    text = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    copied = {
        target: PROJECT / name
        for name, target in re.findall(r"^COPY --chown=\S+ (\S+) (/opt/airflow/\S+)$", text, re.MULTILINE)
        if (PROJECT / name).is_dir()
    }
    for folder in re.findall(r"compileall -q (.+)$", text, re.MULTILINE):
        for target in folder.split():
            compileall.compile_dir(copied[target], quiet=2)
    return copied


def _airflow(*entrypoint: str) -> Image:
    return Image(entrypoint, _AIRFLOW, user="50000:0", folders=(HOME,), contents=_copied())


def _postgres() -> Image:
    programs = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3])
    )
    if not programs:
        raise ContainerError("No PostgreSQL server on this machine: apt-get install postgresql")
    environment = {"PGDATA": "/var/lib/postgresql/data", "PATH": f"{programs[-1].parent}:{SYSTEM}"}
    return Image(
        ("/bin/sh", "/entrypoints/postgres.sh"), environment, user="999:999", folders=("/var/run/postgresql",)
    )


def _redis() -> Image:
    if not Path("/usr/bin/redis-server").exists():
        raise ContainerError("No Redis on this machine: apt-get install redis-server")
    return Image((), {"PATH": SYSTEM}, user="999:1000", folders=("/data",))


_IMAGES: dict[str, Callable[[], Image]] = {
    "audience-onboarding": lambda: _airflow("/bin/sh", "/entrypoints/airflow.sh"),
    "audience-onboarding-sandbox": lambda: _airflow("python", f"{HOME}/include/sandbox"),
    "postgres": _postgres,
    "redis": _redis,
}


def image_of(service: Service) -> Image:
    """Return the stand-in for a service's image.

    :raises ComposeError: there is none.
    """
    name = service.image.rpartition(":")[0]
    if name not in _IMAGES:
        raise ComposeError(f"{service.name}: no stand-in for the image {service.image}")
    return _IMAGES[name]()
