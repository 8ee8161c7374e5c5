"""When is the truth of a sparse linear problem found? Runs the plan ``plans/recovery.md`` and writes its page.

    python docs/results/recovery.py run normal-0      # one ensemble, or several; goes on where it was stopped
    python docs/results/recovery.py                   # the page, from the records in recovery/ alone

A record is a small JSON file for each ensemble: which of a hundred problems of a point a method recovers.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import recovery_methods as methods
import recovery_page
import torch
from recovery_curves import Ensemble
from torch import Tensor

FOLDER = Path(__file__).parent / "recovery"
PAGE, TEMPLATE = FOLDER / "README.md", FOLDER / "README.md.jinja"
SEEDS = range(1000, 1100)
SAMPLES = (8, 12, 16, 24, 32, 48, 64, 90, 128, 180, 256, 360)
NONZEROS = (2, 4, 8, 12, 16, 24)
POINTS = tuple((m, k) for k in NONZEROS for m in SAMPLES if m > k)
"""With as many samples as non-zeros, no support of their size is considered: least squares would fit anything."""
CHECKED = ("ℓ1 1", "ℓ1 2", "ℓ1 3")
ENSEMBLES = {f"{values}-{noise:g}": (values, noise) for noise in (0.0, 0.1) for values in ("normal", "sign", "uniform")}


def run(name: str, points: Sequence[tuple[int, int]] = POINTS, seeds: Sequence[int] = SEEDS) -> None:
    """Try all methods on the points that the ensemble's record lacks; it is written after each."""
    values, noise = ENSEMBLES[name]
    record = load(name) or {
        "ensemble": name,
        "problems": len(seeds),
        "methods": list(methods.METHODS),
        "seconds": 0.0,
        "points": [],
    }
    done = {(point["m"], point["k"]) for point in record["points"]}
    for m, k in points:
        if (m, k) in done:
            continue
        begin = time.process_time()
        found = methods.recovered(methods.problems(values, noise, m, k, seeds), m)
        record["points"].append({
            "m": m,
            "k": k,
            "recovered": [_bits(found[method][1]) for method in methods.METHODS],
            "proposed": [int(found[method][0].sum()) for method in methods.METHODS],
        })  # fmt: skip
        record["seconds"] = round(record["seconds"] + time.process_time() - begin, 1)
        _save(name, record)
        print(name, m, k, record["seconds"], record["points"][-1]["proposed"], flush=True)


def check(name: str) -> None:
    """Count of the problems that ℓ1 at rest recovers and LASSO does not those that lie on LASSO's exact path.

    Written to the ensemble's record, by method.
    """
    record = load(name)
    assert record is not None
    values, noise = ENSEMBLES[name]
    record["on_path"] = dict.fromkeys(CHECKED, 0)
    for point in record["points"]:
        bits = dict(zip(record["methods"], (int(text, 16) for text in point["recovered"]), strict=True))
        for method in CHECKED:
            alone = [seed for row, seed in enumerate(SEEDS) if bits[method] & ~bits["LASSO"] & 1 << row]
            if alone:
                made = methods.problems(values, noise, point["m"], point["k"], alone)
                record["on_path"][method] += int(methods.on_lasso_path(made.train, made.truth).sum())
    _save(name, record)


def _bits(of_problems: Tensor) -> str:
    """Write one bit a problem, the first problem's the lowest, in hexadecimal."""
    return f"{sum(1 << row for row in of_problems.nonzero().flatten().tolist()):x}"


def load(name: str) -> dict[str, Any] | None:
    """Return the record of an ensemble, complete or not; None where there is none."""
    path = FOLDER / f"{name}.json"
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else None


def _save(name: str, record: dict[str, Any]) -> None:
    FOLDER.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(point, separators=(",", ":")) for point in record["points"])
    head = json.dumps({key: value for key, value in record.items() if key != "points"}, ensure_ascii=False)
    unfinished = FOLDER / f".{name}.json.unfinished"
    unfinished.write_text(f'{head[:-1]}, "points": [\n{lines}\n]}}\n', encoding="utf-8")
    os.replace(unfinished, FOLDER / f"{name}.json")


def page() -> tuple[str, list[Ensemble]]:
    """Return the page, and the ensembles that are complete: those it shows."""
    records = [record for record in map(load, ENSEMBLES) if record and len(record["points"]) == len(POINTS)]
    whole = [Ensemble(record) for record in records]
    return recovery_page.page(TEMPLATE, whole, ENSEMBLES), whole


def seen(ensembles: Sequence[Ensemble]) -> str:
    """Return the verdicts of the page as a list."""
    return "\n".join(recovery_page.seen(recovery_page.compared(ensembles)))


def write_page() -> None:
    """Write the page and its figures."""
    text, ensembles = page()
    PAGE.write_text(text, encoding="utf-8")
    for name, data in recovery_page.figures(ensembles).items():
        (FOLDER / name).write_bytes(data)


def main() -> None:
    """Run what is named, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=False)
    of_run = commands.add_parser("run", help="try all methods on an ensemble's problems")
    of_run.add_argument("ensembles", nargs="+", choices=ENSEMBLES)
    arguments = parser.parse_args()
    if arguments.command == "run":
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        for name in arguments.ensembles:
            run(name)
            check(name)
    else:
        write_page()


if __name__ == "__main__":
    main()
