"""From a trained replicate, or a file of weights, to the folder of a smaller network that is proven equal.

It stands above the wings: the store gives the network, ``compaction`` makes it smaller, ``exporting`` writes it.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import fx, nn

from dn_distributed import networks, weights_file
from dn_distributed.compaction import Dropped, Proof, compact, prove
from dn_distributed.data import Dataset, Split
from dn_distributed.exporting import architecture, bundle, onnx_file
from dn_distributed.exporting.bundle import Exported
from dn_distributed.exporting.costs import Costs
from dn_distributed.hardware import cpu_name
from dn_distributed.scores import ACCURACY
from dn_distributed.tasks import Task
from tracking import schema
from tracking.results.networks import StoredNetwork, load_test_split, task_of
from tracking.store.cell_params import describe_cell

_EXAMPLE = 8
"""Samples that a network is followed with, and that a registered model has as its example."""


@dataclass(frozen=True)
class Compacted:
    """A smaller network, and what is known of it."""

    exported: Exported
    proof: Proof
    dropped: Dropped
    model: str = ""
    """Name and version of the registered model, and whether it was there before; empty without one."""


@dataclass(frozen=True)
class Options:
    """How a smaller network is written."""

    folder: Path
    onnx: bool = True
    num_threads: int = 1
    """Of the measured latencies."""


def compact_replicate(stored: StoredNetwork, data_dir: Path, options: Options, model_name: str | None) -> Compacted:
    """Make a replicate's pruned network smaller, prove it on the test data, and write it to a folder.

    Its run gets the files, and the proof and the costs as metrics. With an ONNX file, it becomes a version of the
    registered model ``model_name`` (None: sweep and method), unless the same network is one already.

    DropNeuronError where any of it cannot be, a registry that does not answer or take the name among it, and nothing is
    written then. Where the store fails later, the folder is there already: call it again.
    """
    from tracking.store import registered_models

    bundle.check_target(options.folder)
    name = registered_models.model_name(f"{stored.name} {stored.label}" if model_name is None else model_name)
    if options.onnx:
        onnx_file.check_installed()
        registered_models.check(stored.sweep, name)
    network, split = stored.load(), stored.test_split(data_dir)
    settings = describe_cell(stored.cell)
    where = {"sweep": stored.name, "method": stored.label, "seed": str(stored.seed)}
    origin = {**where, "run": stored.run_id, "replicate": stored.key, **settings}
    title = f"{stored.name}: {stored.label}, seed {stored.seed}"
    small, done = _compact(network, task_of(stored.cell), split, options, title, origin)
    exported = done.exported
    files = sorted(bundle.FILES - {onnx_file.ONNX})
    registered_models.record(stored.sweep, stored.run_id, exported.folder, files, dict(_metrics(done)), cpu_name())
    if not options.onnx:
        return done
    seed, digest = str(stored.seed), _digest(exported.folder)
    tags = {"seed": seed, schema.REPLICATE_KEY: stored.key, schema.NETWORK_SHA256: digest}
    there = registered_models.registered(stored.sweep, stored.run_id, name, tags)
    if there is not None:
        return dataclasses.replace(done, model=f"{name}, version {there} (of before: the same network)")
    example = split.inputs[:_EXAMPLE]
    with torch.no_grad():
        outputs = small(example)
    version = registered_models.register(
        stored.sweep,
        stored.run_id,
        exported.folder / onnx_file.ONNX,
        name,
        example.numpy(),
        outputs.numpy(),
        tags,
    )
    return dataclasses.replace(done, model=f"{name}, version {version}")


def compact_file(
    path: Path, task: Task, dataset: Dataset, threshold: float | None, data_dir: Path, options: Options
) -> Compacted:
    """Make the network of a safetensors file of a task's weights smaller, prove and write it. No store is asked.

    ``dataset``: whose test data are the proof's. ``threshold``: None for that of the task. DropNeuronError where any of
    it cannot be.
    """
    bundle.check_target(options.folder)
    network = weights_file.load_into(task.network(), path, f"the task {task.name!r}")
    cut = task.default_pruning.threshold if threshold is None else threshold
    networks.prune(network, cut, layers=task.layers)
    split = load_test_split(task, dataset, 0, data_dir)
    chosen = {"task": task.model_dump(), "test data": dataset.model_dump()}
    named = {what: str(values.pop("name")) for what, values in chosen.items()}
    options_of = {f"{what}.{key}": str(value) for what, values in chosen.items() for key, value in values.items()}
    origin = {"file": path.name, **named, **options_of, "pruning.threshold": str(cut)}
    return _compact(network, task, split, options, f"{task.name} from {path.name}", origin)[1]


def _compact(
    network: nn.Module, task: Task, split: Split, options: Options, title: str, origin: Mapping[str, str]
) -> tuple[fx.GraphModule, Compacted]:
    small = compact(network, split.inputs[:_EXAMPLE])
    dropped = small.dropped
    assert isinstance(dropped, Dropped)
    proof = prove(network, small, split.inputs, classes=ACCURACY in task.scores)
    exported = bundle.export(
        network,
        small,
        options.folder,
        inputs=split.inputs,
        proof=proof,
        title=title,
        origin=origin,
        onnx=options.onnx,
        num_threads=options.num_threads,
    )
    return small, Compacted(exported, proof, dropped)


def _digest(folder: Path) -> str:
    """The checksum of a smaller network: of its architecture and its numbers, whatever else is written of it."""
    digest = hashlib.sha256()
    for name in (architecture.ARCHITECTURE, architecture.MODEL):
        digest.update(hashlib.sha256((folder / name).read_bytes()).digest())
    return digest.hexdigest()


def _metrics(done: Compacted) -> Iterator[tuple[str, float]]:
    for name, value in dataclasses.asdict(done.proof).items():
        if value is not None:
            yield schema.compact_proof(name), value
    if done.exported.onnx_distance is not None:
        yield schema.compact_proof("max_rel_onnx"), done.exported.onnx_distance
    yield from _costs("before", done.exported.before)
    yield from _costs("after", done.exported.after)


def _costs(which: schema.BeforeOrAfter, costs: Costs) -> Iterator[tuple[str, float]]:
    for name in ("num_weights", "num_nonzero", "num_parameters", "bytes_on_disk", "multiply_adds", "peak_memory"):
        if (value := getattr(costs, name)) is not None:
            yield schema.compact_cost(which, name), value
    for time in costs.latencies:
        for part, value in (
            ("", time.median),
            ("/low", time.low),
            ("/high", time.high),
            ("/threads", time.num_threads),
        ):
            yield schema.compact_cost(which, f"latency_ms_batch_{time.batch_size}{part}"), value
