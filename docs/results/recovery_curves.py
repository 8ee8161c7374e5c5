"""How many samples a method needs to recover half of all problems, and how methods differ: from records alone.

Shapes: M methods, P problems of a point, R resamples of them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tracking.results import inference

Array: TypeAlias = NDArray[Any]
RESAMPLES = 1000
MARGIN = 1.1
"""Ratios nearer to 1 than this are equal."""
PAIRS = (
    ("OMP", "LASSO"),
    *((f"ℓ1 {way}", "LASSO") for way in ("1", "2", "3", "2 rising", "3 rising")),
    ("DN 1", "ℓ1 1"),
    ("DN 2", "DN 1"),
    ("DN 3", "DN 1"),
    ("DN 2 rising", "DN 2"),
    ("DN 3 rising", "DN 3"),
)
"""The first of each is compared with the second."""


@dataclass(frozen=True)
class Half:
    """The m at which a method recovers half of the problems: infinite where the grid ends before it does."""

    samples: float
    """0 where it recovers half at the fewest samples tried already."""
    low: float
    high: float
    resampled: Array
    """Natural logarithms ``[R]``."""

    @property
    def inside(self) -> bool:
        """Whether the curve and its interval lie within the grid."""
        return self.low > 0 and self.high < math.inf


@dataclass(frozen=True)
class Comparison:
    """The geometric mean over k of how many samples the first of a pair needs for one of the second."""

    ensemble: str
    pair: tuple[str, str]
    nonzeros: tuple[int, ...]
    """The k that it is over: those where both curves lie within the grid."""
    difference: float
    """Its logarithm."""
    error: float
    p: float
    p_corrected: float = math.nan

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the interval of the ratio."""
        reach = float(stats.norm.ppf((1 + level) / 2)) * self.error
        return math.exp(self.difference - reach), math.exp(self.difference + reach)

    @property
    def verdict(self) -> str:
        """By the plan's rule."""
        if self.p_corrected < inference.SIGNIFICANCE:
            return "holds"
        low, high = self.interval(0.9)
        return "equal" if low > 1 / MARGIN and high < MARGIN else "not shown"


class Ensemble:
    """A record as numbers."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        """``record``: as ``recovery.py`` writes it."""
        self.name, self.problems = str(record["ensemble"]), int(record["problems"])
        self.methods: list[str] = list(record["methods"])
        self.seconds = float(record["seconds"])
        self.on_path: dict[str, int] = record.get("on_path", {})
        """By method, of the problems that LASSO does not recover and it does, those on LASSO's exact path."""
        points = sorted(record["points"], key=lambda point: (point["k"], point["m"]))
        self.recovered = {
            (point["m"], point["k"]): np.array([_bits(text, self.problems) for text in point["recovered"]])
            for point in points
        }
        """By m and k, of each method, which problems: ``[M, P]``."""
        self.proposed = {(point["m"], point["k"]): np.array(point["proposed"]) for point in points}
        self.nonzeros = sorted({k for _, k in self.recovered})

    def samples(self, k: int) -> list[int]:
        """Return the m of a k, fewest first."""
        return [m for m, other in self.recovered if other == k]

    def share(self, method: str, m: int, k: int) -> float:
        """Return the share of the problems of a point that a method recovers."""
        return float(self.recovered[m, k][self.methods.index(method)].mean())

    def agreement(self, first: str, second: str) -> tuple[int, int, int]:
        """Return how many problems both recover or neither, the first alone, and the second alone."""
        rows = self.methods.index(first), self.methods.index(second)
        one, other = (np.concatenate([found[row] for found in self.recovered.values()]) for row in rows)
        return int((one == other).sum()), int((one & ~other).sum()), int((other & ~one).sum())

    def totals(self, method: str) -> tuple[int, int]:
        """Return of how many problems the truth was proposed, and how many were recovered, over all points."""
        row = self.methods.index(method)
        proposed = sum(int(counts[row]) for counts in self.proposed.values())
        return proposed, sum(int(found[row].sum()) for found in self.recovered.values())

    @cached_property
    def halves(self) -> dict[tuple[str, int], Half]:
        """The m at 50 % of each method and k. All methods have the same resamples of the problems."""
        random = np.random.default_rng(0)
        found = {}
        for k in self.nonzeros:
            samples = self.samples(k)
            shares, resampled = [], []
            for m in samples:
                counts = random.multinomial(self.problems, [1 / self.problems] * self.problems, RESAMPLES)
                shares.append(self.recovered[m, k].mean(1))
                resampled.append(self.recovered[m, k] @ counts.T / self.problems)
            seen = crossing(np.stack(shares, 1), samples)
            again = crossing(np.stack(resampled, 2), samples)
            for row, method in enumerate(self.methods):
                ordered = np.sort(again[row])
                low, high = ordered[math.floor(0.025 * RESAMPLES)], ordered[math.ceil(0.975 * RESAMPLES) - 1]
                found[method, k] = Half(math.exp(seen[row]), math.exp(low), math.exp(high), again[row])
        return found

    def compare(self, pair: tuple[str, str]) -> Comparison | None:
        """Return the comparison of two methods; None where no k has both curves within the grid."""
        halves = self.halves
        both = tuple(k for k in self.nonzeros if all(halves[method, k].inside for method in pair))
        if not both:
            return None
        first, second = ([halves[method, k] for k in both] for method in pair)
        logarithms = [math.log(one.samples / other.samples) for one, other in zip(first, second, strict=True)]
        with np.errstate(invalid="ignore"):  # where both are infinite
            resampled = np.mean([a.resampled - b.resampled for a, b in zip(first, second, strict=True)], axis=0)
        difference, error = float(np.mean(logarithms)), float(resampled[np.isfinite(resampled)].std(ddof=1))
        p = 2 * float(stats.norm.sf(abs(difference) / error)) if error else float(difference == 0)
        return Comparison(self.name, pair, both, difference, error, p)


def _bits(text: str, problems: int) -> Array:
    number = int(text, 16)
    return np.array([bool(number >> row & 1) for row in range(problems)])


def monotone(shares: Array) -> Array:
    """Return the rising sequence nearest to ``[..., points]``: isotonic regression with equal weights."""
    count = shares.shape[-1]
    sums = np.concatenate([np.zeros((*shares.shape[:-1], 1)), shares.cumsum(-1)], -1)
    columns = []
    for place in range(count):
        least = [
            np.min([(sums[..., end] - sums[..., begin]) / (end - begin) for end in range(place + 1, count + 1)], axis=0)
            for begin in range(place + 1)
        ]
        columns.append(np.max(least, axis=0))
    return np.stack(columns, -1)


def crossing(shares: Array, samples: Sequence[int]) -> Array:
    """Return the logarithm of the m at which shares ``[..., points]``, made monotone, pass one half.

    Between two points on the straight line in log m; minus infinity where the first is not below one half, infinity
    where all are.
    """
    rising, places = monotone(shares), np.log(np.array(samples, dtype=float))
    above = rising >= 0.5 - 1e-12
    first = above.argmax(-1)
    after = np.maximum(first, 1)
    low, high = (np.take_along_axis(rising, index[..., None], -1)[..., 0] for index in (after - 1, after))
    with np.errstate(divide="ignore", invalid="ignore"):
        between = places[after - 1] + (places[after] - places[after - 1]) * (0.5 - low) / (high - low)
    return np.where(~above.any(-1), np.inf, np.where(first == 0, -np.inf, between))


def corrected(found: Sequence[Comparison]) -> list[Comparison]:
    """Return comparisons with p by Holm's correction over all of them."""
    p_values = inference.holm([item.p for item in found])
    return [replace(item, p_corrected=p) for item, p in zip(found, p_values, strict=True)]


def expected(values: str, k: int, features: int, with_dn: bool) -> float:
    """Return the m at 50 % that the plan expects without noise of LASSO, or of ‖c‖₁ + ‖c‖₂."""
    random = np.random.default_rng(0)
    shape = (4000, k)
    drawn = {
        "normal": random.standard_normal(shape),
        "sign": np.ones(shape),
        "uniform": random.uniform(-1, 1, shape),
    }[values]
    ratio = float((np.abs(drawn).sum(1) / np.sqrt(np.square(drawn).sum(1))).mean())
    squared = k + 1 + 2 * ratio if with_dn else k
    return k + float(stats.norm.ppf(1 - math.log(2) / (2 * (features - k)))) ** 2 * squared
