"""The science of DropNeuron (arXiv 1606.07326): regularised training, pruning, and what is left afterwards.

Nothing in this package knows where results go: it imports neither Ray nor MLflow.
"""

import os

# Libraries read them when they first compute, and take other instructions, or keep fewer digits: the same command in
# another shell would give other figures. So they are gone before any module of this package can compute.
_OF_ARITHMETIC = (
    *("ATEN_CPU_CAPABILITY", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE", "ONEDNN_", "DNNL_"),
    *("OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES"),
    *("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),
    *("PYTORCH_JIT", "PYTHONOPTIMIZE"),  # without torch's JIT, which -O switches off, vmap computes the loss otherwise
)
for _name in [name for name in os.environ if name.startswith(_OF_ARITHMETIC)]:
    del os.environ[_name]
