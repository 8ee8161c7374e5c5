"""A task's network as a function of its tensors, and the gradient of its loss.

Shapes: B samples of a batch; with a leading K where the function is vectorised.
"""

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from dn_distributed.config import Precision
from dn_distributed.replicas.alone import attention_as_products
from dn_distributed.replicas.convolutions import one_channel_as_products
from dn_distributed.replicas.loss_gradient import LossGradient, loss_gradient
from dn_distributed.replicas.one_launch import InOneLaunch
from dn_distributed.tasks import Task
from dn_distributed.torch_internals import foreach_copy_


class FunctionalNetwork:
    """Takes parameters, running statistics, and masks and noise as lists of tensors, each in the order of its names."""

    def __init__(
        self,
        task: Task,
        network: nn.Module,
        names: Sequence[str],
        *,
        statistics: Sequence[str] = (),
        drawn: Sequence[str] = (),
        vectorized: bool,
    ) -> None:
        """``drawn``: the buffers that masks and noise are given to.

        ``vectorized``: gradients are of K networks at once, in tensors with a leading K.
        """
        self._task, self._network, self._names = task, network, tuple(names)
        self._statistics, self._drawn, self._vectorized = tuple(statistics), tuple(drawn), vectorized
        self._gradients: dict[Hashable, LossGradient] = {}

    @property
    def _identity(self) -> Hashable:
        return type(self._task), self._task.model_dump_json(), self._vectorized, self._drawn, self._names

    def __call__(
        self, values: list[Tensor], running: list[Tensor], masks: list[Tensor], inputs: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the outputs of one network, and its running statistics after them."""
        state = dict(zip(self._names, values, strict=True))
        state.update(zip(self._statistics, running, strict=True))
        state.update(zip(self._drawn, masks, strict=True))
        with _as_in_stacks(inputs.device) if self._vectorized else nullcontext():
            outputs = functional_call(self._network, state, (inputs,))  # enters what the network assigns into state
        return outputs, [state[name] for name in self._statistics]

    def _loss(
        self, values: list[Tensor], running: list[Tensor], masks: list[Tensor], inputs: Tensor, targets: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        outputs, after = self(values, running, masks, inputs)
        if outputs.dtype == torch.bfloat16:
            outputs = outputs.float()
        return self._task.loss(outputs, targets), after

    def write_gradient_(
        self,
        values: list[Tensor],
        gradients: list[Tensor],
        running: list[Tensor],
        masks: list[Tensor],
        inputs: Tensor,
        targets: Tensor,
        precision: Precision = "float32",
    ) -> Tensor:
        """Write the gradient of the loss into ``gradients``, move the statistics, return the loss: ``[]`` or ``[K]``.

        Tensors are of the same shapes at each call, but for the size of a batch and what targets are. Values and
        inputs are in bfloat16 where ``precision`` says so: so is then what lies between them, but not the loss.
        """
        # The dtype does not tell tf32 from float32, and what a GPU has recorded of a step keeps how it multiplies. Of
        # one tensor that is inputs and targets, what is recorded reads one of both.
        kind = inputs.shape, targets.shape, targets.dtype, targets is inputs, precision
        if kind not in self._gradients:
            self._network.train()
            loss = vmap(self._loss) if self._vectorized else self._loss
            stacked = len(inputs) if self._vectorized else 1
            identity = self._identity, precision
            gradient = loss_gradient(loss, identity, values, running, masks, inputs, targets, stacked)
            if inputs.device.type == "cuda":
                gradient = InOneLaunch(gradient, num_kept=len(values) + len(running))
            self._gradients[kind] = gradient
        found = self._gradients[kind](*values, *running, inputs, targets, *masks)
        foreach_copy_(gradients, found[: len(gradients)])
        if running:
            foreach_copy_(running, found[len(gradients) + 1 :])
        return found[len(gradients)]


@contextmanager
def _as_in_stacks(device: torch.device) -> Iterator[None]:
    """Within, networks compute in the ways in which a stack of them is exact, or quick."""
    with attention_as_products(device), one_channel_as_products(device):
        yield
