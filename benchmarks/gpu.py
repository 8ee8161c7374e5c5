"""``python -m benchmarks.gpu``: steps on an NVIDIA GPU, by task, size of the stack and precision."""

import argparse
from pathlib import Path

import torch

from benchmarks.__main__ import machine
from benchmarks.trainer import best_ms, load, make_trainer
from dn_distributed.config import Precision
from dn_distributed.data import Data
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


def run(data_dir: Path, device: torch.device) -> list[str]:
    """Return the table as Markdown lines: milliseconds per replicate and step."""
    precisions = [name for name in PRECISIONS if name != "tf32" or device.type != "cpu"]
    lines = [f"| task | stack of | {' | '.join(precisions)} |", f"| --- | --: |{' --: |' * len(precisions)}"]
    for name, packs in PACKS.items():
        task, data = load(name, data_dir)
        for size in packs:
            times = [f"{_step_ms(task, data, size, precision, device):.3g}" for precision in precisions]
            lines.append(f"| {name} | {size} | {' | '.join(times)} |")
    return lines


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
    print("\n".join(run(resolve_data_dir(arguments.data_dir), torch.device("cuda"))))


if __name__ == "__main__":
    main()
