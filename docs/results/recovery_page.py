"""The page and the figures of ``recovery/``: everything in them is computed from the records there."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import page_parts
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from recovery_curves import PAIRS, RESAMPLES, Comparison, Ensemble, corrected, expected

from tracking.figures import style

FEATURES = 100
NAMES = {"normal": "N(0, 1)", "sign": "±1", "uniform": "U(−1, 1)"}
SHOWN = {
    "LASSO": ("#1f2328", "-", "o"),
    "OMP": ("#8250df", "-", "^"),
    "ℓ1 3": ("#1f57a4", "--", "s"),
    "ℓ1 3 rising": ("#1f57a4", ":", "D"),
    "DN 1": ("#bc4c00", "-", "o"),
    "DN 3": ("#bc4c00", "--", "s"),
    "DN 3 rising": ("#bc4c00", ":", "D"),
}
"""The methods in the figure of all curves: colour, line, marker."""
GROUPS = {
    "ℓ1 at rest, depth 1, 2 and 3, against LASSO": (("ℓ1 1", "LASSO"), ("ℓ1 2", "LASSO"), ("ℓ1 3", "LASSO")),
    "ℓ1 rising, depth 2 and 3, against LASSO": (("ℓ1 2 rising", "LASSO"), ("ℓ1 3 rising", "LASSO")),
    "DN of one layer against ℓ1 of one layer": (("DN 1", "ℓ1 1"),),
    "DN at rest, depth 2 and 3, against depth 1": (("DN 2", "DN 1"), ("DN 3", "DN 1")),
    "DN rising, depth 2 and 3, against the same at rest": (("DN 2 rising", "DN 2"), ("DN 3 rising", "DN 3")),
    "OMP against LASSO": (("OMP", "LASSO"),),
}
"""The pairs as the text takes them together."""


def title(name: str) -> str:
    """Return an ensemble's name as people read it."""
    values, _, noise = name.partition("-")
    return f"{NAMES[values]}, {'no noise' if float(noise) == 0 else f'noise {noise}'}"


def compared(ensembles: Iterable[Ensemble]) -> list[Comparison]:
    """Return the family of comparisons: all pairs in all ensembles that are shown."""
    found = (ensemble.compare(pair) for ensemble in ensembles for pair in PAIRS)
    return corrected([item for item in found if item is not None])


def page(template: Path, ensembles: Sequence[Ensemble], planned: Iterable[str]) -> str:
    """Return the page of the ensembles that are complete. ``planned``: the names of all."""
    family = compared(ensembles)
    environment = Environment(loader=FileSystemLoader(template.parent), undefined=StrictUndefined, trim_blocks=True)
    parts = {
        "ensembles": _ensembles(ensembles, planned),
        "seen": seen(family),
        "pictures": _pictures(ensembles),
        "comparisons": _comparisons(ensembles, family),
        "curves": _curves(ensembles),
        "agreement": _agreement(ensembles),
        "choices": _choices(ensembles),
        "expectations": _expectations(ensembles),
    }
    made = {name: partial("\n".join, list(lines)) for name, lines in parts.items()}
    return filled(environment.get_template(template.name).render(**made, resamples=RESAMPLES))


def filled(text: str) -> str:
    """Fill the lines of paragraphs; tables, headings, lists and pictures stay as they are."""
    blocks = [
        block if block.startswith(("|", "#", "- ", "!")) else page_parts.filled(" ".join(block.split()))
        for block in re.split(r"\n{2,}", text.strip())
    ]
    return "\n\n".join(blocks) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> Iterator[str]:
    """A table of which the first columns are words."""
    yield page_parts.table(head, "-" * left + "r" * (len(head) - left), rows)


def _ensembles(ensembles: Sequence[Ensemble], planned: Iterable[str]) -> Iterator[str]:
    cells = {ensemble.name: (str(len(ensemble.recovered)), f"{ensemble.seconds / 60:.0f}") for ensemble in ensembles}
    rows = [(title(name), *cells.get(name, ("missing", ""))) for name in planned]
    return _table(("ensemble", "points", "core-minutes"), rows)


def seen(family: Sequence[Comparison]) -> Iterator[str]:
    """Lines of a list: by group of pairs how many samples one needs for one of the other, and the verdicts."""
    for what, pairs in GROUPS.items():
        yield f"- {_verdicts(what, [item for item in family if item.pair in pairs])}"


def _verdicts(what: str, found: Sequence[Comparison]) -> str:
    """Say how many times the samples of the others some need, and in how many comparisons which verdict was given."""
    if not found:
        return f"{what}: nowhere within the grid."
    ratios = sorted(math.exp(item.difference) for item in found)
    spread = " to ".join(f"{ratio:.2f}" for ratio in ((ratios[0], ratios[-1]) if len(ratios) > 1 else ratios))
    said = Counter(
        f"{'more' if item.difference > 0 else 'fewer'} (holds)" if item.verdict == "holds" else item.verdict
        for item in found
    )
    verdicts = ", ".join(f"{word} in {count}" for word, count in said.items())
    return f"{what}: {spread} times the samples; {verdicts} of {len(found)}."


def _pictures(ensembles: Sequence[Ensemble]) -> Iterator[str]:
    for number, ensemble in enumerate(ensembles):
        yield from [""] * bool(number)
        yield f"![Share of problems recovered by samples and non-zeros, {title(ensemble.name)}]({ensemble.name}.png)"


def _comparisons(ensembles: Sequence[Ensemble], family: Sequence[Comparison]) -> Iterator[str]:
    items = {(item.ensemble, item.pair): item for item in family}
    rows = [(" / ".join(pair), *(_ratio(items.get((ensemble.name, pair))) for ensemble in ensembles)) for pair in PAIRS]
    return _table(("pair", *(title(ensemble.name) for ensemble in ensembles)), rows)


def _ratio(item: Comparison | None) -> str:
    if item is None:
        return "not within the grid"
    low, high = item.interval()
    return f"{math.exp(item.difference):.2f} ({low:.2f} to {high:.2f}) [{len(item.nonzeros)}] {item.verdict}"


def _curves(ensembles: Sequence[Ensemble]) -> Iterator[str]:
    for number, ensemble in enumerate(ensembles):
        yield from [""] * bool(number)
        yield f"### {title(ensemble.name)}"
        yield ""
        rows = [(method, *(_half(ensemble, method, k) for k in ensemble.nonzeros)) for method in ensemble.methods]
        yield from _table(("method", *(f"k = {k}" for k in ensemble.nonzeros)), rows)


def _half(ensemble: Ensemble, method: str, k: int, interval: bool = True) -> str:
    half, samples = ensemble.halves[method, k], ensemble.samples(k)
    fewest, most = f"≤ {samples[0]}", f"> {samples[-1]}"
    if not 0 < half.samples < math.inf:
        return fewest if half.samples == 0 else most
    low = f"{half.low:.0f}" if half.low else fewest
    high = f"{half.high:.0f}" if half.high < math.inf else most
    return f"{half.samples:.0f} ({low} to {high})" if interval else f"{half.samples:.0f}"


def _agreement(ensembles: Sequence[Ensemble]) -> Iterator[str]:
    rows = [
        (title(ensemble.name), method, *map(str, (same, alone, ensemble.on_path.get(method, "not checked"), other)))
        for ensemble in ensembles
        for method in ("ℓ1 1", "ℓ1 2", "ℓ1 3")
        for same, alone, other in [ensemble.agreement(method, "LASSO")]
    ]
    head = ("ensemble", "network", "the same", "the network alone", "of these on LASSO's path", "LASSO alone")
    return _table(head, rows, 2)


def _choices(ensembles: Sequence[Ensemble]) -> Iterator[str]:
    rows = []
    for method in ensembles[0].methods if ensembles else ():
        totals = [ensemble.totals(method) for ensemble in ensembles]
        rows.append((method, *(f"{proposed}, {chosen} chosen" for proposed, chosen in totals)))
    return _table(("method", *(title(ensemble.name) for ensemble in ensembles)), rows)


def _expectations(ensembles: Sequence[Ensemble]) -> Iterator[str]:
    quiet = [ensemble for ensemble in ensembles if ensemble.name.endswith("-0")]
    rows = []
    for ensemble in quiet:
        values, nonzeros = ensemble.name.partition("-")[0], ensemble.nonzeros
        for method in ("LASSO", "DN 1"):
            formula = [expected(values, k, FEATURES, method == "DN 1") for k in nonzeros]
            seen = [_half(ensemble, method, k, interval=False) for k in nonzeros]
            cells = [f"{m:.0f}; {measured}" for m, measured in zip(formula, seen, strict=True)]
            rows.append((title(ensemble.name), method, *cells))
    if quiet:
        yield from _table(("ensemble", "method", *(f"k = {k}" for k in quiet[0].nonzeros)), rows, 2)


@style.styled
def curves_figure(ensembles: Sequence[Ensemble]) -> Figure:
    """Draw the samples at 50 % against k, a panel an ensemble."""
    figure, panels = style.panels(len(ensembles), 3, 3.4)
    for axes, ensemble in zip(panels, ensembles, strict=True):
        _draw_curves(axes, ensemble)
    entries = [(method, _line(panels[0], method)) for method in SHOWN]
    style.legend_above(figure, entries)
    style.note(
        figure, ["Below the line there are fewer samples than features. Bars: 95 % intervals. Depth behind the name."]
    )
    return figure


def _line(axes: Axes, method: str) -> Any:
    color, line, marker = SHOWN[method]
    return axes.plot([], [], color=color, ls=line, marker=marker, ms=4, lw=1.4)[0]


def _draw_curves(axes: Axes, ensemble: Ensemble) -> None:
    axes.set_title(title(ensemble.name))
    for number, (method, (color, line, marker)) in enumerate(SHOWN.items()):
        halves = {k: ensemble.halves[method, k] for k in ensemble.nonzeros}
        inside = {k: half for k, half in halves.items() if half.inside}
        places = [k * 1.015 ** (number - len(SHOWN) / 2) for k in inside]
        middle = [half.samples for half in inside.values()]
        bars = [
            [half.samples - half.low for half in inside.values()],
            [half.high - half.samples for half in inside.values()],
        ]
        axes.errorbar(places, middle, bars, color=color, ls=line, marker=marker, ms=4, lw=1.4, elinewidth=0.8)
    axes.axhline(FEATURES, color=style.MUTED, lw=0.8)
    axes.set(xscale="log", yscale="log", xlabel="non-zeros k", ylabel="samples m at 50 %")
    _ticks(axes.xaxis, ensemble.nonzeros)
    _ticks(axes.yaxis, [8, 16, 32, 64, 128, 256])
    axes.grid(True)


def _ticks(axis: Any, places: Sequence[int]) -> None:
    axis.set_ticks(places, [str(place) for place in places])
    axis.set_ticks([], minor=True)


@style.styled
def phase_figure(ensemble: Ensemble) -> Figure:
    """Draw the share of problems recovered by m and k, a panel a method, with its 50 % curve and LASSO's."""
    figure, panels = style.panels(len(ensemble.methods), 4, 2.3)
    samples, nonzeros = sorted({m for m, _ in ensemble.recovered}), ensemble.nonzeros
    for axes, method in zip(panels, ensemble.methods, strict=True):
        shares = np.full((len(nonzeros), len(samples)), np.nan)
        for m, k in ensemble.recovered:
            shares[nonzeros.index(k), samples.index(m)] = ensemble.share(method, m, k)
        image = axes.imshow(shares, origin="lower", aspect="auto", cmap="Blues", vmin=0, vmax=1)
        for name, color in (("LASSO", style.MUTED), (method, "#cf222e")):
            _draw_half(axes, ensemble, name, samples, color)
        axes.axvline(
            float(np.interp(math.log(FEATURES), np.log(samples), range(len(samples)))), color=style.FAINT, lw=0.8
        )
        axes.set_title(method)
        axes.set_xticks(range(0, len(samples), 2), [str(m) for m in samples[::2]])
        axes.set_yticks(range(len(nonzeros)), [str(k) for k in nonzeros])
    for axes in panels[-4:]:
        axes.set_xlabel("samples m")
    for axes in panels[::4]:
        axes.set_ylabel("non-zeros k")
    figure.colorbar(image, ax=panels, shrink=0.5, label="share recovered")
    style.note(
        figure,
        ["Red: the 50 % curve of the method; grey: LASSO's. The upright line is at as many samples as features."],
    )
    return figure


def _draw_half(axes: Axes, ensemble: Ensemble, method: str, samples: Sequence[int], color: str) -> None:
    found = [(row, ensemble.halves[method, k].samples) for row, k in enumerate(ensemble.nonzeros)]
    inside = [(row, m) for row, m in found if 0 < m < math.inf]
    places = np.interp([math.log(m) for _, m in inside], np.log(samples), range(len(samples)))
    axes.plot(places, [row for row, _ in inside], color=color, lw=1.4, marker="o", ms=2.5)


def figures(ensembles: Sequence[Ensemble]) -> dict[str, bytes]:
    """Return the figures' files by name."""
    if not ensembles:
        return {}
    drawn = {"curves": curves_figure(ensembles)} | {ensemble.name: phase_figure(ensemble) for ensemble in ensembles}
    return {f"{name}.png": style.as_png(figure, 150_000) for name, figure in drawn.items()}
