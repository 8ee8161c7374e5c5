"""Gates per unit that are open or closed by chance: the L0 norm as a penalty.

Louizos, Welling and Kingma, "Learning sparse neural networks through L0 regularization", ICLR 2018 (arXiv 1712.01312).
A gate z multiplies all weights of its group. While the network trains, with u uniform in (0, 1) once a step,

    s = σ((log u − log(1 − u) + log α) / β),  z = min(1, max(0, s (ζ − γ) + γ))                (equations 10 and 11)

with γ = −0.1, ζ = 1.1, β = 2/3; the penalty is the expected number of weights with an open gate (equation 12),

    λ Σ_gates |group| · P(z ≠ 0),  P(z ≠ 0) = σ(log α − β log(−γ / ζ)),

and when it is tested z = min(1, max(0, σ(log α) (ζ − γ) + γ)) (equation 13). As in the authors' experiments there is a
gate for each input of a fully connected layer, with the weights that leave it, and for each filter of a convolution,
with its weights and its bias.
"""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from dn_distributed.errors import ArgumentError
from dn_distributed.random_weights.base import RandomWeights
from dn_distributed.random_weights.layers import RandomConv2d, RandomLinear, replaceable
from dn_distributed.seeds import generator

LOWER, UPPER, TEMPERATURE = -0.1, 1.1, 2 / 3
"""γ, ζ and β."""
_CLOSED_AT_FIRST = {"l0_inputs": 0.2, "l0_filters": 0.5, "l0_units": 0.5}
"""As in the authors' code, the probability that log α begins at: about a normal of standard deviation 0.01."""
_SPREAD = 0.01
_PADDED_TO = 64
"""Gates of a layer are a multiple of it: vector instructions then round each replicate's alike wherever it stands."""
_EDGE = 1e-6
"""u is no nearer to 0 or 1 than this."""


def gate(logit: Tensor) -> Tensor:
    """Return the logistic function of ``logit``, stretched to (γ, ζ) and cut to [0, 1]."""
    return (torch.sigmoid(logit) * (UPPER - LOWER) + LOWER).clamp(0, 1)


def sampled_gate(log_alpha: Tensor, noise: Tensor) -> Tensor:
    """Return the gate of a step; ``noise`` is log u − log(1 − u)."""
    return gate((noise + log_alpha) / TEMPERATURE)


def probability_open(log_alpha: Tensor) -> Tensor:
    """Return P(z ≠ 0)."""
    return torch.sigmoid(log_alpha - TEMPERATURE * math.log(-LOWER / UPPER))


def _unset(num_gates: int) -> Tensor:
    return torch.zeros(math.ceil(num_gates / _PADDED_TO) * _PADDED_TO)


class _GatedLinear(RandomLinear):
    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer)
        self.log_alpha = nn.Parameter(_unset(layer.in_features))
        self.register_buffer("noise", _unset(layer.in_features))

    def forward(self, inputs: Tensor) -> Tensor:
        gates = sampled_gate(self.log_alpha, self.noise)[: self.in_features].to(self.weight.dtype)
        return functional.linear(inputs, self.weight * gates, self.bias)


class _GatedConv2d(RandomConv2d):
    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__(layer)
        self.log_alpha = nn.Parameter(_unset(layer.out_channels))
        self.register_buffer("noise", _unset(layer.out_channels))

    def forward(self, inputs: Tensor) -> Tensor:
        gates = sampled_gate(self.log_alpha, self.noise)[: self.out_channels].to(self.weight.dtype)
        bias = None if self.bias is None else self.bias * gates
        return self.convolved(inputs, self.weight * gates.view(-1, 1, 1, 1), bias)


class HardConcrete(RandomWeights):
    """Gates of the inputs of the first layer, of filters, and of what later fully connected layers read."""

    coefficients: ClassVar[Mapping[str, str]] = {
        "l0_inputs": "Factor of the expected number of weights that leave an input of the first regularised layer "
        "whose gate is open, where that layer is fully connected (Louizos et al. 2018).",
        "l0_filters": "The same of the weights of filters.",
        "l0_units": "The same of the weights that leave what later fully connected layers read.",
    }

    def __init__(self, regularization: Mapping[str, float]) -> None:
        """Layers whose coefficient is 0 have no gates."""
        self._coefficients = {name: regularization.get(name, 0.0) for name in self.coefficients}

    @staticmethod
    def _kind(is_first: bool, is_matrix: bool) -> str:
        return "l0_filters" if not is_matrix else "l0_inputs" if is_first else "l0_units"

    @classmethod
    def acting(cls, network: nn.Module, layers: Sequence[str]) -> set[str]:
        """As of the base class: those that give a layer gates."""
        return {cls._kind(name == layers[0], isinstance(network.get_submodule(name), nn.Linear)) for name in layers}

    def swap_(self, network: nn.Module, layers: Sequence[str]) -> list[str]:
        """As of the base class; the parameter is ``log_alpha``, padded."""
        names = []
        for name in layers:
            layer = replaceable(network, name)
            if self._coefficients[self._kind(name == layers[0], isinstance(layer, nn.Linear))]:
                gated = _GatedLinear(layer) if isinstance(layer, nn.Linear) else _GatedConv2d(layer)
                network.set_submodule(name, gated)
                names.append(name)
        if not names:
            given = " and ".join(name for name, value in self._coefficients.items() if value)
            raise ArgumentError(f"{given}: no regularised layer has such gates")
        return names

    def noise_shape(self, layer: nn.Module, outputs: torch.Size) -> torch.Size:
        """One number for each gate: all samples of a batch see the same gates."""
        assert isinstance(layer, _GatedLinear | _GatedConv2d)
        return layer.log_alpha.shape

    def draw(self, shape: torch.Size, random: torch.Generator, device: torch.device) -> Tensor:
        """From the logistic distribution: log u − log(1 − u)."""
        return torch.rand(shape, generator=random, device=device).clamp_(_EDGE, 1 - _EDGE).logit_()

    def initialize_(self, layers: Sequence[str], values: Mapping[str, Tensor], seeds: Sequence[int]) -> None:
        """Gates are closed with a probability of about 0.2 (inputs) or 0.5."""
        for number, (name, log_alpha, weight) in enumerate(self._gated(layers, values)):
            closed = _CLOSED_AT_FIRST[self._kind(name == layers[0], weight.ndim == 3)]
            for row, seed in enumerate(seeds):
                draw = torch.randn(log_alpha.shape[1], generator=generator(seed, "gates", number))
                log_alpha[row].copy_(draw * _SPREAD + math.log((1 - closed) / closed))

    def penalty(self, layers: Sequence[str], values: Mapping[str, Tensor]) -> Tensor:
        """λ times the expected number of weights with an open gate, added up over layers."""
        parts = [
            self._factor(name, layers, weight) * probability_open(log_alpha[:, : _num_gates(weight)]).sum(1)
            for name, log_alpha, weight in self._gated(layers, values)
        ]
        return torch.stack(parts).sum(0)

    def add_gradient_(
        self, layers: Sequence[str], values: Mapping[str, Tensor], gradients: Mapping[str, Tensor], factor: float
    ) -> None:
        """λ |group| p (1 − p) for each gate, where p is the probability that it is open."""
        for name, log_alpha, weight in self._gated(layers, values):
            p = probability_open(log_alpha)
            gradients[f"{name}.log_alpha"].add_(p * (1 - p), alpha=factor * self._factor(name, layers, weight))

    def tested(self, layers: Sequence[str], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights (and the biases of filters) times their gates without noise."""
        found = {}
        for name, log_alpha, weight in self._gated(layers, values):
            gates, bias = gate(log_alpha)[:, : _num_gates(weight)], values.get(f"{name}.bias")
            if weight.ndim == 3:
                found[f"{name}.weight"] = weight * gates.unsqueeze(1)
            else:
                found[f"{name}.weight"] = weight * gates[:, :, None, None, None]
                found |= {} if bias is None else {f"{name}.bias": bias * gates}
        return found

    def _factor(self, name: str, layers: Sequence[str], weight: Tensor) -> float:
        """λ times the number of weights of a gate's group; ``weight`` ``[K, n_out, n_in, ...]``."""
        group = weight[0].numel() // _num_gates(weight)
        return self._coefficients[self._kind(name == layers[0], weight.ndim == 3)] * group

    @staticmethod
    def _gated(layers: Sequence[str], values: Mapping[str, Tensor]) -> list[tuple[str, Tensor, Tensor]]:
        """Name, log α ``[K, ≥ n]`` and weight of each layer with n gates."""
        return [
            (name, values[f"{name}.log_alpha"], values[f"{name}.weight"])
            for name in layers
            if f"{name}.log_alpha" in values
        ]


def _num_gates(weight: Tensor) -> int:
    """Of a weight ``[K, n_out, n_in, ...]``."""
    return weight.shape[2] if weight.ndim == 3 else weight.shape[1]
