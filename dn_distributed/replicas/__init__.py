"""Several networks of one architecture trained as one stacked model, each with its own initial weights and draws."""

from dn_distributed.replicas.stack import Replicas as Replicas
