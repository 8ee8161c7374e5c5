"""The penalties of a training, by the way in which they act: in the gradient, or as a proximal step after it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dn_distributed.proximal import FORMS, Coefficients
from dn_distributed.regularizers import Penalty, build_penalties
from dn_distributed.tasks import Task


@dataclass(frozen=True)
class Penalties:
    """All penalties of a training."""

    in_gradient: Sequence[Penalty]
    proximal: Mapping[str, Coefficients]
    """By parameter. Empty: nothing is proximal."""

    @property
    def overlap(self) -> bool:
        """Whether a proximal step keeps multipliers."""
        return any(coefficients.overlap for coefficients in self.proximal.values())


def penalties_of(task: Task, regularization: Mapping[str, float], *, proximal: bool) -> Penalties:
    """Return the penalties of a resolved regularisation; ``proximal``: those that have a proximal form take it."""
    penalties = build_penalties(regularization)
    if not proximal:
        return Penalties(penalties, {})
    found: dict[str, Coefficients] = {}
    for penalty in penalties:
        if penalty.name in FORMS:
            kinds = ("weight", "bias") if penalty.touches == "parameters" else ("weight",)
            for name in (f"{layer}.{kind}" for layer in task.layers_of(penalty.name) for kind in kinds):
                before, form = found.get(name, Coefficients()), FORMS[penalty.name]
                found[name] = replace(before, **{form: getattr(before, form) + penalty.coefficient})
    return Penalties([penalty for penalty in penalties if penalty.name not in FORMS], found)
