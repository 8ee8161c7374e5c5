"""A whole network's numbers out of a safetensors file, as ``torch.nn.Module.state_dict`` names them."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from dn_distributed.errors import ArgumentError, ExportError
from dn_distributed.files import open_regular
from dn_distributed.text import one_line

PICKLES = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""How files of torch.save and of pickle begin; a safetensors file may begin so too, with the length of its head."""


def load_into(network: nn.Module, path: Path, title: str) -> nn.Module:
    """Give a network the numbers of a file, and return it in evaluation mode. Masks as of ``without_masks``.

    ExportError where they are not those of such a network, which errors call ``title``.
    """
    start = b""
    try:
        with open_regular(path) as file:
            start = file.read(2)
        tensors = safetensors.torch.load_file(path)
    except OSError as error:
        raise ExportError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except SafetensorError as error:
        if start in PICKLES:
            raise ExportError(
                f"{path}: holds pickles, which are not read: save the weights with safetensors.torch.save_file"
            ) from error
        raise ExportError(f"{path}: not a safetensors file ({one_line(str(error), 200)})") from error
    try:
        load_tensors_(network, without_masks(tensors, network.state_dict()))
    except ArgumentError as error:
        raise ExportError(f"{path}: {error}") from error
    except RuntimeError as error:
        reason = " ".join(str(error).split()[6:])
        raise ExportError(f"{path}: not the weights of {title}: {one_line(reason, 300)}") from error
    return network.eval()


def load_tensors_(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give a network its tensors by name, as ``load_state_dict``; what layers share may have the first name alone."""
    first = {id(parameter): name for name, parameter in network.named_parameters()}
    names = {name: first[id(parameter)] for name, parameter in network.named_parameters(remove_duplicate=False)}
    shared = {name: tensors[other] for name, other in names.items() if other in tensors}
    network.load_state_dict({**shared, **tensors})


def without_masks(tensors: Mapping[str, Tensor], wanted: Iterable[str]) -> dict[str, Tensor]:
    """Return the tensors, with ``NAME_orig`` and ``NAME_mask`` of ``torch.nn.utils.prune`` as ``NAME`` where wanted.

    ArgumentError for a mask of another shape.
    """
    found = dict(tensors)
    for name in set(wanted) - found.keys():
        if {f"{name}_orig", f"{name}_mask"} <= found.keys():
            found[name] = masked(name, found.pop(f"{name}_orig"), found.pop(f"{name}_mask"))
    return found


def masked(name: str, original: Tensor, mask: Tensor) -> Tensor:
    """Return the pruned tensor ``name``. ArgumentError for a mask of another shape, which torch would broadcast."""
    if original.shape != mask.shape:
        raise ArgumentError(
            f"{name}_mask is not of the shape of {name}_orig: {list(mask.shape)}, not {list(original.shape)}"
        )
    return original * mask
