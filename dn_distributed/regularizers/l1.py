"""L1: ``l1 · (Σ|W| + Σ|b|)``. Removes single weights (the ℓ1 part of the elastic net)."""

from typing import ClassVar, Literal

from torch import Tensor

from dn_distributed.regularizers.base import Penalty


class L1(Penalty):
    """Sum of absolute values. Its subgradient at 0 is taken as 0."""

    name: ClassVar[str] = "l1"
    touches: ClassVar[Literal["parameters"]] = "parameters"

    def value(self, tensor: Tensor, leading: int = 0) -> Tensor:
        """Return ``coefficient · Σ|w|`` of each replicate."""
        return self.coefficient * tensor.abs().flatten(leading).sum(-1)

    def add_gradient_(self, tensor: Tensor, gradient: Tensor, leading: int = 0) -> None:
        """Add ``coefficient · sign(w)``."""
        gradient.add_(tensor.sign(), alpha=self.coefficient)
