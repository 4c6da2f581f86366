"""Containers without Docker: bubblewrap for files, users and processes, network namespaces for addresses.

Each container sees the system's programs, the interpreter and its packages, and of this repository only the folders
that the Compose file mounts. It has its own host name, address and network interface, which can be cut. Needs Linux,
root, ``bwrap`` and ``ip``.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.distributed.compose import Service

ADDRESSES = "10.213"  # their first half; they exist only inside the namespaces and on the bridges to them
BRIDGE = re.compile(r"aud([0-9a-f]+)x[0-9]+")  # the first number is the id of the process that uses it
ENTRYPOINTS = Path(__file__).parent / "entrypoints"
FIRST_RESTART_PAUSE = 0.1
LONG_ENOUGH = 10.0  # seconds after which Docker takes a container for running


class ContainerError(Exception):
    """A container cannot be started, or does not reach a condition."""


def missing_programs() -> list[str]:
    """Return the required programs that this machine does not have."""
    return [name for name in ("bwrap", "ip", "nsenter", "curl") if shutil.which(name) is None]


def _run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if check and done.returncode:
        raise ContainerError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done


def _remove(bridge: str) -> None:
    for line in _run("ip", "netns", "list").stdout.splitlines():
        if line.startswith(f"{bridge}-"):
            _run("ip", "netns", "delete", line.split()[0], check=False)
    _run("ip", "link", "delete", bridge, check=False)


class Network:
    """A bridge with one network namespace for each container; several may exist at once."""

    _numbers = itertools.count()

    def __init__(self) -> None:
        self._mark = f"{os.getpid():x}x{next(self._numbers)}"
        self.bridge = f"aud{self._mark}"
        self._prefix = ""
        self._addresses: dict[str, str] = {}

    def up(self) -> None:
        """Make the bridge, and remove bridges of processes that were killed."""
        for link in json.loads(_run("ip", "-json", "link", "show", "type", "bridge").stdout or "[]"):
            match = BRIDGE.fullmatch(link.get("ifname", ""))
            if match and not Path(f"/proc/{int(match[1], 16)}").exists():
                _remove(link["ifname"])
        taken = _run("ip", "-oneline", "address").stdout
        self._prefix = next(
            prefix for number in range(256) if f" {(prefix := f'{ADDRESSES}.{number}')}." not in taken
        )
        _run("ip", "link", "add", self.bridge, "type", "bridge")
        _run("ip", "address", "add", f"{self._prefix}.1/24", "dev", self.bridge)
        _run("ip", "link", "set", self.bridge, "up")

    def down(self) -> None:
        """Remove the bridge and its namespaces."""
        _remove(self.bridge)

    def namespace(self, name: str) -> str:
        """Return the namespace of a container."""
        return f"{self.bridge}-{name}"

    def _interface(self, name: str) -> str:
        # No longer than the kernel allows: 15 characters.
        return f"v{self._mark}x{self._addresses[name].rpartition('.')[2]}"

    def join(self, name: str) -> str:
        """Give a container its namespace and address, and return the address."""
        address = f"{self._prefix}.{len(self._addresses) + 2}"
        self._addresses[name] = address
        namespace, outside = self.namespace(name), self._interface(name)
        _run("ip", "netns", "add", namespace)
        _run("ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _run("ip", "link", "set", outside, "master", self.bridge)
        _run("ip", "link", "set", outside, "up")
        inside = ("ip", "-n", namespace)
        _run(*inside, "address", "add", f"{address}/24", "dev", "eth0")
        for interface in ("lo", "eth0"):
            _run(*inside, "link", "set", interface, "up")
        return address

    def cut(self, name: str) -> None:
        """Disconnect a container: no packet arrives or leaves, and no connection is closed."""
        _run("ip", "link", "set", self._interface(name), "nomaster")

    def reconnect(self, name: str) -> None:
        """Undo :meth:`cut`."""
        _run("ip", "link", "set", self._interface(name), "master", self.bridge)


@dataclass(frozen=True)
class Image:
    """Content of a container before the Compose file adds to it.

    :param entrypoint: put before the command; does what that of the image does, see :mod:`.images`.
    :param user: user and group if the Compose file names none.
    :param folders: empty and writable.
    :param contents: folders that were copied into the image: path there to path here.
    """

    entrypoint: tuple[str, ...]
    environment: Mapping[str, str]
    user: str
    folders: tuple[str, ...] = ()
    contents: Mapping[str, Path] = field(default_factory=dict)


@dataclass
class Container:
    """One container, started again if it ends, as the restart policy of its service says.

    :param name: also its host name.
    :param folder: for its log, and for the volumes of all.
    :param hosts: address to names, of all containers.
    """

    name: str
    service: Service
    image: Image
    network: Network
    folder: Path
    hosts: dict[str, list[str]]
    address: str
    starts: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _keeper: threading.Thread | None = None
    _is_stopping: threading.Event = field(default_factory=threading.Event)
    _is_started: threading.Event = field(default_factory=threading.Event)

    @property
    def log(self) -> Path:
        """Its output, over all its starts."""
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Start it, and start it again as its policy says."""
        self._is_stopping.clear()
        self._is_started.clear()
        self._keeper = threading.Thread(target=self._keep, name=f"keep-{self.name}", daemon=True)
        self._keeper.start()
        self._is_started.wait()

    def _spawn(self) -> subprocess.Popen[bytes]:
        self.starts += 1
        with self.log.open("ab") as output:
            output.write(f"=== start {self.starts}\n".encode())
            output.flush()
            return subprocess.Popen(
                ["ip", "netns", "exec", self.network.namespace(self.name), *self._wrapped()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,
                cwd="/",
            )

    def _keep(self) -> None:
        # All starts are in this thread: a container ends when the thread ends that has started it.
        pause = FIRST_RESTART_PAUSE
        while True:
            began = time.monotonic()
            try:
                process = self._process = self._spawn()
            finally:
                self._is_started.set()
            code = process.wait()
            if self._is_stopping.is_set() or self.service.restart == "no":
                return
            with self.log.open("a") as output:
                output.write(f"=== ended with {code}\n")
            pause = FIRST_RESTART_PAUSE if time.monotonic() - began > LONG_ENOUGH else min(2 * pause, 60)
            if self._is_stopping.wait(pause):
                return

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": "/home/container",
            "LANG": "C.UTF-8",
            "HOSTNAME": self.name,
            **self.image.environment,
            **self.service.environment,
        }

    def _wrapped(self) -> list[str]:
        uid, _, gid = (self.service.user or self.image.user).partition(":")
        read_only: dict[str, str | Path] = {"/usr": "/usr", "/etc": "/etc"}
        hosts = ["127.0.0.1 localhost", *(f"{at} {' '.join(names)}" for at, names in self.hosts.items())]
        passwd = f"root:x:0:0::/root:/bin/sh\ncontainer:x:{uid}:{gid}::/home/container:/bin/sh\n"
        for name, text in {"hosts": "\n".join([*hosts, ""]), "passwd": passwd, "resolv.conf": ""}.items():
            read_only[f"/etc/{name}"] = self.folder / f"{self.name}.{name}"
            Path(read_only[f"/etc/{name}"]).write_text(text)
        # The interpreter and its packages, at any place.
        for folder in (sys.base_prefix, sys.prefix, str(Path(sys.prefix).resolve())):
            if not Path(folder).is_relative_to("/usr"):
                read_only[folder] = folder
        options = ["--die-with-parent", "--unshare-user", "--unshare-pid", "--unshare-uts", "--unshare-ipc"]
        options += ["--uid", uid, "--gid", gid, "--hostname", self.name]
        for link in ("bin", "sbin", "lib", "lib64"):
            if Path("/", link).is_symlink():
                options += ["--symlink", f"usr/{link}", f"/{link}"]
        options += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--dir", "/home/container"]
        options += [word for to, source in read_only.items() for word in ("--ro-bind", str(source), to)]
        for folder in self.image.folders:
            options += ["--tmpfs", folder]
        for to, source in {**self.image.contents, "/entrypoints": ENTRYPOINTS}.items():
            options += ["--ro-bind", str(source), to]
        for volume in self.service.volumes:
            # A folder of the host, whose path is absolute, or the name of a volume.
            source = self.folder / "volumes" / volume.source
            source.mkdir(parents=True, exist_ok=True)
            options += ["--ro-bind" if volume.is_read_only else "--bind", str(source), volume.target]
        options += ["--chdir", self.image.folders[0] if self.image.folders else "/tmp"]
        return ["bwrap", *options, "--", *self.image.entrypoint, *self.service.command]

    # --- looking at it -------------------------------------------------------------------------------------

    def exit_code(self) -> int | None:
        """Return its exit code, ``None`` while it runs."""
        return None if self._process is None else self._process.poll()

    def tail(self) -> str:
        """Return the end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-30:])

    def _main_pid(self) -> int | None:
        """Return the host's id of the process that the command became, below bwrap and its init."""
        if self._process is None:
            return None
        pid = self._process.pid
        # "ip netns exec" becomes bwrap; its child is the init of the namespace, whose first child is the command.
        for _ in range(2):
            try:
                pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
            except (OSError, IndexError):
                return None
        return pid

    def run(
        self, command: Sequence[str], *, timeout: float = 60.0
    ) -> subprocess.CompletedProcess[str] | None:
        """Run a command inside, as ``docker exec`` does; ``None`` if the container does not run."""
        pid = self._main_pid()
        if pid is None:
            return None
        # It is killed with its children, in a session of its own.
        enter = ["timeout", "--signal=KILL", str(timeout), "nsenter", "--target", str(pid)]
        enter += ["--user", "--mount", "--net", "--pid", "--uts", "--ipc", "--preserve-credentials", "--"]
        return subprocess.run(
            [*enter, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._environment(),
            start_new_session=True,
            check=False,
        )

    def is_healthy(self) -> bool:
        """Run the health check of the Compose file."""
        health = self.service.health
        done = self.run(health.test, timeout=health.timeout) if health else None
        return done is not None and done.returncode == 0

    # --- ending it -----------------------------------------------------------------------------------------

    def kill(self) -> None:
        """Kill it and all in it at once, as a machine that fails; the policy starts it again."""
        if self._process is not None:
            self._process.kill()

    def terminate(self) -> None:
        """Ask its main process to end, as ``docker stop`` and ``docker restart`` do."""
        pid = self._main_pid()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def stop(self) -> None:
        """End it for good."""
        self._is_stopping.set()
        self.terminate()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(self.service.stop_grace_period)
            self.kill()
            self._process.wait()
        if self._keeper is not None:
            self._keeper.join(timeout=10)
