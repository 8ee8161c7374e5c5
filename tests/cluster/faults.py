"""Injures real sweeps on a cluster of hosts, and compares with an undisturbed one. ``make faults`` runs it.

Every fault gets a sweep of its own: the same cells, so the same keys and results. Afterwards every replicate must be
there once, with the same figures to the last bit, and the table must be the same.

    python -m tests.cluster.faults [NAME ...]
"""

import contextlib
import csv
import io
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.hosts import Hosts, missing
from tracking import schema
from tracking.results import cells, status
from tracking.results import rows as reader
from tracking.store import location as store
from tracking.store import runs
from tracking.store.sweep_store import SweepStore
from tracking.tables import formats
from tracking.tables import table as tables

ROOT = Path(__file__).parents[2]
SWEEP = """
name: {name}
task: lenet300
dataset: digits
seeds: 3
training: {{epochs: {epochs}, batch_size: 64}}
methods:
  - {{label: P}}
  - {{label: ℓ1+DN+DO+P, l1: 1.0e-5, dn: 5.0e-5, dropout: 0.5}}
resources: {{pack: 1}}
"""
HEAD, WORKERS, SERVER = "h0", ("h1", "h2"), "h3"
SECONDS_TO_END = 900.0
UNDISTURBED = "undisturbed"


@dataclass(frozen=True)
class Result:
    """What a fault did to a sweep."""

    fault: str
    lost: int
    doubled: int
    differing: int
    same_table: bool
    same_status: bool
    """Whether ``dn status`` says that every replicate is done."""
    told: bool
    """Whether the log tells what happened: a fault that nobody felt shows nothing."""
    commands: int
    """How often ``dn sweep`` was called until the sweep was complete."""
    said: str
    """The line that tells it."""

    @property
    def harmless(self) -> bool:
        """Whether the fault was felt, and nothing is lost, doubled or different."""
        same = self.same_table and self.same_status and self.told
        return same and not (self.lost or self.doubled or self.differing)


class Site:
    """A head, two workers and a tracking server, each a host of its own."""

    def __init__(self, hosts: Hosts, epochs: int) -> None:
        """``epochs``: how long a replicate trains."""
        self.hosts, self.epochs = hosts, epochs
        self.uri = f"http://{hosts.address(SERVER)}:5000"
        self._tunnel: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Give every host the secrets and the environment, and start server and Ray."""
        password, token = secrets.token_hex(16), secrets.token_hex(32)
        for name in self.hosts.names:
            home = self.hosts.home(name)
            (home / ".dropneuron").mkdir(mode=0o700, exist_ok=True)
            for file, text in (("password", password), ("ray-token", token)):
                (home / ".dropneuron" / file).write_text(text)
                (home / ".dropneuron" / file).chmod(0o600)
            (home / ".bashrc").write_text(
                f"export PATH={Path(sys.executable).parent}:$PATH\n"
                f". {ROOT}/deploy/node.sh\nexport PYTHONPATH={ROOT} DN_TRACKING_URI={self.uri}\n"
                "export TMPDIR=$HOME/tmp RAY_TMPDIR=/tmp; mkdir -p $HOME/tmp\n"
            )
            (home / ".bash_profile").write_text(". ~/.bashrc\n")
        self.start_server()
        self.start_ray()

    def start_server(self) -> None:
        """Start the tracking server, and wait until it answers."""
        address = self.hosts.address(SERVER)
        self.run(
            SERVER,
            f"DN_SERVER_PASSWORD_FILE=~/.dropneuron/password setsid nohup dn server --host {address} "
            f"--allowed-hosts {address}:5000 --folder ~/dn-server >>~/server.log 2>&1 </dev/null & "
            f"timeout 300 bash -c 'until curl -sf {self.uri}/health >/dev/null; do sleep 0.5; done' "
            "|| { tail ~/server.log; false; }",
        )

    def start_ray(self) -> None:
        """Start Ray on the head and the workers."""
        head = self.hosts.address(HEAD)
        self.run(HEAD, f"ray start --head --node-ip-address={head} --port=6379 --num-cpus=0 --include-dashboard=false")
        for name in WORKERS:
            self.start_worker(name)

    def start_worker(self, name: str) -> None:
        """Start Ray on a worker."""
        self.run(name, f"ray start --address={self.hosts.address(HEAD)}:6379 --num-cpus=1")

    def run(self, name: str, command: str) -> str:
        """Run a command on a host and return what it prints; RuntimeError if it fails."""
        done = self.hosts.on(name, command)
        if done.returncode:
            raise RuntimeError(f"{name}: {command}: {(done.stdout + done.stderr)[-2000:]}")
        return done.stdout

    def sweep(self, name: str) -> "subprocess.Popen[str]":
        """Start ``dn sweep`` on the head."""
        (self.hosts.home(HEAD) / f"{name}.yaml").write_text(SWEEP.format(name=name, epochs=self.epochs), "utf-8")
        command = f"dn sweep {name}.yaml --address auto --slots 2 --checkpoint-seconds 1"
        return self.hosts.start(HEAD, command)

    def checkpoints(self, name: str) -> list[Path]:
        """Return the checkpoints of a sweep, on the head."""
        return sorted(self.hosts.home(HEAD).glob(f"dn-store/ray/{name}/checkpoints/*/*.safetensors"))

    def wait_for_checkpoints(self, name: str, process: "subprocess.Popen[str]") -> None:
        """Return when the sweep is in the middle of its work."""
        deadline = time.monotonic() + SECONDS_TO_END
        while not self.checkpoints(name):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} does not get going: {process.communicate()[0][-2000:]}")
            time.sleep(0.1)

    def server_said(self) -> list[str]:
        """Return what ``dn server`` has said so far."""
        return [line for line in self.run(SERVER, "cat ~/server.log").splitlines() if line.startswith("dn: ")]


Fault = Callable[[Site, str], str | None]
"""Injures a sweep, and may return what a bystander was told."""


def kill_worker(site: Site, name: str) -> None:
    """SIGKILL every trial of one host."""
    site.run(WORKERS[0], "pkill -9 -f [r]ay::ResourceTrainable")


def kill_raylet(site: Site, name: str) -> None:
    """SIGKILL a node's raylet; the node comes back later."""
    site.run(WORKERS[0], "pkill -9 -f [r]aylet/raylet; sleep 5; ray stop --force >/dev/null 2>&1; true")
    site.start_worker(WORKERS[0])


def cut_host(site: Site, name: str) -> None:
    """Take a host's cable out for a minute."""
    site.hosts.cut(WORKERS[1])
    time.sleep(60)
    site.hosts.join(WORKERS[1])
    time.sleep(20)
    site.run(WORKERS[1], "pgrep -f [r]aylet/raylet >/dev/null || { ray stop --force >/dev/null 2>&1; true; }")
    if not site.hosts.on(WORKERS[1], "pgrep -f [r]aylet/raylet").stdout.strip():
        site.start_worker(WORKERS[1])


def stop_server(site: Site, name: str) -> None:
    """The tracking server is down for a minute."""
    site.run(SERVER, "pkill -TERM -f '[d]n server'; while pgrep -f '[d]n server' >/dev/null; do sleep 0.5; done")
    time.sleep(60)
    site.start_server()


def kill_server(site: Site, name: str) -> None:
    """SIGKILL MLflow's processes three times, each when the first file of a replicate has come in: what belongs to it
    is still being written. `dn server` starts them anew.
    """
    seen = "find ~/dn-server/artifacts -newer ~/mark -type f -print -quit | grep -q ."
    for _ in range(3):
        wait = f"touch ~/mark; timeout 120 bash -c 'until {seen}; do sleep 0.01; done'"
        site.run(SERVER, f"{wait}; pkill -9 -f [t]racking.server.mlflow_app; true")
        site.run(SERVER, f"timeout 120 bash -c 'until curl -sf {site.uri}/health >/dev/null; do sleep 0.2; done'")


def restart_postgres(site: Site, name: str) -> None:
    """SIGKILL PostgreSQL; `dn server` starts it anew."""
    site.run(SERVER, "pkill -9 -f '[p]ostgres -D'; true")


def kill_driver(site: Site, name: str) -> None:
    """SIGKILL the driver; the sweep is started again."""
    site.run(HEAD, f"pkill -9 -f '[d]n sweep {name}.yaml'")


def kill_head(site: Site, name: str) -> None:
    """The head loses its power with the driver on it; a new cluster goes on with the same store."""
    site.hosts.kill(HEAD)
    for worker in WORKERS:
        site.run(worker, "ray stop --force >/dev/null 2>&1; true")
    site.hosts.boot(HEAD)
    site.start_ray()


def fill_disk(site: Site, name: str) -> None:
    """A worker has no room for temporary files for half a minute."""
    site.run(WORKERS[0], "mount -t tmpfs -o size=64k tmpfs ~/tmp")
    time.sleep(30)
    site.run(WORKERS[0], "umount --lazy ~/tmp")


def damage_checkpoints(site: Site, name: str) -> None:
    """The trials are halted, the newest checkpoint of each pack is altered, and the trials are killed."""
    for worker in WORKERS:
        site.run(worker, "pkill -STOP -f [r]ay::ResourceTrainable; true")
    time.sleep(1)  # what was handed over before is written
    newest = {path.parent: path for path in site.checkpoints(name)}
    for path in newest.values():
        with contextlib.suppress(FileNotFoundError):
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 0xFF
            path.write_bytes(content)
    for worker in WORKERS:
        site.run(worker, "pkill -9 -f [r]ay::ResourceTrainable; true")


def second_driver(site: Site, name: str) -> str:
    """Another driver is started on the same sweep, from another host."""
    text = (site.hosts.home(HEAD) / f"{name}.yaml").read_text("utf-8")
    (site.hosts.home(WORKERS[0]) / f"{name}.yaml").write_text(text, "utf-8")
    done = site.hosts.on(WORKERS[0], f"dn sweep {name}.yaml --address auto --slots 2")
    return done.stderr


FAULTS: Mapping[Fault, str] = {
    kill_worker: "taken up again, from its last checkpoint",
    kill_raylet: "taken up again, from its last checkpoint",
    cut_host: "taken up again, from its last checkpoint",
    stop_server: "the store answers again",
    kill_server: "the MLflow server has ended; starting it again",
    restart_postgres: "PostgreSQL has ended; starting it again",
    kill_driver: "is gone; going on where it was",
    kill_head: "going on where it was|was running",
    fill_disk: "taken up again, from its last checkpoint",
    damage_checkpoints: "is damaged: going on from the one before it",
    second_driver: "is being run by",
}
"""And what the log must tell."""


def injure(site: Site, fault: Fault | None, whole: "Outcome | None") -> tuple[Result, "Outcome"]:
    """Run a sweep, injure it, run it again until it is complete, and compare with the ``whole`` one."""
    title = fault.__name__ if fault else UNDISTURBED
    name = title.replace("_", "-")
    process = site.sweep(name)
    said, before = [], len(site.server_said())
    if fault is not None:
        site.wait_for_checkpoints(name, process)
        said += (fault(site, name) or "").splitlines()
    commands = 1
    while True:
        output = process.communicate(timeout=SECONDS_TO_END)[0]
        said += [line for line in output.splitlines() if line.startswith("dn: ")]
        if process.returncode == 0 or commands == 4:
            break
        process, commands = site.sweep(name), commands + 1
    outcome = read(site, name)
    said += site.server_said()[before:]
    lines = list(dict.fromkeys(line for line in said if line.startswith("dn: ")))
    told = [line for line in lines if fault is None or re.search(FAULTS[fault], line)]
    return compare(title, outcome, whole or outcome, commands, told), outcome


@dataclass(frozen=True)
class Outcome:
    """What the store holds of a sweep."""

    rows: dict[str, dict[str, str]]
    """By replicate key: every final figure, to the last bit."""
    runs: Counter[str]
    """How many runs each replicate has."""
    table: str
    status: str


def read(site: Site, name: str) -> Outcome:
    """Read a sweep from the server, as a host of the cluster does."""
    printed = site.run(HEAD, f"PYTHONPATH={ROOT} python -m tests.cluster.faults --print {name}")
    rows, per_key, table, status = json.loads(printed.strip().splitlines()[-1])
    return Outcome(rows, Counter(per_key), table, status)


def print_outcome(name: str) -> None:
    """Print what ``read`` takes; called on a host."""
    location = store.locate()
    sweep = SweepStore.find(location, name)
    snapshot = reader.read(sweep)
    rows = {row.replicate_key: {key: repr(value) for key, value in row.metrics.items()} for row in snapshot.rows}
    found = sweep.records("replicate", tags=[schema.REPLICATE_KEY])
    per_key = Counter(item.tags[schema.REPLICATE_KEY] for item in found)
    _, manifest = runs.read_manifest(sweep)
    table = formats.as_csv(tables.build(manifest, cells.gather(manifest, snapshot)))
    lines = status.read(sweep).lines(time.time())
    print(json.dumps([rows, per_key, table, "\n".join(lines).replace(name, "NAME")]))


def compare(title: str, outcome: Outcome, whole: Outcome, commands: int, told: Sequence[str]) -> Result:
    """Count what differs from the undisturbed sweep."""
    return Result(
        fault=title,
        lost=len(whole.rows.keys() - outcome.rows.keys()),
        doubled=sum(count > 1 for count in outcome.runs.values()),
        differing=sum(outcome.rows[key] != whole.rows[key] for key in whole.rows.keys() & outcome.rows.keys()),
        same_table=list(csv.reader(io.StringIO(outcome.table))) == list(csv.reader(io.StringIO(whole.table))),
        same_status=outcome.status == whole.status,
        told=bool(told) or title == UNDISTURBED,
        commands=commands,
        said=told[0] if told else "",
    )


@contextlib.contextmanager
def site(folder: Path, epochs: int) -> Iterator[Site]:
    """A site that is up."""
    with Hosts(folder, 4) as hosts:
        found = Site(hosts, epochs)
        found.prepare()
        yield found


def main(names: Sequence[str]) -> int:
    """Inject the named faults, or all, and print what came of it."""
    if names[:1] == ["--print"]:
        print_outcome(names[1])
        return 0
    lacking = missing()
    if lacking:
        print(f"faults: {lacking}", file=sys.stderr)
        return 2
    known = {fault.__name__: fault for fault in FAULTS}
    if unknown := [name for name in names if name not in known]:
        print(f"faults: no fault {unknown[0]!r}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="dn-faults-"))
    folder.chmod(0o755)  # PostgreSQL's own user passes through
    results = []
    with site(folder, int(os.environ.get("DN_FAULT_EPOCHS", "150"))) as found:
        _, whole = injure(found, None, None)
        print("| fault | lost | doubled | differing | table, status | commands | the log says |\n" + "| --- " * 7 + "|")
        for name in names or known:
            result, _ = injure(found, known[name], whole)
            results.append(result)
            print(
                f"| {result.fault} | {result.lost} | {result.doubled} | {result.differing} | "
                f"{'same' if result.same_table and result.same_status else 'DIFFERS'} | {result.commands} | "
                f"{result.said or 'NOTHING'} |",
                flush=True,
            )
    totals = [sum(getattr(result, part) for result in results) for part in ("lost", "doubled", "differing")]
    print("{} faults injected; replicates lost: {}, doubled: {}, differing: {}".format(len(results), *totals))
    return 0 if all(result.harmless for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
