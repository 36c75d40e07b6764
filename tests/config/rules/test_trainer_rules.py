"""Flags of Lightning's Trainer that go through, and those that are refused, before torch is imported."""

from __future__ import annotations

import inspect

import pytest
import pytorch_lightning as pl

from transferlab.config.compose import compose_checked
from transferlab.config.instantiation import make
from transferlab.config.rules.trainer_rules import REFUSED
from transferlab.training.lightning.trainer_flags import lightning_trainer


def test_every_flag_of_lightnings_has_a_key_or_is_refused_or_goes_through(problems):
    own = set(inspect.signature(lightning_trainer).parameters)
    for name in inspect.signature(pl.Trainer).parameters:
        if name in REFUSED:
            (text,) = problems(f"+trainer.further.{name}=1")
            assert text.startswith(f"trainer.further.{name}=1: a run cannot honour this flag: ")
        elif name in own:
            (text,) = problems(f"+trainer.further.{name}=1")
            assert text.startswith(
                f"trainer.further.{name}=1: it has a key of its own. Fix: trainer.{name}=1"
            )
        else:
            assert not any("honour" in text for text in problems(f"+trainer.further.{name}=1"))


def test_where_a_flag_belongs(problems):
    assert problems("trainer.val_check_interval=50") == [
        "trainer.val_check_interval: there is no such key. Flags of Lightning's that have no key here go "
        "below further. Fix: +trainer.further.val_check_interval=..."
    ]
    (text,) = problems("trainer.limit_test_batches=1")
    assert "A run cannot honour this flag of Lightning's: metrics are of every sample" in text
    (text,) = problems("+trainer.further.val_check_intervl=1")
    assert "has no such flag. Did you mean val_check_interval?" in text
    (text,) = problems("+trainer.further.detect_anomaly=3")
    assert "must be true or false" in text
    assert problems("trainer.limit_train_batches=5") == []
    (text,) = problems("trainer.limit_train_batches=1.5")
    assert "a share of them up to 1.0" in text


@pytest.mark.parametrize(
    ("typed", "name", "value"),
    [
        ("trainer.min_epochs=2", "min_epochs", 2),
        ("trainer.max_epochs=7", "max_epochs", 7),
        ("trainer.max_steps=9", "max_steps", 9),
        ("trainer.limit_train_batches=3", "limit_train_batches", 3),
        ("trainer.limit_train_batches=0.5", "limit_train_batches", 0.5),
        ("trainer.check_val_every_n_epoch=3", "check_val_every_n_epoch", 3),
        ("trainer.num_sanity_val_steps=2", "num_sanity_val_steps", 2),
        ("trainer.accumulate_grad_batches=4", "accumulate_grad_batches", 4),
        ("trainer.gradient_clip_val=0.5", "gradient_clip_val", 0.5),
        ("trainer.gradient_clip_algorithm=value", "gradient_clip_algorithm", "value"),
        ("trainer.precision=bf16-mixed", "precision", "bf16-mixed"),
        ("+trainer.further.val_check_interval=0.5", "val_check_interval", 0.5),
        ("+trainer.further.log_every_n_steps=3", "log_every_n_steps", 3),
    ],
)
def test_a_flag_reaches_the_trainer(typed, name, value):
    trainer = make(compose_checked(["trainer=cpu", "trainer.max_epochs=15", typed]).config.trainer)
    found = getattr(trainer if hasattr(trainer, name) else trainer.fit_loop, name)
    assert getattr(found, "value", found) == value


def test_what_lightning_refuses_is_a_sentence():
    from transferlab.run.errors import UserError

    config = compose_checked(["trainer.accelerator=abacus", "trainer.max_epochs=1"]).config.trainer
    with pytest.raises(UserError, match=r"^trainer: .*abacus.* Fix: give it another value\.$"):
        make(config)


def test_half_precision_on_a_cpu_is_refused(problems):
    [text] = problems("trainer=cpu", "trainer.precision=16-true")
    assert text.startswith("trainer.precision=16-true: a CPU takes minutes")
