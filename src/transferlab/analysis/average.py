"""Averages of the weights of trained runs, without training: soups, and the line between two networks.

What is chosen is chosen on the validation split; the test split is predicted once, with what was chosen.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd
import torch
from omegaconf import DictConfig
from torch.nn.modules.batchnorm import _BatchNorm

from transferlab.analysis.ingredients import Ingredient, ingredients, require_same_layers, start_of
from transferlab.config.instantiation import make
from transferlab.data.batches import Batches
from transferlab.data.splits import arrange
from transferlab.evaluation.comparison.answers import Answers
from transferlab.evaluation.comparison.intervals import intervals
from transferlab.evaluation.metrics import classification_metrics, metrics_in_order
from transferlab.evaluation.predictions import Predictions
from transferlab.model.averaging import WeightMean, between, norms_without_statistics
from transferlab.model.batch_statistics import statistics_anew
from transferlab.model.classifier import Classifier
from transferlab.model.model import Model
from transferlab.run import environment
from transferlab.run.errors import UserError
from transferlab.run.progress import progress
from transferlab.run.run_folder import Run, write_atomically
from transferlab.strategy.objective.domains import Domains
from transferlab.strategy.strategy import Strategy
from transferlab.training.build import device_of, make_data
from transferlab.training.model_evaluation import predicted
from transferlab.training.run_record import evaluation_record, recorded_inputs, require_same_data
from transferlab.training.terminal import quiet_libraries

How = Literal["uniform", "greedy", "line", "wise_ft"]
_LEAST_BATCH = 32  # images that give a batch norm's statistics: of few, variances are rough
ALPHAS = tuple(tenth / 10 for tenth in range(11))


@dataclass(frozen=True)
class Step:
    """A network that was validated on the way.

    Attributes:
        network: a name of it for people.
        runs: those whose mean it is, or the two ends of its line.
        alpha: its place on a line, from 0 to 1; None for a soup.
        kept: whether it was chosen, or in a soup, whether its newest run was.
        predictions: for the validation split; None where there is none.
    """

    network: str
    runs: tuple[str, ...]
    alpha: float | None
    kept: bool
    predictions: Predictions | None

    @property
    def rank(self) -> tuple[float, float]:
        """Validation accuracy, and what decides among equals: a low loss."""
        assert self.predictions is not None
        metrics = _metrics(self.predictions)
        return metrics["accuracy"], -metrics["loss"]

    def row(self, groups: Sequence[Any] | None) -> dict[str, Any]:
        """Its line of average.csv; `groups` are of the validation images."""
        about = {"network": self.network, "runs": " + ".join(self.runs), "num_runs": len(self.runs)}
        found: dict[str, Any] = dict.fromkeys(("val_accuracy", "val_loss", "low", "high"))
        if self.predictions is not None:
            metrics, labels_N = _metrics(self.predictions), self.predictions.labels_N
            guesses_N = self.predictions.probabilities_NC.argmax(1)
            interval = intervals(Answers.of(labels_N.tolist(), [guesses_N.tolist()], groups)).get("accuracy")
            found |= {"val_accuracy": metrics["accuracy"], "val_loss": metrics["loss"]}
            found |= {} if interval is None else {"low": interval.low, "high": interval.high}
        return {**about, "alpha": self.alpha, **found, "kept": "yes" if self.kept else "no"}


def average(
    runs: Sequence[Run], how: How, config: DictConfig, into: Run, *, moved: Sequence[str] = ()
) -> dict[str, Any]:
    """Average the weights of runs; write the network and how it was chosen into a folder.

    Args:
        runs: finished; one for `wise_ft`, two for `line`.
        how: `uniform`, the mean of all; `greedy`, in order of their validation accuracy, each that does not
            lower that of the mean; `line`, the best of 11 points from the first run to the second; `wise_ft`,
            from the start of the run to its end.
        config: of the first run: the data and the device.
        into: a new folder, which can be evaluated and started from like a run's.
        moved: changes of the recorded configs: where the data is now.

    Returns:
        What its result.json says.

    Raises:
        UserError: runs that cannot be averaged, or that have no validation split to choose by.
    """
    quiet_libraries()
    allow = config.get("allow") or ()
    known = dict(zip(_names(runs), ingredients(runs, allow), strict=True))
    start = start_of(runs[0], allow, moved) if how == "wise_ft" else None
    into.create()
    with into.locked():
        bench = _Bench(config, known, into)
        if how == "uniform":
            steps, model = _uniform(bench)
        elif how == "greedy":
            steps, model = _greedy(bench)
        else:
            steps, model = _line(bench, start)
        return bench.conclude(steps, model, how)


class _Bench:
    """The networks, the splits that they are validated and tested on, and averages made of them."""

    def __init__(self, config: DictConfig, known: Mapping[str, Ingredient], into: Run) -> None:
        self.config, self.known, self.into = config, known, into
        self.settings = make_data(config)
        self.splits = arrange(self.settings)
        for each in known.values():
            require_same_data(self.splits, each.run)
        self.run = next(iter(known.values())).run
        self.first = next(iter(known.values())).model()
        self.num_norms = 0  # whose statistics were computed anew

    def load(self, name: str) -> Model:
        """The model of a run, of the same layers as the first one."""
        model = self.known[name].model()
        require_same_layers(model, self.known[name].run, self.first, self.run)
        return model

    def made(self, mean: WeightMean) -> Model:
        """The network of a mean; batch norms that training changed get statistics of their own."""
        network = copy.deepcopy(self.first.network)
        network.load_state_dict(mean.state())
        norms = norms_without_statistics(network, mean.differing)
        self.num_norms = max(self.num_norms, len(norms))
        if norms:
            self._compute_statistics(network, norms)
        return replace(self.first, network=network.eval())

    def _compute_statistics(self, network: Classifier, norms: Sequence[_BatchNorm]) -> None:
        """By a pass over the training images, as the first run's training would see them."""
        device = device_of(self.config.trainer)
        strategy: Strategy = make(self.config.strategy)
        uses_target, seed = strategy.objective.uses_target, int(self.config.seed)
        images = self.first.preprocessing
        settings = replace(self.settings, batch_size=max(self.settings.batch_size, _LEAST_BATCH))
        batches = Batches(self.splits, settings, images, seed=seed, uses_target=uses_target)
        domains = Domains(bn=strategy.bn)
        network.to(device).eval()
        for norm in norms:
            norm.train()
        with statistics_anew(norms), torch.no_grad():
            for batch in batches.train():
                domains.pass_through(network, batches.prepared({k: v.to(device) for k, v in batch.items()}))
        network.cpu()

    def validated(self, model: Model) -> Predictions | None:
        """Its predictions for the validation split; None where there is none."""
        return self._predicted(model, "val") if len(self.splits["val"]) else None

    def alone(self, name: str) -> Step:
        """A run as it is, by the predictions that it has recorded."""
        split, classes = self.splits["val"], self.splits.classes
        table = self.known[name].validation(split.catalog.samples, classes) if len(split) else None
        return Step(name, (name,), None, True, table)

    def require_validation(self) -> None:
        """Raise `UserError` where there are no images to choose by."""
        if not len(self.splits["val"]):
            raise UserError(
                f"{self.run.path}: its data has no validation split to choose an average by. Fix: "
                "the mean of all runs (no --greedy, --line, --wise-ft), or train with data.val_fraction=0.2."
            )

    def _predicted(self, model: Model, split: str) -> Predictions:
        return predicted(model, self.config, self.splits[split].catalog, self.into)

    def conclude(self, steps: Sequence[Step], model: Model, how: How) -> dict[str, Any]:
        """Predict with what was chosen, once, and write all that came out."""
        chosen = [step for step in steps if step.kept][-1]
        splits, into = self.splits, self.into
        predictions = {} if chosen.predictions is None else {"val": chosen.predictions}
        predictions |= {name: self._predicted(model, name) for name in splits.reported if name != "val"}
        labelled = {name: table for name, table in predictions.items() if (table.labels_N >= 0).any()}
        groups = {name: splits[name].catalog.table["group"].tolist() for name in predictions}
        result = {
            "status": "finished",
            "of": [str(each.run.path.resolve()) for each in self.known.values()],
            "metrics": metrics_in_order(splits.class_counts),
            **evaluation_record(labelled, groups),
            "average": {"how": how, "runs": list(chosen.runs), "alpha": chosen.alpha},
            "warnings": self._notes(),
        }
        model.save(into.path)
        into.write_config(self.config)
        # by which `compare` names it
        choices = {**self.run.environment.get("choices", {}), "strategy": f"average {how}"}
        into.write_json("environment.json", {**environment.describe(), "choices": choices})
        into.write_json("inputs.json", self._inputs())
        write_atomically(into.path / "split.csv", splits.table().to_csv(index=False))
        rows = [step.row(groups.get("val")) for step in steps]
        write_atomically(into.path / "average.csv", pd.DataFrame(rows).to_csv(index=False))
        for name, table in predictions.items():
            table.write(into.path / "predictions" / f"{name}.csv")
        into.write_json("result.json", result)
        return result

    def _inputs(self) -> dict[str, str]:
        """Hashes of the data and weights that the runs were made from, as far as all have the same."""
        records = [recorded_inputs(each.run).items() for each in self.known.values()]
        return {name: value for name, value in records[0] if all((name, value) in each for each in records)}

    def _notes(self) -> list[str]:
        notes = []
        if self.num_norms:
            notes.append(
                f"training has changed the statistics of {self.num_norms} batch norms: each average got its "
                "own by a pass over the training images."
            )
        if "backbone.weights" not in self._inputs():
            notes.append(
                "these runs did not begin with the same weights: averages of such networks rarely predict "
                "well."
            )
        return notes


def _uniform(bench: _Bench) -> tuple[list[Step], Model]:
    """Each run alone, as it is recorded, and the mean of all."""
    steps = [bench.alone(name) for name in bench.known]
    first, *others = bench.known
    mean = WeightMean(bench.load(first).network.state_dict())
    for name in others:
        mean = mean.plus(bench.load(name).network.state_dict())
    model = bench.made(mean)
    steps.append(Step(f"mean of {len(steps)}", tuple(bench.known), None, True, bench.validated(model)))
    return steps, model


def _greedy(bench: _Bench) -> tuple[list[Step], Model]:
    """Runs in order of their validation accuracy; one stays if that of the mean does not fall."""
    bench.require_validation()
    best, *others = sorted(bench.known, key=lambda name: bench.alone(name).rank, reverse=True)
    mean = WeightMean(bench.load(best).network.state_dict())
    model = bench.made(mean)
    chosen = Step(best, (best,), None, True, bench.validated(model))
    steps = [chosen]
    with progress("Averages", len(others), "runs") as advance:
        for name in others:
            wider = mean.plus(bench.load(name).network.state_dict())
            candidate = bench.made(wider)
            step = Step(f"+ {name}", (*chosen.runs, name), None, True, bench.validated(candidate))
            if step.rank[0] >= chosen.rank[0]:
                mean, model, chosen = wider, candidate, step
            steps.append(replace(step, kept=step is chosen))
            advance(1)
    return steps, model


def _line(bench: _Bench, start: Model | None) -> tuple[list[Step], Model]:
    """Points from the first network, or its `start`, to the last; a low loss decides among equals."""
    bench.require_validation()
    runs = tuple(bench.known)
    end = bench.load(runs[-1])
    if start is None:
        start = bench.first
    require_same_layers(start, bench.run, end, bench.run)
    ends = start.network.state_dict(), end.network.state_dict()
    steps = []
    with progress("Averages", len(ALPHAS), "networks") as advance:
        for alpha in ALPHAS:
            model = bench.made(between(*ends, alpha))
            steps.append(Step(f"alpha {alpha:.1f}", runs, alpha, False, bench.validated(model)))
            advance(1)
    best = max(steps, key=lambda step: step.rank)
    steps[steps.index(best)] = replace(best, kept=True)
    assert best.alpha is not None
    return steps, replace(end, network=bench.made(between(*ends, best.alpha)).network)


def _metrics(table: Predictions) -> dict[str, float]:
    found = classification_metrics(table.probabilities_NC, table.labels_N)
    return {name: value for name, value in found.items() if value is not None}


def _names(runs: Sequence[Run]) -> list[str]:
    """The names of their folders, or where two are the same, the paths."""
    names = [run.path.name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.path) for run in runs]
