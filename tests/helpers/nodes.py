"""A Ray cluster on one machine: each node in a network namespace, with its own address and name.

Where namespaces cannot be made, nodes share an address and cannot be disconnected. All nodes share
the file system, where Ray writes the head's address, so drivers must run on the head.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.helpers.support import PATIENCE_S

RAY = (sys.executable, "-m", "ray.scripts.scripts")
PORT = 6379
# `ip netns exec NAME` shows the files of the folder NAME as those of /etc.
ETC = Path("/etc/netns")
# Variables of the test's environment that a separate machine does not have.
FOREIGN = ("RAY_AUTH", "RAY_ADDRESS", "RAY_TMPDIR")
SETTINGS = {
    # A disconnected node counts as dead after this many failed checks.
    "RAY_health_check_period_ms": "2000",
    "RAY_health_check_timeout_ms": "8000",
    "RAY_health_check_failure_threshold": "3",
}


def _ip(*arguments, check=True):
    return subprocess.run(["ip", *arguments], check=check, capture_output=True, text=True)


def namespaces_work():
    """Return whether network namespaces can be made on this machine."""
    name = f"sl{os.getpid()}x"
    try:
        made = _ip("netns", "add", name, check=False).returncode == 0
    except FileNotFoundError:
        return False
    if made:
        made = (
            subprocess.run(
                ["ip", "netns", "exec", name, "unshare", "--uts", "hostname", name],
                capture_output=True,
                check=False,
            ).returncode
            == 0
        )
        _ip("netns", "del", name)
    return made


@dataclass
class Node:
    """A Ray node and its processes."""

    name: str
    address: str
    prefix: list[str]
    environment: dict[str, str]
    process: subprocess.Popen | None = None
    link: str | None = None

    def popen(self, *command, **options):
        """Start a command on the node."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **options}
        environment = {**self.environment, **options.pop("env", {})}
        return subprocess.Popen([*self.prefix, *command], env=environment, **options)

    def run(self, script, cwd, timeout=PATIENCE_S):
        """Run lines of shell; return the exit status, None if they did not end, and the output.

        Processes that they start in the background, as `ray start` does, are not waited for.
        """
        with tempfile.TemporaryFile("w+") as said:
            process = self.popen("bash", "-ec", script, cwd=cwd, stdout=said)
            try:
                status = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                status = None
            said.seek(0)
            return status, said.read()

    def processes(self, title: re.Pattern[str]):
        """Return the node's processes whose title or path matches."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if title.search(" ".join(process.cmdline()[:1])):
                    found.append(process)
        return found

    def kill_raylet(self):
        (raylet,) = self.processes(re.compile("raylet/raylet"))
        raylet.send_signal(signal.SIGKILL)

    def cut(self):
        """Disconnect the node from the network."""
        assert self.link is not None
        _ip("link", "set", self.link, "down")

    def stop(self):
        """Kill the node and all its processes."""
        if self.process is None:
            return
        with contextlib.suppress(psutil.Error):
            family = psutil.Process(self.process.pid).children(recursive=True)
            for process in [psutil.Process(self.process.pid), *family]:
                with contextlib.suppress(psutil.Error):
                    process.kill()
        self.process.wait()
        self.process = None


@dataclass
class NodeCluster:
    """The first node started is the head."""

    folder: Path
    environment: dict[str, str]
    nodes: list[Node] = field(default_factory=list)
    separate: bool = field(default_factory=namespaces_work)

    def __post_init__(self):
        self._tag = f"sl{secrets.token_hex(3)}"
        self._net = f"10.{os.getpid() % 200 + 20}.{secrets.randbelow(250)}"
        self._numbers = itertools.count(1)
        self._token = secrets.token_hex(32)
        # Socket paths have at most 107 characters; the test's folder alone takes most of them.
        self._sockets = tempfile.mkdtemp(prefix="sl")
        if self.separate:
            _ip("link", "add", self._tag, "type", "bridge")
            _ip("addr", "add", f"{self._net}.254/24", "dev", self._tag)
            _ip("link", "set", self._tag, "up")

    @property
    def head(self):
        return self.nodes[0]

    @property
    def host(self):
        """The address at which nodes reach this machine."""
        return f"{self._net}.254" if self.separate else "127.0.0.1"

    @property
    def address(self):
        return f"{self.head.address}:{PORT}"

    def machine(self):
        """Return a separate machine without Ray, which a user's commands start there.

        It has its own home and /tmp/ray, and no token.
        """
        assert self.separate
        number = next(self._numbers)
        node = self._place(number)
        self.nodes.append(node)
        # Ray finds the machine's address by its default route.
        _ip("-n", node.name, "route", "add", "default", "via", self.host)
        home = self.folder / f"home{number}"
        home.mkdir()
        sockets = Path(self._sockets) / str(number)
        sockets.mkdir()
        inherited = {k: v for k, v in node.environment.items() if not k.startswith(FOREIGN)}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        own = {"HOME": str(home), "RAY_TMPDIR": str(sockets), "PATH": path}
        node.environment = {**inherited, **own}
        return node

    def start(self, cpus=1, gpus=0, resources=None):
        """Start a node and wait until it has joined."""
        node = self._place(next(self._numbers))
        self.nodes.append(node)
        command = [*RAY, "start", "--block", f"--node-ip-address={node.address}"]
        command += [f"--num-cpus={cpus}", f"--num-gpus={gpus}", "--disable-usage-stats"]
        command += [f"--resources={json.dumps(resources or {})}"]
        command += [f"--object-store-memory={200_000_000}"]
        if node is self.head:
            command += ["--head", f"--port={PORT}", "--dashboard-host=127.0.0.1"]
            command += [f"--temp-dir={self._sockets}"]
        else:
            command += [f"--address={self.address}"]
        log = (self.folder / f"{node.name}.log").open("w")
        node.process = node.popen(*command, stdout=log, stdin=subprocess.DEVNULL)
        self._wait_for(node)
        return node

    def _place(self, number):
        name = f"{self._tag}n{number}"
        cache = self.folder / name
        cache.mkdir(parents=True)
        environment = {
            **self.environment,
            **SETTINGS,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self._token,
            "XDG_CACHE_HOME": str(cache),
        }
        if not self.separate:
            return Node(name, "127.0.0.1", [], environment)
        address, link = f"{self._net}.{number}", f"{name}v"
        _ip("netns", "add", name)
        self._resolve(name, address)
        _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", link, "master", self._tag, "up")
        for command in (
            ("addr", "add", f"{address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            _ip("-n", name, *command)
        inside = 'hostname "$0" && exec "$@"'
        prefix = ["ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c", inside, name]
        return Node(name, address, prefix, environment, link=link)

    def _resolve(self, name, address):
        """Have a node know its own name and find no name server: Ray's processes ask for names when
        they start, and would wait 10 s each for one that cannot be reached."""
        folder = ETC / name
        folder.mkdir(parents=True)
        (folder / "hosts").write_text(f"127.0.0.1 localhost\n{address} {name}\n")
        (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")

    def _wait_for(self, node):
        deadline, log = time.monotonic() + PATIENCE_S, self.folder / f"{node.name}.log"
        while time.monotonic() < deadline:
            assert node.process.poll() is None, log.read_text()
            if "Ray runtime started" in log.read_text():
                return
            time.sleep(0.5)
        raise AssertionError(f"{node.name} did not come up: {log.read_text()}")

    def stop(self):
        for node in self.nodes:
            node.stop()
        if self.separate:
            for node in self.nodes:
                left = _ip("netns", "pids", node.name, check=False).stdout.split()
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
                _ip("netns", "del", node.name, check=False)
                _ip("link", "del", node.link, check=False)
                shutil.rmtree(ETC / node.name, ignore_errors=True)
            _ip("link", "del", self._tag, check=False)
        shutil.rmtree(self._sockets, ignore_errors=True)


@contextlib.contextmanager
def node_cluster(folder, environment):
    """Make a cluster without nodes; stop its nodes at the end."""
    cluster = NodeCluster(Path(folder), environment)
    try:
        yield cluster
    finally:
        cluster.stop()
