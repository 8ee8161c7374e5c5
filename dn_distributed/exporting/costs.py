"""What networks cost: weights, bytes, multiply-adds, memory, and time by the clock."""

import math
import statistics
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from dn_distributed.exporting.products import multiply_adds
from dn_distributed.hardware import on_threads
from dn_distributed.torch_internals import DispatchMode, tree_leaves

BATCH_SIZES = (1, 256)
_WARM_UP_SECONDS, _SECONDS, _FEWEST, _MOST = 0.3, 2.0, 15, 2000
_NORMAL_95 = 1.959964


@dataclass(frozen=True)
class Latency:
    """Time of one batch, in milliseconds: the median of many runs, with the 95 % interval of the median."""

    batch_size: int
    median: float
    low: float
    high: float
    num_runs: int
    num_threads: int


@dataclass(frozen=True)
class Costs:
    """What a network costs."""

    num_weights: int
    """Numbers in the weights of its layers: a dense network stores and multiplies the zeros too. No biases."""
    num_nonzero: int
    """Those of them that are not 0."""
    num_parameters: int
    """All its parameters."""
    bytes_on_disk: int
    """Of its parameters and buffers as a safetensors file."""
    multiply_adds: int | None
    """Of matrix products and convolutions, for one sample; None where they cannot all be counted."""
    peak_memory: int
    """Bytes: parameters and buffers, and the most that inputs and values between layers take at one time, for the
    largest of the batches. What an operation takes for itself alone is not among them."""
    latencies: tuple[Latency, ...]
    """One per batch size."""


def measure(
    networks: Sequence[nn.Module],
    inputs: Tensor,
    *,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    num_threads: int = 1,
    seconds: float = _SECONDS,
) -> list[Costs]:
    """Return what each network costs for ``inputs`` ``[N, ...]``, of which batches are made.

    The networks, in evaluation mode and on the CPU, are timed in turns, so that what else the machine does is shared;
    ``seconds``: how long, for each network and batch size.
    """
    batches = {size: _batch(inputs, size) for size in batch_sizes}
    with torch.no_grad():
        by_size = {size: _latencies(networks, batches[size], num_threads, seconds) for size in batch_sizes}
        return [
            _costs(network, inputs, batches[max(batch_sizes)], [by_size[size][place] for size in batch_sizes])
            for place, network in enumerate(networks)
        ]


def _batch(inputs: Tensor, size: int) -> Tensor:
    """The first samples, from the beginning again where they do not suffice."""
    return inputs[torch.arange(size) % len(inputs)].contiguous()


def _costs(network: nn.Module, inputs: Tensor, largest: Tensor, latencies: Sequence[Latency]) -> Costs:
    parameters = list(network.parameters())
    weights = [parameter for parameter in parameters if parameter.ndim > 1]
    tensors = {name: tensor.contiguous().clone() for name, tensor in network.state_dict().items()}
    return Costs(
        num_weights=sum(weight.numel() for weight in weights),
        num_nonzero=sum(int(weight.count_nonzero()) for weight in weights),
        num_parameters=sum(parameter.numel() for parameter in parameters),
        bytes_on_disk=len(safetensors.torch.save(tensors)),
        multiply_adds=multiply_adds(network, inputs[:1]),
        peak_memory=sum(tensor.nbytes for tensor in tensors.values()) + _peak_of_values(network, largest),
        latencies=tuple(latencies),
    )


class _LiveBytes(DispatchMode):
    """Counts the bytes of tensors that operations make, as long as they live."""

    def __init__(self, present: Mapping[int, int]) -> None:
        """``present``: bytes by place in memory of what is there already, and not counted again."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = dict(present)
        self._now = 0
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return out

    def _add(self, storage: torch.UntypedStorage) -> None:
        place, size = storage.data_ptr(), storage.nbytes()
        if size and place not in self._known:
            self._known[place] = size
            self._now += size
            self.peak = max(self.peak, self._now)
            weakref.finalize(storage, self._free, place)

    def _free(self, place: int) -> None:
        self._now -= self._known.pop(place, 0)


def _peak_of_values(network: nn.Module, inputs: Tensor) -> int:
    """The most bytes that inputs and values between layers take at one time."""
    present = [inputs, *network.state_dict().values()]
    with _LiveBytes({tensor.untyped_storage().data_ptr(): 0 for tensor in present}) as counted:
        network(inputs)
    return int(inputs.nbytes + counted.peak)


def _latencies(networks: Sequence[nn.Module], batch: Tensor, num_threads: int, seconds: float) -> list[Latency]:
    with on_threads(num_threads):
        for network in networks:
            _run_for(network, batch, min(seconds, _WARM_UP_SECONDS))
        times: list[list[float]] = [[] for _ in networks]
        end = time.perf_counter() + seconds * len(networks)
        while len(times[0]) < _FEWEST or (len(times[0]) < _MOST and time.perf_counter() < end):
            for network, found in zip(networks, times, strict=True):
                found.append(_milliseconds(network, batch))
    return [Latency(len(batch), *_median_of(found), len(found), num_threads) for found in times]


def _run_for(network: nn.Module, batch: Tensor, seconds: float) -> None:
    end = time.perf_counter() + seconds
    network(batch)
    while time.perf_counter() < end:
        network(batch)


def _milliseconds(network: nn.Module, batch: Tensor) -> float:
    start = time.perf_counter_ns()
    network(batch)
    return (time.perf_counter_ns() - start) / 1e6


def _median_of(times: Sequence[float]) -> tuple[float, float, float]:
    """The median, and its 95 % interval from the ranks of the times (binomial, normal approximation)."""
    ranked, n = sorted(times), len(times)
    half = _NORMAL_95 * math.sqrt(n) / 2
    low, high = math.floor(n / 2 - half), math.ceil(n / 2 + half)
    return statistics.median(ranked), ranked[max(low - 1, 0)], ranked[min(high, n - 1)]
