"""Test images, and what an autoencoder makes of them."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from tracking.figures import style
from tracking.figures.image_rows import image_rows
from tracking.figures.in_words import number
from tracking.figures.kind import Kind
from tracking.figures.values import Pictures

CAPTION = "Test images and what each pruned network makes of them, {seeds}."


@style.styled
def reconstructions(pictures: Pictures | None) -> Figure | None:
    """Draw test images over their reconstructions, a line per method. None without pictures."""
    return None if pictures is None else image_rows({"input": pictures.inputs, **pictures.outputs})


def _in_words(pictures: Pictures | None) -> Iterator[str]:
    if pictures is not None:
        for label, outputs in pictures.outputs.items():
            error = float(((outputs - pictures.inputs) ** 2).mean())
            yield f"{label}: mean squared error {number(error)} on these {len(outputs)} images"


KIND = Kind(
    "reconstructions",
    "Reconstructions",
    CAPTION,
    lambda data: reconstructions(data.pictures),
    lambda data: _in_words(data.pictures),
)
