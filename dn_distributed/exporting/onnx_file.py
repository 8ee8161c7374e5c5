"""A network as an ONNX file, checked with onnxruntime. Needs the extra ``export``."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from dn_distributed.errors import ExportError
from dn_distributed.text import one_line

ONNX = "model.onnx"
INPUT, OUTPUT, BATCH = "input", "output", "batch"
"""The names of the file's input, its output and their first size, which is free."""
TOLERANCE = 1e-4
"""Largest difference of onnxruntime from torch, relative to the largest output: sums of float32 in another order."""
_CHECKED_AT_ONCE = 500


def check_installed() -> None:
    """ExportError where a package is missing that ONNX files are made and checked with."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            import_module(name)
        except ImportError as error:
            raise ExportError(
                f"an ONNX file needs {name}: pip install 'dropneuron-distributed[export]', or leave the file out"
            ) from error


def save(network: fx.GraphModule, path: Path, inputs: Tensor) -> float:
    """Write a float32 network to an ONNX file and return how far onnxruntime's outputs for ``inputs`` are from torch's.

    The number is relative to the largest output. ``inputs``: ``[N, ...]``; the file takes batches of any size.
    ExportError where ONNX lacks an operator of the network, or onnxruntime gives other outputs; no file is left then.
    """
    check_installed()
    example = inputs[:2].repeat(2, *[1] * (inputs.ndim - 1))[:2]  # a batch of one would be taken for a fixed size
    try:
        with _in_silence():
            torch.onnx.export(
                network,
                (example,),
                path,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim(BATCH, min=2)},),  # else torch 2.9 refuses attention; 1 works too
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        distance = _distance(network, path, inputs)
    except Exception as error:  # the exporter and onnxruntime have dozens of their own
        path.unlink(missing_ok=True)
        raise ExportError(f"the network has no ONNX form: {_reason(error)}") from error
    if not distance <= TOLERANCE:  # NaN too
        path.unlink()
        raise ExportError(
            f"onnxruntime's outputs differ from torch's by {distance:.2g} of the largest output (at most {TOLERANCE:g} "
            "is rounding)"
        )
    return distance


@contextlib.contextmanager
def _in_silence() -> Iterator[None]:
    """The exporter prints its progress, and warns of what is no matter here."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@torch.no_grad()
def _distance(network: fx.GraphModule, path: Path, inputs: Tensor) -> float:
    session = _session(path)
    furthest = largest = torch.zeros(())
    for batch in torch.split(inputs, _CHECKED_AT_ONCE):
        expected = network(batch)
        (found,) = session.run([OUTPUT], {INPUT: batch.numpy()})
        furthest = torch.maximum(furthest, (torch.from_numpy(found) - expected).abs().max())
        largest = torch.maximum(largest, expected.abs().max())
    return float(furthest / largest) if furthest else 0.0


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _reason(error: BaseException) -> str:
    """The first cause, on one line: the exporter wraps it in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return one_line(lines[0] if lines else type(error).__name__, 300)
