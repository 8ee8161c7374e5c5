"""A whole network's numbers out of a safetensors file, as ``torch.nn.Module.state_dict`` names them."""

from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from dn_distributed.errors import ExportError
from dn_distributed.files import open_regular
from dn_distributed.text import one_line

PICKLES = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""How files of torch.save and of pickle begin; a safetensors file may begin so too, with the length of its head."""


def load_into(network: nn.Module, path: Path, title: str) -> nn.Module:
    """Give a network the numbers of a file, and return it in evaluation mode.

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
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split()[6:])
        raise ExportError(f"{path}: not the weights of {title}: {one_line(reason, 300)}") from error
    return network.eval()
