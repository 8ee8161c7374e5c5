"""What a picture shows of a method, in a few words with numbers: for readers who cannot see it."""

from collections.abc import Iterable

_MOST = 8  # layers that are named


def of_layers(label: str, parts: Iterable[str]) -> str:
    """Return what is said of a method layer by layer; of very many layers the first."""
    found = list(parts)
    more = [f"and {len(found) - _MOST} more layers"] * (len(found) > _MOST)
    return f"{label}: {', '.join([*found[:_MOST], *more])}"


def number(value: float) -> str:
    """Return a number with three digits."""
    return f"{value:.3g}"
