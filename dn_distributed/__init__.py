"""The science of DropNeuron (arXiv 1606.07326): regularised training, pruning, and what is left afterwards.

``import dn_distributed as dn`` gives ``dn.penalty``, ``dn.ProximalSteps``, ``dn.prune``, ``dn.masks``, ``dn.count`` and
``dn.compact`` for any ``nn.Module`` in any training loop, and ``dn.register_task``, ``dn.register_dataset`` and
``dn.register_penalty`` for sweeps.
Nothing in this package knows where results go: it imports neither Ray nor MLflow.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dn_distributed.lazy_names import lazy_names

if TYPE_CHECKING:
    from dn_distributed.compaction import Dropped as Dropped
    from dn_distributed.compaction import DroppedLayer as DroppedLayer
    from dn_distributed.compaction import NotEqualError as NotEqualError
    from dn_distributed.compaction import OtherWeights as OtherWeights
    from dn_distributed.compaction import Proof as Proof
    from dn_distributed.compaction import compact as compact
    from dn_distributed.compaction import prove as prove
    from dn_distributed.config import Pruning as Pruning
    from dn_distributed.config import Training as Training
    from dn_distributed.data import Data as Data
    from dn_distributed.data import Dataset as Dataset
    from dn_distributed.data import ImageDataset as ImageDataset
    from dn_distributed.data import RawImages as RawImages
    from dn_distributed.data import SampleDataset as SampleDataset
    from dn_distributed.data import Samples as Samples
    from dn_distributed.data import SparseLinear as SparseLinear
    from dn_distributed.data import Split as Split
    from dn_distributed.data import Splits as Splits
    from dn_distributed.data import register_dataset as register_dataset
    from dn_distributed.errors import DropNeuronError as DropNeuronError
    from dn_distributed.networks import count as count
    from dn_distributed.networks import masks as masks
    from dn_distributed.networks import penalty as penalty
    from dn_distributed.networks import prune as prune
    from dn_distributed.proximal import ProximalSteps as ProximalSteps
    from dn_distributed.regularizers import Penalty as Penalty
    from dn_distributed.regularizers import register_penalty as register_penalty
    from dn_distributed.regularizers.dropneuron import Incoming as Incoming
    from dn_distributed.regularizers.dropneuron import Outgoing as Outgoing
    from dn_distributed.regularizers.l1 import L1 as L1
    from dn_distributed.regularizers.l2 import L2 as L2
    from dn_distributed.scores import ACCURACY as ACCURACY
    from dn_distributed.scores import MSE as MSE
    from dn_distributed.scores import NMSE as NMSE
    from dn_distributed.scores import Score as Score
    from dn_distributed.sparsity import LayerCount as LayerCount
    from dn_distributed.sparsity import NetworkCounts as NetworkCounts
    from dn_distributed.sparsity import UnitCount as UnitCount
    from dn_distributed.tasks import ImageTask as ImageTask
    from dn_distributed.tasks import LinearTask as LinearTask
    from dn_distributed.tasks import Task as Task
    from dn_distributed.tasks import register_task as register_task

_PUBLIC = {
    "compaction": ("Dropped", "DroppedLayer", "NotEqualError", "OtherWeights", "Proof", "compact", "prove"),
    "config": ("Pruning", "Training"),
    "data": (
        *("Data", "Dataset", "ImageDataset", "RawImages", "SampleDataset", "Samples", "SparseLinear"),
        *("Split", "Splits", "register_dataset"),
    ),
    "errors": ("DropNeuronError",),
    "networks": ("count", "masks", "penalty", "prune"),
    "proximal": ("ProximalSteps",),
    "regularizers": ("Penalty", "register_penalty"),
    "regularizers.dropneuron": ("Incoming", "Outgoing"),
    "regularizers.l1": ("L1",),
    "regularizers.l2": ("L2",),
    "scores": ("ACCURACY", "MSE", "NMSE", "Score"),
    "sparsity": ("LayerCount", "NetworkCounts", "UnitCount"),
    "tasks": ("ImageTask", "LinearTask", "Task", "register_task"),
}
"""By module the names that this package hands on; imported when they are first asked for, as torch takes a second."""
_get, _public_names = lazy_names(__name__, _PUBLIC)
__all__ = [*_public_names(), "__version__"]

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


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("dropneuron-distributed")
    return _get(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
