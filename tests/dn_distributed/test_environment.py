"""The same command gives the same bits in another shell."""

import os
import subprocess
import sys

SHOW = """
import dn_distributed
import torch
print(torch.jit._state._enabled.enabled)
print(torch.backends.cpu.get_cpu_capability())
weights = torch.linspace(-1, 1, 12_000).reshape(100, 120)
print(torch.softmax(weights @ weights.T, 1).double().pow(3).sum().item().hex())
"""
OTHER_ARITHMETIC = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "DNNL_DEFAULT_FPMATH_MODE": "BF16",
    "NVIDIA_TF32_OVERRIDE": "1",
    "PYTORCH_JIT": "0",
}


def shown(**variables: str) -> str:
    ours = {name: value for name, value in os.environ.items() if name not in OTHER_ARITHMETIC}
    done = subprocess.run([sys.executable, "-c", SHOW], env={**ours, **variables}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_variables_of_libraries_do_not_choose_the_arithmetic() -> None:
    assert shown(**OTHER_ARITHMETIC) == shown()


def test_no_worker_inherits_an_optimising_python() -> None:
    """Torch's JIT is off in one, and vmap then computes the loss otherwise: after some steps the weights differ."""
    inner = "import sys; print(sys.flags.optimize)"
    outer = f"import dn_distributed, subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}], check=True)"
    done = subprocess.run(
        [sys.executable, "-c", outer], env={**os.environ, "PYTHONOPTIMIZE": "1"}, capture_output=True, text=True
    )
    assert done.stdout == "0\n", done.stderr
