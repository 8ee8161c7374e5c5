"""``dn measure``."""

import json
from pathlib import Path

import click

from sweeps.cli import options
from sweeps.console import out
from sweeps.exit_codes import OK


@click.command("measure")
@click.argument("file", type=options.PATH, metavar="FILE")
@click.option(
    "--layers",
    required=True,
    metavar="A,B,C",
    help="Tensors [out, in], or of convolutions, in forward order, separated by commas.",
)
@click.option("--threshold", type=float, required=True, metavar="T", help="Weights with |w| < T count as zero.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(file: Path, layers: str, threshold: float, as_json: bool) -> int:
    """Count the weights and neurons that pruning leaves in a file.

    Count the weights and neurons that are left in consecutive layers of FILE (safetensors), fully connected or
    convolutions, after pruning with a threshold.
    """
    from dn_distributed.measure import as_dict, measure

    counts = measure(file, layers.split(","), threshold)
    out.say(json.dumps(as_dict(counts, threshold)) if as_json else str(counts))
    return OK
