from typing import Any

import pytest

from dn_distributed.config import Cell, Pruning, Training


def cell(**changes: Any) -> Cell:
    options: dict[str, Any] = {
        "task": {"name": "lenet300", "validation_size": 5000},
        "dataset": {"name": "mnist"},
        "dataset_digest": "0123abcd",
        "regularization": {"dn_incoming": 5e-5, "dn_outgoing": 5e-5, "dropout": 0.5, "l1": 1e-5},
        "training": Training(steps=21400, batch_size=256),
        "pruning": Pruning(threshold=0.01),
    }
    return Cell(**{**options, **changes})


def test_cell_key_is_pinned() -> None:
    assert cell().key == "614023742f8a3c2ecf0b3cfdd9d997b0"


def test_replicate_key_is_pinned() -> None:
    assert cell().replicate_key(7) == "b73ec53697c9bc7b47701a6a54f5a8be"


def test_key_does_not_depend_on_the_order_of_options() -> None:
    backwards = cell(
        task={"validation_size": 5000, "name": "lenet300"},
        regularization={"l1": 1e-5, "dropout": 0.5, "dn_outgoing": 5e-5, "dn_incoming": 5e-5},
    )
    assert backwards.key == cell().key


def test_key_does_not_depend_on_how_a_number_is_written() -> None:
    assert cell(pruning=Pruning(threshold=1)).key == cell(pruning=Pruning(threshold=1.0)).key


CHANGES = {
    "task": {"task": {"name": "autoencoder", "validation_size": 5000}},
    "task option": {"task": {"name": "lenet300", "validation_size": 4000}},
    "dataset": {"dataset": {"name": "kmnist"}},
    "digest": {"dataset_digest": "0123abce"},
    "coefficient": {"regularization": {"dn_incoming": 5e-5, "dn_outgoing": 5e-5, "dropout": 0.5, "l1": 2e-5}},
    "regulariser": {"regularization": {"dn_incoming": 5e-5, "dn_outgoing": 5e-5, "dropout": 0.5}},
    "steps": {"training": Training(steps=21401, batch_size=256)},
    "batch size": {"training": Training(steps=21400, batch_size=255)},
    "learning rate": {"training": Training(steps=21400, batch_size=256, learning_rate=2e-3)},
    "decay": {"training": Training(steps=21400, batch_size=256, learning_rate_decay=0.95)},
    "shuffle": {"training": Training(steps=21400, batch_size=256, shuffle=False)},
    "optimizer": {"training": Training(steps=21400, batch_size=256, optimizer="sgd")},
    "momentum": {"training": Training(steps=21400, batch_size=256, optimizer="sgd", momentum=0.9)},
    "weight decay": {"training": Training(steps=21400, batch_size=256, optimizer="adamw", weight_decay=0.1)},
    "schedule": {"training": Training(steps=21400, batch_size=256, schedule="cosine")},
    "warm-up": {"training": Training(steps=21400, batch_size=256, warmup_steps=10)},
    "step": {"step": "proximal"},
    "precision": {"training": Training(steps=21400, batch_size=256, precision="bf16")},
    "threshold": {"pruning": Pruning(threshold=0.005)},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_key_changes_with(changes: dict[str, Any]) -> None:
    assert cell(**changes).key != cell().key
    assert cell(**changes).replicate_key(1) != cell().replicate_key(1)


def test_replicate_key_changes_with_the_seed() -> None:
    assert len({cell().replicate_key(seed) for seed in range(100)}) == 100


def test_key_changes_with_the_result_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cell().key
    monkeypatch.setattr("dn_distributed.config.RESULT_VERSION", 1000)
    assert cell().key != before


def test_the_usual_step_is_no_part_of_the_key() -> None:
    assert cell(step="subgradient").key == cell().key
    assert "step" not in cell().model_dump()


def test_a_cell_with_proximal_steps_survives_json() -> None:
    assert Cell.model_validate_json(cell(step="proximal").model_dump_json()).step == "proximal"


def test_a_cell_survives_json() -> None:
    assert Cell.model_validate_json(cell().model_dump_json()).key == cell().key


def test_a_cell_cannot_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        cell().dataset_digest = "other"


@pytest.mark.parametrize("length", [{}, {"epochs": 1, "steps": 1}])
def test_training_has_one_length(length: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="exactly one of 'epochs' and 'steps'"):
        Training(batch_size=1, **length)


def test_epochs_and_steps_of_one_length_resolve_to_the_same() -> None:
    by_epochs, by_steps = Training(epochs=3, batch_size=10), Training(steps=30, batch_size=10)
    assert by_epochs.resolve(105) == by_steps.resolve(105) == by_steps


def test_resolving_keeps_everything_else() -> None:
    options: dict[str, Any] = {"learning_rate": 0.1, "learning_rate_decay": 0.5, "shuffle": False}
    assert Training(epochs=2, batch_size=5, **options).resolve(10) == Training(steps=4, batch_size=5, **options)


def test_an_epoch_has_full_batches_only() -> None:
    assert [Training(epochs=1, batch_size=10).steps_per_epoch(size) for size in (10, 19, 20)] == [1, 1, 2]


def test_a_batch_larger_than_the_training_set_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size 10 exceeds the 9 training samples"):
        Training(epochs=1, batch_size=10).resolve(9)


NO_TRAINING = {
    "a string for a number": {"batch_size": "32"},
    "a fraction for a whole number": {"batch_size": 32.0},
    "a truth value for a number": {"batch_size": True},
    "a number for a truth value": {"shuffle": 1},
    "an unknown key": {"momentum": 0.9},
    "no batch": {"batch_size": 0},
    "no epoch": {"epochs": 0},
    "a standing learning rate": {"learning_rate": 0.0},
    "a learning rate that is no number": {"learning_rate": float("nan")},
    "an infinite learning rate": {"learning_rate": float("inf")},
    "a growing learning rate": {"learning_rate_decay": 1.1},
    "a vanishing learning rate": {"learning_rate_decay": 0.0},
}


@pytest.mark.parametrize("options", NO_TRAINING.values(), ids=NO_TRAINING)
def test_training_refuses(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Training(**{"epochs": 1, "batch_size": 32, **options})


@pytest.mark.parametrize("threshold", [-0.01, float("nan"), float("inf"), "0.01", None])
def test_pruning_refuses_what_is_no_threshold(threshold: Any) -> None:
    with pytest.raises(ValueError, match="threshold"):
        Pruning(threshold=threshold)


@pytest.mark.parametrize(
    "changes", [{"packing": 3}, {"regularization": {"l1": "1"}}, {"regularization": {"l1": float("nan")}}]
)
def test_a_cell_refuses_what_it_does_not_know(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        cell(**changes)
