"""A sweep with everything that may be in a store, and records as text to compare."""

import math

from tests.tracking.fabricated import Recorder, make_cell, make_epoch
from tracking import schema
from tracking.results import means
from tracking.results import rows as reader
from tracking.store.queries import StoredRun

CELL, OTHER = make_cell(l1=1.0), make_cell(l1=2.0)
TAGS = (schema.LABEL, schema.CELL_KEY, schema.REPLICATE_KEY, schema.SUMMARIZED, *schema.MARKS)
PARAMS = (schema.SEED, schema.LAYERS)


def fill_with_everything(recorder: Recorder) -> Recorder:
    """Write it to an experiment of its own, and return the same."""
    recorder.finish(CELL, 0, 1, 2, label="ℓ1 'quoted'", epochs=3)
    recorder.finish(OTHER, 0, epochs=1, test__nmse__after_pruning=math.nan, test__loss__after_pruning=math.inf)
    recorder.finish(OTHER, 1, density=0.0, test__loss__after_pruning=-math.inf)
    recorder.start(OTHER, 2)[0].fail("why; not")
    recorder.start(OTHER, 3)[0].stop("where")
    (running,) = recorder.start(OTHER, 4)
    for epoch in (1, 2):
        running.log_epoch(make_epoch(epoch, num_nonzero=math.nan if epoch == 1 else 5.0, train__loss=1.0), 0)
    running.flush()
    recorder.store.delete_run(recorder.start(CELL, 9)[0].run_id)
    rows = reader.read(recorder.sweep, CELL.key).rows
    means.summarize_cell(recorder.sweep, CELL, "ℓ1 'quoted'", rows)
    recorder.announce({"ℓ1 'quoted'": [CELL], "M": [OTHER]})
    return recorder


def exactly(records: list[StoredRun]) -> list[str]:
    """Records as text, in which NaN equals NaN; the order of names within a run means nothing."""
    return [
        repr(
            (
                *(record.run_id, record.status, record.start_time, record.end_time),
                *(sorted(named.items()) for named in (record.tags, record.params, record.metrics)),
            )
        )
        for record in records
    ]
