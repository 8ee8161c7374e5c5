"""The proximal step of one tensor of weights or biases, with all penalties that have one."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import softshrink

from dn_distributed.proximal.groups import ITERATIONS, shrink_groups
from dn_distributed.regularizers.dropneuron import Incoming, Outgoing

_FAMILIES = (Incoming(1.0), Outgoing(1.0))

IN_TRAINING = 2
"""Iterations of a step among many: what a norm lacks then comes with the next ones."""


FORMS = {"l1": "l1", "l1_of_last": "l1", "dn_incoming": "incoming", "dn_outgoing": "outgoing"}
"""The penalties that have a proximal form, and what it is called in ``Coefficients``."""


@dataclass(frozen=True)
class Coefficients:
    """The factors of the penalties of one tensor, as of ``Penalty.coefficient``."""

    l1: float = 0.0
    incoming: float = 0.0
    outgoing: float = 0.0

    def times(self, factor: float) -> "Coefficients":
        """Return all of them multiplied by a factor."""
        return Coefficients(self.l1 * factor, self.incoming * factor, self.outgoing * factor)

    @property
    def any(self) -> bool:
        """Whether there is a penalty."""
        return bool(self.l1 or self.incoming or self.outgoing)

    @property
    def overlap(self) -> bool:
        """Whether every weight is in two groups."""
        return bool(self.incoming and self.outgoing)


def step_(
    values: Tensor,
    steps: Tensor,
    coefficients: Coefficients,
    multipliers: Tensor | None = None,
    *,
    leading: int = 0,
    iterations: int = ITERATIONS,
) -> None:
    """Replace ``values`` in place by ``argmin_x Σ (x − values)² / (2 · steps) + penalties(x)``.

    Shapes: the first ``leading`` dimensions count replicates; then come ``[n_out, n_in]`` or ``[filters, channels,
    ...]``, or any where L1 is alone. ``steps``: the optimiser's step per unit of gradient, positive, of each entry.
    After an optimiser's step this is a proximal gradient step in the optimiser's own metric (Yun, Lozano and Yang,
    NeurIPS 2021, equation of ProxGen).

    L1 and one family of groups are exact: L1's operator and then the groups' is that of their sum, as the groups' one
    keeps each sign, and a zero where there is one, whatever the metric.

    Incoming and outgoing groups overlap, and their sum has no closed form. They share the step by ``multipliers``, of
    the shape of ``values``, zero at first and kept from step to step: the subgradient of the outgoing penalty that the
    last step found. This is the three-operator splitting of Davis and Yin (Set-Valued and Variational Analysis 25,
    2017). It stands still exactly where the gradient of the loss is minus a subgradient of all penalties; repeated
    from the same ``values``, it comes to the minimum above. An entry is zero where either operator makes it so.
    """
    rows, columns = (family.along(values, leading) if values.ndim - leading > 1 else () for family in _FAMILIES)
    scaled = values / steps
    shared = multipliers if coefficients.overlap else None
    if shared is not None:
        scaled -= shared
    if coefficients.l1:
        scaled = softshrink(scaled, coefficients.l1)
    if coefficients.incoming:
        found, direction = shrink_groups(scaled, steps, coefficients.incoming, rows, iterations)
    elif coefficients.outgoing:
        found, _ = shrink_groups(scaled, steps, coefficients.outgoing, columns, iterations)
    else:
        found = scaled * steps
    if shared is not None:
        scaled = scaled.sub_(direction, alpha=coefficients.incoming).add_(shared)
        both, direction = shrink_groups(scaled, steps, coefficients.outgoing, columns, iterations)
        shared.copy_(direction.mul_(coefficients.outgoing))
        found = both.masked_fill_(found == 0, 0.0)
    values.copy_(found)
