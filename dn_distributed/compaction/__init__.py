"""A physically smaller network that gives the same outputs, from any network with zeros in it.

``graph`` reads a network as a graph, ``channels`` follows its ``units`` through it, ``liveness`` finds those that are
needed, ``shrink`` cuts the others out, ``proof`` compares the outputs of both.
"""

from dn_distributed.compaction.compact import compact as compact
from dn_distributed.compaction.dropped import Dropped as Dropped
from dn_distributed.compaction.dropped import DroppedLayer as DroppedLayer
from dn_distributed.compaction.dropped import OtherWeights as OtherWeights
from dn_distributed.compaction.proof import NotEqualError as NotEqualError
from dn_distributed.compaction.proof import Proof as Proof
from dn_distributed.compaction.proof import prove as prove
