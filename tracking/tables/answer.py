"""The answer of a sweep in words: which method leaves least, and at what price in score."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tracking.results.inference import FEWEST_RUNS, exp
from tracking.tables import columns, number_text, ranking
from tracking.tables.columns import Column
from tracking.tables.findings import Findings
from tracking.tables.ranking import Difference, Rank

_SAVED = (columns.ALIVE, columns.DENSITY, columns.DENSE_SIZE)
"""Keys of what methods leave; the answer begins with the first in which a lead is shown."""
_WORDS = {
    columns.ALIVE: ("Neurons", "fewest", "fewer", "more"),
    columns.DENSITY: ("Weights left", "fewest", "fewer", "more"),
    columns.DENSE_SIZE: ("Dense size", "smallest", "smaller", "larger"),
}
"""Of what methods leave: its name, and the words for the best, for less and for more of it."""
_TENTH, _TWICE = 0.1, 2
"""Ratios between which a change is said in per cent, else as a factor."""
_MOST_NAMED = 5
_SAME = "the same in every seed"
_ROUNDING = 1e-12
"""Of intervals of differences that are all the same."""
_OF_SCORES = ("best", "better", "worse")
_RULE = (
    "means over seeds, of errors and dense sizes geometric ones, unless a value is 0 or less; a difference of two "
    f"methods is said where it holds: paired by seed, p below 0.05 after Holm's correction, at least {FEWEST_RUNS} "
    "seeds; its 95 % interval and the number of seeds follow it in brackets, other brackets hold the next method and "
    "its value"
)


@dataclass(frozen=True)
class Answer:
    """What a sweep says, in sentences."""

    headline: str
    details: tuple[str, ...] = ()
    """A sentence a quantity, what the savings cost, and what is missing."""
    rule: str = ""
    """What the averages are, and when a difference is said; empty of one method."""
    methods: Mapping[str, str] = field(default_factory=dict)
    """By label what a method leaves, and its score: its row in words."""


def answer(findings: Findings) -> Answer:
    """Return the answer of a sweep; it says no more than its numbers and their comparisons carry."""
    by_key = {column.key: column for column in findings.table.columns}
    saved = [found for key in _SAVED if key in by_key and (found := ranking.rank(findings, by_key[key]))]
    score = ranking.rank(findings, by_key[columns.SCORE_AFTER]) if by_key else None
    missing = tuple(_missing(findings, [*saved, *filter(None, [score])]))
    if score is None and not saved:
        return Answer("There is no answer yet: no replicate has a result.", missing)
    described = {row.label: _described(row.label, saved, score) for row in findings.table.rows}
    methods = {label: text for label, text in described.items() if text}
    if len(findings.table.rows) == 1:
        return Answer(f"{next(iter(methods.values()))}.", missing, methods=methods)
    details = [*map(_detail, [*saved, *filter(None, [score])]), *_prices(saved, score)]
    return Answer(_headline(findings, saved, score), (*details, *missing), _RULE, methods)


def _described(label: str, saved: Sequence[Rank], score: Rank | None) -> str:
    """What a method leaves, and its score; empty where neither is known."""
    parts = [_left(found, label) for found in saved if label in found.averages]
    if score is not None and label in score.averages:
        parts.append(f"{_title(score.column)} {_value(score, label)}")
    return f"{label}: {', '.join(parts)}" if parts else ""


def _headline(findings: Findings, saved: Sequence[Rank], score: Rank | None) -> str:
    """A quantity in which methods are ahead, one in which that is shown before others, and what they pay for it."""
    differ = [found for found in saved if found.next is not None]
    if not differ:
        return f"No method leaves less than the others{_best_score(score)}."
    leading = next((found for found in differ if _holds(found)), differ[0])
    best, other = leading.best, leading.next or ""
    lead = leading.differences[other]
    doubt = "" if _holds(leading) or _is_of_few(lead) else f"; {_doubt(leading.column, lead)}"
    text = f"{_names(best)} {'leave' if len(best) > 1 else 'leaves'} {_left(leading, best[0])}"
    text += f" ({other}: {_value(leading, other)}{doubt})"
    if score is not None and len(best) == 1 and {*best, other} <= score.averages.keys():
        text += _price(score, best[0], other, ranking.difference(findings, score.column, best[0], other))
    return f"{text}{f'; no verdict of fewer than {FEWEST_RUNS} seeds' * _is_of_few(lead)}."


def _holds(found: Rank) -> bool:
    """Whether the best of a quantity is shown to be better than the next one."""
    return found.next is not None and found.is_ahead_of(found.next)


def _doubt(column: Column, lead: Difference | None) -> str:
    """What stands against a lead: a difference that is not shown, or the other way round where seeds are missing."""
    said = _difference(column, lead, before=": ", after="")
    return f"on the seeds that both have {said}" if lead is not None and lead.holds else said


def _is_of_few(item: Difference | None) -> bool:
    return item is not None and item.verdict == "too few seeds"


def _best_score(score: Rank | None) -> str:
    if score is None:
        return ""
    return f"; {_claim(score)} {_title(score.column)}: {_names(score.best)}, {_value(score, score.best[0])}"


def _claim(found: Rank) -> str:
    """The word for the best of a quantity: of its mean alone where no lead is shown."""
    if found.is_shown:
        return _words(found.column)[0]
    return "highest mean" if found.column.higher_is_better else "lowest mean"


def _price(score: Rank, best: str, other: str, item: Difference | None) -> str:
    """What ``best`` costs in score against ``other``, as the end of a sentence."""
    column, title = score.column, _title(score.column)
    if item is None or not item.holds:
        doubt = "" if _is_of_few(item) else f": {_difference(column, item)}"
        return f"; {title} {_value(score, best)} against {_value(score, other)}{doubt}"
    amount, ends = _amount(column, item)
    if (item.amount > 0) == column.higher_is_better:
        return f" and is {amount} better in {title} ({ends})"
    if column.higher_is_better:
        return f" and costs {amount} of {title} ({ends})"
    return f" and costs {amount} {'the' if amount.endswith('times') else 'more'} {title} ({ends})"


def _detail(found: Rank) -> str:
    """The best of a quantity, the next one, and what can be said of the difference between them and to the others."""
    column, best = found.column, _names(found.best)
    name = _WORDS[column.key][0] if column.key in _WORDS else f"{_title(column)[:1].upper()}{_title(column)[1:]}"
    if found.next is None:
        return f"{name}: {best}, {'the same: ' * (len(found.best) > 1)}{_value(found, found.best[0])}."
    text = f"{name}: {_claim(found)} {best}, {_value(found, found.best[0])} ({found.next}: {_value(found, found.next)})"
    doubtful = {
        label: item
        for label, item in found.differences.items()
        if item is not None and item.verdict == "not shown" and label != found.next
    }
    named = _names([f"{label} ({_signed_ends(column, item)})" for label, item in doubtful.items()]) if doubtful else ""
    corrected = " after Holm's correction" * any(_excludes_zero(item) for item in doubtful.values())
    more = f"; no difference from {named} shown{corrected}" if doubtful else ""
    lead = found.differences[found.next]
    return f"{text}{'' if _is_of_few(lead) else f': {_difference(column, lead)}'}{more}."


def _prices(saved: Sequence[Rank], score: Rank | None) -> Iterator[str]:
    """What the methods that leave least pay against the best score; where that is the next one, it has been said."""
    for label in dict.fromkeys(label for found in saved if found.next is not None for label in found.best):
        item = score.differences.get(label) if score is not None and label != score.next else None
        if score is not None and item is not None and not _is_of_few(item):
            yield f"Price of {label} against {_names(score.best)}: {_difference(score.column, item.mirrored)}."


def _missing(findings: Findings, ranks: Sequence[Rank]) -> Iterator[str]:
    """What has no result, or none that could be ranked."""
    rows = findings.table.rows
    lost = [f"{row.label} ({there})" for row in rows if (there := row.what_is_there)]
    if lost:
        yield f"Missing: {_names(lost)}."
    unranked: dict[str, list[str]] = {}
    for found in ranks:
        labels = [row.label for row in rows if row.n and row.label not in found.averages]
        if labels:
            unranked.setdefault(_names(labels), []).append(_title(found.column))
    for named, titles in unranked.items():
        yield f"No finite mean of {_names(titles)}: {named}."


def _difference(column: Column, item: Difference | None, before: str = " (", after: str = ")") -> str:
    """One method less another, in words. ``before``, ``after``: what stands around an interval without a difference."""
    if item is None:
        return "not compared"
    if _is_of_few(item):
        return f"no verdict of fewer than {FEWEST_RUNS} seeds"
    if not item.holds:
        corrected = " after Holm's correction" * _excludes_zero(item)
        return f"no difference shown{corrected}{before}{_signed_ends(column, item)}, n = {item.n}{after}"
    amount, ends = _amount(column, item)
    _, better, worse = _words(column)
    return f"{amount} {better if (item.amount > 0) == column.higher_is_better else worse} ({ends})"


def _excludes_zero(item: Difference) -> bool:
    return item.low > 0 or item.high < 0


def _amount(column: Column, item: Difference) -> tuple[str, str]:
    """A difference that holds, with its unit and without its sign, and the ends of its interval."""
    ordered = (item.amount, *sorted((item.low, item.high), key=abs))
    if not item.is_ratio:
        numbers = [abs(value) * column.scale for value in ordered]
        texts = [number_text.difference_in_prose(column, abs(value)) for value in ordered]
        unit = " points" if column.kind == "percent" else ""
    elif not _TENTH < exp(item.amount) < _TWICE:
        numbers = [exp(abs(value)) for value in ordered]
        texts, unit = [f"{number:.3g}" for number in numbers], " times"
    else:
        shares = [abs(exp(value) - 1) for value in ordered]
        numbers = [100 * share for share in shares]
        texts, unit = [number_text.percent(share) for share in shares], " %"
    ends = _SAME if _is_one(item) else " to ".join(number_text.told_apart(texts[1:], numbers[1:]))
    return f"{texts[0]}{unit}", f"{ends}, n = {item.n}"


def _is_one(item: Difference) -> bool:
    """Whether the interval of a difference has no width but that of rounding errors: it is the same in every seed."""
    return math.isclose(item.low, item.high, rel_tol=_ROUNDING, abs_tol=_ROUNDING)


def _signed_ends(column: Column, item: Difference) -> str:
    """The interval of a difference that is not shown."""
    ends = (item.low, item.high)
    if item.is_ratio:
        return " to ".join(map(number_text.ratio, ends))
    texts = [number_text.difference_in_prose(column, end, signed=True) for end in ends]
    return f"{' to '.join(texts)}{' points' * (column.kind == 'percent')}"


def _words(column: Column) -> tuple[str, ...]:
    """The best, better and worse."""
    return _WORDS[column.key][1:] if column.key in _WORDS else _OF_SCORES


def _title(column: Column) -> str:
    return column.for_page.title.removesuffix(" after P")


def _value(found: Rank, label: str) -> str:
    return number_text.in_prose(found.column, found.averages[label]) + " %" * (found.column.kind == "percent")


def _left(found: Rank, label: str) -> str:
    """What a method leaves, with the noun."""
    value, total = _value(found, label), found.column.total
    if found.column.key == columns.DENSITY:
        return f"{value} of the weights"
    if found.column.key == columns.ALIVE:
        return f"{value} of {total} neurons"
    return f"a dense network of {value} weights (of {total})"


def _names(labels: Sequence[str]) -> str:
    """Labels as a sentence has them; of many how many more there are."""
    if len(labels) > _MOST_NAMED:
        labels = [*labels[: _MOST_NAMED - 1], f"{len(labels) - _MOST_NAMED + 1} more"]
    return " and ".join(filter(None, [", ".join(labels[:-1]), labels[-1]]))
