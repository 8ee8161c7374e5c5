"""The answer of a sweep in words: which method leaves least, and at what price in score."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dn_distributed.text import counted
from tracking.results.inference import FEWEST_RUNS
from tracking.tables import columns, difference_text, number_text, ranking
from tracking.tables.columns import Column
from tracking.tables.findings import Findings
from tracking.tables.ranking import Difference, Rank
from tracking.tables.table import TableRow

_SAVED = (columns.ALIVE, columns.DENSITY, columns.DENSE_SIZE)
"""Keys of what methods leave; the answer begins with the first in which a lead is shown."""
_WORDS = {
    columns.ALIVE: ("Neurons", "fewest"),
    columns.DENSITY: ("Weights left", "fewest"),
    columns.DENSE_SIZE: ("Dense size", "smallest"),
}
"""Of what methods leave: its name, and the word for the best."""
_MOST_NAMED = 5
_MOST_BESIDE = 2
_RULE = (
    "means over seeds, of errors and dense sizes geometric ones, unless a value is 0 or less; a difference of two "
    "methods holds where p, paired by seed, is below 0.05 after Holm's correction for all comparisons of the sweep, of "
    f"at least {FEWEST_RUNS} seeds; intervals are 95 % intervals of a pair by itself, not corrected, so that one may "
    "exclude 0 where the difference does not hold; other brackets hold the next method and its value"
)


@dataclass(frozen=True)
class Answer:
    """What a sweep says, in sentences."""

    headline: str
    beside: tuple[str, ...] = ()
    """What a reader has to know of the headline: what is missing. Few sentences."""
    details: tuple[str, ...] = ()
    """A sentence a quantity, what the savings cost, and what else is missing."""
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
    beside, more = missing[:_MOST_BESIDE], missing[_MOST_BESIDE:]
    if score is None and not saved:
        return Answer("There is no answer yet: no replicate has a result.", beside, more)
    described = {row.label: _described(row.label, saved, score) for row in findings.table.rows}
    methods = {label: text for label, text in described.items() if text}
    if len(findings.table.rows) == 1:
        return Answer(f"{next(iter(methods.values()))}.", beside, more, methods=methods)
    details = [*map(_detail, [*saved, *filter(None, [score])]), *_prices(saved, score)]
    return Answer(_headline(findings, saved, score), beside, (*details, *more), _RULE, methods)


def _described(label: str, saved: Sequence[Rank], score: Rank | None) -> str:
    """What a method leaves, and its score; empty where neither is known."""
    parts = [_left(found, label) for found in saved if label in found.averages]
    if score is not None and label in score.averages:
        parts.append(f"{_title(score.column)} {_value(score, label)}{_which_mean(score)}")
    return f"{label}: {', '.join(parts)}" if parts else ""


def _headline(findings: Findings, saved: Sequence[Rank], score: Rank | None) -> str:
    """A quantity in which methods are ahead, one in which that is shown before others, and what they pay for it."""
    differ = [found for found in saved if found.next is not None]
    if not differ:
        return f"No method leaves less than the others{_best_score(score)}."
    leading = next((found for found in differ if _holds(found)), differ[0])
    best, other = leading.best, leading.next or ""
    lead, is_priced = leading.differences[other], _is_priced(score, best, other)
    price = ranking.difference(findings, score.column, best[0], other) if score is not None and is_priced else None
    neither = _hold_alone(lead, price)
    doubt = "" if _holds(leading) or difference_text.is_of_few(lead) else f"; {_doubt(leading.column, lead, neither)}"
    text = f"{_names(best)} {'leave' if len(best) > 1 else 'leaves'} {_left(leading, best[0])}"
    text += f" ({other}: {_value(leading, other)}{doubt})"
    if score is not None and is_priced:
        text += _price(score, best[0], other, price, neither)
    if neither is not None:
        text += f"; {difference_text.beyond_chance(neither, 'neither is')} (n = {neither.n})"
    return f"{text}{f'; {difference_text.TOO_FEW}' * difference_text.is_of_few(lead)}."


def _is_priced(score: Rank | None, best: Sequence[str], other: str) -> bool:
    return score is not None and len(best) == 1 and {*best, other} <= score.averages.keys()


def _hold_alone(lead: Difference | None, price: Difference | None) -> Difference | None:
    """The lead, where neither it nor its price holds though the interval of each excludes 0: that is said once."""
    if lead is None or price is None or lead.n != price.n:
        return None
    return lead if lead.holds_alone and price.holds_alone else None


def _holds(found: Rank) -> bool:
    """Whether the best of a quantity is shown to be better than the next one."""
    return found.next is not None and found.is_ahead_of(found.next)


def _doubt(column: Column, lead: Difference | None, neither: Difference | None) -> str:
    """What stands against a lead: a difference that is not shown, or the other way round where seeds are missing."""
    if lead is not None and neither is not None:
        return difference_text.alone(column, lead)
    said = difference_text.said(column, lead, before=": ", after="")
    return f"on the seeds that both have {said}" if lead is not None and lead.holds else said


def _best_score(score: Rank | None) -> str:
    if score is None:
        return ""
    value = f"{_value(score, score.best[0])}{_which_mean(score)}"
    return f"; {_claim(score)} {_title(score.column)}: {_names(score.best)}, {value}"


def _claim(found: Rank) -> str:
    """The word for the best of a quantity: of its mean alone where no lead is shown."""
    if found.is_shown:
        return _WORDS[found.column.key][1] if found.column.key in _WORDS else "best"
    return "highest mean" if found.column.higher_is_better else "lowest mean"


def _price(score: Rank, best: str, other: str, item: Difference | None, neither: Difference | None) -> str:
    """What ``best`` costs in score against ``other``, as the end of a sentence."""
    column, title = score.column, _title(score.column)
    if item is None or not item.holds:
        said = difference_text.alone(column, item) if item and neither else difference_text.said(column, item)
        doubt = "" if difference_text.is_of_few(item) else f": {said}"
        return f"; {title} {_value(score, best)} against {_value(score, other)}{_which_mean(score)}{doubt}"
    amount, ends = difference_text.amount_that_holds(column, item)
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
        return (
            f"{name}: {best}, {'the same: ' * (len(found.best) > 1)}{_value(found, found.best[0])}{_which_mean(found)}."
        )
    lead, others = found.differences[found.next], dict([*found.differences.items()][1:])
    other = f"{found.next}: {_value(found, found.next)}{'; geometric means' * _is_geometric(found)}"
    text = f"{name}: {_claim(found)} {best}, {_value(found, found.best[0])} ({other})"
    said = "" if difference_text.is_of_few(lead) else f": {difference_text.said(column, lead)}"
    return f"{text}{said}{''.join(_others(column, lead, others))}."


def _others(column: Column, lead: Difference | None, others: Mapping[str, Difference | None]) -> Iterator[str]:
    """Of the methods behind the next one those that the best is not shown to be better than."""
    held_alone = {label: item for label, item in others.items() if item is not None and item.holds_alone}
    if held_alone:
        first = next(iter(held_alone.values()))
        is_said = lead is not None and lead.holds_alone
        chance = "" if is_said else f", {difference_text.beyond_chance(first, 'not')}"
        named = [f"{difference_text.one_way(column, item)} than {label}" for label, item in held_alone.items()]
        yield f"; {'likewise' if is_said else 'by the interval of the pair alone'} {_names(named, ' others')}{chance}"
    named = [
        label
        for label, item in others.items()
        if item is not None and item.verdict == "not shown" and not item.holds_alone
    ]
    if named:
        yield f"; no difference from {_names(named)} shown"


def _prices(saved: Sequence[Rank], score: Rank | None) -> Iterator[str]:
    """What the methods that leave least pay against the best score; where that is the next one, it has been said."""
    for label in dict.fromkeys(label for found in saved if found.next is not None for label in found.best):
        item = score.differences.get(label) if score is not None and label != score.next else None
        if score is not None and item is not None and not difference_text.is_of_few(item):
            yield f"Price of {label} against {_names(score.best)}: {difference_text.said(score.column, item.mirrored)}."


def _missing(findings: Findings, ranks: Sequence[Rank]) -> Iterator[str]:
    """Networks of which nothing is left; what has no result, or none that could be ranked."""
    rows = findings.table.rows
    if nothing := [text for row in rows if (text := _lost_networks(row))]:
        yield f"Nothing is left between inputs and outputs in {_names(nothing)}."
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


def _lost_networks(row: TableRow) -> str:
    """How many networks of a method have no neuron alive, so that their outputs do not depend on their inputs."""
    alive = row.stats.get(columns.ALIVE)
    count = alive.values.count(0) if alive is not None else 0
    return f"{count} of {counted(alive.n, 'network')} of {row.label}" if alive is not None and count else ""


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
    return f"a dense network of {value} weights ({'geometric mean, ' * _is_geometric(found)}of {total})"


def _is_geometric(found: Rank) -> bool:
    """Whether a mean has to be called a geometric one: the table beside has the other."""
    return found.is_geometric and found.is_over_seeds


def _which_mean(found: Rank) -> str:
    return " (geometric mean)" * _is_geometric(found)


def _names(labels: Sequence[str], more: str = " more") -> str:
    """Labels as a sentence has them; of many how many more there are."""
    if len(labels) > _MOST_NAMED:
        labels = [*labels[: _MOST_NAMED - 1], f"{len(labels) - _MOST_NAMED + 1}{more}"]
    return " and ".join(filter(None, [", ".join(labels[:-1]), labels[-1]]))
