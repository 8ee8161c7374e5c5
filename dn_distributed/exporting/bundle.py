"""A smaller network as a folder: its files in every format, checked, with a model card. Written whole or not at all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, fx, nn

from dn_distributed.compaction import Dropped, Proof
from dn_distributed.errors import ExportError
from dn_distributed.exporting import architecture, card, costs, onnx_file
from dn_distributed.exporting.costs import Costs
from dn_distributed.files import check_folder

FILES = frozenset({architecture.ARCHITECTURE, architecture.MODEL, card.CARD, onnx_file.ONNX})
"""All that an export may hold."""


@dataclass(frozen=True)
class Exported:
    """What was written, and what the network costs before and after."""

    folder: Path
    before: Costs
    after: Costs
    onnx_distance: float | None
    """See ``onnx_file.save``; None without an ONNX file."""


def check_target(folder: Path) -> None:
    """ExportError where ``folder`` cannot become an export: it holds something else, or cannot be written."""
    try:
        if os.path.lexists(folder) and not folder.is_dir():
            raise ExportError(f"{folder}: is there already, and no folder")
        check_folder(folder)
        found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    except OSError as error:
        raise ExportError(f"{folder}: {error.strerror or error}") from error
    if found and (found - FILES or architecture.ARCHITECTURE not in found):
        other = min(found - FILES or found)
        raise ExportError(f"{folder}: holds {other!r}, so it is no former export; give an empty or a new folder")


def export(
    network: nn.Module,
    small: fx.GraphModule,
    folder: Path,
    *,
    inputs: Tensor,
    proof: Proof,
    title: str,
    origin: Mapping[str, str],
    onnx: bool = True,
    num_threads: int = 1,
) -> Exported:
    """Write ``small``, made of the pruned ``network``, to ``folder``; an export that is there is replaced whole.

    ``inputs``: test samples ``[N, ...]``, of which the ONNX file is checked with all. ``proof`` says that both networks
    give the same outputs. ``title`` and ``origin`` (what it was made from) go into the model card.

    ExportError where the folder holds anything else, or a file cannot be made: then nothing is written.
    """
    check_target(folder)
    if onnx:
        onnx_file.check_installed()
    with _moved_into_place(folder.absolute()) as part:
        architecture.save(small, part, inputs[:256])
        distance = onnx_file.save(small, part / onnx_file.ONNX, inputs) if onnx else None
        before, after = costs.measure([network, architecture.load(part)], inputs, num_threads=num_threads)
        dropped = small.dropped
        assert isinstance(dropped, Dropped)
        text = card.render(title, origin, before, after, proof, dropped, inputs, distance)
        (part / card.CARD).write_text(text, encoding="utf-8")
    return Exported(folder, before, after, distance)


@contextlib.contextmanager
def _moved_into_place(folder: Path) -> Iterator[Path]:
    """Give an empty folder that takes the place of ``folder`` at the end, where all went well."""
    folder = folder.resolve()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    except OSError as error:
        raise ExportError(f"{folder}: {error.strerror or error}") from error
    try:
        (work / "new").mkdir()
        yield work / "new"
        if folder.exists():
            folder.rename(work / "old")
        (work / "new").rename(folder)
    except OSError as error:
        raise ExportError(f"{folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
