import pytest

from dn_distributed.text import one_line, percent, quoted


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert one_line("\x1b[31mred\x07 \u202eback \ud800") == "\\x1b[31mred\\x07 \\u202eback \\ud800"


def test_it_is_one_line_and_letters_stay() -> None:
    assert one_line("  ℓ1 ±\n\tDN\u2028P ") == "ℓ1 ± DN P"


def test_long_text_is_shortened_after_it_was_escaped() -> None:
    assert one_line("\x1b" * 400_000, 10) == "\\x1b\\x1b\\…"
    assert len(one_line("a" * 400_000)) == 1000
    assert one_line("a" * 1000) == "a" * 1000


def test_values_are_shown_as_python_writes_them() -> None:
    assert quoted("a\nb") == "'a\\nb'"
    assert quoted(["x" * 500]) == f"['{'x' * 97}…"


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [(1, 3, "33.3 %"), (0, 3, "0.0 %"), (3, 3, "100.0 %"), (1026, 11_177_538, "0.01 %"), (99_999, 100_000, "99.999 %")],
)
def test_a_share_is_not_rounded_to_nothing_nor_to_all(part: int, whole: int, shown: str) -> None:
    assert percent(part, whole) == shown
