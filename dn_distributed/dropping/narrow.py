"""One replicate of a stack as a smaller network: what it has dropped is not in its tensors.

Shapes: P parameters of the whole network, p of the small one, B samples of a batch.
"""

import copy
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from dn_distributed.config import Precision
from dn_distributed.dropping.chain import Chain, Left
from dn_distributed.layers import Call, noted_calls
from dn_distributed.replicas import Replicas
from dn_distributed.replicas.functional_network import FunctionalNetwork
from dn_distributed.replicas.parameters import Parameters
from dn_distributed.replicas.precision import lower, products_in
from dn_distributed.tasks import Task


class NarrowReplica:
    """A network with the units in ``left`` alone. Its numbers depend on no other replicate."""

    def __init__(self, task: Task, replicas: Replicas, row: int, chain: Chain, left: Left) -> None:
        """Copy the parameters of a replicate; they are written back by whoever trains it."""
        self._task, self._chain, self.left = task, chain, left
        places = places_of(replicas, chain, left)
        self.index = torch.cat([place.flatten() for place in places.values()]).to(replicas.device)
        """Where its parameters stand among those of the whole network, ``[p]``."""
        shapes = {name: place.shape for name, place in places.items()}
        self.parameters = Parameters(shapes, task.layers, 1, replicas.device)
        self.copy_in_(self.values, replicas.values[row])
        self._network = copy.deepcopy(replicas.network).to("meta")
        self._select_inputs(replicas.device)
        self._masked = [None if i is None else i.to(replicas.device) for i in chain.dropout_index(left)]
        self._function = FunctionalNetwork(
            task, self._network, self.parameters.names, drawn=replicas.drawn_names, vectorized=False
        )

    def _select_inputs(self, device: torch.device) -> None:
        """Let each layer read only those inputs that are left, where the layer before hands on more."""
        for name, index in self._chain.selected(self.left).items():
            index = index.to(device)
            self._network.get_submodule(name).register_forward_pre_hook(
                lambda _module, inputs, index=index: (inputs[0].index_select(1, index),)
            )

    def copy_in_(self, own: Tensor, whole: Tensor) -> None:
        """Take from a tensor ``[P]`` of the whole network what belongs to this one: ``own`` is ``[1, p]``, padded."""
        own[0, : len(self.index)] = whole[self.index]

    def copy_out_(self, own: Tensor, whole: Tensor) -> None:
        """Write ``own`` back into ``whole``, and 0 everywhere else."""
        whole.zero_()
        whole[self.index] = own[0, : len(self.index)]

    @property
    def values(self) -> Tensor:
        """All parameters, ``[1, p]``."""
        return self.parameters.values

    @property
    def gradients(self) -> Tensor:
        """Their gradients, ``[1, p]``."""
        return self.parameters.gradients

    def views(self, buffer: Tensor) -> dict[str, Tensor]:
        """Return the parts ``[1, *shape]`` of a buffer like ``values`` by the name of the parameter they belong to."""
        return self.parameters.views(buffer)

    def touched(self, penalty_name: str, touches: str) -> list[tuple[Tensor, Tensor]]:
        """Return (values, gradients) of what a penalty touches; see ``Penalty.touches``."""
        return self.parameters.touched(self._task.layers_of(penalty_name), touches)

    def write_loss_gradient_(
        self, inputs: Tensor, targets: Tensor, masks: list[Tensor], precision: Precision = "float32"
    ) -> Tensor:
        """Write the gradient of the mean loss into ``gradients``; return the loss ``[1]``.

        Shapes: ``inputs`` and ``targets`` ``[1, B, ...]`` and masks ``[1, B, ...]``, all of the whole network.
        """
        own = [
            mask[0] if index is None else mask[0].index_select(1, index)
            for mask, index in zip(masks, self._masked, strict=True)
        ]
        loss = self._function.write_gradient_(
            [view[0] for view in self.parameters.values_in(precision)],
            [view[0] for view in self.parameters.gradient_views],
            [],
            own,
            lower(inputs[0], precision).to(memory_format=self._task.cpu_memory_format),
            targets[0],
            precision,
        )
        return loss.unsqueeze(0)

    def outputs(self, inputs: Tensor) -> Tensor:
        """Return the outputs ``[B, ...]`` for inputs ``[B, ...]``, without dropout."""
        self._network.eval()
        masks = [inputs.new_ones(())] * len(self._masked)
        with products_in("float32", inputs.device):
            return self._function([view[0] for view in self.parameters.value_views], [], masks, inputs)[0]

    def signals(self, inputs: Tensor, targets: Tensor, *, of_outputs: bool) -> dict[str, tuple[Tensor, Tensor]]:
        """Return by layer what it reads, ``[B, n, ...]``, and the gradient of each sample's loss with respect to that.

        ``of_outputs``: with respect to what it puts out instead. Without dropout.
        """
        with torch.enable_grad(), products_in("float32", inputs.device), self._noted_layers() as calls:
            loss = self._task.loss(self.outputs(inputs.clone().requires_grad_()), targets) * len(inputs)
            gradients = torch.autograd.grad(loss, [call.outputs if of_outputs else call.inputs for call in calls])
        return {call.name: (call.inputs.detach(), gradient) for call, gradient in zip(calls, gradients, strict=True)}

    def reads(self, inputs: Tensor) -> dict[str, Tensor]:
        """Return by layer what it reads, ``[B, n, ...]``. Without dropout."""
        with torch.no_grad(), self._noted_layers() as calls:
            self.outputs(inputs)
        return {call.name: call.inputs for call in calls}

    def _noted_layers(self) -> AbstractContextManager[list[Call]]:
        return noted_calls(self._network, [link.name for link in self._chain.links])


def places_of(replicas: Replicas, chain: Chain, left: Left) -> dict[str, Tensor]:
    """Return by name where the parameters of what is left stand among those of the whole network, end to end."""
    places, start = {}, 0
    for name, view in replicas.parameters.items():
        whole = torch.arange(start, start + view[0].numel()).view(view[0].shape)
        places[name] = chain.take(name, whole, left)
        start += view[0].numel()
    return places
