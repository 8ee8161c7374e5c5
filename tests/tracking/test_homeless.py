"""A user without a home and without a name, as containers have."""

import subprocess
import sys
from pathlib import Path

import pytest

import tracking


def test_the_store_needs_no_home() -> None:
    environment = ["env", "-i", "PATH=/usr/bin:/bin", f"PYTHONPATH={Path(tracking.__file__).parents[1]}"]
    nobody = ["unshare", "--user", "--map-user=54321", "--map-group=54321", *environment, sys.executable, "-c"]
    known = subprocess.run([*nobody, "import os; print(os.path.expanduser('~'))"], capture_output=True, text=True)
    if known.stdout != "~\n":
        pytest.skip(f"no user without a name can be had here: {known.stderr or known.stdout}")
    done = subprocess.run([*nobody, "import tracking; from mlflow import MlflowClient"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
