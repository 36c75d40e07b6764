"""The predictions table comes back as it was written, whatever the names."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from transferlab.evaluation.metrics import classification_metrics
from transferlab.evaluation.predictions import Predictions
from transferlab.run.reading import UnreadableFile

NAMES = {
    "plain": ("cat", "dog"),
    "commas and quotes": ("a,b", 'say "hi"', "it's", "semi;colon", "tab\there"),
    "numbers": ("0", "1", "007", "1e5", "-1"),
    "words for nothing": ("NA", "nan", "None", "null", "N/A", "#N/A"),
    "words for truth": ("True", "False", "true"),
    "brackets": ("p(x)", "(", ")", "p(", "label", "sample", "predicted"),
    "spaces": (" ", "  two", "trailing "),
    "line ends": ("two\nlines", "three\r\nlines"),
    "unicode": ("Gänseblümchen", "雛菊", "🌼", "\u00e9", "e\u0301"),
    "one": ("only",),
}


def make(classes: tuple[str, ...], samples: tuple[str, ...] | None = None) -> Predictions:
    samples = samples or tuple(f"photos/{n:03}.jpg" for n in range(2 * len(classes) + 1))
    scores = np.random.default_rng(0).normal(size=(len(samples), len(classes))) * 10
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    labels = np.arange(len(samples)) % len(classes)
    labels[-1] = -1
    return Predictions(samples, labels, probabilities, classes)


def same(one: Predictions, other: Predictions) -> bool:
    return (
        list(one.samples) == list(other.samples)
        and one.classes == other.classes
        and one.labels_N.dtype == other.labels_N.dtype
        and np.array_equal(one.labels_N, other.labels_N)
        and np.array_equal(one.probabilities_NC, other.probabilities_NC)
    )


@pytest.mark.parametrize("classes", NAMES.values(), ids=NAMES)
def test_round_trip_of_class_names(classes, tmp_path):
    written = make(classes)
    written.write(tmp_path / "predictions" / "test.csv")
    read = Predictions.read(tmp_path / "predictions" / "test.csv")
    assert same(read, written)
    assert read.table().equals(written.table())


def test_round_trip_of_sample_names(tmp_path):
    samples = ("1", "NA", "", "a,b.jpg", 'q"q.jpg', "ü/ñ.jpg", "007", "two\nlines")
    written = make(("a", "b"), samples)
    written.write(tmp_path / "p.csv")
    assert Predictions.read(tmp_path / "p.csv").samples == samples


def test_probabilities_come_back_to_the_last_bit(tmp_path):
    """So that figures computed from the table are those of the run, ties of nearly sure samples included."""
    nearly = 1 - np.array([[1e-10], [2e-10], [3e-16], [0.5], [1 / 3]])
    written = Predictions(
        tuple("abcde"), np.array([0, 1, 0, 1, 0]), np.hstack([nearly, 1 - nearly]), ("x", "y")
    )
    written.write(tmp_path / "p.csv")
    read = Predictions.read(tmp_path / "p.csv")
    assert np.array_equal(read.probabilities_NC, written.probabilities_NC)
    assert classification_metrics(read.probabilities_NC, read.labels_N) == classification_metrics(
        written.probabilities_NC, written.labels_N
    )


def test_table_as_another_program_reads_it(tmp_path):
    probabilities = np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]])
    Predictions(("a", "b", "c"), np.array([1, 0, -1]), probabilities, ("no, thanks", "yes")).write(
        tmp_path / "p.csv"
    )
    with Path(tmp_path / "p.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["sample", "label", "predicted", "p(no, thanks)", "p(yes)"],
        ["a", "yes", "yes", "0.25", "0.75"],
        ["b", "no, thanks", "no, thanks", "0.5", "0.5"],
        ["c", "", "no, thanks", "1.0", "0.0"],
    ]


def test_without_samples(tmp_path):
    Predictions((), np.zeros(0, dtype=np.int64), np.zeros((0, 2)), ("a", "b")).write(tmp_path / "p.csv")
    read = Predictions.read(tmp_path / "p.csv")
    assert read.labels_N.dtype == np.int64
    assert read.probabilities_NC.shape == (0, 2)
    assert read.classes == ("a", "b")


def test_writing_again_replaces_the_whole(tmp_path):
    make(("a", "b", "c")).write(tmp_path / "p.csv")
    make(("a",)).write(tmp_path / "p.csv")
    assert Predictions.read(tmp_path / "p.csv").classes == ("a",)
    assert [file.name for file in tmp_path.iterdir()] == ["p.csv"]


def test_the_empty_name_is_taken():
    with pytest.raises(AssertionError, match="empty name"):
        Predictions((), np.zeros(0, dtype=np.int64), np.zeros((0, 1)), ("",))


@pytest.mark.parametrize("cell", ["", "half", "1.5", "nan", "-0.1"])
def test_what_is_no_probability_is_refused(tmp_path, cell):
    file = tmp_path / "p.csv"
    file.write_text(f"sample,label,predicted,p(a),p(b)\n0007,001,a,0.5,{cell}\n")
    with pytest.raises(UnreadableFile, match=r"p\.csv: .* Fix: "):
        Predictions.read(file)
