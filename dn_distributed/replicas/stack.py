"""K networks of one architecture as one stacked model.

Shapes: K replicates, P parameters, S statistics, B samples of a batch.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import vmap

from dn_distributed.config import Precision
from dn_distributed.errors import ArgumentError
from dn_distributed.layers import Call, is_recurrent, noted_calls, parts_of_filters, rounds_otherwise_in_a_stack
from dn_distributed.random_weights import RandomWeights
from dn_distributed.regularizers.dropout import swap_dropout_
from dn_distributed.replicas import checks
from dn_distributed.replicas.alone import AsAlone, row_of
from dn_distributed.replicas.batch_norm import swap_batch_norm_
from dn_distributed.replicas.functional_network import FunctionalNetwork
from dn_distributed.replicas.parameters import Parameters, stacked_zeros, views_of
from dn_distributed.replicas.precision import lower, products_in
from dn_distributed.seeds import generator
from dn_distributed.tasks import Task
from dn_distributed.weights_file import load_tensors_


class Replicas:
    """The stack. A replicate's numbers do not depend on which others share it, on one thread to the last bit."""

    def __init__(
        self,
        task: Task,
        seeds: Sequence[int],
        dropout: float,
        device: torch.device,
        random_weights: RandomWeights | None = None,
    ) -> None:
        """Draw K initial networks, one per seed. ArgumentError for a network that cannot be stacked.

        With ``random_weights`` the parameters of their distribution are among the others, which are 0.
        """
        self._task, self.seeds, self.device = task, tuple(seeds), device
        self.network = task.network()
        fits_cpu = task.vectorize_on_cpu and not rounds_otherwise_in_a_stack(self.network)
        self._vectorized = (device.type != "cpu" or fits_cpu) and not is_recurrent(self.network)
        checks.check_layers(self.network, task.layers)
        self.parts_of_filters = parts_of_filters(self.network, task.layers)
        self._dropout = dropout
        self._dropout_names = swap_dropout_(self.network, dropout)
        self._norm_names = swap_batch_norm_(self.network, same_bits=self._vectorized and device.type == "cpu")
        self._random_names = random_weights.swap_(self.network, task.layers) if random_weights is not None else []
        self._random_weights = random_weights
        checks.check(self.network, task.layers, [*self._dropout_names, *self._norm_names, *self._random_names])

        shapes = {name: parameter.shape for name, parameter in self.network.named_parameters()}
        self._parameters = Parameters(shapes, task.layers, len(self.seeds), device)
        self._statistics_shapes = {name: value.shape for name, value in self._own_statistics().items()}
        self.running = stacked_zeros(self._statistics_shapes, len(self.seeds), device)
        """Of batch normalisation, ``[K, S]``."""
        self._running_views = views_of(self.running, self._statistics_shapes)
        self._statistics_names = tuple(self._statistics_shapes)
        self._function = FunctionalNetwork(
            task,
            self.network,
            self._parameters.names,
            statistics=self._statistics_names,
            drawn=self.drawn_names,
            vectorized=self._vectorized,
        )
        if random_weights is None:
            self._initialize()
        else:
            random_weights.initialize_(task.layers, self.parameters, self.seeds)

    def _own_statistics(self) -> dict[str, Tensor]:
        """The running statistics that the network holds, by name."""
        modules = {name: self.network.get_submodule(name) for name in self._norm_names}
        return {f"{name}.{key}": value for name, module in modules.items() for key, value in module.named_buffers()}

    def _initialize(self) -> None:
        for row, seed in enumerate(self.seeds):
            self._task.initialize(self.network, generator(seed, "init"))
            parameters = dict(self.network.named_parameters())
            for name, view in self.parameters.items():
                view[row].copy_(parameters[name].detach())
            for value, view in zip(self._own_statistics().values(), self._running_views, strict=True):
                view[row].copy_(value)

    def subset(self, rows: Sequence[int]) -> "Replicas":
        """Return a stack of some of the replicates as they stand, with tensors of its own."""
        found = Replicas(self._task, [self.seeds[row] for row in rows], self._dropout, self.device)
        found.values.copy_(self.values[list(rows)])
        found.running.copy_(self.running[list(rows)])
        return found

    @property
    def values(self) -> Tensor:
        """All parameters, ``[K, P]``."""
        return self._parameters.values

    @property
    def gradients(self) -> Tensor:
        """Their gradients, ``[K, P]``."""
        return self._parameters.gradients

    @property
    def dropout_names(self) -> tuple[str, ...]:
        """Names of the dropout modules, of which each needs a mask; none without dropout."""
        return tuple(self._dropout_names)

    @property
    def drawn_names(self) -> tuple[str, ...]:
        """Names of the buffers that masks and noise are given to, in the order in which they are given."""
        return (*(f"{name}.mask" for name in self._dropout_names), *(f"{name}.noise" for name in self._random_names))

    def views(self, buffer: Tensor) -> dict[str, Tensor]:
        """Return the parts ``[K, *shape]`` of a buffer like ``values`` by the name of the parameter they belong to."""
        return self._parameters.views(buffer)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """Views ``[K, *shape]`` by parameter name."""
        return self._parameters.by_name

    @property
    def statistics(self) -> dict[str, Tensor]:
        """The running statistics of batch normalisation, views ``[K, *shape]`` by name; empty without it."""
        return dict(zip(self._statistics_names, self._running_views, strict=True))

    def plain_network(self, row: int, values: Mapping[str, Tensor]) -> nn.Module:
        """Return the task's own network with the tensors of a replicate, on the CPU. ``values`` as in ``forward``."""
        with torch.random.fork_rng(devices=[]):
            network = self._task.network()
        tensors = {**self.parameters, **self.statistics, **values}
        load_tensors_(network, {name: view[row].cpu() for name, view in tensors.items()})
        return network.eval()

    def weights(self, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Return the weight views ``[K, n_out, n_in, ...]`` of the regularised layers (or of ``layers``)."""
        parameters = self.parameters
        return {layer: parameters[f"{layer}.weight"] for layer in layers or self._task.layers}

    def touched(self, penalty_name: str, touches: str) -> list[tuple[Tensor, Tensor]]:
        """Return (values, gradients) of what a penalty touches; see ``Penalty.touches``."""
        return self._parameters.touched(self._task.layers_of(penalty_name), touches)

    def dropout_shapes(self, sample: Tensor) -> list[torch.Size]:
        """Return the shape of one sample at each dropout module, found by running a batch ``[B, ...]``.

        ArgumentError where a module drops at two places, or nothing drops.
        """
        if not self._dropout:
            return []
        self.network.train()
        calls = self._calls_of(self._dropout_names, sample)
        for name, count in Counter(call.name for call in calls).items():
            if count > 1:
                raise ArgumentError(f"dropout module {name!r} is used at {count} places; give each its own")
        if not calls:
            raise ArgumentError("there is dropout, but the network has no nn.Dropout that it uses")
        shapes = {call.name: call.inputs.shape[1:] for call in calls}
        return [shapes.get(name, torch.Size()) for name in self._dropout_names]

    def output_shapes(self, sample: Tensor) -> dict[str, torch.Size]:
        """Return by regularised layer the shape of its outputs for a batch ``[B, ...]``, found by running it."""
        self.network.eval()
        return {call.name: call.outputs.shape for call in self._calls_of(self._task.layers, sample)}

    def _calls_of(self, modules: Iterable[str], sample: Tensor) -> list[Call]:
        """The calls of these modules while the first network runs on a batch ``[B, ...]``."""
        masks = [sample.new_ones(())] * len(self._dropout_names)
        with torch.no_grad(), noted_calls(self.network, modules) as calls:
            self.call(*self.state_of_first(), masks, sample)
        return calls

    def noise_shapes(self, outputs: Mapping[str, torch.Size]) -> list[torch.Size]:
        """Return the shape of the noise of each random layer for a batch; ``outputs`` as ``output_shapes`` gives."""
        if self._random_weights is None:
            return []
        modules = dict(self.network.named_modules())
        return [self._random_weights.noise_shape(modules[name], outputs[name]) for name in self._random_names]

    def write_loss_gradient_(
        self, inputs: Tensor, targets: Tensor, masks: list[Tensor], precision: Precision = "float32"
    ) -> Tensor:
        """Write the gradient of each replicate's mean loss into ``gradients``; return the losses ``[K]``.

        Shapes: ``inputs`` and ``targets`` ``[K, B, ...]``; masks as ``MaskSource`` gives, and behind them noise as
        ``NoiseSource`` does.
        """
        values, into = self._parameters.values_in(precision), self._parameters.gradient_views
        inputs = lower(inputs, precision)
        if self._vectorized:
            return self._function.write_gradient_(values, into, self._running_views, masks, inputs, targets, precision)
        losses = [
            self._function.write_gradient_(
                [view[row] for view in values],
                [view[row] for view in into],
                [view[row] for view in self._running_views],
                [row_of(mask, row) for mask in masks],
                row_of(inputs, row).to(memory_format=self._task.cpu_memory_format),
                row_of(targets, row),
                precision,
            )
            for row in range(len(self.seeds))
        ]
        return torch.stack(losses)

    def state_of_first(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return parameters and running statistics of the first replicate, as ``call`` takes them."""
        return [view[0] for view in self._parameters.value_views], [view[0] for view in self._running_views]

    def call(self, values: list[Tensor], running: list[Tensor], masks: list[Tensor], inputs: Tensor) -> Tensor:
        """Return the outputs of one network with these parameters, in the order of ``parameters``."""
        return self._function(values, running, masks, inputs)[0]

    @torch.no_grad()
    def forward(
        self,
        inputs: Tensor,
        masks: list[Tensor] | None = None,
        values: dict[str, Tensor] | None = None,
        running: Tensor | None = None,
    ) -> Tensor:
        """Return outputs ``[K, B, ...]`` for ``inputs`` ``[K, B, ...]``; dropout acts only where masks are given.

        ``values`` replaces some parameters by name, as pruned weights; ``running`` ``[K, S]`` the statistics.
        """
        self.network.train(masks is not None)
        for name in self._norm_names:
            self.network.get_submodule(name).eval()
        parameters = {**self.parameters, **(values or {})}
        used = masks if masks is not None else [inputs.new_ones(len(self.seeds))] * len(self._dropout_names)
        stacked = [parameters[name] for name in self._parameters.names]
        statistics = self._running_views if running is None else views_of(running, self._statistics_shapes)
        if self._vectorized:
            as_alone = AsAlone(len(self.seeds), [*stacked, *statistics, *used, inputs])
            with as_alone, products_in("float32", self.device):
                return vmap(self.call)(stacked, statistics, used, inputs)
        outputs = [
            self.call(
                [row_of(value, row) for value in stacked],
                [view[row] for view in statistics],
                [row_of(mask, row) for mask in used],
                row_of(inputs, row).to(memory_format=self._task.cpu_memory_format),
            )
            for row in range(len(self.seeds))
        ]
        return torch.stack(outputs)
