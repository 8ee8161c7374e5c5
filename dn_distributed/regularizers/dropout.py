"""Dropout whose masks are drawn outside the network, so that every replicate of a stack has its own."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dn_distributed.errors import ArgumentError
from dn_distributed.seeds import generator

NAME = "dropout"
"""Its key in a sweep file; the value is the probability that a hidden unit drops."""
INPUT_NAME = "input_dropout"
"""The key of the probability that an input drops."""
LEVELS = 2**16
"""Rates of inputs are multiples of 1 / this."""
NAMES = (NAME, INPUT_NAME)
PLACES = {"hidden": NAME, "input": INPUT_NAME}
"""What ``dropout`` may say instead of a number, and the keys that are meant."""

_OTHERS = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_CHUNK_VALUES = 2**18
_MAX_CHUNK_STEPS = 4096


class MaskedDropout(nn.Module):
    """Multiply by the buffer ``mask`` while training; the identity otherwise."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones(()))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return ``inputs · mask`` in training mode, ``inputs`` in evaluation mode."""
        return (inputs * self.mask).to(inputs.dtype) if self.training else inputs


def swap_dropout_(network: nn.Module, rate: float) -> list[str]:
    """Replace each ``nn.Dropout`` of ``network`` in place and return the names of its replacements.

    With ``rate`` 0 they become identities and none is named. The modules' own rates are not used: the
    method's rate is. ArgumentError for other kinds of dropout, whose masks cannot be drawn outside.
    """
    modules = dict(network.named_modules(remove_duplicate=False))
    names = [name for name, module in modules.items() if isinstance(module, nn.Dropout)]
    others = [name for name, module in modules.items() if isinstance(module, _OTHERS)]
    if others:
        raise ArgumentError(f"module {others[0]!r} drops in its own way; use nn.Dropout")
    for name in names:
        network.set_submodule(name, MaskedDropout() if rate else nn.Identity())
    return names if rate else []


class InputDropout:
    """Inverted dropout of a network's inputs, a function of (seed, purpose, step) alone.

    Its rate is a multiple of 1/65536: there are many inputs, and 16 random bits are drawn in a third of the time of a
    float.
    """

    def __init__(self, rate: float, seeds: Sequence[int], purpose: str) -> None:
        self._level, self._seeds, self._purpose = round(rate * LEVELS), tuple(seeds), purpose

    def __call__(self, inputs: Tensor, step: int) -> Tensor:
        """Return inputs ``[K, B, ...]`` of which some are 0 and the others ``1 / (1 - rate)`` times as large."""
        if not self._level:
            return inputs
        kept = torch.stack([self._kept(one, seed, step) for one, seed in zip(inputs, self._seeds, strict=True)])
        return inputs * kept.to(inputs.dtype).mul_(LEVELS / (LEVELS - self._level))

    def _kept(self, one: Tensor, seed: int, step: int) -> Tensor:
        draw, count = generator(seed, self._purpose, step, one.device), one.numel()
        bits = torch.empty((count + 3) // 4, dtype=torch.int64, device=one.device)
        bits.random_(-(2**63), None, generator=draw)
        return bits.view(torch.int16)[:count].view(one.shape) >= self._level - 2**15


class MaskSource:
    """Inverted dropout masks, a function of (seed, purpose, step) alone: nothing of it needs saving."""

    def __init__(
        self,
        shapes: Sequence[Sequence[int]],
        batch_size: int,
        rate: float,
        seeds: Sequence[int],
        purpose: str,
    ) -> None:
        """``shapes``: of one sample at each dropout module. ``purpose``: name of the draw, as "dropout"."""
        self._shapes = [tuple(shape) for shape in shapes]
        self._sizes = [int(torch.Size(shape).numel()) for shape in self._shapes]
        self._batch_size, self._rate, self._seeds, self._purpose = batch_size, rate, tuple(seeds), purpose
        per_step = max(1, batch_size * sum(self._sizes))
        self._chunk_steps = min(_MAX_CHUNK_STEPS, max(1, _CHUNK_VALUES // per_step))
        self._chunk: tuple[int, Tensor] | None = None

    def masks(self, step: int, device: torch.device) -> list[Tensor]:
        """Return, per dropout module, a mask ``[K, B, *shape]`` of zeros and ``1 / (1 - rate)``."""
        if not self._shapes:
            return []
        index, offset = divmod(step, self._chunk_steps)
        if self._chunk is None or self._chunk[0] != index:
            self._chunk = (index, self._draw(index, device))
        parts = torch.split(self._chunk[1][offset], self._sizes, dim=-1)
        return [
            part.reshape(len(self._seeds), self._batch_size, *shape)
            for part, shape in zip(parts, self._shapes, strict=True)
        ]

    def _draw(self, index: int, device: torch.device) -> Tensor:
        """Masks ``[steps, K, B, units]`` of one chunk of steps. Each replicate draws from its own generator."""
        shape = (self._chunk_steps, self._batch_size, sum(self._sizes))
        kept = [
            torch.rand(shape, generator=generator(seed, self._purpose, index, device), device=device) >= self._rate
            for seed in self._seeds
        ]
        return torch.stack(kept, dim=1).float().div_(1 - self._rate)
