"""``dn measure``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dn_distributed.errors import ExportError
from sweeps.cli import options
from sweeps.console import notify, out
from sweeps.exit_codes import OK

if TYPE_CHECKING:
    from dn_distributed.sparsity import NetworkCounts


@click.command("measure")
@click.argument("file", type=options.PATH, metavar="FILE")
@click.option(
    "--layers",
    metavar="A,B,C",
    help="Tensors [out, in], or of convolutions, in forward order, separated by commas.",
)
@options.task("FILE has the weights of this task's network, whose regularised layers are counted")
@click.option("--threshold", type=float, required=True, metavar="T", help="Weights with |w| < T count as zero.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@options.imports
def command(
    file: Path, layers: str | None, task: str | None, threshold: float, as_json: bool, imports: tuple[str, ...]
) -> int:
    """Count the weights and neurons that pruning leaves in a file.

    Count the weights and neurons that are left in consecutive layers of FILE (safetensors), fully connected or
    convolutions, after pruning with a threshold. The layers are those of --layers or of --task; with neither, all of
    the network whose architecture.json lies beside FILE, as `dn compact` writes it.
    """
    if layers is not None and task is not None:
        raise click.UsageError("--layers or --task, not both")
    from sweeps.spec.own_modules import own_modules

    own_modules(imports).load()
    from dn_distributed.measure import as_dict

    counts = _counts(file, layers, task, threshold)
    out.say(json.dumps(as_dict(counts, threshold)) if as_json else str(counts))
    return OK


def _counts(file: Path, layers: str | None, task: str | None, threshold: float) -> "NetworkCounts":
    from dn_distributed.measure import measure, measure_all, measure_network

    if layers is not None:
        return measure(file, layers.split(","), threshold)
    if task is not None:
        from dn_distributed import weights_file
        from sweeps.spec import chosen

        of_task = chosen.task_of(task)
        network = weights_file.load_into(of_task.network(), file, f"the task {of_task.name!r}")
        return measure_network(file, network, of_task.layers, threshold, of_task.hidden_rule)
    from dn_distributed.exporting import architecture

    if not file.exists():
        raise ExportError(f"{file}: no such file or directory")
    if not file.with_name(architecture.ARCHITECTURE).exists():
        raise click.UsageError(f"give --layers, or --task: no {architecture.ARCHITECTURE} lies beside the file")
    counts, others = measure_all(file, architecture.load(file.parent, file.name), threshold)
    if others:
        notify(f"not counted, as only nn.Linear and nn.Conv2d are: {', '.join(others)}")
    return counts
