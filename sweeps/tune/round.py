"""What became of packs that ran."""

from dataclasses import dataclass, field

from sweeps.planning.plan import Pack


@dataclass
class Round:
    """What became of the packs of one Tune experiment."""

    ended: set[str] = field(default_factory=set)
    """Trials that will not run again."""
    lost: list[Pack] = field(default_factory=list)
    """Packs whose worker, node or store went away more often than they are taken up again."""
    too_large: list[Pack] = field(default_factory=list)
    """Packs that there was not enough memory for."""

    def __add__(self, other: "Round") -> "Round":
        """Both together."""
        return Round(self.ended | other.ended, self.lost + other.lost, self.too_large + other.too_large)
