"""The errors that a user can cause: one base class for all packages, each with the exit code of ``dn``."""


class DropNeuronError(Exception):
    """Something that the user can set right. The message is one line: what is wrong, where, and what would be right."""

    exit_code = 2


class DataError(DropNeuronError):
    """A dataset cannot be had; the message names the folder and the remedy."""


class MeasureError(DropNeuronError, ValueError):
    """The weights cannot be measured; the message is one line that says why."""


class ArgumentError(DropNeuronError, ValueError):
    """A function was asked for what cannot be: a layer that is not there, a coefficient below 0, a name taken."""


class NoLayersError(ArgumentError):
    """A network has no layer that penalties could act on, of those that were meant."""


class UnusedLayersError(ArgumentError):
    """Penalties are meant to act on a layer that a network does not use as one of a chain."""


class ExportError(DropNeuronError, ValueError):
    """A network cannot be written to files, or files do not hold one; the message is one line that says why."""
