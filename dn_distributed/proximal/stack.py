"""The proximal step of all parameters of a stack of replicates.

Shapes: K replicates.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from dn_distributed.proximal.step import IN_TRAINING, Coefficients, step_

_CACHED_VALUES = 2**18
"""So many of a tensor are worked on at once on a CPU: what is computed between stays in its cache."""


@dataclass(frozen=True)
class StackedProximalStep:
    """Tensors ``[K, *shape]`` by the name of a parameter. A replicate's numbers do not depend on the others."""

    coefficients: Mapping[str, Coefficients]
    values: Mapping[str, Tensor]
    second_moments: Mapping[str, Tensor]
    """Of Adam. Empty: all parameters have one step size."""
    multipliers: Mapping[str, Tensor]
    """See ``step_``. Empty where no groups overlap."""

    def step_(self, step_sizes: Callable[[Tensor | None], Tensor], factor: float) -> None:
        """Move the values. ``step_sizes`` returns those of Adam for a second moment; ``factor`` is on all penalties."""
        for name, coefficients in self.coefficients.items():
            for values, moments, multipliers in self._parts(name):
                step_(
                    values,
                    step_sizes(moments),
                    coefficients.times(factor),
                    multipliers,
                    leading=1,
                    iterations=IN_TRAINING if moments is not None else 0,
                )

    def _parts(self, name: str) -> Iterator[tuple[Tensor, Tensor | None, Tensor | None]]:
        """The tensors of a parameter, some replicates at a time."""
        values = self.values[name]
        rows = max(1, _CACHED_VALUES // values[0].numel()) if values.device.type == "cpu" else len(values)
        for first in range(0, len(values), rows):
            part = slice(first, first + rows)
            moments, multipliers = self.second_moments.get(name), self.multipliers.get(name)
            yield (
                values[part],
                None if moments is None else moments[part],
                None if multipliers is None else multipliers[part],
            )
