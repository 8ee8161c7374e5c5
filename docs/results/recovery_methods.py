"""Problems of sparse linear regression, many at once, and the methods that ``recovery.py`` compares on them.

Everything depends on the data through moments alone, whatever the number of samples: the loss of a coefficient vector c
is ``½ cᵀGc − bᵀc`` with ``G = XᵀX`` and ``b = Xᵀy``, and a network of linear layers is the product of its matrices.
Shapes: P problems, n features, h hidden units, S proposals of a method (a support for each strength, or each size).
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from sklearn.linear_model import lars_path_gram
from torch import Tensor

from dn_distributed.labels import EQUAL_ERRORS
from dn_distributed.seeds import generator

FEATURES, HIDDEN, VALIDATION = 100, 5, 1000
LARGEST = 40
"""Features of the largest support that counts as proposed."""
RATIO = 1.25
STRENGTHS = tuple(2 * RATIO**-step for step in range(35))
"""Of networks, from 2 down to 0.001, where targets are scaled so that the largest absolute entry of b is 1."""
START, MIDDLE = 23, 13
"""Where among them a rising path begins, 0.012, and where a network is trained until it rests, 0.11."""
SETTLING = 20
"""How many times as many rounds as at another strength a network trains there."""
LASSO_STRENGTHS = tuple(RATIO**-step for step in range(32))
LASSO_ITERATIONS = 200

VALUES: dict[str, Callable[[int, torch.Generator], Tensor]] = {
    "normal": lambda count, draw: torch.randn(count, generator=draw),
    "sign": lambda count, draw: torch.randint(2, (count,), generator=draw) * 2.0 - 1,
    "uniform": lambda count, draw: 2 * torch.rand(count, generator=draw) - 1,
}
"""How the non-zero coefficients are drawn: N(0, 1), ±1 or U(-1, 1)."""


@dataclass(frozen=True)
class Moments:
    """What the squared error of samples depends on, in float64."""

    gram: Tensor
    """XᵀX ``[P, n, n]``."""
    cross: Tensor
    """Xᵀy ``[P, n]``."""
    square: Tensor
    """yᵀy ``[P]``."""


@dataclass(frozen=True)
class Problems:
    """P problems of one kind."""

    train: Moments
    validation: Moments
    truth: Tensor
    """Where the coefficients that made the targets are not zero, ``[P, n]``: no method sees it."""


def problems(values: str, noise: float, samples: int, nonzeros: int, seeds: Sequence[int]) -> Problems:
    """Draw a problem for each seed, as the paper's text has them: columns on the unit sphere.

    ``noise`` is its standard deviation as a share of the targets'. Validation samples are fresh, ``VALIDATION`` of
    them, with columns on the unit sphere too.
    """
    made = [_problem(values, noise, samples, nonzeros, seed) for seed in seeds]
    train, validation, truth = zip(*made, strict=True)
    return Problems(_stacked(train), _stacked(validation), torch.stack(truth))


def _problem(values: str, noise: float, samples: int, nonzeros: int, seed: int) -> tuple[Moments, Moments, Tensor]:
    draw = generator(seed, f"recovery/{values}/{noise:g}/{samples}/{nonzeros}")
    truth = torch.zeros(FEATURES, dtype=torch.float64)
    truth[torch.randperm(FEATURES, generator=draw)[:nonzeros]] = VALUES[values](nonzeros, draw).double()
    parts = []
    for rows in (samples, VALIDATION):
        inputs = torch.randn(rows, FEATURES, generator=draw).double()
        inputs /= inputs.norm(dim=0)
        targets = inputs @ truth
        targets += noise * targets.std() * torch.randn(rows, generator=draw)
        parts.append(Moments(inputs.T @ inputs, inputs.T @ targets, targets @ targets))
    return parts[0], parts[1], truth != 0


def _stacked(parts: Sequence[Moments]) -> Moments:
    return Moments(*(torch.stack([getattr(part, name) for part in parts]) for name in ("gram", "cross", "square")))


class Network:
    """P networks n → 5 → … → 1 of linear layers without biases, trained by proximal steps: exact zeros.

    A round moves one layer by a proximal gradient step on all samples, of the size that the loss's curvature in that
    layer allows, and takes the layers in turn, every second time the first (alternating proximal steps: Bolte, Sabach
    and Teboulle, Mathematical Programming 146, 2014). ℓ1 is of all weights; DN is both of DropNeuron's penalties, of
    every layer. After the last layer's turn all layers are scaled to equal penalties, which leaves their product as it
    is and makes the sum of the penalties least.
    """

    def __init__(self, penalty: str, depth: int, count: int) -> None:
        """``penalty``: "ℓ1" or "DN". Weights start from N(0, 1/inputs of the layer)."""
        sizes = [FEATURES, *[HIDDEN] * (depth - 1), 1]
        shapes = [(sizes[layer + 1], sizes[layer]) for layer in range(depth)]
        draws = [
            [generator(row, f"recovery/{penalty}/{depth}", layer) for row in range(count)] for layer in range(depth)
        ]
        self.penalty = penalty
        self.weights = [
            torch.stack([torch.randn(shape, generator=draw) for draw in of_layer]) / shape[1] ** 0.5
            for shape, of_layer in zip(shapes, draws, strict=True)
        ]
        self.multipliers = [torch.zeros_like(weight) for weight in self.weights]
        self._turns = [0] if depth == 1 else [turn for layer in range(1, depth) for turn in (0, layer)]
        self._round = 0

    def copy(self) -> "Network":
        """Return another one with the same weights."""
        other = object.__new__(Network)
        other.__dict__.update(self.__dict__)
        other.weights = [weight.clone() for weight in self.weights]
        other.multipliers = [multiplier.clone() for multiplier in self.multipliers]
        return other

    @property
    def alive(self) -> bool:
        """Whether any of the networks is not zero: a deep one stays zero."""
        return bool(self.weights[-1].any())

    def coefficients(self) -> Tensor:
        """Return the product of all layers ``[P, n]``."""
        return _chain(self.weights).squeeze(1)

    def step(self, gradient: Tensor, curvature: Tensor, strength: float) -> None:
        """Move the layer whose turn it is.

        ``gradient``: of the loss by the coefficients, ``[P, n]``; ``curvature``: the largest eigenvalue of G, ``[P]``.
        """
        layer = self._turns[self._round % len(self._turns)]
        self._round += 1
        before, after = self.weights[:layer], self.weights[layer + 1 :]
        inner, bound = gradient.unsqueeze(1), curvature
        for weight in before:
            inner = (weight * inner).sum(2).unsqueeze(1)
            bound = bound * weight.square().sum((1, 2))
        if after:
            outer = _chain(after)
            bound = bound * outer.square().sum((1, 2))
            inner = outer.transpose(1, 2) * inner
        sizes = bound.clamp_(min=1e-12).reciprocal_()[:, None, None] if layer or after else (1 / bound)[:, None, None]
        moved = self.weights[layer] - sizes * inner
        if self.penalty == "ℓ1":
            self.weights[layer] = shrunk(moved, strength * sizes)
        else:
            self.weights[layer] = dn_step(moved, sizes, strength, self.multipliers[layer])
        if layer and not after:
            self._balance()

    def penalties(self) -> Tensor:
        """Return the penalty of each layer at strength 1, ``[layers, P]``."""
        if self.penalty == "ℓ1":
            return torch.stack([weight.abs().sum((1, 2)) for weight in self.weights])
        return torch.stack([_norms(weight, 1).sum((1, 2)) + _norms(weight, 2).sum((1, 2)) for weight in self.weights])

    def _balance(self) -> None:
        of_layers = self.penalties()
        logarithms = of_layers.clamp(min=1e-30).log()
        factors = (logarithms.mean(0) - logarithms).exp() * (of_layers > 0).all(0)
        for weight, factor in zip(self.weights, factors, strict=True):
            weight *= factor[:, None, None]  # a network of which one layer is zero is zero


def _chain(weights: Sequence[Tensor]) -> Tensor:
    """Return the product ``[P, 1, inputs]`` of the last layers of a network."""
    row = weights[-1]
    for weight in reversed(weights[:-1]):
        row = (row.transpose(1, 2) * weight).sum(1, keepdim=True)
    return row


def shrunk(values: Tensor, by: Tensor) -> Tensor:
    """Return values that are nearer to zero by so much, zero where they are as near."""
    return values - values.clamp(-by, by)


def _norms(values: Tensor, dim: int) -> Tensor:
    return values.square().sum(dim, keepdim=True).sqrt_()  # ten times as fast as vector_norm over a strided dimension


def _shrunk_groups(values: Tensor, by: Tensor, dim: int) -> Tensor:
    return values * (1 - by / _norms(values, dim).clamp_(min=1e-30)).clamp_(min=0)


def dn_step(values: Tensor, sizes: Tensor, strength: float, multipliers: Tensor) -> Tensor:
    """Return the proximal step of DropNeuron's penalties of ``values`` ``[P, outputs, inputs]``.

    That of ``dn_distributed.proximal.step_`` where all weights of a layer have the same step size; ``multipliers`` are
    kept from step to step. A layer of one output has groups of one weight: there both are exact, one after the other.
    """
    by = strength * sizes
    if values.shape[1] == 1:
        return _shrunk_groups(shrunk(values, by), by, 2)
    incoming = _shrunk_groups(values - sizes * multipliers, by, 2)
    shared = incoming + sizes * multipliers
    outgoing = _shrunk_groups(shared, by, 1)
    torch.div(shared - outgoing, sizes, out=multipliers)
    return outgoing * (incoming != 0)


def lasso(train: Moments, strengths: Sequence[float] = LASSO_STRENGTHS, iterations: int = LASSO_ITERATIONS) -> Tensor:
    """Return the coefficients ``[P, S, n]`` at each strength, a share of the largest absolute entry of b.

    By accelerated proximal gradient with restarts (O'Donoghue and Candès, Foundations of Computational Mathematics 15,
    2015), all strengths side by side, from zero.
    """
    gram, curvature = train.gram.float(), _curvature(train)
    scale = train.cross.abs().amax(1, keepdim=True)
    sizes = (1 / curvature)[:, None, None]
    moves, targets = gram * sizes, (train.cross / scale).float()[:, None] * sizes
    by = torch.tensor(strengths)[None, :, None] * sizes
    found = torch.zeros(len(gram), len(strengths), FEATURES)
    ahead, momentum = found, torch.ones(len(gram), len(strengths), 1)
    for _ in range(iterations):
        following = shrunk(ahead - torch.bmm(ahead, moves) + targets, by)
        change = following - found
        momentum = momentum.masked_fill(((ahead - following) * change).sum(2, keepdim=True) > 0, 1.0)
        grown = (1 + (1 + 4 * momentum.square()).sqrt()) / 2
        found, ahead, momentum = following, following + (momentum - 1) / grown * change, grown
    return found.double() * scale[:, :, None]


def on_lasso_path(train: Moments, truth: Tensor) -> Tensor:
    """Return whether LASSO's support is the true one at any strength, ``[P]``: by its exact path, between all knots."""
    found = []
    for gram, cross, true in zip(train.gram.numpy(), train.cross.numpy(), truth.numpy(), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it ends early where rounding rules
            _, _, path = lars_path_gram(cross, gram, n_samples=1, method="lasso", max_iter=4 * int(true.sum()) + 40)
        supports = (path[:, :-1] != 0) | (path[:, 1:] != 0)
        found.append(bool((supports == true[:, None]).all(0).any()))
    return torch.tensor(found)


def _curvature(train: Moments) -> Tensor:
    """Return the largest eigenvalue of G, and a little more, ``[P]``."""
    largest: Tensor = torch.linalg.eigvalsh(train.gram)[:, -1]
    return 1.001 * largest.float()


def matching_pursuit(train: Moments, most: int) -> Tensor:
    """Return the supports ``[P, S, n]`` of orthogonal matching pursuit with 1, 2, … ``most`` features."""
    count = len(train.gram)
    chosen = torch.zeros(count, 0, dtype=torch.long)
    supports = torch.zeros(count, most, FEATURES, dtype=torch.bool)
    residual = train.cross
    for size in range(most):
        best = residual.abs().scatter(1, chosen, -1.0).argmax(1, keepdim=True)
        chosen = torch.cat([chosen, best], 1)
        rows = train.gram.gather(1, chosen[:, :, None].expand(-1, -1, FEATURES))
        inner = rows.gather(2, chosen[:, None].expand(-1, size + 1, -1))
        fitted = _solved(inner, train.cross.gather(1, chosen))
        residual = train.cross - (fitted[:, None] @ rows).squeeze(1)
        supports[:, size].scatter_(1, chosen, True)
        supports[:, size] |= supports[:, size - 1] & (size > 0)
    return supports


def _solved(matrices: Tensor, sides: Tensor) -> Tensor:
    """Return the solutions ``[..., q]`` of positive definite systems; NaN where rounding leaves one not so."""
    factors, failed = torch.linalg.cholesky_ex(matrices)
    found = torch.cholesky_solve(sides.unsqueeze(-1), factors).squeeze(-1)
    return found.masked_fill((failed != 0).unsqueeze(-1), torch.nan)


def rounds(samples: int) -> int:
    """Return the rounds at each strength: 40, or ten times G's largest eigenvalue as many columns at random have it.

    A step is as short as that is large: 40 with at least as many samples as features, 151 with 12.
    """
    return max(40, round(10 * (1 + math.sqrt(FEATURES / samples)) ** 2))


def networks(train: Moments, each: int) -> dict[str, Tensor]:
    """Return by method the supports ``[P, S, n]`` that networks propose, one for each strength.

    **Rising**: networks of depth 2 and 3 are followed from weak to strong penalties, ``each`` rounds at every strength,
    warm started. **At rest**: what rising has made at the middle strength trains on there, ``SETTLING`` times as long,
    and is followed from there to strong penalties, and from the same state to weak ones. One layer is trained at rest
    only.
    """
    data = scaled(train)
    nets = {
        f"{penalty} {depth}": Network(penalty, depth, len(train.gram))
        for penalty in ("ℓ1", "DN")
        for depth in (1, 2, 3)
    }
    deep = {name: net for name, net in nets.items() if len(net.weights) > 1}
    supports = {f"{name} rising": found for name, found in data.follow(deep, STRENGTHS[START:MIDDLE:-1], each).items()}
    middle = data.follow(deep, STRENGTHS[MIDDLE : MIDDLE + 1], each)
    settled = {name: net.copy() for name, net in nets.items()}
    above = data.follow(deep, STRENGTHS[MIDDLE - 1 :: -1], each)
    for name in deep:
        supports[f"{name} rising"] = torch.cat([supports[f"{name} rising"], middle[name], above[name]], 1)
    data.train(settled, STRENGTHS[MIDDLE], SETTLING * each)
    stronger = data.follow({name: net.copy() for name, net in settled.items()}, STRENGTHS[MIDDLE - 1 :: -1], each)
    weaker = data.follow(settled, STRENGTHS[MIDDLE:], each)
    return supports | {name: torch.cat([stronger[name], weaker[name]], 1) for name in nets}


@dataclass(frozen=True)
class Scaled:
    """Moments in float32, targets scaled so that the largest absolute entry of b is 1."""

    gram: Tensor
    cross: Tensor
    curvature: Tensor

    def follow(self, nets: dict[str, Network], strengths: Sequence[float], each: int) -> dict[str, Tensor]:
        """Train at each strength in turn, and return where coefficients are not zero then, ``[P, S, n]``."""
        found: dict[str, list[Tensor]] = {name: [] for name in nets}
        for strength in strengths:
            self.train({name: net for name, net in nets.items() if net.alive}, strength, each)
            for name, net in nets.items():
                found[name].append(net.coefficients() != 0)
        return {name: torch.stack(supports, 1) for name, supports in found.items()}

    def train(self, nets: dict[str, Network], strength: float, rounds: int) -> None:
        """Take so many rounds."""
        for _ in range(rounds if nets else 0):
            coefficients = torch.stack([net.coefficients() for net in nets.values()], 1)
            gradients = torch.bmm(coefficients, self.gram) - self.cross[:, None]
            for net, gradient in zip(nets.values(), gradients.unbind(1), strict=True):
                net.step(gradient, self.curvature, strength)


def scaled(train: Moments) -> Scaled:
    """Return what networks train on."""
    cross = train.cross / train.cross.abs().amax(1, keepdim=True)
    return Scaled(train.gram.float(), cross.float(), _curvature(train))


def choose(supports: Tensor, train: Moments, validation: Moments, most: int) -> Tensor:
    """Return the support ``[P, n]`` that is chosen among the proposed ones ``[P, S, n]``, all false where none is.

    Least squares is fitted again on each with 1 to ``most`` features. Of those whose validation error (as a share of
    the targets' square) is within 1e-9 of the least, the smallest, and of these the one with the least error.
    """
    sizes = supports.sum(2)
    repeated = torch.zeros_like(sizes, dtype=torch.bool)
    repeated[:, 1:] = (supports[:, 1:] == supports[:, :-1]).all(2)
    counted = (sizes > 0) & (sizes <= most) & ~repeated
    errors = torch.full(sizes.shape, torch.inf, dtype=torch.float64)
    problem, _ = places = counted.nonzero(as_tuple=True)
    errors[places] = _errors(supports[places], problem, train, validation).nan_to_num(torch.inf)
    close = errors <= errors.amin(1, keepdim=True) + EQUAL_ERRORS
    smallest = sizes.masked_fill(~close, FEATURES + 1).amin(1, keepdim=True)
    best = errors.masked_fill(sizes != smallest, torch.inf).argmin(1)
    return supports[torch.arange(len(supports)), best] & counted.any(1, keepdim=True)


def _errors(supports: Tensor, problem: Tensor, train: Moments, validation: Moments) -> Tensor:
    """Return the validation errors ``[Q]`` of least squares on supports ``[Q, n]``, each of its problem ``[Q]``."""
    if not len(supports):
        return torch.zeros(0, dtype=torch.float64)
    sizes = supports.sum(1)
    width = int(sizes.max())
    columns = supports.byte().argsort(dim=1, descending=True, stable=True)[:, :width]
    inside = torch.arange(width) < sizes[:, None]
    across = (problem[:, None, None], columns[:, :, None], columns[:, None])
    both = inside[:, :, None] & inside[:, None]
    gram = train.gram[across].masked_fill(~both, 0.0) + torch.diag_embed((~inside).double())
    along = (problem[:, None], columns)
    fitted = _solved(gram, train.cross[along] * inside)
    quadratic = (fitted[:, None] @ validation.gram[across] @ fitted[:, :, None]).flatten()
    linear = (fitted * validation.cross[along]).sum(1)
    square = validation.square[problem]
    return (square - 2 * linear + quadratic) / square


METHODS = (
    *("LASSO", "OMP"),
    *(f"{penalty} {depth}" for penalty in ("ℓ1", "DN") for depth in (1, 2, 3)),
    *(f"{penalty} {depth} rising" for penalty in ("ℓ1", "DN") for depth in (2, 3)),
)


def recovered(made: Problems, samples: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Return by method, for each problem, whether the true support is among the proposed ones and is the chosen one."""
    most = min(samples - 1, LARGEST)
    proposed = {
        "LASSO": lasso(made.train) != 0,
        "OMP": matching_pursuit(made.train, most),
        **networks(made.train, rounds(samples)),
    }
    results = {}
    for method in METHODS:
        supports = proposed[method]
        among = (supports == made.truth[:, None]).all(2).any(1) & (made.truth.sum(1) <= most)
        chosen = choose(supports, made.train, made.validation, most)
        results[method] = (among, (chosen == made.truth).all(1))
    return results
