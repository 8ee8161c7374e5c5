"""L2: ``l2 · ½ (ΣW² + Σb²)``. Removes nothing; shrinks. With L1 it is the elastic net."""

from typing import ClassVar, Literal

from torch import Tensor

from dn_distributed.regularizers.base import Penalty


class L2(Penalty):
    """Half the sum of squares."""

    name: ClassVar[str] = "l2"
    touches: ClassVar[Literal["parameters"]] = "parameters"

    def value(self, tensor: Tensor, leading: int = 0) -> Tensor:
        """Return ``coefficient · ½ Σw²`` of each replicate."""
        # w · w, not square(): autograd of that would overflow where its gradient does not.
        return 0.5 * self.coefficient * (tensor * tensor).flatten(leading).sum(-1)

    def add_gradient_(self, tensor: Tensor, gradient: Tensor, leading: int = 0) -> None:
        """Add ``coefficient · w``."""
        gradient.add_(tensor, alpha=self.coefficient)
