"""``dn compact``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dn_distributed.text import counted
from sweeps.cli import options
from sweeps.console import out
from sweeps.exit_codes import OK

if TYPE_CHECKING:
    from tracking.compacting import Compacted


@click.command("compact")
@click.argument("what", metavar="REPLICATE")
@click.option(
    "--out", "folder", type=options.FOLDER, required=True, metavar="DIR",
    help="Folder to write to: new, empty, or a former export, which is replaced.",
)  # fmt: skip
@options.task("REPLICATE is a file of weights (safetensors) of this task's network")
@click.option("--threshold", type=float, metavar="T", help="With --task: weights with |w| < T are pruned.")
@click.option(
    "--dataset", metavar="DATASET", help="With --task: the dataset whose test data are the proof's, named as a task."
)
@click.option("--no-onnx", is_flag=True, help="Leave out the ONNX file, and with it the registered model.")
@click.option("--model-name", metavar="NAME", help="Name of the registered model.  [default: sweep and method]")
@click.option(
    "--threads", type=options.NUM_CPUS, default=1, show_default=True, metavar="N", help="Threads of the latencies."
)
@options.data_dir
@options.imports
@options.tracking_uri
def command(
    what: str,
    folder: Path,
    task: str | None,
    threshold: float | None,
    dataset: str | None,
    no_onnx: bool,
    model_name: str | None,
    threads: int,
    data_dir: Path | None,
    imports: tuple[str, ...],
    tracking_uri: str | None,
) -> int:
    """Write a replicate's network as a smaller one, proven equal.

    Take the trained network of REPLICATE from the store (the id of its MLflow run or its key, or the beginning of
    either), prune it as its sweep says, cut out what leads nowhere, and write what is left as safetensors, ONNX and a
    model card. The outputs are compared on the whole test set first. Proof and costs become metrics of the run, and the
    ONNX file a version of a registered model. With --task, REPLICATE is a file of weights, and no store is needed.
    """
    if task is None and (threshold is not None or dataset is not None):
        raise click.UsageError("--threshold and --dataset go with --task: a replicate has its own")
    if task is None and os.path.lexists(what):
        raise click.UsageError(f"{what} is a file: name with --task what its weights are of")
    from dn_distributed.exporting import bundle
    from sweeps.planning.data_dir import resolve_data_dir
    from sweeps.spec.own_modules import own_modules

    own_modules(imports).load()
    bundle.check_target(folder)
    place = resolve_data_dir(data_dir)
    from tracking import compacting

    how = compacting.Options(folder, onnx=not no_onnx, num_threads=threads)
    if task is not None:
        from sweeps.spec import chosen

        of_task, data = chosen.task_of(task), chosen.dataset_of(task, dataset)
        say(compacting.compact_file(Path(what).expanduser(), of_task, data, threshold, place, how))
        return OK
    from tracking.results.networks import find_network
    from tracking.store import access

    stored = find_network(access.locate_existing(tracking_uri), what)
    say(compacting.compact_replicate(stored, place, how, model_name))
    return OK


def say(done: "Compacted") -> None:
    """Print what was dropped, what is proven, what it costs before → after, and where the files are."""
    before, after = done.exported.before, done.exported.after
    out.say(str(done.dropped))
    proof, changed = done.proof, done.proof.changed_predictions
    apart = f"{proof.max_rel_float64:.2g} of the largest in float64, {proof.max_rel_float32:.2g} in float32"
    predictions = f"; {changed} predictions changed" * (changed is not None)
    out.say(f"same outputs on {proof.num_samples} test samples, apart by {apart}{predictions}")
    for full, small in zip(before.latencies, after.latencies, strict=True):
        on = counted(full.num_threads, "thread")
        times = " → ".join(f"{time.median:.3g} ms ({time.low:.3g} to {time.high:.3g})" for time in (full, small))
        out.say(f"latency, batch of {full.batch_size}, {on}: {times}")
    out.say(f"bytes on disk: {before.bytes_on_disk} before, {after.bytes_on_disk} after")
    if done.model:
        out.say(f"registered model: {done.model}")
    out.say(f"written: {done.exported.folder}")
