"""A process that is asked to end saves first, and goes on later from exactly there."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.training.processes import in_child
from tests.training.test_resume import STEPS_AN_EPOCH, assert_same, overrides, resume, train_alone
from transferlab.run import signals
from transferlab.run.run_folder import Run
from transferlab.training import runs
from transferlab.training.lightning.checkpoint_content import load_checkpoint
from transferlab.training.lightning.module import TransferModule

ONLY_AT_EPOCH_ENDS = "fit.checkpoint_every_steps=null"


def train_asked_to_end(arguments: list[str], *, step: int, sent: signal.Signals) -> None:
    """Train in a child that gets a signal in this step, counted from 1."""

    def action() -> None:
        original, numbers = TransferModule.training_step, iter(range(1, 1000))

        def training_step(self, batch, batch_idx):
            if next(numbers) == step:
                os.kill(os.getpid(), sent)
            return original(self, batch, batch_idx)

        TransferModule.training_step = training_step
        with signals.noted({signal.SIGUSR2: 60, signal.SIGTERM: 60}), pytest.raises(KeyboardInterrupt):
            runs.train([*arguments, "hydra.run.dir=asked"])

    assert in_child(action) == 0
    assert Run("asked").status == "interrupted"


@pytest.mark.parametrize(
    ("step", "sent", "saved"),
    [
        (STEPS_AN_EPOCH + 3, signal.SIGTERM, STEPS_AN_EPOCH + 3),  # SIGTERM is Lightning's too
        pytest.param(3, signal.SIGUSR2, 3, marks=pytest.mark.slow),
        # an epoch's last batch is never saved before the validation: it saves after it
        pytest.param(STEPS_AN_EPOCH, signal.SIGUSR2, STEPS_AN_EPOCH, marks=pytest.mark.slow),
    ],
)
def test_it_saves_the_step_in_which_it_is_asked_and_ends_as_if_left_alone(step, sent, saved):
    arguments = overrides("fine_tune", "test_resnet", ONLY_AT_EPOCH_ENDS)
    train_alone("alone", arguments)
    train_asked_to_end(arguments, step=step, sent=sent)
    assert load_checkpoint(Run("asked").last_checkpoint)["global_step"] == saved
    resume("asked")
    assert_same("asked", "alone")


@pytest.mark.slow
def test_it_waits_for_the_end_of_an_accumulation():
    arguments = overrides("fine_tune", "test_resnet", ONLY_AT_EPOCH_ENDS, "trainer.accumulate_grad_batches=2")
    train_alone("alone", arguments)
    train_asked_to_end(arguments, step=3, sent=signal.SIGUSR2)
    assert load_checkpoint(Run("asked").last_checkpoint)["global_step"] == 2
    resume("asked")
    assert_same("asked", "alone")


def test_without_a_place_to_save_it_ends_when_patience_does():
    with signals.noted({signal.SIGUSR2: 0.05}):
        os.kill(os.getpid(), signal.SIGUSR2)
        with pytest.raises(KeyboardInterrupt):
            time.sleep(60)
        assert signals.received() == signal.SIGUSR2


def test_the_first_request_counts():
    with signals.noted({signal.SIGUSR2: 60, signal.SIGTERM: 60}):
        assert signals.received() is None
        os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received() == signal.SIGUSR2


def test_a_request_that_comes_while_it_ends_means_what_it_meant_before(monkeypatch):
    class Late(dict[int, float]):
        def clear(self) -> None:
            super().clear()
            os.kill(os.getpid(), signal.SIGUSR2)

    heard = []
    monkeypatch.setattr(signals, "_patience_s", Late())
    before = signal.signal(signal.SIGUSR2, lambda number, frame: heard.append(number))
    try:
        with signals.noted({signal.SIGUSR2: 60}):
            pass
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert heard == [signal.SIGUSR2]
    assert signals.received() is None


def test_signals_mean_what_they_meant_before():
    numbers = [signal.SIGUSR2, signal.SIGALRM]
    before = [signal.getsignal(number) for number in numbers]
    with signals.noted({signal.SIGUSR2: 60}):
        os.kill(os.getpid(), signal.SIGUSR2)
    assert signals.received() is None
    assert [signal.getsignal(number) for number in numbers] == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    signals.install()  # as in a training that nobody cuts short
    assert [signal.getsignal(number) for number in numbers] == before


def test_a_run_ends_at_once_where_nothing_is_to_be_saved_and_waits_elsewhere():
    with signals.ending():
        with pytest.raises(signals.Stopped) as caught:
            os.kill(os.getpid(), signal.SIGTERM)
        assert caught.value.number == signal.SIGTERM
    with signals.ending(), signals.waiting():
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)  # passed on by a wrapper of the command
        assert signals.received() == signal.SIGUSR1
        signals._first_at -= 2
        with pytest.raises(signals.Stopped, match="SIGUSR1"):
            os.kill(os.getpid(), signal.SIGTERM)  # again, later: now


def test_signals_that_are_ignored_stay_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.ending():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signals.received() is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_forked_reader_of_images_leaves_them_to_the_run():
    with signals.ending():

        def reader() -> None:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)

        assert os.WTERMSIG(in_child(reader)) == signal.SIGTERM
