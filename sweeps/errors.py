"""What of a sweep a user can set right."""

from dn_distributed.errors import DropNeuronError


class SpecError(DropNeuronError):
    """A sweep file or an option is wrong; the message is one line that names file, key and the valid choice."""


class ClusterError(DropNeuronError):
    """Ray cannot be started or joined; the message says why and what to do."""
