"""Dead units leave the tensors of a graph; what they emitted for every input alike goes into the biases that follow."""

import torch
from torch import Tensor, fx, nn

from dn_distributed.compaction.channels import is_pair
from dn_distributed.compaction.graph import cat_arguments, module_of, shape
from dn_distributed.compaction.liveness import Liveness, constant_terms
from dn_distributed.compaction.units import Channels, Conv, LayerUse, folded

_CHANNELWISE = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.PReLU)


@torch.no_grad()
def shrink(liveness: Liveness) -> fx.GraphModule:
    """Take the units that do not stay out of ``liveness.structure.graph``, in place, and return it."""
    graph = liveness.structure.graph
    layers = {use.node for use in liveness.structure.layers}
    for node in list(graph.graph.nodes):
        if node not in layers:
            _shrink_operation(liveness, node)
    for use in liveness.structure.layers:
        _shrink_layer(liveness, use)
    for node in list(graph.graph.nodes):
        _replace_constants(liveness, node)
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    _delete_unused_buffers(graph)
    graph.graph.lint()
    graph.recompile()
    return graph


def _delete_unused_buffers(graph: fx.GraphModule) -> None:
    used = {str(node.target) for node in graph.graph.nodes if node.op == "get_attr"}
    for name in [name for name, _ in graph.named_buffers(recurse=False) if name not in used]:
        delattr(graph, name)


def _shrink_operation(liveness: Liveness, node: fx.Node) -> None:
    """A normalisation, a convolution of each channel by itself, or a concatenation."""
    channels, module = liveness.structure.channels[node], module_of(node)
    if channels is None:
        return
    if (arguments := cat_arguments(node)) is not None:  # leaves out what is empty
        parts, dim = arguments
        node.args, node.kwargs = ([part for part in parts if not _is_empty(liveness, part)], dim), {}
    elif isinstance(module, _CHANNELWISE):
        keeps = liveness.keeps(channels)
        if keeps.any() and not keeps.all():
            _shrink_channelwise(module, keeps)


def _is_empty(liveness: Liveness, node: fx.Node) -> bool:
    channels = liveness.structure.channels[node]
    return channels is not None and not liveness.keeps(channels).any()


def _shrink_channelwise(module: nn.Module, keeps: Tensor) -> None:
    count = int(keeps.sum())
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.ndim and len(tensor) == len(keeps):
            _put(module, name, tensor[keeps.to(tensor.device)])
    if isinstance(module, nn.GroupNorm):
        module.num_groups = module.num_groups * count // len(keeps)
        module.num_channels = count
    elif isinstance(module, nn.PReLU):
        module.num_parameters = count if module.num_parameters > 1 else 1
    elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        module.in_channels = module.groups = count * module.in_channels // module.out_channels
        module.out_channels = count
    else:
        module.num_features = count  # type: ignore[assignment]


def _shrink_layer(liveness: Liveness, use: LayerUse) -> None:
    """Dead outputs go with their rows, and inputs that are not read with their columns."""
    rows, live = liveness.keeps(use.outputs), liveness.is_live(use.outputs)
    if not rows.any():
        return  # nothing is left that reads it
    columns = _select_inputs(liveness, use)
    _shrink_tensors(use.module, folded(use), rows, live, columns, None if use.inputs is None else liveness.reads(use))


def _select_inputs(liveness: Liveness, use: LayerUse) -> Tensor:
    """Put an index of the inputs that are read before a layer where others enter it too; return those left."""
    if use.inputs is None:
        return torch.ones(use.module.weight.shape[1], dtype=torch.bool)
    present, read = liveness.keeps(use.inputs), liveness.reads(use)
    if not (present & read).any():
        read = present & (present.cumsum(0) == 1)  # one at least; its column is zero
    if not read[present].all():
        _select(use, read[present].nonzero().flatten())
    return present & read


def _select(use: LayerUse, index: Tensor) -> None:
    graph, before = use.node.graph, use.node.all_input_nodes[0]
    assert use.inputs is not None
    with graph.inserting_before(use.node):
        read = _buffer(graph, f"{use.node.target}_inputs", index.to(use.module.weight.device))
        selected = graph.call_function(torch.index_select, (before, use.inputs.dim, read))
    use.node.replace_input_with(before, selected)


def _buffer(graph: fx.Graph, name: str, tensor: Tensor) -> fx.Node:
    """Give the network a buffer of a name like this one, and return the node that reads it."""
    assert graph.owning_module is not None
    name = name.replace(".", "_")
    while hasattr(graph.owning_module, name):
        name += "_"
    graph.owning_module.register_buffer(name, tensor)
    return graph.get_attr(name)


def _shrink_tensors(
    module: nn.Linear | Conv, fold: Tensor, rows: Tensor, live: Tensor, columns: Tensor, reads: Tensor | None
) -> None:
    weight = module.weight.detach().clone()
    weight[(rows & ~live).to(weight.device)] = 0
    if reads is not None:
        weight[:, (~reads).to(weight.device)] = 0
    if module.bias is not None or fold[rows].any():
        bias = fold if module.bias is None else module.bias.detach().double().cpu() + fold
        _put(module, "bias", bias.where(live, 0.0)[rows].to(weight))
    _put(module, "weight", weight[rows.to(weight.device)][:, columns.to(weight.device)])
    num_outputs, num_inputs = module.weight.shape[:2]
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = num_outputs, num_inputs
    else:
        module.out_channels, module.in_channels = num_outputs, num_inputs


def _put(module: nn.Module, name: str, tensor: Tensor) -> None:
    """Set a parameter or buffer to a tensor of another size."""
    before = getattr(module, name)
    like = module.get_parameter("weight") if before is None else before  # a bias that was not there
    tensor = tensor.contiguous()
    is_buffer = name in dict(module.named_buffers())
    setattr(module, name, tensor if is_buffer else nn.Parameter(tensor, like.requires_grad))


def _replace_constants(liveness: Liveness, node: fx.Node) -> None:
    """A branch that emits nothing but constants becomes these: ``x + branch(x)`` becomes ``x + constants``."""
    if not is_pair(node) or liveness.structure.channels.get(node) is None:
        return
    for term in constant_terms(liveness.structure, node):
        channels, of_term, of_sum = liveness.structure.channels[term], shape(term), shape(node)
        others = [shape(other) for other in node.all_input_nodes if other is not term]
        keeps = None if channels is None else liveness.keeps(channels)
        if term.op == "placeholder" or channels is None or of_term is None or keeps is None or not keeps.any():
            continue
        if others == [of_sum]:  # the sum has the shape of the other term without this one
            _put_constants(node, term, channels, keeps, len(of_term))


def _put_constants(node: fx.Node, term: fx.Node, channels: Channels, keeps: Tensor, num_dims: int) -> None:
    root = node.graph.owning_module
    assert root is not None
    size = [1] * num_dims
    size[channels.dim] = int(keeps.sum())
    constants = channels.constants[keeps].to(next(root.parameters())).view(size)
    with node.graph.inserting_before(node):
        node.replace_input_with(term, _buffer(node.graph, f"{term.name}_constant", constants))
