"""What comes out of the house: a network as files that are read without this package, and what it costs to run.

``save`` and ``load`` are of the architecture as JSON and the numbers as safetensors.
"""

from dn_distributed.exporting.architecture import load as load
from dn_distributed.exporting.architecture import save as save
