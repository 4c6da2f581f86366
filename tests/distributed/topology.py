"""All services of docker-compose.yaml, started natively as the file says."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import requests

from scripts import make_env
from scripts.local_stack import PROJECT, AirflowApi, StackError, wait_for
from tests.distributed.compose import Service, read_env_file, read_services
from tests.distributed.containers import Container, ContainerError, Network
from tests.distributed.images import image_of

HEALTHY, COMPLETED = "service_healthy", "service_completed_successfully"


class Topology:
    """The containers of one ``docker compose up``.

    :param folder: for logs, volumes, ``.env``.
    :param files: Compose files, merged in this order.
    :param variables: added to those that ``make env SANDBOX=1`` writes into ``.env``.
    :param scale: replicas by service, as with ``--scale``.
    :param only: services to start, as named after ``up``; default all.
    """

    def __init__(
        self,
        folder: Path,
        *,
        files: Sequence[Path] = (PROJECT / "docker-compose.yaml",),
        variables: Mapping[str, str] | None = None,
        scale: Mapping[str, int] | None = None,
        only: Collection[str] | None = None,
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        env_file = folder / ".env"
        make_env.write(env_file, make_env.render(make_env.settings(sandbox=True)), force=True)
        self.variables = {**read_env_file(env_file), **(variables or {})}
        self.services = read_services(
            files, self.variables, profiles=self.variables.get("COMPOSE_PROFILES", "").split(",")
        )
        if only is not None:
            self.services = {name: service for name, service in self.services.items() if name in only}
        self.network = Network()
        self._of: dict[str, list[Container]] = {}
        self._scale = dict(scale or {})

    def up(self, *, timeout: float = 300.0) -> None:
        """Start all services, each after those that it depends on, and wait until all are healthy.

        :raises ContainerError: one of them does not come up; with the end of its log.
        """
        self.network.up()
        hosts: dict[str, list[str]] = {}
        for service in self.services.values():
            replicas = range(1, self._scale.get(service.name, service.replicas) + 1)
            self._of[service.name] = [self._container(service, number, hosts) for number in replicas]
        failures: list[Exception] = []
        _all_at_once(
            [partial(self._bring_up, service, failures, timeout) for service in self.services.values()]
        )
        if failures:
            raise failures[0]

    def _container(self, service: Service, number: int, hosts: dict[str, list[str]]) -> Container:
        name = f"{service.name}-{number}"
        address = self.network.join(name)
        # The first one has the name of the service as well; callers only use that of services with one replica.
        hosts[address] = [name, *([service.name] if number == 1 else [])]
        return Container(name, service, image_of(service), self.network, self.folder, hosts, address)

    def _bring_up(self, service: Service, failures: list[Exception], timeout: float) -> None:
        try:
            for name, condition in service.depends_on.items():
                if name in self.services:
                    self._wait(name, condition, timeout, failures)
            for container in self._of[service.name]:
                container.start()
            self._wait(service.name, HEALTHY if service.health else COMPLETED, timeout, failures)
        except Exception as error:
            failures.append(error)

    def _wait(self, name: str, condition: str, timeout: float, failures: list[Exception]) -> None:
        reached = {HEALTHY: Container.is_healthy, COMPLETED: lambda container: container.exit_code() == 0}

        def is_so() -> bool:
            if failures:
                raise ContainerError(f"{name}: gave up waiting, because another service failed")
            for container in self._of[name]:
                ended = container.exit_code() not in {None, 0} and container.service.restart == "no"
                if ended or container.starts > 3:
                    raise ContainerError(f"{container.name} does not run:\n{container.tail()}")
            return all(reached[condition](container) for container in self._of[name])

        try:
            wait_for(is_so, f"{name}: {condition}", timeout=timeout, interval=1)
        except StackError as error:
            ends = "\n".join(f"--- {item.name}\n{item.tail()}" for item in self._of[name])
            raise ContainerError(f"{error}\n{ends}") from error

    def of(self, service: str) -> list[Container]:
        """Return the containers of a service."""
        return self._of[service]

    def address(self, service: str) -> str:
        """Return the address of the first container of a service."""
        return self._of[service][0].address

    def api(self) -> AirflowApi:
        """Return a client of Airflow's REST API, logged in as the first administrator."""
        url = f"http://{self.address('airflow-apiserver')}:8080"
        user = {
            "username": self.variables["AIRFLOW_ADMIN_USERNAME"],
            "password": self.variables["AIRFLOW_ADMIN_PASSWORD"],
        }
        response = requests.post(f"{url}/auth/token", json=user, timeout=60)
        response.raise_for_status()
        return AirflowApi(url, response.json()["access_token"])

    def down(self) -> None:
        """Stop all, last those that others need."""
        last = ("postgres", "redis", "airflow-apiserver", "sandbox")
        for name in sorted(self._of, key=lambda name: name in last):
            _all_at_once([container.stop for container in self._of[name]])
        self.network.down()
        shutil.rmtree(self.folder / "volumes" / "postgres-data", ignore_errors=True)


def _all_at_once(calls: Iterable[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=call, daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
