"""Proximal steps after those of an optimiser of torch's, in any training loop."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dn_distributed.errors import ArgumentError
from dn_distributed.layers import check_groups, select
from dn_distributed.proximal import step_sizes
from dn_distributed.proximal.step import IN_TRAINING, Coefficients, step_
from dn_distributed.regularizers import resolve
from dn_distributed.regularizers.base import as_number


class ProximalSteps:
    """After each step of an optimiser, the proximal step of L1 and of DropNeuron's penalties: exact zeros.

    In place of ``penalty(…)`` in the loss. ::

        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        dn.ProximalSteps(network, optimizer, dn=3e-3, l1=1e-4)

    From then on every ``optimizer.step()`` is followed by it, until ``remove()``. It works in the optimiser's own
    metric, so that training comes to rest where it would with the same penalties in the loss (Yun, Lozano and Yang,
    "Adaptive proximal gradient methods for structured neural networks", NeurIPS 2021). Where both of DropNeuron's
    penalties act, it keeps a tensor for each weight between the steps: save ``state_dict()`` with the optimiser's.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        /,
        *,
        layers: Sequence[str] | None = None,
        dn: float | None = None,
        dn_incoming: float | None = None,
        dn_outgoing: float | None = None,
        l1: float | None = None,
    ) -> None:
        """Coefficients and ``layers`` as for ``penalty``; ``optimizer`` is Adam, AdamW or SGD of ``torch.optim``.

        One coefficient at least, which may be 0. ArgumentError for none, for another optimiser, for one that does not
        move these layers, and as ``penalty`` raises it.
        """
        every = {"dn": dn, "dn_incoming": dn_incoming, "dn_outgoing": dn_outgoing, "l1": l1}
        named = {name: value for name, value in every.items() if value is not None}
        if not named:
            raise ArgumentError(f"without a penalty nothing is stepped: give one of {', '.join(every)}")
        chosen = resolve({name: number for name, value in named.items() if (number := as_number(name, value))})
        self._of_weights = Coefficients(*(chosen.get(name, 0.0) for name in ("l1", "dn_incoming", "dn_outgoing")))
        self._of_biases = Coefficients(l1=self._of_weights.l1)
        self._layers = select(module, layers)
        if self._of_weights.incoming or self._of_weights.outgoing:
            check_groups(self._layers)
        if not isinstance(optimizer, torch.optim.Adam | torch.optim.SGD):
            raise ArgumentError(f"{type(optimizer).__name__} has no metric that is known: use Adam, AdamW or SGD")
        moved = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        for name, layer in self._layers.items():
            if id(layer.weight) not in moved:
                raise ArgumentError(f"layer {name!r} is not among the parameters of the optimizer")
        self._multipliers = {
            name: torch.zeros_like(layer.weight, dtype=_wide(layer.weight.dtype), requires_grad=False)
            for name, layer in self._layers.items()
            if self._of_weights.overlap
        }
        self._hook = optimizer.register_step_post_hook(lambda stepped, *_: self._step(stepped))

    def remove(self) -> None:
        """Let the optimiser step without it from now on."""
        self._hook.remove()

    def state_dict(self) -> dict[str, Tensor]:
        """Return what the next step depends on beside weights and optimiser: a tensor by layer, or nothing."""
        return {name: tensor.clone() for name, tensor in self._multipliers.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what ``state_dict`` returned. ArgumentError where it is of other layers."""
        shapes = {name: tensor.shape for name, tensor in self._multipliers.items()}
        if {name: tensor.shape for name, tensor in state.items()} != shapes:
            raise ArgumentError(f"the state is of other layers than {', '.join(self._layers)}")
        for name, tensor in self._multipliers.items():
            tensor.copy_(state[name])

    @torch.no_grad()
    def _step(self, optimizer: torch.optim.Optimizer) -> None:
        if _has_skipped(optimizer):
            return
        group_of = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
        for name, layer in self._layers.items():
            for kind, coefficients in (("weight", self._of_weights), ("bias", self._of_biases)):
                parameter: Tensor | None = getattr(layer, kind)
                group = group_of.get(id(parameter))
                if parameter is None or group is None or parameter.grad is None or not coefficients.any:
                    continue  # what the optimiser does not move stays where it is
                if not _moves(optimizer, group):
                    continue  # as at the first step of a warm-up, and the last of a cosine
                values = parameter.to(_wide(parameter.dtype))
                steps = _step_sizes(optimizer, group, parameter)
                step_(values, steps, coefficients, self._multipliers.get(name), iterations=IN_TRAINING)
                parameter.copy_(values)


def _has_skipped(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the optimiser took no step because gradients overflowed: a fused one finds that out by itself."""
    found = getattr(optimizer, "found_inf", None)  # while a GradScaler of torch's asks for a step
    return found is not None and bool(found > 0)


def _moves(optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> bool:
    """Whether a gradient has any effect: a proximal step of size 0 would divide by it."""
    if isinstance(optimizer, torch.optim.SGD):
        return bool(step_sizes.of_sgd(group["lr"], group["momentum"], group["dampening"]) > 0)
    return bool(group["lr"] > 0)


def _step_sizes(optimizer: torch.optim.Optimizer, group: Mapping[str, Any], parameter: Tensor) -> Tensor:
    if isinstance(optimizer, torch.optim.SGD):
        size = step_sizes.of_sgd(group["lr"], group["momentum"], group["dampening"])
        return torch.as_tensor(size, dtype=_wide(parameter.dtype), device=parameter.device)
    state = optimizer.state[parameter]
    moment = state["max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"]
    correction = 1 - group["betas"][1] ** state["step"].double()
    return step_sizes.of_adam(moment.to(_wide(moment.dtype)), group["lr"], correction, group["eps"])


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
