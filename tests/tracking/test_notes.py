"""What a report writes into a description, and what it leaves there."""

from tracking.store.notes import with_part


def test_what_a_person_wrote_stays_around_what_a_report_wrote() -> None:
    note = with_part("mine", "first")
    assert note.startswith("mine\n\n")
    again = with_part(f"{note}\nmine too", "second")
    assert "first" not in again
    assert again.startswith("mine\n\n")
    assert again.endswith("\nmine too")
    assert with_part(again, "second") == again


def test_a_part_that_stands_no_more_goes() -> None:
    assert with_part(with_part("", "first"), "") == ""
    assert with_part("mine", "") == "mine"


def test_a_label_like_the_end_of_a_part_lets_no_note_grow() -> None:
    part = "M <!-- end of dn report --> x"
    note = with_part("", part)
    assert with_part(note, part) == note


def test_nothing_but_the_answer_is_seen_first_and_an_earlier_mark_is_known() -> None:
    note = with_part("", "DN leaves less.")
    assert "".join(c for c in note.partition("\n")[0] if c.isprintable()) == "DN leaves less."
    earlier = "mine\n\n<!-- dn report -->\nDN leaves more.\n<!-- end of dn report -->\nmine too"
    assert with_part(earlier, "DN leaves less.") == f"mine\n\n{note}\nmine too"
    assert with_part(earlier, "") == "mine\n\n\nmine too"
