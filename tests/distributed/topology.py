"""All services of docker-compose.yaml, started natively as the file says."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import requests

from scripts import make_env
from scripts.local_stack import PROJECT, AirflowApi, wait_for
from tests.distributed.compose import ComposeError, Service, read_env_file, read_services
from tests.distributed.containers import Container, ContainerError, Network
from tests.distributed.images import image_of

START_TIMEOUT = 300.0


class Topology:
    """The containers of one ``docker compose up``.

    :param folder: for logs, volumes, ``.env``.
    :param files: Compose files, merged in this order.
    :param variables: what to put into ``.env`` beside what ``make env SANDBOX=1`` writes.
    :param scale: replicas by service, as ``--scale`` gives them.
    :param only: services to start, as they are named after ``up``; all where none is given.
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
        self.containers: dict[str, Container] = {}
        self._of: dict[str, list[Container]] = {}
        self._scale = dict(scale or {})

    # --- coming up -----------------------------------------------------------------------------------------

    def up(self, *, timeout: float = START_TIMEOUT) -> None:
        """Start all, each when what it depends on is there, and wait until all are healthy.

        :raises ContainerError: one of them does not come up; with the end of its log.
        """
        self.network.up()
        hosts: dict[str, list[str]] = {}
        for service in self.services.values():
            self._of[service.name] = [
                self._container(service, number + 1, hosts)
                for number in range(self._scale.get(service.name, service.replicas))
            ]
        failures: list[Exception] = []
        threads = [
            threading.Thread(target=self._bring_up, args=(service, failures, timeout), daemon=True)
            for service in self.services.values()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def _container(self, service: Service, number: int, hosts: dict[str, list[str]]) -> Container:
        name = f"{service.name}-{number}"
        container = Container(
            name=name,
            image=image_of(service),
            command=service.command,
            environment=service.environment,
            user=service.user,
            volumes=service.volumes,
            health=service.health,
            restart=service.restart,
            stop_grace_period=service.stop_grace_period,
            network=self.network,
            state=self.folder,
            named_volumes=self.folder / "volumes",
            hosts=hosts,
            address=self.network.join(name),
        )
        # The first answers to the name of the service, as far as anybody asks: only one-replica services are asked for.
        hosts[container.address] = [name, *([service.name] if number == 1 else [])]
        self.containers[name] = container
        return container

    def _bring_up(self, service: Service, failures: list[Exception], timeout: float) -> None:
        try:
            for name, condition in service.depends_on.items():
                if name in self.services:
                    self._wait(name, condition, timeout, failures)
            for container in self._of[service.name]:
                container.start()
            condition = "service_healthy" if service.health else "service_completed_successfully"
            self._wait(service.name, condition, timeout, failures)
        except Exception as error:
            failures.append(error)

    def _wait(self, name: str, condition: str, timeout: float, failures: list[Exception]) -> None:
        reached = {
            "service_started": Container.is_running,
            "service_healthy": Container.is_healthy,
            "service_completed_successfully": lambda container: container.exit_code() == 0,
        }[condition]

        def is_so() -> bool:
            if failures:
                raise ContainerError(f"{name} was not waited for: something else failed")
            for container in self._of[name]:
                ended = container.exit_code() not in {None, 0} and container.restart == "no"
                if ended or container.starts > 3:
                    raise ContainerError(f"{container.name} does not run:\n{container.tail()}")
            return all(reached(container) for container in self._of[name])

        try:
            wait_for(is_so, f"{name}: {condition}", timeout=timeout, interval=1)
        except ContainerError:
            raise
        except Exception as error:
            ends = "\n".join(f"--- {item.name}\n{item.tail()}" for item in self._of[name])
            raise ContainerError(f"{error}\n{ends}") from error

    # --- using it ------------------------------------------------------------------------------------------

    def of(self, service: str) -> list[Container]:
        """The containers of a service."""
        return self._of[service]

    def wait_until_healthy(self, service: str, *, timeout: float) -> None:
        """Wait until all containers of a service are."""
        wait_for(
            lambda: all(item.is_healthy() for item in self._of[service]),
            f"The health of {service}",
            timeout=timeout,
            interval=0.5,
        )

    def address(self, service: str) -> str:
        """Where the first container of a service is."""
        return self._of[service][0].address

    def api(self) -> AirflowApi:
        """Airflow's REST API, as the first administrator."""
        url = f"http://{self.address('airflow-apiserver')}:8080"
        user = {
            "username": self.variables["AIRFLOW_ADMIN_USERNAME"],
            "password": self.variables["AIRFLOW_ADMIN_PASSWORD"],
        }
        response = requests.post(f"{url}/auth/token", json=user, timeout=60)
        response.raise_for_status()
        return AirflowApi(url, response.json()["access_token"])

    def down(self) -> None:
        """Stop all, those first that others do not need."""
        order = [*self._of]
        order.sort(key=lambda name: name in {"postgres", "redis", "airflow-apiserver", "sandbox"})
        for name in order:
            threads = [threading.Thread(target=container.stop) for container in self._of[name]]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.network.down()
        shutil.rmtree(self.folder / "volumes" / "postgres-data", ignore_errors=True)


__all__ = ["ComposeError", "ContainerError", "Topology"]
