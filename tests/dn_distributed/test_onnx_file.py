"""A network as an ONNX file: the outputs of onnxruntime, and what ONNX cannot hold."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, fx, nn

from dn_distributed.errors import ExportError
from dn_distributed.exporting import onnx_file
from tests.dn_distributed.exported_networks import make

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.mark.parametrize("name", ["plain", "batch norm", "attention"])
def test_onnxruntime_gives_the_same_outputs_for_batches_of_any_size(name: str, tmp_path: Path) -> None:
    network, inputs = make(name)
    path = tmp_path / onnx_file.ONNX
    assert onnx_file.save(network, path, inputs) < 1e-5
    assert [file.name for file in tmp_path.iterdir()] == [onnx_file.ONNX]
    session = onnx_file._session(path)
    for size in (1, 2, 7):
        batch = inputs[torch.arange(size) % len(inputs)]
        (found,) = session.run([onnx_file.OUTPUT], {onnx_file.INPUT: batch.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), network(batch))


def traced(function: Callable[[Tensor], Tensor]) -> fx.GraphModule:
    class Calls(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return function(x)

    return fx.symbolic_trace(Calls())


def test_an_operator_that_onnx_lacks_is_one_line_and_no_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ExportError, match=r"the network has no ONNX form: .*lgamma") as caught:
        onnx_file.save(traced(torch.lgamma), tmp_path / "x.onnx", torch.rand(3, 2))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().out == ""


def test_other_outputs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "_distance", lambda *_: float("nan"))
    with pytest.raises(ExportError, match="onnxruntime's outputs differ from torch's"):
        onnx_file.save(traced(torch.relu), tmp_path / "x.onnx", torch.rand(3, 2))
    assert list(tmp_path.iterdir()) == []


def test_without_the_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ExportError, match=r"needs onnxruntime: pip install 'dropneuron-distributed\[export\]'"):
        onnx_file.check_installed()
