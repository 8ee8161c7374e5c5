"""Names of the user's that become parts of stored names."""

from dataclasses import replace

import pytest

from dn_distributed import sparsity
from tests.tracking.fabricated import Recorder, make_cell, make_outcome
from tracking.results import rows
from tracking.store import names


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (["accuracy", "loss"], "score 'loss' has the name of what is trained on"),
        (["accuracy", "accuracy"], "score 'accuracy' has the name of another score"),
        (["top/5"], "score 'top/5': a stored name has letters"),
        (["ä" * 51], "its name is longer than 100 bytes"),
    ],
)
def test_scores_that_could_not_be_stored_side_by_side_are_refused(scores: list[str], message: str) -> None:
    names.check_scores(["accuracy", "nmse", "top 5", "F1: mean"])
    with pytest.raises(ValueError, match=message):
        names.check_scores(scores)


def test_what_was_stored_of_a_layer_called_input_is_in_no_table(recorder: Recorder) -> None:
    cell = make_cell()
    outcome = make_outcome(cell, 0)
    renamed = [("input" if name == "fc1" else name, mask) for name, mask in outcome.masks.items()]
    masks = dict(renamed)
    outcome = replace(outcome, masks=masks, counts=sparsity.count(masks))
    recorder.start(cell, 0)[0].finish(outcome, "cpu")
    recorder.finish(cell, 1)
    snapshot = rows.read(recorder.sweep)
    assert [row.seed for row in snapshot.rows] == [1]
    assert [(item.seed, item.state) for item in snapshot.ended] == [(0, "failed")]
    assert "rename the layer" in snapshot.ended[0].reason
