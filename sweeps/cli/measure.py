"""``dn measure``."""

import json
from pathlib import Path
from typing import Any

import click

from sweeps.cli import options
from sweeps.console import out
from sweeps.exit_codes import OK


@click.command("measure")
@click.argument("file", type=options.PATH, metavar="FILE")
@click.option(
    "--layers", required=True, metavar="A,B,C", help="Tensors [out, in] in forward order, separated by commas."
)
@click.option("--threshold", type=float, required=True, metavar="T", help="Weights with |w| < T count as zero.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(file: Path, layers: str, threshold: float, as_json: bool) -> int:
    """Measure the sparsity of any fully connected weights.

    Count what pruning leaves of consecutive fully connected layers in FILE (safetensors).
    """
    from dn_distributed.measure import measure

    result = measure(file, layers.split(","), threshold)
    out.say(json.dumps(result) if as_json else "\n".join(_lines(result)))
    return OK


def _lines(result: dict[str, Any]) -> list[str]:
    layers = [
        f"{layer['name']} ({'×'.join(str(size) for size in layer['shape'])}): {_weights_left(layer)}"
        for layer in result["layers"]
    ]
    neurons = [
        f"neurons {unit['name']}: {unit['alive']} alive, {unit['published']} as published, of {unit['total']}"
        for unit in result["neurons"]
    ]
    return [
        *layers,
        f"total: {_weights_left(result)}, compression rate {_rate(result['compression_rate'])}",
        *neurons,
        f"neurons: {result['neurons_alive']} alive, {result['neurons_published']} as published, "
        f"of {result['neurons_total']}",
        f"without its dead neurons: a dense network of {result['dense_size']} weights, "
        f"compression rate {_rate(result['dense_compression'])}",
    ]


def _weights_left(counts: dict[str, Any]) -> str:
    return f"{counts['num_nonzero']} of {counts['num_weights']} weights left, density {counts['density']:.4%}"


def _rate(rate: float | None) -> str:
    return "none left" if rate is None else f"{rate:.2f}"
