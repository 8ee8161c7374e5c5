"""L2: ``l2 · ½ (ΣW² + Σb²)``. Removes nothing; shrinks. With L1 it is the elastic net."""

from typing import ClassVar, Literal

from torch import Tensor

from dn_distributed.regularizers.base import Penalty


class L2(Penalty):
    """Half the sum of squares."""

    name: ClassVar[str] = "l2"
    touches: ClassVar[Literal["parameters"]] = "parameters"

    def value(self, tensor: Tensor) -> Tensor:
        """Return ``coefficient · ½ Σw²`` over the last dimension."""
        return 0.5 * self.coefficient * tensor.square().sum(-1)

    def add_gradient_(self, tensor: Tensor, gradient: Tensor) -> None:
        """Add ``coefficient · w``."""
        gradient.add_(tensor, alpha=self.coefficient)
