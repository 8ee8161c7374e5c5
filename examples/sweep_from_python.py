"""A sweep from Python: a dictionary in place of a file, and a DataFrame at the end.

It trains small networks on images of digits that come with scikit-learn, for about half a minute on two cores.
Run again, it finds the results in ``./dn-store`` and trains nothing; with more seeds it trains only the new ones.
"""

import sweeps

SWEEP = {
    "name": "sweep-from-python",
    "task": "lenet300",
    "dataset": "digits",
    "seeds": 2,
    "training": {"epochs": 3, "batch_size": 64},
    "methods": [
        {"label": "P"},
        {"label": "ℓ1+P", "l1": 1e-4},
        {"label": "ℓ1+DN+P", "l1": 1e-5, "dn": {"grid": [1e-5, 1e-4]}},
    ],
}


def main() -> None:
    """Run what is missing, and show the table, and means over seeds of the cells that stand for their methods."""
    results = sweeps.run(SWEEP)
    print(results.to_markdown())

    frame = results.to_frame()
    accuracy = "test/accuracy/after_pruning"
    print(frame[frame.chosen].groupby("method", sort=False)[[accuracy, "density"]].mean())


if __name__ == "__main__":
    main()
