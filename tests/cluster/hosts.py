"""Several hosts on one machine: what crosses a network is tested across one.

Each host is a set of Linux namespaces: its own network address, processes, mounts and name, its own home, /tmp/ray and
sshd. They share the rest of the file system, so a virtual environment outside the home is there on each. Needs root,
iproute2, openssh-server and rsync.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

NETWORK = "10.77.0"
LAUNCHER = "launcher"
"""A place in the network without a home of its own: where ``ray up`` is started."""
_BRIDGE = "dn-bridge"
_PROJECT = Path(__file__).parents[2]


def missing() -> str | None:
    """Return what this machine lacks for hosts; None if nothing."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs Linux and root"
    programs = [
        name for name in ("ip", "sshd", "ssh-keygen", "rsync", "unshare") if shutil.which(name, path=_PATH) is None
    ]
    if shlex.quote(sys.prefix) != sys.prefix:
        return f"Ray starts nodes by lines for a shell and does not quote its programs' path, here {sys.prefix!r}"
    if programs:
        return f"needs {', '.join(programs)} (Debian: iproute2 openssh-server rsync)"
    allowed = subprocess.run(["unshare", "--net", "--mount", "--pid", "--uts", "--fork", "true"], capture_output=True)
    return None if allowed.returncode == 0 else "needs the right to make namespaces"


_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


class Hosts:
    """``count`` hosts, h0, h1, …, and the launcher, in one network."""

    def __init__(self, folder: Path, count: int) -> None:
        """``folder``: for keys, homes and logs; absolute."""
        self.folder, self.names = folder, [f"h{number}" for number in range(count)]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Hosts":
        """Bring everything up."""
        _remove_network([*self.names, LAUNCHER])  # of a run that was killed
        try:
            self._make_network()
            self._make_keys()
            for name in self.names:
                self._boot(name)
            for name in self.names:
                self._wait_for_ssh(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Take everything down."""
        for name in self.names:
            self.kill(name)
        _remove_network([*self.names, LAUNCHER])

    @property
    def key(self) -> Path:
        """The private key that opens every host."""
        return self.folder / "ssh" / "user"

    def address(self, name: str) -> str:
        """Return the address of a host."""
        return f"{NETWORK}.{10 + self.names.index(name)}"

    def home(self, name: str) -> Path:
        """Return where a host's home lies."""
        return self.folder / name / "home"

    def launch(
        self, command: Sequence[str], cwd: Path, environment: Mapping[str, str], home: Path
    ) -> "subprocess.Popen[str]":
        """Start a command on the launcher."""
        return subprocess.Popen(
            ["ip", "netns", "exec", LAUNCHER, *command],
            cwd=cwd,
            env={**os.environ, **environment, "HOME": str(home)},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )

    def on(self, name: str, command: str) -> "subprocess.CompletedProcess[str]":
        """Run a shell command on a host, as a user who logs in."""
        return subprocess.run(
            self._ssh(name, f"bash --login -i -c {_quoted(command)}"),
            text=True,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def start(self, name: str, command: str) -> "subprocess.Popen[str]":
        """Start a shell command on a host; its errors go with its output."""
        return subprocess.Popen(
            self._ssh(name, f"bash --login -i -c {_quoted(command)}"),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )

    def cut(self, name: str) -> None:
        """Take the host's cable out."""
        _ip("-n", _BRIDGE, "link", "set", f"v-{name}", "down")

    def join(self, name: str) -> None:
        """Put it back."""
        _ip("-n", _BRIDGE, "link", "set", f"v-{name}", "up")

    def kill(self, name: str) -> None:
        """End every process of a host at once, as a power cut does."""
        process = self._processes.pop(name, None)
        if process is None:
            return
        for child in _children(process.pid):
            os.kill(child, signal.SIGKILL)
        process.kill()
        process.wait()

    def boot(self, name: str) -> None:
        """Start a host that was killed."""
        self._boot(name)
        self._wait_for_ssh(name)

    def _make_network(self) -> None:
        _ip("netns", "add", _BRIDGE)
        _ip("-n", _BRIDGE, "link", "set", "lo", "up")
        _ip("-n", _BRIDGE, "link", "add", "br0", "type", "bridge")
        _ip("-n", _BRIDGE, "link", "set", "br0", "up")
        for name, number in [(LAUNCHER, 1), *((name, 10 + index) for index, name in enumerate(self.names))]:
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("link", "add", f"v-{name}", "netns", _BRIDGE, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-n", _BRIDGE, "link", "set", f"v-{name}", "master", "br0", "up")
            _ip("-n", name, "addr", "add", f"{NETWORK}.{number}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "route", "add", "default", "via", f"{NETWORK}.1" if name != LAUNCHER else f"{NETWORK}.10")

    def _make_keys(self) -> None:
        folder = self.folder / "ssh"
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("host", "user"):
            if not (folder / name).exists():
                subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        Path("/run/sshd").mkdir(exist_ok=True)

    def _boot(self, name: str) -> None:
        folder = self.folder / name
        for part in ("home", "ray"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        Path("/tmp/ray").mkdir(exist_ok=True)
        (folder / "sshd_config").write_text(
            f"HostKey {self.folder}/ssh/host\nAuthorizedKeysFile {self.folder}/ssh/user.pub\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
            f"StrictModes no\nUsePAM no\nPidFile {folder}/sshd.pid\n"
        )
        (folder / "inside").write_text(
            _INSIDE.format(folder=folder, name=name, kept=_kept_of_the_home(folder / "home"))
        )
        with (folder / "log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [
                    *("ip", "netns", "exec", name, "unshare", "--pid", "--fork", "--mount-proc", "--mount", "--uts"),
                    *("bash", str(folder / "inside")),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _ssh(self, name: str, command: str) -> list[str]:
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=5"]
        words = [part for option in options for part in ("-o", option)]
        return [
            "ip",
            "netns",
            "exec",
            LAUNCHER,
            "ssh",
            "-i",
            str(self.key),
            *words,
            f"root@{self.address(name)}",
            command,
        ]

    def _wait_for_ssh(self, name: str) -> None:
        deadline = time.monotonic() + 60
        while subprocess.run(self._ssh(name, "true"), capture_output=True, check=False).returncode:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} does not answer: {(self.folder / name / 'log').read_text()}")
            time.sleep(0.2)


_INSIDE = """set -e
mount --make-rprivate /
{kept}
mount --rbind {folder}/home $HOME
mount --bind {folder}/ray /tmp/ray
hostname {name}
exec /usr/sbin/sshd -D -f {folder}/sshd_config -E {folder}/sshd.log
"""


def _kept_of_the_home(home: Path) -> str:
    """Commands that leave Python, its packages and the project where they are, if in the home that a host replaces."""
    real, commands = Path.home(), []
    for path in dict.fromkeys(Path(name).resolve() for name in (sys.base_prefix, sys.prefix, _PROJECT)):
        if path.is_relative_to(real):
            inside = home / path.relative_to(real)
            commands.append(f"mkdir -p {inside}; mount --bind {path} {inside}")
    return "\n".join(commands)


def _children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(line) for line in found.split()]


def _remove_network(names: Sequence[str]) -> None:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout
    there = {line.split()[0] for line in listed.splitlines() if line.strip()}
    for name in [*names, _BRIDGE]:
        if name in there:
            _ip("netns", "del", name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
