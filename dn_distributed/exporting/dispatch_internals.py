"""torch's mode that sees every operation. Its module has an underscore; checked with torch 2.14.

``tests/dn_distributed/test_costs.py`` says when it changes.
"""

from torch.utils._python_dispatch import TorchDispatchMode as TorchDispatchMode
from torch.utils._pytree import tree_leaves as tree_leaves
