"""Test images, and the codes that an autoencoder gives to them."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from tracking.figures import style
from tracking.figures.image_rows import image_rows
from tracking.figures.kind import Kind
from tracking.figures.values import Pictures

CAPTION = "The code that each pruned network gives to these images, one square a unit, dark is 1, {seeds}."


@style.styled
def encodings(pictures: Pictures | None) -> Figure | None:
    """Draw test images over their codes, a line per method. None where no network has a code."""
    if pictures is None or not pictures.codes:
        return None
    return image_rows({"input": pictures.inputs, **pictures.codes})


def _in_words(pictures: Pictures | None) -> Iterator[str]:
    if pictures is not None:
        for label, codes in pictures.codes.items():
            differ = int((codes != codes[0]).any(0).sum())
            yield f"{label}: {differ} of {codes.shape[1]} units differ between the {len(codes)} images"


KIND = Kind(
    "encodings",
    "Encodings",
    CAPTION,
    lambda data: encodings(data.pictures),
    lambda data: _in_words(data.pictures),
)
