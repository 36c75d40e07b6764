"""Which classes a config file may name.

A config file comes from anywhere, and `_target_` runs what it names. So only these are allowed, each by its
full path; a user adds modules of his own with `allow=[his_module]` on the command line, or a package of his
declares the entry point group `transferlab.allow`. A config file can not widen the list.
"""

from __future__ import annotations

from collections.abc import Sequence

ALLOWED = (
    "pytorch_lightning.Trainer",
    "transferlab.backbone.network.Backbone",
    "transferlab.data.augmentation.albumentations_file.AlbumentationsFile",
    "transferlab.data.augmentation.pipeline.Augmentation",
    "transferlab.data.catalog.digits.Digits",
    "transferlab.data.catalog.digits_on_photos.DigitsOnPhotos",
    "transferlab.data.catalog.domain_folder.DomainFolder",
    "transferlab.data.catalog.folder.Folder",
    "transferlab.data.catalog.huggingface.HuggingFace",
    "transferlab.data.catalog.letters.Letters",
    "transferlab.data.catalog.mnist.MNIST",
    "transferlab.data.catalog.mnist_m.MNISTM",
    "transferlab.data.catalog.table.Table",
    "transferlab.data.mixing.batch.Mixing",
    "transferlab.data.settings.DataSettings",
    "transferlab.feature.settings.FeatureSettings",
    "transferlab.strategy.head.linear.Linear",
    "transferlab.strategy.head.logistic.Logistic",
    "transferlab.strategy.head.mlp.MLP",
    "transferlab.strategy.learning_rates.schedule.LearningRates",
    "transferlab.strategy.objective.cdan.CDAN",
    "transferlab.strategy.objective.cross_entropy.CrossEntropy",
    "transferlab.strategy.objective.dan.DAN",
    "transferlab.strategy.objective.dann.DANN",
    "transferlab.strategy.objective.deep_coral.DeepCORAL",
    "transferlab.strategy.objective.focal.Focal",
    "transferlab.strategy.objective.logit_adjustment.LogitAdjustment",
    "transferlab.strategy.objective.mcc.MCC",
    "transferlab.strategy.objective.mdd.MDD",
    "transferlab.strategy.objective.self_training.SelfTraining",
    "transferlab.strategy.penalty.l1.L1",
    "transferlab.strategy.penalty.l2_sp.L2SP",
    "transferlab.strategy.strategy.Strategy",
    "transferlab.strategy.unfreezing.all.All",
    "transferlab.strategy.unfreezing.gradual.Gradual",
    "transferlab.strategy.unfreezing.last.Last",
    "transferlab.strategy.unfreezing.none.NoStage",
    "transferlab.strategy.unfreezing.validated.Validated",
    "transferlab.training.loggers.tensorboard",
    "transferlab.training.loggers.wandb",
    "transferlab.training.settings.FitSettings",
)


def is_allowed(target: str, allow: Sequence[str] = ()) -> bool:
    """Whether a config may name this class, given the modules (or single classes) that the user allowed."""
    if target in ALLOWED:
        return True
    from importlib.metadata import entry_points  # only a class that is not ours costs the look

    installed = [point.value for point in entry_points(group="transferlab.allow")]
    return any(target == own or target.startswith(own + ".") for own in [*allow, *installed])
