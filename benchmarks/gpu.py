"""``python -m benchmarks.gpu``: steps on an NVIDIA GPU, by task, size of the stack and precision.

A stack's gradient is recorded and asked for as one launch; the first column is without that.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import torch

from benchmarks.machine import machine
from benchmarks.trainer import best_ms, load, make_trainer
from dn_distributed.config import Precision
from dn_distributed.data import Data
from dn_distributed.replicas import one_launch
from dn_distributed.tasks import Task
from sweeps.planning.data_dir import resolve_data_dir

PACKS = {
    "regression": (1, 10, 100, 1000),
    "autoencoder": (1, 10, 100),
    "lenet300": (1, 10, 100),
    "lenet5": (1, 10, 100),
    "lenet5_caffe": (1, 10, 100),
}
PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "bf16")
STEPS = 20


def run(data_dir: Path, device: torch.device) -> Iterator[str]:
    """Yield the table as Markdown lines, as they are measured: milliseconds per replicate and step."""
    precisions = [name for name in PRECISIONS if name != "tf32" or device.type != "cpu"]
    columns = ["float32, each operation asked for", *precisions]
    yield f"| task | stack of | {' | '.join(columns)} |"
    yield f"| --- | --: |{' --: |' * len(columns)}"
    for name, packs in PACKS.items():
        task, data = load(name, data_dir)
        for size in packs:
            with mock.patch.object(one_launch, "OneLaunch", side_effect=RuntimeError):
                times = [_step_ms(task, data, size, "float32", device)]
            times += [_step_ms(task, data, size, precision, device) for precision in precisions]
            yield f"| {name} | {size} | {' | '.join(f'{found:.3g}' for found in times)} |"


def _step_ms(task: Task, data: Data, size: int, precision: Precision, device: torch.device) -> float:
    trainer = make_trainer(task, data, size, precision, device)

    def steps() -> None:
        trainer.advance(STEPS)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return best_ms(steps) / STEPS / size


def main() -> None:
    """Print the table, or one line where there is no GPU."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="Time steps on a GPU. Needs MNIST.")
    parser.add_argument("--data-dir", type=Path, help="Folder of MNIST. Default: $DN_DATA_DIR, else ./data.")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("skipped: torch finds no NVIDIA GPU on this machine")
        return
    print(f"{torch.cuda.get_device_name()}, {machine()}: milliseconds per replicate and step\n")
    for line in run(resolve_data_dir(arguments.data_dir), torch.device("cuda")):
        print(line, flush=True)


if __name__ == "__main__":
    main()
