"""Results made up in a moment, and a hand that writes them to a real store as a sweep does."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import torch
from mlflow.entities import Run

from dn_distributed import sparsity
from dn_distributed.config import Cell, Pruning, Training
from dn_distributed.data import DATASETS
from dn_distributed.seeds import generator
from dn_distributed.tasks import TASKS
from dn_distributed.training import EpochReport, Outcome
from tests.dn_distributed.support import make_task
from tracking import schema
from tracking.manifest import Manifest, ManifestMethod, Selection
from tracking.results import rows
from tracking.results.rows import Row, Snapshot
from tracking.store import cell_runs, outcomes, replicate_runs, report_run
from tracking.store.client import search
from tracking.store.connection import connect
from tracking.store.location import StoreLocation
from tracking.store.replicate_runs import ReplicateRun
from tracking.store.sweep_store import SweepStore


def make_cell(task: str = "regression", digest: str = "0" * 64, **regularization: float) -> Cell:
    dataset = DATASETS["linear_scripted" if task == "regression" else "digits"]
    name = "linear_scripted" if task == "regression" else "digits"
    return Cell(
        task=make_task(task).identity(),
        dataset=dataset(name=name).model_dump(mode="json"),
        dataset_digest=digest,
        regularization=regularization,
        training=Training(steps=30, batch_size=1),
        pruning=Pruning(threshold=0.01),
    )


def make_outcome(cell: Cell, seed: int, *, density: float = 0.5, **scores: float) -> Outcome:
    """An untrained network with random masks. ``scores``: names with ``__`` for ``/`` over made-up ones."""
    task = TASKS[cell.task["name"]](**cell.task)
    network = task.network()
    task.initialize(network, generator(seed, "init"))
    parameters = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    draw = generator(seed, "masks")
    masks = {name: torch.rand(parameters[f"{name}.weight"].shape, generator=draw) < density for name in task.layers}
    names = [*(score.name for score in task.scores), "loss"]
    made_up = {
        f"{split}/{name}/{stage}_pruning": 0.1 * (seed + 1)
        for split in ("validation", "test")
        for name in names
        for stage in ("before", "after")
    }
    given = {name.replace("__", "/"): value for name, value in scores.items()}
    return Outcome(seed, {**made_up, **given}, sparsity.count(masks, task.hidden_rule), parameters, masks)


def make_curve(*densities: float) -> list[dict[str, float]]:
    """A replicate at the thresholds 0, 1, …, by what they leave; its validation score is 1 less that."""
    return [
        {"threshold": t, "density": d, "neurons_alive": 10 * d, "validation/nmse": 1 - d, "test/nmse": 2 - d}
        for t, d in enumerate(densities)
    ]


def make_row(cell: Cell, seed: int, *, density: float = 0.5, **metrics: float) -> Row:
    outcome = make_outcome(cell, seed, density=density, **metrics)
    return Row(f"run-{seed}", cell.key, cell.replicate_key(seed), seed, outcomes.final_metrics(outcome), outcome.counts)


def make_manifest(
    methods: Mapping[str, Sequence[Cell]],
    seeds: Sequence[int] = (0, 1),
    *,
    name: str = "sweep",
    selection: Selection | None = None,
    published: Mapping[str, str] | None = None,
    deviations: Sequence[str] = (),
) -> Manifest:
    cell = next(cell for tried in methods.values() for cell in tried)
    score = TASKS[cell.task["name"]].scores[0]
    return Manifest(
        name=name,
        task=cell.task["name"],
        dataset=cell.dataset["name"],
        score=score.name,
        score_higher_is_better=score.higher_is_better,
        seeds=tuple(seeds),
        methods=tuple(
            ManifestMethod(label=label, published=(published or {}).get(label), cells=tuple(tried))
            for label, tried in methods.items()
        ),
        selection=selection,
        deviations=tuple(deviations),
    )


def make_epoch(epoch: int, count: int = 1, **metrics: float) -> EpochReport:
    """The report of an epoch, the same for ``count`` replicates."""
    named = {name.replace("__", "/"): [value] * count for name, value in metrics.items()}
    return EpochReport(epoch, 10 * epoch, named)


class Recorder:
    """A sweep's experiment in the store."""

    def __init__(self, location: StoreLocation, name: str) -> None:
        self.location, self.name = location, name
        self.store = connect(location)
        self.sweep = SweepStore.find_or_create(location, name)
        self.experiment_id = self.sweep.experiment_id

    def start(self, cell: Cell, *seeds: int, label: str = "M") -> list[ReplicateRun]:
        cell_run = cell_runs.ensure_cell(self.sweep, cell, label)
        return replicate_runs.start_replicates(self.sweep, cell_run, cell, label, seeds)

    def finish(self, cell: Cell, *seeds: int, label: str = "M", epochs: int = 0, **options: Any) -> list[Outcome]:
        """Write finished replicates; ``options`` as ``make_outcome`` takes them."""
        outcomes = [make_outcome(cell, seed, **options) for seed in seeds]
        score = TASKS[cell.task["name"]].scores[0].name
        for run, outcome in zip(self.start(cell, *seeds, label=label), outcomes, strict=True):
            for epoch in range(1, epochs + 1):
                scores: dict[str, Any] = {f"validation__{score}": 1 / epoch}
                left = float(outcome.counts.num_nonzero)
                run.log_epoch(make_epoch(epoch, num_nonzero=left, **scores), 0)
            run.finish(outcome, "cpu")
        return outcomes

    def announce(
        self, methods: Mapping[str, Sequence[Cell]], seeds: Sequence[int] = (0, 1), **options: Any
    ) -> Manifest:
        """Write the manifest; ``options`` as ``make_manifest`` takes them."""
        manifest = make_manifest(methods, seeds, name=self.name, **options)
        report_run.write_manifest(self.sweep, report_run.ensure_report_run(self.sweep), manifest)
        return manifest

    def read(self) -> Snapshot:
        return rows.read(self.sweep)

    def artifact(self, run_id: str, name: str) -> Path:
        """Where the store itself keeps a file of a run."""
        uri = self.store.get_run(run_id).info.artifact_uri
        return Path(unquote(urlparse(uri).path)) / name

    def runs(self, kind: schema.Kind) -> list[Run]:
        return search(self.store, self.experiment_id, {schema.KIND: kind})
