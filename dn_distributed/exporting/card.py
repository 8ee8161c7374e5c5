"""The model card of a smaller network: where it is from, what it costs beside the full one, and how it is loaded."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import jinja2
import torch
from torch import Tensor

from dn_distributed.compaction import Dropped, Proof
from dn_distributed.exporting.costs import Costs, Latency
from dn_distributed.hardware import cpu_name
from dn_distributed.text import one_line

CARD = "README.md"
_TEMPLATE = Path(__file__).with_name("card.md.jinja")


@dataclass(frozen=True)
class _Line:
    name: str
    before: str
    after: str
    ratio: str


def render(
    title: str,
    origin: Mapping[str, str],
    before: Costs,
    after: Costs,
    proof: Proof,
    dropped: Dropped,
    inputs: Tensor,
    onnx_distance: float | None,
) -> str:
    """Return the card as Markdown. ``origin``: what the network was made from, by name; ``inputs``: ``[N, ...]``."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    times = [*before.latencies, *after.latencies]
    runs = sorted({time.num_runs for time in times})
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        title=_plain(title),
        origin={_plain(name): _plain(text) for name, text in origin.items()},
        lines=list(_lines(before, after)),
        runs=f"{runs[0]} to {runs[-1]}" if len(runs) > 1 else runs[0],
        threads=times[0].num_threads,
        processor=cpu_name(),
        torch_version=torch.__version__,
        proof=proof,
        dropped=dropped,
        input_shape=" × ".join(map(str, ["batch", *inputs.shape[1:]])),
        input_dtype=str(inputs.dtype).removeprefix("torch."),
        onnx_distance=onnx_distance,
    )


def _plain(text: str) -> str:
    """Text that acts as no markup within a cell and between backticks."""
    return one_line(text).replace("`", "'").replace("|", "¦")


def _lines(before: Costs, after: Costs) -> Iterator[_Line]:
    largest = before.latencies[-1].batch_size
    for name, key in (
        ("weights", "num_weights"),
        ("non-zero weights", "num_nonzero"),
        ("parameters", "num_parameters"),
        ("bytes on disk", "bytes_on_disk"),
        ("multiply-adds of a sample", "multiply_adds"),
        (f"peak memory, batch of {largest} (bytes)", "peak_memory"),
    ):
        full, small = getattr(before, key), getattr(after, key)
        yield _Line(name, _count(full), _count(small), f"{full / small:.2f}" if full is not None and small else "")
    for first, second in zip(before.latencies, after.latencies, strict=True):
        name = f"latency, batch of {first.batch_size} (ms)"
        yield _Line(name, _shown(first), _shown(second), f"{first.median / second.median:.2f}")


def _count(number: int | None) -> str:
    return "not counted" if number is None else f"{number:,}"


def _shown(time: Latency) -> str:
    decimals = max(0, 2 - math.floor(math.log10(time.median)))
    median, low, high = (f"{value:.{decimals}f}" for value in (time.median, time.low, time.high))
    return f"{median} ({low} to {high})"
