"""A network as two files that nothing of this package is needed to read: ``architecture.json``, ``model.safetensors``.

The first names modules of ``torch.nn`` with their arguments, and the graph that joins them; the second has the numbers.
What a file may name is a list: nothing of it is evaluated, and no pickle is read.
"""

import inspect
import json
import keyword
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, fx, nn
from torch.nn import functional

from dn_distributed.errors import ArgumentError, ExportError
from dn_distributed.files import open_regular
from dn_distributed.text import one_line, quoted
from dn_distributed.weights_file import without_masks

ARCHITECTURE, MODEL = "architecture.json", "model.safetensors"
FORMAT = 1

_OPERATORS = (
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "neg", "pos", "abs", "matmul", "getitem"),
    *("iadd", "isub", "imul", "itruediv", "eq", "ne", "lt", "le", "gt", "ge", "and_", "or_", "xor", "invert"),
)
_MORE_FUNCTIONS = ("hardsigmoid", "hardswish", "relu_", "elu_", "selu_", "celu_", "leaky_relu_", "hardtanh_")
METHODS = frozenset(
    """
    abs add add_ amax amin argmax argmin bmm ceil chunk clamp clamp_ clamp_max clamp_min clone contiguous cos
    cumsum detach dim div div_ double exp expand expand_as flatten flip float floor gather half index_select log
    log_softmax logsumexp masked_fill matmul max mean min movedim mul mul_ narrow ne neg new_full new_ones
    new_zeros norm numel permute pow prod reciprocal relu relu_ repeat repeat_interleave reshape reshape_as roll
    round rsqrt select sigmoid sigmoid_ sign sin size softmax split sqrt square squeeze std sub sub_ sum swapaxes t
    tanh tanh_ tile to topk transpose type_as unbind unflatten unsqueeze var view view_as where zero_
    """.split()  # noqa: SIM905 - as many names as a list would be hard to read
)
"""Methods of tensors that a graph may call."""
_NAME = re.compile(r"\w+(\.\w+)*", re.ASCII)


@cache
def _functions() -> Mapping[str, Callable[..., Any]]:
    """The functions that a graph may call, by name: those of torch that act on tensors, and operators."""
    known = torch.overrides.get_overridable_functions()
    allowed = {id(function) for space in (torch, torch.functional, functional) for function in known[space]}
    allowed |= {id(getattr(functional, name)) for name in _MORE_FUNCTIONS}
    found = {f"operator.{name}": getattr(operator, name) for name in _OPERATORS}
    for prefix, space in (("torch", torch), ("torch.nn.functional", functional)):
        names = [name for name in dir(space) if not name.startswith("_") and id(getattr(space, name)) in allowed]
        found |= {f"{prefix}.{name}": getattr(space, name) for name in names if name != "autocast"}
    return found


@cache
def _function_names() -> Mapping[int, str]:
    """Their names by ``id``; of a function of two names the shorter."""
    by_length = sorted(_functions().items(), key=lambda item: -len(item[0]))
    return {id(function): name for name, function in by_length}


# Writing


def save(network: fx.GraphModule, folder: Path, example: Tensor) -> None:
    """Write a network in evaluation mode to ``architecture.json`` and ``model.safetensors`` in ``folder``.

    ``example``: a batch of inputs ``[B, ...]``, for which the files must give the same outputs to the bit.
    ExportError where they do not, or the network has what they cannot hold; then nothing is written.
    """
    described = describe(network)
    own, of_modules = {*described["parameters"], *described["buffers"]}, tuple(f"{m}." for m in described["modules"])
    tensors = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in network.state_dict().items()
        if name in own or name.startswith(of_modules)  # others the graph does not read
    }
    rebuilt = _filled(build(json.loads(json.dumps(described, allow_nan=False))), tensors, "the network")
    _check_same(network, rebuilt, example)
    folder.joinpath(ARCHITECTURE).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    folder.joinpath(MODEL).write_bytes(safetensors.torch.save(tensors))


@torch.no_grad()
def _check_same(network: fx.GraphModule, rebuilt: fx.GraphModule, example: Tensor) -> None:
    try:
        same = torch.equal(network(example), rebuilt(example))
    except (RuntimeError, NotImplementedError, TypeError) as error:
        _refuse(f"the network does not run when it is built from its description: {one_line(str(error))}")
    if not same:
        _refuse("the network's outputs are others when it is built from its description")


def describe(network: fx.GraphModule) -> dict[str, Any]:
    """Return the architecture as plain data. ExportError where the network has what the format cannot hold."""
    modules = {str(node.target): network.get_submodule(str(node.target)) for node in _of(network, "call_module")}
    tensors = {str(node.target): operator.attrgetter(str(node.target))(network) for node in _of(network, "get_attr")}
    own = {name: tensor for name, tensor in tensors.items() if not any(name.startswith(f"{m}.") for m in modules)}
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            _refuse(f"the network reads {name!r}, which is no tensor but {type(value).__name__}")
    return {
        "format": FORMAT,
        "modules": {name: _describe_module(name, module) for name, module in modules.items()},
        "parameters": [name for name, tensor in own.items() if isinstance(tensor, nn.Parameter)],
        "buffers": [name for name, tensor in own.items() if not isinstance(tensor, nn.Parameter)],
        "nodes": [_describe_node(node) for node in network.graph.nodes],
    }


def _of(network: fx.GraphModule, op: str) -> list[fx.Node]:
    return [node for node in network.graph.nodes if node.op == op]


def _describe_module(name: str, module: nn.Module) -> dict[str, Any]:
    """Class and arguments; an argument of the constructor is taken from the attribute of its name."""
    kind = type(module)
    if getattr(nn, kind.__name__, None) is not kind:
        _refuse(f"module {name!r} is {kind.__name__}, which is no class of torch.nn")
    arguments = {}
    for argument in _constructor_arguments(kind):
        is_plain = argument.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        if not is_plain or argument.name.startswith("_") or argument.name in ("device", "dtype"):
            continue
        if argument.name == "bias" and isinstance(module, nn.MultiheadAttention):
            arguments["bias"] = module.in_proj_bias is not None
        elif argument.name in module._parameters:
            arguments[argument.name] = module._parameters[argument.name] is not None
        elif hasattr(module, argument.name):
            arguments[argument.name] = _encode(getattr(module, argument.name), f"module {name!r}")
    return {"class": kind.__name__, "arguments": arguments}


def _constructor_arguments(kind: type[nn.Module]) -> list[inspect.Parameter]:
    """Return the arguments of a module's constructor; recurrent layers hand on those of their base."""
    if not issubclass(kind, nn.RNNBase):
        return list(inspect.signature(kind.__init__).parameters.values())[1:]
    own = [inspect.Parameter("nonlinearity", inspect.Parameter.POSITIONAL_OR_KEYWORD)] * (kind is nn.RNN)
    of_others = ("self", "mode") if kind is nn.LSTM else ("self", "mode", "proj_size")
    of_base = inspect.signature(nn.RNNBase.__init__).parameters.values()
    return [*(argument for argument in of_base if argument.name not in of_others), *own]


def _describe_node(node: fx.Node) -> dict[str, Any]:
    op, target, where = node.op, node.target, f"{node.op} {node.name!r}"
    args, kwargs = node.args, node.kwargs
    if node.target is getattr and args[1:] == ("shape",):
        op, target, args = "call_method", "size", args[:1]
    if op == "call_function":
        name = _function_names().get(id(target))
        if name is None:
            shown = getattr(target, "__qualname__", str(target))
            _refuse(f"the network calls {quoted(shown)}, which is no function of torch or operator that files name")
        target = name
    elif op == "call_method" and target not in METHODS:
        _refuse(f"the network calls the method {quoted(str(target))}, which is none that a file may name")
    described = {"name": node.name, "op": op, "target": str(target), "args": [_encode(value, where) for value in args]}
    return {**described, "kwargs": {key: _encode(value, where) for key, value in kwargs.items()}}


_CONSTANTS = (torch.dtype, torch.memory_format, torch.layout)


def _encode(value: Any, where: str) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, fx.Node):
        return {"node": value.name}
    if isinstance(value, tuple):
        return {"tuple": [_encode(item, where) for item in value]}
    if isinstance(value, list):
        return [_encode(item, where) for item in value]
    if isinstance(value, slice):
        return {"slice": [_encode(item, where) for item in (value.start, value.stop, value.step)]}
    if isinstance(value, _CONSTANTS):
        return {"torch": str(value).removeprefix("torch.")}
    if value is Ellipsis:
        return {"ellipsis": True}
    return _refuse(f"{where} has an argument of type {type(value).__name__}, which {ARCHITECTURE} cannot hold")


# Reading


def load(folder: str | Path, model: str = MODEL) -> fx.GraphModule:
    """Return the network that ``save`` wrote to ``folder``, in evaluation mode.

    ``model``: the name of the file there that has its numbers. What ``torch.nn.utils.prune`` made of them since is
    read too. ExportError for files that cannot be read, or that name what a network's file may not name.
    """
    path, numbers = Path(folder) / ARCHITECTURE, Path(folder) / model
    try:
        with open_regular(path) as file:
            described = json.loads(file.read())
        open_regular(numbers).close()
        network = build(described)
        tensors = without_masks(safetensors.torch.load_file(numbers), network.state_dict())
    except OSError as error:
        _refuse(f"{error.filename or numbers}: {(error.strerror or str(error)).lower()}")
    except SafetensorError as error:
        _refuse(f"{numbers}: not a safetensors file ({one_line(str(error))})")
    except ArgumentError as error:
        _refuse(f"{numbers}: {error}")
    except (ValueError, RecursionError) as error:  # no JSON, or a description that is refused
        _refuse(f"{path}: {one_line(str(error))}")
    return _filled(network, tensors, str(numbers))


def build(described: Any) -> fx.GraphModule:
    """Return the network of a description without its numbers (on the device ``meta``), in evaluation mode.

    ExportError for one that names what it may not name, or that is no network.
    """
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        _refuse(f"not the architecture of a network in format {FORMAT}")
    try:
        with torch.device("meta"):
            modules = _named(described["modules"]).items()
            parts: dict[str, Any] = {name: _build_module(module) for name, module in modules}
        parts |= {name: nn.Parameter(_placeholder()) for name in _checked(described["parameters"])}
        parts |= {name: _placeholder() for name in _checked(described["buffers"])}
        graph = _build_graph(described["nodes"])
        return fx.GraphModule(parts, graph).eval()
    except ExportError:
        raise
    except Exception as error:  # constructors and the graph check what they are given, each in its own way
        _refuse(f"not the architecture of a network ({type(error).__name__}: {one_line(str(error))})")


def _placeholder() -> Tensor:
    return torch.empty(0, device="meta")


def _checked(names: Any) -> Iterable[str]:
    """Names of modules or tensors: they enter code that torch.fx makes."""
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            _refuse(f"{quoted(str(name))} is no name of a module or tensor")
    return names  # type: ignore[no-any-return]


def _named(values: dict[str, Any]) -> dict[str, Any]:
    _checked(values)
    return values


def _build_module(described: dict[str, Any]) -> nn.Module:
    name = described["class"]
    kind = getattr(nn, name, None)
    if not isinstance(kind, type) or not issubclass(kind, nn.Module):
        _refuse(f"{quoted(str(name))} is no module of torch.nn")
    return kind(**{key: _decode(value, {}) for key, value in described["arguments"].items()})


def _build_graph(nodes: Iterable[dict[str, Any]]) -> fx.Graph:
    graph, made = fx.Graph(), dict[str, fx.Node]()
    for node in nodes:
        args = tuple(_decode(value, made) for value in node["args"])
        kwargs = {_identifier(key): _decode(value, made) for key, value in node["kwargs"].items()}
        op, target, name = node["op"], _target(node), _identifier(node["name"])
        made[name] = graph.create_node(op, target, args, kwargs, name)
    graph.lint()
    return graph


def _target(node: dict[str, Any]) -> Any:
    """The function, or the checked name of what a node calls or reads."""
    op, target = node["op"], node["target"]
    if op == "call_function":
        if target not in _functions():
            _refuse(f"{quoted(str(target))} is no function that a network's file may name")
        return _functions()[target]
    if op == "call_method":
        if target not in METHODS:
            _refuse(f"{quoted(str(target))} is no method that a network's file may name")
        return target
    if op in ("placeholder", "output"):
        return _identifier(target)
    (name,) = _checked([target])
    return name


def _identifier(name: Any) -> str:
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        _refuse(f"{quoted(str(name))} is no name of a value")
    return name


def _decode(value: Any, made: Mapping[str, fx.Node]) -> Any:
    if isinstance(value, list):
        return [_decode(item, made) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == "node":
        return made[inner]
    if kind == "tuple":
        return tuple(_decode(item, made) for item in inner)
    if kind == "slice":
        return slice(*(_decode(item, made) for item in inner))
    if kind == "float":
        return float(inner)
    if kind == "ellipsis":
        return Ellipsis
    constant = getattr(torch, inner, None) if kind == "torch" else None
    if not isinstance(constant, _CONSTANTS):
        _refuse(f"{quoted(json.dumps(value))} is no value that a network's file may hold")
    return constant


def _filled(network: fx.GraphModule, tensors: Mapping[str, Tensor], where: str) -> fx.GraphModule:
    """Give a network its numbers. ExportError where they are not those of its modules."""
    wanted = network.state_dict()
    if missing := sorted(wanted.keys() ^ tensors.keys()):
        whose = "is missing" if missing[0] in wanted else "is none of the architecture"
        _refuse(f"{where}: the tensor {missing[0]!r} {whose}")
    for name, tensor in wanted.items():
        if tensor.shape != tensors[name].shape and tensor.shape != (0,):  # of its own tensors the shape is not known
            _refuse(f"{where}: {name!r} has the shape {list(tensors[name].shape)}, not {list(tensor.shape)}")
    for name, tensor in tensors.items():
        home, _, own = name.rpartition(".")
        module = network.get_submodule(home)
        is_parameter = own in module._parameters
        setattr(module, own, nn.Parameter(tensor, tensor.is_floating_point()) if is_parameter else tensor)
    return network


def _refuse(message: str) -> NoReturn:
    raise ExportError(message)
