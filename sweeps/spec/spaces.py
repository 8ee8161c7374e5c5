"""Search spaces of a sweep file, and Tune's domains for them."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import numpy as np

from dn_distributed.config import FrozenModel
from sweeps import ray_settings

KINDS = ("grid", "choice", "uniform", "loguniform")
WHOLE = ("batch_size", "epochs", "steps", "warmup_steps", "every", "samples", "rounds", "rewind_to", "shift")
"""Hyper-parameters that are whole numbers."""


class Space(FrozenModel):
    """A hyper-parameter that is searched: values to try, or a range to draw from."""

    kind: Literal["grid", "choice", "uniform", "loguniform"]
    values: tuple[float, ...]

    def domain(self) -> Any:
        """Return Tune's search domain."""
        ray_settings.apply()
        from ray import tune

        if self.kind == "grid":
            return tune.grid_search(list(self.values))
        if self.kind == "choice":
            return tune.choice(list(self.values))
        return getattr(tune, self.kind)(*self.values)

    def holds(self, value: float) -> bool:
        """Return whether it may give this value: one of those that it names, or one of its range, ends included."""
        if self.kind in ("grid", "choice"):
            return value in self.values
        low, high = self.values
        return low <= value <= high


def parse_space(value: Any) -> Space | None:
    """Return the space that ``{grid: [...]}`` and its like describe; None for anything else.

    ValueError for a space that is malformed.
    """
    if not isinstance(value, dict):
        return None
    if len(value) != 1 or next(iter(value)) not in KINDS:
        raise ValueError(f"a search space has one key of: {', '.join(KINDS)}")
    kind, numbers = next(iter(value.items()))
    if not isinstance(numbers, list) or not numbers or not all(is_number(number) for number in numbers):
        raise ValueError(f"{kind} takes a list of numbers")
    if kind in ("uniform", "loguniform"):
        if len(numbers) != 2 or not numbers[0] < numbers[1]:
            raise ValueError(f"{kind} takes [low, high] with low < high")
        if kind == "loguniform" and numbers[0] <= 0:
            raise ValueError("loguniform takes a range above 0")
    if len(set(numbers)) != len(numbers):
        raise ValueError(f"{kind} names a value twice")
    return Space(kind=kind, values=tuple(numbers))


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def assignments(spaces: Mapping[str, Space], samples: int, seed: int) -> Iterator[dict[str, float]]:
    """Yield the assignments that grid and random search try, by Tune's own variant generator.

    Grids are crossed; with drawn values the whole is drawn ``samples`` times. The first n draws are the same
    for any larger number of samples, so a search can be extended.
    """
    if not spaces:
        yield {}
        return
    ray_settings.apply()
    from ray.tune.search.variant_generator import generate_variants

    domains = {name: space.domain() for name, space in spaces.items()}
    drawn = any(space.kind != "grid" for space in spaces.values())
    random_state = np.random.RandomState(seed)
    for _ in range(samples if drawn else 1):
        for _, resolved in generate_variants(domains, random_state=random_state):
            yield {name: float(value) for name, value in resolved.items()}


def examples(spaces: Mapping[str, Space]) -> list[dict[str, float]]:
    """Return assignments that show every end and value of every space at least once."""
    rounds = max((len(space.values) for space in spaces.values()), default=1)
    return [
        {name: space.values[min(index, len(space.values) - 1)] for name, space in spaces.items()}
        for index in range(rounds)
    ]


def find_spaces(section: Any, path: str) -> dict[str, Space]:
    """Return the search spaces within a section of a sweep file, by dotted path: ``training.1.learning_rate``."""
    if isinstance(section, Space):
        return {path: section}
    inner = _items(section)
    return {name: space for key, value in inner for name, space in find_spaces(value, f"{path}.{key}").items()}


def fill(section: Any, path: str, values: Mapping[str, float]) -> Any:
    """Return a section with a value in place of each search space, by its dotted path."""
    if isinstance(section, Space):
        return as_whole(path.rpartition(".")[2], values[path])
    filled = {key: fill(value, f"{path}.{key}", values) for key, value in _items(section)}
    if isinstance(section, Mapping):
        return filled
    return tuple(filled.values()) if isinstance(section, tuple) else section


def _items(section: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(section, Mapping):
        return section.items()
    return enumerate(section) if isinstance(section, tuple) else ()


def as_whole(name: str | None, value: float) -> float | int:
    """Return a value of the hyper-parameter ``name``: a whole number where it is one that takes such."""
    return int(value) if name in WHOLE and value == int(value) else value
