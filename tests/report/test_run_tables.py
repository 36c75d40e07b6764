"""What a run prints when it has finished."""

from __future__ import annotations

from transferlab.report.run_tables import show_metrics, show_result

RESULT = {
    "metrics": ["balanced_accuracy", "accuracy", "auroc"],
    "val": {"accuracy": 0.9, "balanced_accuracy": 0.8, "auroc": None},
    "source_test": {"accuracy": 0.7, "balanced_accuracy": 0.65, "auroc": 0.99},
    "selection": {"rule": "entropy", "epoch": 4, "trainable_stages": 2},
    "cost": {"epochs": 10, "parameters": 12345, "trainable_parameters": 678, "fit_seconds": 3.21},
}


def printed(capsys) -> list[list[str]]:
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_metrics_of_each_split(capsys):
    show_metrics(RESULT)
    assert printed(capsys) == [
        ["balanced", "accuracy", "accuracy", "auroc"],
        ["val", "0.800", "0.900", "-"],
        ["source", "test", "0.650", "0.700", "0.990"],
    ]


def test_an_interval_says_what_it_covers(capsys):
    covers = {"covers": "other images, not other seeds", "balanced_accuracy": [0.6, 0.7]}
    show_metrics({**RESULT, "intervals": {"source_test": covers}})
    assert printed(capsys) == [
        ["balanced", "accuracy", "95", "%", "interval", "accuracy", "auroc"],
        ["val", "0.800", "0.900", "-"],
        ["source", "test", "0.650", "0.600", "to", "0.700", "0.700", "0.990"],
        ["The", "interval", "covers", "other", "images,", "not", "other", "seeds"],
    ]


def test_how_the_model_was_selected(capsys):
    target = {
        "entropy": {"epoch": 4, "accuracy": 0.5, "balanced_accuracy": 0.4},
        "oracle": {"epoch": 6, "accuracy": 0.6, "balanced_accuracy": 0.55},
    }
    show_result({**RESULT, "selection": {**RESULT["selection"], "target": target}})
    lines = [" ".join(line) for line in printed(capsys)]
    assert lines[3:] == [
        "epoch selected by epoch test balanced accuracy test accuracy",
        "entropy (selected) 5 0.400 0.500",
        "oracle, on target validation labels 7 0.550 0.600",
        "selected epoch 5 of 10 (entropy, 2 stages open); 678 of 12,345 parameters trained; 3.2 s",
    ]
