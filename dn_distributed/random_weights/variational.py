"""Weights with Gaussian noise of a variance that is learned: sparse variational dropout.

Molchanov, Ashukha and Vetrov, "Variational dropout sparsifies deep neural networks", ICML 2017 (arXiv 1701.05369).
A weight is drawn from N(θ, σ²) with σ² = α θ², and θ and log σ² are trained (additive noise, their section 4.2). As
what a layer puts out is then Gaussian too, the noise is drawn there, one number for each output of each sample (local
reparametrisation, section 3.3):

    y = x θ + b + ε √(x² σ²),  ε from N(0, 1).

The penalty is the divergence from the log-uniform prior, approximated to 1e-3 (equation 14):

    KL ≈ Σ ½ log(1 + 1 / α) + k₁ − k₁ σ(k₂ + k₃ log α),  k = 0.63576, 1.87320, 1.48695.

When it is tested a weight is θ, or 0 where log α > 3 (section 5): there the noise is over 20 times as large as it.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from dn_distributed.random_weights.base import RandomWeights
from dn_distributed.random_weights.layers import RandomConv2d, RandomLinear, replaceable

K1, K2, K3 = 0.63576, 1.87320, 1.48695
_LARGEST_LOG_ALPHA = 3.0
_FIRST_LOG_VARIANCE = -10.0
"""As in the authors' code: hardly any noise."""
_EPS = 1e-8
"""Added to squares before a logarithm or a root: gradients are finite at 0."""


def log_alpha(weight: Tensor, log_variance: Tensor) -> Tensor:
    """Return log α = log σ² − log θ²."""
    return log_variance - weight.square().add_(_EPS).log_()


def divergence(log_alpha: Tensor) -> Tensor:
    """Return the approximate KL divergence of each weight, which is 0 for α = ∞."""
    return functional.softplus(-log_alpha) / 2 + K1 * torch.sigmoid(-(K2 + K3 * log_alpha))


def divergence_slope(log_alpha: Tensor) -> Tensor:
    """Return the derivative of ``divergence``."""
    s = torch.sigmoid(K2 + K3 * log_alpha)
    return (s * (1 - s)).mul_(-K1 * K3).sub_(torch.sigmoid(-log_alpha), alpha=0.5)


class _NoisyLinear(RandomLinear):
    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer)
        self.log_variance = nn.Parameter(torch.zeros_like(layer.weight))
        self.register_buffer("noise", torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        variance = functional.linear(inputs.square(), self.log_variance.exp())
        return _with_noise(functional.linear(inputs, self.weight, self.bias), variance, self.noise)


class _NoisyConv2d(RandomConv2d):
    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__(layer)
        self.log_variance = nn.Parameter(torch.zeros_like(layer.weight))
        self.register_buffer("noise", torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        variance = self.convolved(inputs.square(), self.log_variance.exp(), None)
        return _with_noise(self.convolved(inputs, self.weight, self.bias), variance, self.noise)


def _with_noise(mean: Tensor, variance: Tensor, noise: Tensor) -> Tensor:
    return mean + (variance + _EPS).sqrt() * noise.to(mean.dtype)


class SparseVariationalDropout(RandomWeights):
    """Noise of every weight of the regularised layers."""

    coefficients: ClassVar[Mapping[str, str]] = {
        "sparse_vd": "Factor of the divergence of sparse variational dropout (Molchanov et al. 2017), added to the "
        "mean loss: one over the number of training samples is theirs.",
    }

    def __init__(self, regularization: Mapping[str, float]) -> None:
        self._coefficient = regularization["sparse_vd"]

    def swap_(self, network: nn.Module, layers: Sequence[str]) -> list[str]:
        """As of the base class; the parameter is ``log_variance``, of the shape of the weight."""
        for name in layers:
            layer = replaceable(network, name)
            network.set_submodule(name, _NoisyLinear(layer) if isinstance(layer, nn.Linear) else _NoisyConv2d(layer))
        return list(layers)

    def noise_shape(self, layer: nn.Module, outputs: torch.Size) -> torch.Size:
        """One number for each output of each sample."""
        return outputs

    def draw(self, shape: torch.Size, random: torch.Generator, device: torch.device) -> Tensor:
        """From N(0, 1)."""
        return torch.randn(shape, generator=random, device=device)

    def initialize_(self, layers: Sequence[str], values: Mapping[str, Tensor], seeds: Sequence[int]) -> None:
        """σ² is e⁻¹⁰ everywhere."""
        for name in layers:
            values[f"{name}.log_variance"].fill_(_FIRST_LOG_VARIANCE)

    def penalty(self, layers: Sequence[str], values: Mapping[str, Tensor]) -> Tensor:
        """The coefficient times the divergence of all weights."""
        alphas = (log_alpha(values[f"{name}.weight"], values[f"{name}.log_variance"]) for name in layers)
        return self._coefficient * torch.stack([divergence(alpha).flatten(1).sum(1) for alpha in alphas]).sum(0)

    def add_gradient_(
        self, layers: Sequence[str], values: Mapping[str, Tensor], gradients: Mapping[str, Tensor], factor: float
    ) -> None:
        """By the chain rule through log α, of one replicate after the other.

        In a tensor of several, vector instructions would round a number otherwise by where it stands.
        """
        for name in layers:
            of_layer = (f"{name}.weight", f"{name}.log_variance")
            tensors = (values[of_layer[0]], values[of_layer[1]], gradients[of_layer[0]], gradients[of_layer[1]])
            for weight, log_variance, of_weight, of_log_variance in zip(*tensors, strict=True):
                slope = divergence_slope(log_alpha(weight, log_variance)).mul_(factor * self._coefficient)
                of_log_variance.add_(slope)
                of_weight.addcdiv_(slope.mul_(weight), weight.square().add_(_EPS), value=-2)

    def tested(self, layers: Sequence[str], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights without noise, 0 where that is too large."""
        found = {}
        for name in layers:
            pairs = zip(values[f"{name}.weight"], values[f"{name}.log_variance"], strict=True)
            found[f"{name}.weight"] = torch.stack(
                [weight.where(log_alpha(weight, variance) <= _LARGEST_LOG_ALPHA, 0) for weight, variance in pairs]
            )
        return found
