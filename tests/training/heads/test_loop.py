"""Heads fitted together equal heads fitted alone; each stops, fails and is selected by itself."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch

from tests.training.heads.problem import built, features, job, linear, mlp, order
from transferlab.strategy.objective.cross_entropy import CrossEntropy
from transferlab.strategy.objective.focal import Focal
from transferlab.strategy.objective.logit_adjustment import LogitAdjustment
from transferlab.strategy.penalty.l1 import L1
from transferlab.strategy.penalty.l2_sp import L2SP
from transferlab.training.fit_settings import FitSettings
from transferlab.training.heads import loop
from transferlab.training.heads.head_job import HeadFit, HeadJob
from transferlab.training.heads.loop import fit_heads
from transferlab.training.heads.stacked import lockstep_groups
from transferlab.training.losses import NotFiniteError

TRAIN, VAL = features(), features(seed=1)
RATES = (1e-3, 3e-3, 1e-2, 3e-2)


def fits(jobs: list[HeadJob], **settings) -> list[HeadFit]:
    settings = {"order": order, "max_epochs": 4, "fit": FitSettings(), **settings}
    return fit_heads(jobs, TRAIN, VAL, **settings)


def assert_equal(found: HeadFit, wanted: HeadFit) -> None:
    assert found.epoch == wanted.epoch
    assert found.state.keys() == wanted.state.keys()
    for name, value in wanted.state.items():
        torch.testing.assert_close(found.state[name], value, rtol=0, atol=1e-5)
    assert len(found.history) == len(wanted.history)
    for entry, reference in zip(found.history, wanted.history, strict=True):
        assert list(entry) == list(reference)
        for name, value in reference.items():
            if name != "seconds":  # two samples nearly alike may change places, a jump of the area
                assert entry[name] == pytest.approx(value, abs=1e-3 if name == "val/auroc" else 1e-5), name


CASES = {
    "adamw": [job(s, base=r, weight_decay=0.0) for s, r in enumerate(RATES)],
    "adamw with decays": [job(s, base=r, weight_decay=10 * r) for s, r in enumerate(RATES)],
    "other betas": [job(s, base=r, optimizer_kwargs={"betas": (0.8, 0.95)}) for s, r in enumerate(RATES)],
    "sgd (nesterov)": [job(s, base=r, weight_decay=0.1 * s, optimizer="sgd") for s, r in enumerate(RATES)],
    "momentum": [job(s, base=r, weight_decay=0.1 * s, optimizer="momentum") for s, r in enumerate(RATES)],
    "damped momentum": [
        job(s, base=r, optimizer="momentum", momentum=0.8, optimizer_kwargs={"dampening": 0.5})
        for s, r in enumerate(RATES)
    ],
    "without momentum": [job(s, base=r, optimizer="momentum", momentum=0.0) for s, r in enumerate(RATES)],
    "clipped": [job(s, base=r, optimizer="sgd", clip_norm=0.1) for s, r in enumerate(RATES)],
    "cosine with warm-up": [job(s, base=1e-2, warmup_epochs=s / 2) for s in range(4)],
    "steps and constant": [
        job(0, schedule="step", step_epochs=1.5, step_factor=0.3),
        job(1, schedule="constant"),
        job(2, schedule="ganin"),
    ],
    "one seed": [job(0, base=r) for r in RATES],
    "label smoothing": [
        job(s, objective=built(CrossEntropy(label_smoothing=0.1 * s, class_weights="none"))) for s in range(3)
    ],
    "class weights": [
        job(s, objective=built(CrossEntropy(label_smoothing=0.1 * s, class_weights=w)))
        for s, w in enumerate(("balanced", "none", "auto"))
    ],
    "focal": [job(s, objective=built(Focal(gamma=2.0, class_weights="balanced"))) for s in range(3)],
    "focal, several gammas": [job(s, objective=built(Focal(gamma=g))) for s, g in enumerate((0.0, 0.5, 2.0))],
    "logit adjustment": [
        job(s, objective=built(LogitAdjustment(tau=t, label_smoothing=0.05 * s)))
        for s, t in enumerate((0.0, 0.5, 1.5))
    ],
    "several objectives": [
        job(0),
        job(1, objective=built(Focal(gamma=1.0))),
        job(2, objective=built(LogitAdjustment())),
    ],
    "dropout before the head": [job(s, head_dropout=0.2 * s) for s in range(4)],
    "dropout, one seed": [job(0, head_dropout=0.3, base=r) for r in RATES],
    "mlp": [job(s, head=mlp(s), base=r) for s, r in enumerate(RATES)],
    "mlp, one seed": [job(0, head=mlp(0), base=r) for r in RATES],
    "mlp with dropout": [job(s, head=mlp(s, 0.2 * s), head_dropout=0.1) for s in range(3)],
    "mlp with dropout, one seed": [job(5, head=mlp(5, 0.3), base=r) for r in RATES],
    "two": [job(0), job(1)],
}


@pytest.mark.parametrize("name", CASES)
def test_together_equals_alone(name):
    jobs = CASES[name]
    assert lockstep_groups(jobs, TRAIN.features_ND, 16) == [list(range(len(jobs)))]  # it is a stack
    for found, case in zip(fits(jobs), jobs, strict=True):
        assert_equal(found, fits([case])[0])
        assert found.history[-1]["train/loss"] < found.history[0]["train/loss"]


def test_what_can_not_be_stacked_is_fitted_all_the_same():
    jobs = [
        job(0),
        job(1, penalties={"l1": L1(strength=1e-3)}),
        job(2),
        job(3, optimizer="lamb"),
        job(4, head=mlp(4)),
        job(5, penalties={"l2_sp": L2SP(head_strength=0.1)}, head=mlp(5)),
    ]
    found = fits(jobs)
    for fit, case in zip(found, jobs, strict=True):
        assert_equal(fit, fits([case])[0])
    entry = found[1].history[-1]
    assert entry["train/loss"] == pytest.approx(entry["train/class_loss"] + entry["train/l1"], rel=1e-6)


def test_many_jobs_of_each_seed_and_parts_for_the_cache(monkeypatch):
    monkeypatch.setattr("transferlab.training.heads.stacked._FLOATS_AT_ONCE", 2000)
    jobs = [job(number % 3, base=1e-3 * (number + 1)) for number in range(24)]
    for fit, case in zip(fits(jobs, max_epochs=2), jobs, strict=True):
        assert_equal(fit, fits([case], max_epochs=2)[0])


def test_entries_are_those_of_a_training():
    entry = fits([job(0, base=0.5, schedule="constant"), job(1)])[0].history[1]
    assert list(entry) == [
        "epoch",
        "trainable_stages",
        "train/loss",
        "train/class_loss",
        "train/accuracy",
        "val/accuracy",
        "val/balanced_accuracy",
        "val/macro_f1",
        "val/auroc",
        "val/loss",
        "learning_rate/head",
        "seconds",
    ]
    assert (entry["epoch"], entry["trainable_stages"], entry["learning_rate/head"]) == (1.0, 0.0, 0.5)
    assert entry["seconds"] > 0


@pytest.mark.parametrize("first", [0, 3])
def test_each_stops_for_itself(first):
    """High rates stop bettering early; those that go on are as if nothing had happened."""
    jobs = [job(s, base=r, schedule="constant") for s, r in enumerate((3.0, 1e-3, 0.3, 1.0), first)]
    settings = {"max_epochs": 12, "fit": FitSettings(early_stopping_patience=2, min_delta=1e-3)}
    found = fits(jobs, **settings)
    assert len({len(fit.history) for fit in found}) > 1
    assert max(len(fit.history) for fit in found) == 12
    for fit, case in zip(found, jobs, strict=True):
        assert len(fit.history) == len(fits([case], **settings)[0].history)
        losses = [entry["val/loss"] for entry in fit.history]
        assert fit.epoch == losses.index(min(losses))
    assert_equal(found[1], fits([jobs[1]], **settings)[0])  # the others' rates are no stable ones


def test_stable_ones_stop_as_alone():
    """Overfitting to few samples, at rates at which rounding errors do not grow."""
    jobs = [job(s, head=mlp(s), base=r, schedule="constant") for s, r in enumerate((0.005, 0.01, 0.03))]
    settings = {"max_epochs": 90, "fit": FitSettings(early_stopping_patience=3)}
    found = fits(jobs, **settings)
    lengths = [len(fit.history) for fit in found]
    assert len(set(lengths)) == 3
    assert max(lengths) < 90
    for fit, case, length in zip(found, jobs, lengths, strict=True):
        alone = fits([case], **settings)[0]
        assert (len(alone.history), alone.epoch) == (length, fit.epoch)
        assert fit.epoch == length - 4  # three epochs without a better one
        for name, value in alone.state.items():
            torch.testing.assert_close(fit.state[name], value, rtol=0, atol=1e-4)


def test_min_epochs_delay_the_stop():
    jobs = [job(s, base=3.0, schedule="constant") for s in range(2)]
    settings = {"max_epochs": 12, "fit": FitSettings(early_stopping_patience=1)}
    assert all(len(fit.history) < 9 for fit in fits(jobs, **settings))
    assert all(len(fit.history) >= 9 for fit in fits(jobs, min_epochs=9, **settings))


def test_without_a_limit_early_stopping_ends_it():
    jobs = [job(s, base=1.0) for s in range(2)]
    for fit in fits(jobs, max_epochs=-1, fit=FitSettings(early_stopping_patience=2)):
        assert fit.history[-1]["learning_rate/head"] == 1.0  # no end is known to fall towards
        assert fit.epoch == len(fit.history) - 3


@pytest.mark.parametrize("selection", ["val_loss", "last"])
@pytest.mark.parametrize("number", [1, 3])
def test_selection(selection, number):
    jobs = [job(s, base=2.0, schedule="constant") for s in range(number)]
    states: list[dict] = []
    for fit in fits(jobs, selection=selection, max_epochs=8):
        losses = [entry["val/loss"] for entry in fit.history]
        best = losses.index(min(losses))
        assert best < 7  # so that the rules differ
        assert fit.epoch == (best if selection == "val_loss" else 7)
        states.append(fit.state)
    scores = torch.nn.functional.linear(VAL.features_ND, states[0]["weight"], states[0]["bias"])
    loss = torch.nn.functional.cross_entropy(scores, VAL.labels_N)
    assert loss.item() == pytest.approx(losses[fit.epoch] if number == 1 else loss.item(), rel=1e-4)


def test_without_validation_the_last_epoch_is_kept():
    for fit in fit_heads([job(0), job(1)], TRAIN, None, order=order, max_epochs=3, fit=FitSettings()):
        assert fit.epoch == 2
        assert not any(name.startswith("val/") for name in fit.history[0])


def diverging(seed: int) -> HeadJob:
    return job(seed, base=1e38, optimizer="sgd", schedule="constant", weight_decay=0.0)


@pytest.mark.parametrize("seeds", [(0, 1, 2), (0, 0, 0)])
def test_a_loss_that_is_not_finite_spoils_no_other(seeds):
    healthy = [job(seeds[0], optimizer="sgd"), job(seeds[2], optimizer="sgd", base=1e-3)]
    first, failed, last = fits([healthy[0], diverging(seeds[1]), healthy[1]])
    for fit, case in zip((first, last), healthy, strict=True):
        assert fit.error is None
        assert_equal(fit, fits([case])[0])
    alone = fits([diverging(seeds[1])])[0]
    for fit in (failed, alone):
        assert isinstance(fit.error, NotFiniteError)
        assert "The training loss is not finite (class_loss) in epoch 0, step" in str(fit.error)
        assert (fit.history, fit.state, fit.epoch) == ([], None, None)
    assert str(failed.error) == str(alone.error)


def test_predictions_that_are_not_finite():
    """The only step overflows the weights; no loss has seen them before the validation does."""

    def one_batch(seed: int, epoch: int) -> torch.Tensor:
        return order(seed, epoch)[:1]

    for number in (1, 2):
        jobs = [job(s, base=1e38, optimizer="sgd", schedule="constant") for s in range(number)]
        for fit in fits(jobs, order=one_batch):
            assert "The validation predictions of epoch 0 are not finite" in str(fit.error)


def test_epochs_before_a_failure_are_kept():
    """The rate explodes after two epochs."""
    cases = [
        job(s, optimizer="sgd", schedule="step", step_epochs=2, step_factor=1e30, base=1e-3) for s in range(3)
    ]
    for jobs in (cases, cases[:1]):
        for fit in fits(jobs):
            assert "in epoch 2, step 1" in str(fit.error)
            assert [entry["epoch"] for entry in fit.history] == [0, 1]
            assert fit.epoch == 1
            assert all(value.isfinite().all() for value in fit.state.values())


def test_jobs_stay_as_they_are_and_epochs_are_told():
    jobs = [job(0), job(1), job(2, head=mlp(2), penalties={"l1": L1()})]
    before = [copy.deepcopy(case.head.state_dict()) for case in jobs]
    told: list[tuple[int, dict]] = []
    found = fits(jobs, on_epoch=lambda position, entry: told.append((position, dict(entry))))
    for case, state in zip(jobs, before, strict=True):
        for name, value in case.head.state_dict().items():
            assert torch.equal(value, state[name])
    for position, fit in enumerate(found):
        assert [entry for of, entry in told if of == position] == fit.history


def test_no_jobs_and_no_epochs():
    assert fits([]) == []
    assert fits([job(0)], max_epochs=0) == [HeadFit([], None, None)]


def test_memory_mapped_features(tmp_path):
    file = tmp_path / "features.bin"
    TRAIN.features_ND.numpy().tofile(file)
    mapped = torch.from_file(str(file), shared=False, size=TRAIN.features_ND.numel()).view(100, -1)
    train = loop.LabelledFeatures(mapped, TRAIN.labels_N)
    found = fit_heads([job(0), job(1)], train, VAL, order=order, max_epochs=2, fit=FitSettings())
    assert_equal(found[0], fits([job(0), job(1)], max_epochs=2)[0])


@pytest.mark.slow
def test_neither_lightning_nor_torchmetrics_is_imported():
    code = (
        "import sys, transferlab.training.heads.loop\n"
        "print([name for name in ('pytorch_lightning', 'torchmetrics', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_head_of_the_linear_problem_learns():
    fit = fits([job(0, base=0.05), job(1, base=0.05)], max_epochs=10)[0]
    assert fit.history[-1]["val/accuracy"] > 0.7 > fit.history[0]["val/accuracy"] - 0.5
    assert linear(0).weight.shape == fit.state["weight"].shape


def test_out_of_time_no_epoch_begins():
    both = [job(0), job(1)]
    assert [len(fit.history) for fit in fits(both, max_time_s=0.0)] == [1, 1]
    assert [len(fit.history) for fit in fits(both, max_time_s=0.0, min_epochs=2)] == [2, 2]
    assert [len(fit.history) for fit in fits(both[:1], max_time_s=1e9)] == [4]
