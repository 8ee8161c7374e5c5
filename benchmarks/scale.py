"""Ten thousand replicates in the store, and two thousand short packs: what the commands of a large sweep cost."""

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from sqlalchemy import create_engine

from benchmarks import seeding
from sweeps.planning import plan as planning
from sweeps.planning.data import load_data
from sweeps.spec import load as spec
from sweeps.tune.pack_training import trainer_of
from tracking.server import mlflow_process
from tracking.server.mlflow_process import MlflowServer
from tracking.store import cell_runs, embedded, replicate_runs
from tracking.store import location as store
from tracking.store.sweep_store import SweepStore

L1, DN, SEEDS, PACK = 27, 37, 10, 2  # with one cell without either: 1 000 cells in 5 000 packs
MISSING = 10
"""Packs that are not done when the large sweep is started."""
SHORT_CELLS, SHORT_SEEDS = 200, 10
_PORT = 5077  # of the server that the store is asked through
_PARTS = 100  # packs that the parts of one are timed over

LARGE = """
name: {name}
task: lenet300
dataset: digits
seeds: {seeds}
training: {{epochs: 20, batch_size: 64}}
methods:
  - {{label: ℓ1+DN+P, l1: {{grid: {l1}}}, dn: {{grid: {dn}}}}}
  - {{label: P}}
search: {{tolerance: 0.002}}
resources: {{pack: {pack}}}
"""

SHORT = """
name: short
task: regression
seeds: {seeds}
training: {{steps: 20}}
methods: [{{label: ℓ1, l1: {{grid: {l1}}}}}]
resources: {{pack: 1}}
"""

# Read in a process that is at work already: imports and the first connection are in the lines of the commands.
STATES = """
import time
from tracking.store import runs
from tracking.store.location import locate
from tracking.store.sweep_store import SweepStore
sweep = SweepStore.find(locate(), "large")
begin = time.perf_counter()
found = runs.read_states(sweep)
print(time.perf_counter() - begin, len(found))
"""


@dataclass(frozen=True)
class Sample:
    """What a process had used some seconds after it began; its children are not counted."""

    seconds: float
    cpu_seconds: float
    resident_mb: float
    peak_mb: float


@dataclass
class Command:
    """A command that ran to its end."""

    seconds: float = 0.0
    output: str = ""
    samples: list[Sample] = field(default_factory=list)

    def at(self, seconds: float) -> Sample:
        """Return the last sample before a time."""
        return next(sample for sample in reversed(self.samples) if sample.seconds <= seconds)

    def line(self, title: str) -> str:
        """Return a line of the table of commands."""
        last = self.samples[-1]
        return f"| {title} | {self.seconds:.1f} | {last.cpu_seconds:.1f} | {last.peak_mb:.0f} |"


def run_command(folder: Path, *arguments: str, look: Callable[[float], None] = lambda seconds: None) -> Command:
    """Run Python with ``arguments`` in ``folder`` as a user would, and call ``look`` ten times a second."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    found = Command()
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        command = [sys.executable, *arguments]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            _sample(process.pid, time.perf_counter() - begin, found)
            look(time.perf_counter() - begin)
            time.sleep(0.1)
        found.seconds = time.perf_counter() - begin
        output.seek(0)
        found.output = output.read()
    assert process.returncode == 0, found.output
    return found


def _sample(pid: int, seconds: float, found: Command) -> None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    except OSError:
        return  # it has just ended
    mb = {line.partition(":")[0]: int(line.split()[1]) / 1024 for line in status.splitlines() if line.endswith("kB")}
    if "VmRSS" in mb:
        cpu_seconds = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
        found.samples.append(Sample(seconds, cpu_seconds, mb["VmRSS"], mb["VmHWM"]))


def run(data_dir: Path) -> list[str]:
    """Return the tables as Markdown lines."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        return [*large(Path(name) / "large"), "", *short(Path(name) / "short")]


def large(folder: Path) -> list[str]:
    """Return the table of the commands on a store with ten thousand replicates."""
    begin = time.perf_counter()
    seed(folder)
    seeded = time.perf_counter() - begin
    lines = ["| command | wall, s | CPU, s | peak memory, MB |", "| --- | --: | --: | --: |", *_start(folder)]
    for title, arguments in (
        ("`dn sweep`, nothing to run", ("sweep", "large.yaml")),
        ("`dn status`", ("status", "large")),
        ("`dn report`", ("report", "large", "--out", "report")),
    ):
        lines.append(run_command(folder, "-m", "sweeps.cli", *arguments).line(title))
    lines += _through_a_server(folder)
    for title, script in (
        ("imports of `dn sweep` alone", "import sweeps.cli.sweeping"),
        ("imports of `dn report` alone", "import tracking.report.files"),
        ("import of torch alone", "import torch"),
    ):
        lines.append(run_command(folder, "-c", script).line(title))
    seconds, count = run_command(folder, "-c", STATES).output.split()[-2:]
    lines.append(f"| states of {count} replicates, in a process at work | {float(seconds):.2f} | | |")
    return [*lines, "", f"Filling the store took {seeded:.0f} s."]


def _through_a_server(folder: Path) -> list[str]:
    """The same store behind the server that ``dn ui`` runs."""
    location = store.locate(folder=folder / store.FOLDER)
    served = mlflow_process.command("127.0.0.1", _PORT, 1, mlflow_process.loopback_names(_PORT))
    server = MlflowServer(served, mlflow_process.environment(location.uri), folder / "server.log")
    server.start()
    try:
        server.wait_until_ready("127.0.0.1", _PORT)
        address = ("--tracking-uri", f"http://127.0.0.1:{_PORT}")
        commands = {
            "`dn status`, through a server": ("status", "large", *address),
            "`dn report`, through a server": ("report", "large", "--out", "report", *address),
        }
        return [
            run_command(folder, "-m", "sweeps.cli", *arguments).line(title) for title, arguments in commands.items()
        ]
    finally:
        server.stop()


def seed(folder: Path) -> None:
    """Fill a store in ``folder`` with the large sweep, all but the last packs of some cells."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "large.yaml"
    text = LARGE.format(name="large", seeds=SEEDS, pack=PACK, l1=factors(L1), dn=factors(DN))
    path.write_text(text, encoding="utf-8")
    sweep = spec.load(path)
    data = load_data(sweep, None)
    last = planning.make(sweep, data, {}, {}).distinct[-MISSING:]
    missing = {item.cell.key: sweep.seeds[-PACK:] for item in last}
    location = store.locate(folder=folder / store.FOLDER)
    assert location.artifacts is not None
    embedded.prepare(location)
    sweep_store = SweepStore.find_or_create(location, sweep.name)
    database = create_engine(f"sqlite:///{location.database}")
    seeding.fill(sweep, data, sweep_store, database, location.artifacts / sweep.name, missing)
    os.sync()  # the disk is not to be busy with ten thousand new files while commands are timed


def factors(count: int) -> list[float]:
    """Return so many small coefficients, no two alike."""
    return [round(1e-6 * (1 + index), 9) for index in range(count)]


def _start(folder: Path) -> list[str]:
    """Run what is missing: until a worker opens the first replicate, and after the last one is finished."""
    database = sqlite3.connect(folder / store.FOLDER / "mlflow.db")
    before = _count(database, "1")
    opened, ended = list[float](), list[float]()

    def look(seconds: float) -> None:
        if not opened and _count(database, "1") > before:
            opened.append(seconds)
        finished = _count(database, "status = 'FINISHED' and name like '% seed %'")
        if not ended and finished == SEEDS * (L1 * DN + 1):
            ended.append(seconds)

    found = run_command(folder, "-m", "sweeps.cli", "sweep", "large.yaml", look=look)
    rest = found.seconds - ended[0]
    return [
        f"| `dn sweep`, {MISSING} packs missing: until a worker opens the first replicate | {opened[0]:.1f} "
        f"| {found.at(opened[0]).cpu_seconds:.1f} | |",
        f"| after the last replicate is finished, with the table | {rest:.1f} "
        f"| {found.samples[-1].cpu_seconds - found.at(ended[0]).cpu_seconds:.1f} | {found.samples[-1].peak_mb:.0f} |",
    ]


def _count(database: sqlite3.Connection, condition: str) -> int:
    return int(database.execute(f"select count(*) from runs where {condition}").fetchone()[0])


def short(folder: Path, num_cells: int = SHORT_CELLS) -> list[str]:
    """Return the tables of a sweep of short packs, one replicate each: its course, and the parts of a pack."""
    folder.mkdir(parents=True)
    path = folder / "short.yaml"
    path.write_text(SHORT.format(seeds=SHORT_SEEDS, l1=factors(num_cells)), encoding="utf-8")
    database = store.locate(folder=folder / store.FOLDER).database
    assert database is not None
    done: list[tuple[float, int]] = []

    def look(seconds: float) -> None:
        if database.exists() and (not done or seconds - done[-1][0] > 2):
            with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
                done.append((seconds, _finished(connection)))

    found = run_command(folder, "-m", "sweeps.cli", "sweep", "short.yaml", look=look)
    done.append((found.seconds, done[-1][1]))
    return [*_course(found, done, num_cells * SHORT_SEEDS), "", *_parts(folder, found, done)]


def _finished(connection: sqlite3.Connection) -> int:
    try:
        return _count(connection, "status = 'FINISHED' and name like '% seed %'")
    except sqlite3.OperationalError:
        return 0  # the tables are being made


def _course(found: Command, done: Sequence[tuple[float, int]], num_packs: int) -> list[str]:
    lines = ["| packs done | after, s | s per pack since the line above | driver's memory, MB |"]
    lines.append("| --: | --: | --: | --: |")
    before = max(item for item in done if item[1] == 0)
    for share in (0.05, 0.25, 0.5, 0.75, 1.0):
        seconds, count = next(item for item in done if item[1] >= share * num_packs)
        rate = (seconds - before[0]) / max(1, count - before[1])
        lines.append(f"| {count} | {seconds:.0f} | {rate:.3f} | {found.at(seconds).resident_mb:.0f} |")
        before = (seconds, count)
    whole = f"Whole command: {found.seconds:.0f} s, {found.seconds / num_packs:.3f} s per pack."
    return [*lines, "", whole]


def _parts(folder: Path, found: Command, done: Sequence[tuple[float, int]]) -> list[str]:
    """Return where a pack's time goes: a worker's work done again in this process, and the driver's as sampled."""
    training, storing = _worker_seconds(folder)
    (first, count), (last, total) = next(item for item in done if item[1]), next(i for i in done if i[1] == done[-1][1])
    driver = (found.at(last).cpu_seconds - found.at(first).cpu_seconds) / (total - count)
    return [
        "| part of a pack | CPU, ms |",
        "| --- | --: |",
        f"| worker: training and testing | {1000 * training:.0f} |",
        f"| worker: run, figures and files in the store | {1000 * storing:.0f} |",
        f"| driver: Tune, progress, means of the cells | {1000 * driver:.0f} |",
    ]


def _worker_seconds(folder: Path) -> tuple[float, float]:
    """CPU seconds that training a pack takes, and writing it to a store of its own."""
    sweep = spec.load(folder / "short.yaml", ["name=parts"])
    data = load_data(sweep, None)
    location = store.locate(folder=folder / "parts")
    embedded.prepare(location)
    sweep_store = SweepStore.find_or_create(location, sweep.name)
    training = storing = 0.0
    for index, pack in enumerate(planning.make(sweep, data, {}, {}).packs(1)[: _PARTS + 1]):
        cell, splits = pack.cell, data.for_seeds(pack.seeds)
        cell_run = cell_runs.ensure_cell(sweep_store, cell, pack.method)
        begin = time.process_time()
        trainer = trainer_of(sweep.task, pack, splits, "cpu")
        (report,), (outcome,) = list(trainer.run()), trainer.outcomes()
        trained = time.process_time()
        (run,) = replicate_runs.start_replicates(sweep_store, cell_run, cell, pack.method, pack.seeds)
        run.log_epoch(report, 0)
        run.finish(outcome, "cpu")
        if index:  # the first one warms up
            training, storing = training + trained - begin, storing + time.process_time() - trained
    return training / _PARTS, storing / _PARTS
