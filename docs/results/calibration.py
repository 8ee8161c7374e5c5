"""How often a test finds a difference at equal score where there is none: the plan's, and the one that is used.

    python docs/results/calibration.py

Two methods of one distribution, made up: 4 configurations at 10 thresholds, 10 seeds, scores and sizes that differ by
seed. A test that is right finds a difference in at most 5 of 100 trials, but for chance.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from tracking.results import cross_fitting, inference, repeated_cross_fitting
from tracking.results.fronts import Measured, Point

SEEDS, DROP = range(10), 0.005
SPREADS = ((0.0005, 0.01), (0.001, 0.01), (0.001, 0.03))
"""Standard deviations over seeds of the validation score, and of the logarithm of the size."""


def method(random: np.random.Generator, of_score: float, of_size: float) -> list[Point]:
    """Return made networks whose score falls with their size. A seed has luck of its own at all thresholds."""
    found = []
    for configuration in range(4):
        luck, larger = random.normal(0, of_score, len(SEEDS)), random.normal(0, of_size, len(SEEDS))
        for step in range(10):
            score = 0.98 - 0.0004 * 1.6**step + luck + random.normal(0, of_score / 4, len(SEEDS))
            size = 0.5 * 0.7 ** (step + configuration / 4) * np.exp(larger + random.normal(0, of_size / 4, len(SEEDS)))
            networks = {seed: Measured({"density": size[seed]}, score[seed], score[seed]) for seed in SEEDS}
            found.append(Point(str(configuration), float(step), networks))
    return found


def p_values(methods: dict[str, list[Point]]) -> tuple[float, float] | None:
    """Return p by the plan's test, in one cut, and by the one that is used; None where the level is not reached."""
    halves = cross_fitting.halves(SEEDS)
    at = [(half, cross_fitting.best_score(methods, half, higher_is_better=True) - DROP) for half in halves]
    logarithms = {}
    for label, points in methods.items():
        readings = cross_fitting.read(points, "density", at, higher_is_better=True)
        logarithms[label] = {seed: math.log(reading.left) for seed, reading in readings.items()}
    estimates = repeated_cross_fitting.estimates(methods, methods, ["density"], [DROP], higher_is_better=True)
    first, second = estimates["density", DROP].values()
    if first is None or second is None or any(len(by_seed) < len(SEEDS) for by_seed in logarithms.values()):
        return None
    (planned,) = inference.compare("", logarithms, is_ratio=True)
    return planned.p, repeated_cross_fitting.compare("", ("first", "second"), first, second).p


def trials(number: int, of_score: float, of_size: float, seed: int) -> list[tuple[float, float]]:
    """Return both p of so many trials; fewer where a level was not reached."""
    random = np.random.default_rng(seed)
    made = ({label: method(random, of_score, of_size) for label in ("first", "second")} for _ in range(number))
    return [p for p in map(p_values, made) if p is not None]


def found(values: Sequence[float]) -> float:
    """Return the share of trials in which a difference is found."""
    return sum(p < inference.SIGNIFICANCE for p in values) / len(values)


def main() -> None:
    """Print how often each test finds a difference."""
    for seed, (of_score, of_size) in itertools.product((1, 2), SPREADS):
        planned, used = zip(*trials(100, of_score, of_size, seed), strict=True)
        print(
            f"scores ± {of_score:g}, sizes ± {of_size:g}, {len(used)} trials without a difference, drawn by {seed}: "
            f"found by the plan's test {found(planned):.0%}, by the one that is used {found(used):.0%}"
        )


if __name__ == "__main__":
    main()
