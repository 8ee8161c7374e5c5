"""A hundred thousand replicates on a tracking server with PostgreSQL: what each command costs as a store grows."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
import torch
from ray import tune
from ray.tune.experiment import Experiment
from ray.tune.registry import register_trainable
from sqlalchemy import create_engine

from benchmarks import seeding
from benchmarks.scale import LARGE, factors, run_command
from dn_distributed.config import Cell
from sweeps.planning import plan as planning
from sweeps.planning.data import load_data
from sweeps.planning.plan import Pack
from sweeps.spec import load as spec
from sweeps.tune import pack_config
from sweeps.tune.search import pack_list
from tracking.server.database import Database
from tracking.server.postgres import Postgres
from tracking.store import location as store
from tracking.store.sweep_store import SweepStore

SIZES = (1_000, 10_000, 100_000)
"""Replicates of the sweeps, all in one store."""
SEEDS = 10
MISSING = 10
"""Replicates that are not done when a sweep is started, each of a cell of its own."""
PACKS = (1_250, 2_500, 5_000, 10_000)
_PORT = 5078
_TABLES = ("runs", "tags", "params", "metrics", "latest_metrics", "inputs")


def run(data_dir: Path) -> list[str]:
    """Return the tables as Markdown lines. Ten gigabytes where temporary files are: ``TMPDIR`` says where."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="dn-") as name:
        Path(name).chmod(0o711)  # under root, PostgreSQL runs as another user
        return measure(Path(name), SIZES)


def measure(folder: Path, sizes: Sequence[int]) -> list[str]:
    """Return the tables for sweeps of these sizes, all in one store."""
    rows: dict[str, list[str]] = {}
    with _server(folder / "server") as database:
        begin = time.perf_counter()
        for size in sizes:
            seed(folder, size, database)
        seeded = time.perf_counter() - begin
        for size in sizes:
            for title, figures in _measured(folder, size, database):
                rows.setdefault(title, []).append(figures)
        stored = _of_store(database)
    return [
        f"| wall s, CPU s, peak MB of the command | {' | '.join(f'{size:,}' for size in sizes)} |",
        f"| --- |{' --: |' * len(sizes)}",
        *(f"| {title} | {' | '.join(figures)} |" for title, figures in rows.items()),
        "",
        *stored,
        "",
        f"Filling the store took {seeded:.0f} s.",
        "",
        *listing(),
    ]


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[Database]:
    """``dn server`` in a folder, as a user starts it."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    words = [sys.executable, "-m", "sweeps.cli", "server", "--folder", str(folder), "--port", str(_PORT)]
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert "tracking server" in process.stdout.readline(), "the server has not started"
        yield Postgres(folder / "postgres", folder / "secrets", folder / "log" / "postgres.log").database
    finally:
        process.terminate()
        process.wait()


def seed(folder: Path, size: int, database: Database) -> None:
    """Fill the store with a sweep of ``size`` replicates, all but the last ones of some cells."""
    path = _file(folder, size)
    sweep = spec.load(path)
    data = load_data(sweep, None)
    sweep_store = SweepStore.find_or_create(store.locate(_address()), sweep.name)
    cells = planning.make(sweep, data, {}, {}).distinct[-MISSING:]
    missing = {item.cell.key: sweep.seeds[-1:] for item in cells}
    files = folder / "server" / "artifacts" / sweep_store.experiment_id
    engine = create_engine(database.for_sqlalchemy, connect_args={"password": database.password})
    seeding.fill(sweep, data, sweep_store, engine, files, missing)
    engine.dispose()


def _file(folder: Path, size: int) -> Path:
    """A sweep of one method in a grid of coefficients, and another without."""
    path = folder / f"grow-{size}.yaml"
    cells = size // SEEDS
    l1 = max(count for count in range(1, int(cells**0.5) + 1) if (cells - 1) % count == 0)
    text = LARGE.format(name=path.stem, seeds=SEEDS, pack=SEEDS, l1=factors(l1), dn=factors((cells - 1) // l1))
    path.write_text(text, encoding="utf-8")
    return path


def _address() -> str:
    return f"http://127.0.0.1:{_PORT}"


def _measured(folder: Path, size: int, database: Database) -> Iterator[tuple[str, str]]:
    path, to = _file(folder, size), ("--tracking-uri", _address())
    commands = {
        "`dn status`": ("status", path.stem),
        "`dn list`, all sweeps": ("list",),
        "`dn report`": ("report", path.stem, "--out", "report"),
        "`dn report` without a name: the page over all sweeps": ("report", "--out", "index"),
    }
    for title, words in commands.items():
        found = run_command(folder, "-m", "sweeps.cli", *words, *to)
        last = found.samples[-1]
        yield title, f"{found.seconds:.1f}, {last.cpu_seconds:.1f}, {last.peak_mb:.0f}"
    yield f"`dn sweep`, {MISSING} replicates missing: until the first is opened", _start(folder, path, database)


def _start(folder: Path, path: Path, database: Database) -> str:
    """Run what is missing: until a worker opens the first replicate."""
    count = "select count(*) from runs join experiments using (experiment_id) where experiments.name = %s"
    opened = list[float]()
    with psycopg.connect(database.address, password=database.password, autocommit=True) as connection:

        def num_runs() -> int:
            row = connection.execute(count, [path.stem]).fetchone()
            assert row is not None
            return int(row[0])

        before = num_runs()

        def look(seconds: float) -> None:
            if not opened and num_runs() > before:
                opened.append(seconds)

        found = run_command(folder, "-m", "sweeps.cli", "sweep", path.name, "--tracking-uri", _address(), look=look)
    sample = found.at(opened[0])
    return f"{opened[0]:.1f}, {sample.cpu_seconds:.1f}, {sample.peak_mb:.0f}"


def _of_store(database: Database) -> list[str]:
    """What the tables of the store hold."""
    lines = ["| table | rows | MB with indices |", "| --- | --: | --: |"]
    with psycopg.connect(database.address, password=database.password) as connection:
        for table in _TABLES:
            found = connection.execute(f"select count(*), pg_total_relation_size('{table}') from {table}").fetchone()
            assert found is not None
            lines.append(f"| {table} | {found[0]:,} | {found[1] / 1e6:.0f} |")
    return lines


def cell_of_packs() -> Cell:
    """Return a cell that packs can be made of."""
    with tempfile.TemporaryDirectory() as folder:
        sweep = spec.load(_file(Path(folder), 2 * SEEDS))
        return planning.make(sweep, load_data(sweep, None), {}, {}).cells[0].cell


def listing() -> list[str]:
    """Return what it costs Tune to have the first trial of so many packs, and all of them, in this process."""
    lines = ["| packs | CPU s until the first trial is there | until all are |", "| --: | --: | --: |"]
    register_trainable("nothing", tune.Trainable)
    with tempfile.TemporaryDirectory() as folder:
        cell = cell_of_packs()
        for count in PACKS:
            packs = pack_list([Pack("P", cell, (seed,)) for seed in range(count)])
            begin = time.process_time()
            config = {pack_config.PACK: ""}
            asked = Experiment("packs", "nothing", config=config, num_samples=count, storage_path=folder)
            packs.add_configurations([asked])
            packs.next_trial()
            first = time.process_time() - begin
            while packs.next_trial() is not None:
                pass
            lines.append(f"| {count:,} | {first:.2f} | {time.process_time() - begin:.2f} |")
    return lines
