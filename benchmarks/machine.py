"""What figures were measured on."""

import importlib.metadata
import os

from dn_distributed.hardware import cpu_name


def machine() -> str:
    """Return one line about the machine."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "ray", "mlflow"))
    return f"{os.cpu_count()} cores of {cpu_name()}, {versions}"
