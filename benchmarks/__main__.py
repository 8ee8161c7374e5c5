"""``make bench``: run the benchmarks and write benchmarks/RESULTS.md."""

import argparse
import datetime
import os
from pathlib import Path

from benchmarks import (
    agreement,
    compiled,
    full_length,
    growth,
    lenet5_step,
    methods,
    overhead,
    precision,
    scale,
    shrinking,
    start,
    step_parts,
    trainer,
    whole_sweep,
)
from benchmarks.machine import machine
from sweeps.planning.data_dir import resolve_data_dir

PARTS = {
    "trainer": ("(a) The trainer alone: milliseconds per replicate and step", trainer.run),
    "sweep": ("(b) A whole sweep against the tutorial way", whole_sweep.run),
    "full_length": ("(k) A training at its full length against the tutorial way", full_length.run),
    "overhead": ("(c) What Ray and MLflow add to bare training", overhead.run),
    "scale": ("(d) Scale: ten thousand replicates, two thousand short packs", scale.run),
    "growth": ("(l) Growth: a hundred thousand replicates on a tracking server", growth.run),
    "shrinking": ("(g) Trainings that drop units, with tensors that get smaller and without", shrinking.run),
    "lenet5_step": ("(f) What makes a step of LeNet-5 cheaper", lenet5_step.run),
    "precision": ("(h) A step in bfloat16 against one in float32", precision.run),
    "step_parts": ("(q) Where the time of a step goes", step_parts.run),
    "compiled": ("(p) What torch.compile would add", compiled.run),
    "methods": ("(m) What a method costs: time of a step, and memory", methods.run),
    "start": ("(o) How soon a sweep starts, beside what Ray Tune needs", start.run),
    "agreement": ("(i) Scores of trainings in bfloat16 and in float32", agreement.run),
}
_INTRODUCTION = (
    "`make bench` prints all tables but (e), which `make faults` prints, and (j) and (n), which have commands of\n"
    "their own; `DN_DATA_DIR` names the folder of MNIST."
)
RESULTS = Path(__file__).with_name("RESULTS.md")
ROOT = RESULTS.parents[1]


def main() -> None:
    """Run the named parts (default: all) and print them; each part is kept in a file of its own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Time this project. Needs MNIST.")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="Parts to run. Default: all.")
    parser.add_argument("--data-dir", type=Path, help="Folder of MNIST. Default: $DN_DATA_DIR, else ./data.")
    arguments = parser.parse_args()
    # Ray's workers import the tutorial way from here, and know only what is installed.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    data_dir = resolve_data_dir(arguments.data_dir)
    sections = _sections()
    for part in arguments.parts or PARTS:
        title, work = PARTS[part]
        date = datetime.datetime.now(tz=datetime.UTC).date()
        lines = [
            f"## {title}",
            "",
            f"`python -m benchmarks {part}`, {date}, {machine()}",
            "",
            *work(data_dir),
        ]
        sections[title] = "\n".join(lines)
        print(sections[title], flush=True)
        ordered = [sections[title] for title, _ in PARTS.values() if title in sections]
        RESULTS.write_text(
            "\n\n".join(["# Benchmarks", _INTRODUCTION, *ordered, *_discussion()]) + "\n", encoding="utf-8"
        )


def _sections() -> dict[str, str]:
    """Return the sections of an earlier run by title."""
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    found = [part.strip() for part in text.split("\n## ")[1:]]
    return {part.splitlines()[0]: f"## {part}" for part in found}


def _discussion() -> list[str]:
    """Return what was written by hand under the figures: it stays."""
    return [text for title, text in _sections().items() if title not in [t for t, _ in PARTS.values()]]


if __name__ == "__main__":
    main()
