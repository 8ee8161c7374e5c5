"""Scores of second order: what the loss rises by when a unit goes and those that stay take over for it.

Per layer the Hessian is approximated as Kronecker-factored (K-FAC): the covariance of what the layer reads, or its
second moments where no bias can keep the mean, times the squared gradients of what it puts out. Removal and update are
those of the optimal brain surgeon (Hassibi and Stork, 1993) for a whole column of the weights at once.
"""

import numpy as np
import torch
from torch import Tensor

from dn_distributed.dropping.chain import Chain, Link
from dn_distributed.dropping.choice import Alive, Flags, Numbers
from dn_distributed.dropping.narrow import NarrowReplica
from dn_distributed.errors import ArgumentError

_RIDGE, _LEAST = 1e-3, 1e-7


def check(chain: Chain) -> None:
    """ArgumentError for a chain that has other than fully connected layers."""
    for link in chain.links:
        if not link.is_matrix or link.features > 1:
            raise ArgumentError(f"score 'obs' is of fully connected layers alone; see layer {link.name!r}")


class SecondOrder:
    """The weights of a small network while units leave it one by one, in float64."""

    def __init__(self, replica: NarrowReplica, chain: Chain, alive: Alive, samples: tuple[Tensor, Tensor]) -> None:
        """``samples``: inputs and targets of training samples, ``[S, ...]``."""
        check(chain)
        self._replica, self._chain = replica, chain
        signals = replica.signals(*samples, of_outputs=True)
        parameters = replica.parameters.by_name
        self._weights, self._inverses, self._curvatures, self._means = {}, {}, {}, {}
        for link in chain.links:
            values, gradients = (part.double().cpu().numpy() for part in signals[link.name])
            self._weights[link.name] = parameters[f"{link.name}.weight"][0].double().cpu().numpy()
            self._means[link.name] = values.mean(0)
            lost = values - self._means[link.name] if link.has_bias else values
            self._inverses[link.name] = _inverse(lost, alive.inputs[link.name])
            self._curvatures[link.name] = np.square(gradients).mean(0)
        self._before = {name: weight.copy() for name, weight in self._weights.items()}
        self.worth: dict[str, tuple[Numbers, Numbers]] = {}
        """By layer ``½ Σ_k G[k] W[k, i]² / K[i, i]`` of its inputs, which are the units of the layer before."""
        for link in chain.links:
            scores = np.empty(len(self._means[link.name]))
            self.worth[link.name] = (scores, scores)
            self._score(link)

    def _score(self, link: Link) -> None:
        weighted = self._curvatures[link.name] @ np.square(self._weights[link.name])
        self.worth[link.name][0][:] = weighted / (2 * np.maximum(np.diag(self._inverses[link.name]), 1e-300))

    def compensate(self, link: Link, number: int) -> None:
        """Let the other inputs of a layer take over for one that goes, and drop the unit that sends it."""
        weight, inverse = self._weights[link.name], self._inverses[link.name]
        row = inverse[number] / inverse[number, number]
        weight -= np.outer(weight[:, number], row)
        weight[:, number] = 0
        inverse -= np.outer(inverse[:, number], row)
        inverse[number, :] = inverse[:, number] = 0
        inverse[number, number] = 1
        before = self._chain.before(link)
        if before is not None:
            self._weights[before.name][number] = 0
            self._curvatures[before.name][number] = 0
            self._score(before)
        self._score(link)

    def write_back(self) -> None:
        """Set the weights, and move the biases so that each unit keeps the mean of its sum."""
        parameters = self._replica.parameters.by_name
        for link in self._chain.links:
            weight = parameters[f"{link.name}.weight"][0]
            weight.copy_(torch.from_numpy(self._weights[link.name]))
            if link.has_bias:
                moved = (self._before[link.name] - self._weights[link.name]) @ self._means[link.name]
                parameters[f"{link.name}.bias"][0] += torch.from_numpy(moved).to(weight)


def _inverse(values: Numbers, alive: Flags) -> Numbers:
    """The inverse of the second moments of the inputs that are there; the identity for the others."""
    inverse = np.eye(values.shape[1])
    there = values[:, alive]
    moments = there.T @ there / len(there)
    ridge = _RIDGE * np.diag(moments).mean() + _LEAST
    inverse[np.ix_(alive, alive)] = np.linalg.inv(moments + ridge * np.eye(len(moments)))
    return inverse
