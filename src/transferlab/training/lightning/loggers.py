"""Loggers of a run: TensorBoard, Weights & Biases.

The run folder's own history.csv is written always. Each function makes one of Lightning's loggers; `folder`
and `run_id` come from the run, everything else from the config.
"""

from __future__ import annotations

import hashlib
import netrc
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

from lightning_utilities.core.rank_zero import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger

from transferlab.config.instantiation import make
from transferlab.evaluation.predictions import Predictions
from transferlab.run.errors import UserError
from transferlab.run.run_folder import Run
from transferlab.training.runs import in_folder

_MOST_PLOTTED_CLASSES = 100  # W&B keeps 10,000 rows of a table


def tensorboard(*, folder: str, run_id: str) -> Logger:
    """Event files in the run folder; `tensorboard --logdir runs` shows them.

    Raises:
        UserError: TensorBoard is not installed.
    """
    try:
        return TensorBoardLogger(folder, name="", version="tensorboard", default_hp_metric=False)
    except ModuleNotFoundError as error:
        raise UserError(
            "logger=tensorboard: TensorBoard is not installed. pip install 'transferlab[tensorboard]'"
        ) from error


def wandb(
    *,
    folder: str,
    run_id: str,
    project: str = "transferlab",
    entity: str | None = None,
    group: str | None = None,
    tags: list[str] | None = None,
    mode: Literal["auto", "online", "offline", "disabled"] = "auto",
) -> Logger:
    """A W&B run with the id of the transferlab run, so that a resumed one goes on as the same.

    Without a `group`, the runs of a sweep have the sweep's.

    Raises:
        UserError: the W&B server cannot be reached or refuses the user.
    """
    import wandb as client
    from wandb.errors import UsageError

    chosen = mode if mode != "auto" else os.environ.get("WANDB_MODE") or mode_by_login()
    if rank_zero_only.rank != 0:  # type: ignore[attr-defined]
        return WandbLogger(save_dir=folder, project=project, id=run_id)  # sends nothing
    with in_folder("/"):  # `wandb/settings` of the working folder may be anybody's, and names a server
        client.setup()
    try:
        run = client.init(
            dir=str(Path(folder).absolute()),  # its service runs in another folder
            project=project,
            entity=entity,
            group=group or sweep_of(Path(folder)),
            tags=tags or [],
            mode=chosen,  # type: ignore[arg-type]
            id=run_id,
            name=Path(folder).name,
            resume="allow" if chosen == "online" else None,
        )
    except client.Error as error:
        if isinstance(error, UsageError) or chosen != "online":  # no server has a part in it
            raise UserError(
                f"logger.wandb: W&B does not take these settings ({error}). Fix: correct its project, "
                "entity, group or tags."
            ) from error
        raise UserError(
            f"logger.wandb.mode={chosen}: W&B does not begin a run ({error}). Fix: "
            "logger.wandb.mode=offline, which needs no server; `wandb sync` uploads it later."
        ) from error
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return WandbLogger(save_dir=folder, project=project, id=run_id, experiment=run)


def sweep_of(folder: Path) -> str | None:
    """The name of the sweep that a run folder belongs to, with the folder that it is in; None: to none."""
    sweep = folder.resolve().parent
    return f"{sweep.parent.name}/{sweep.name}" if (sweep / "sweep.json").is_file() else None


def run_id(folder: Path) -> str:
    """An id for a run folder that W&B takes: other for the same name elsewhere, the same after a resume."""
    place = hashlib.blake2b(str(folder.resolve()).encode(), digest_size=5).hexdigest()
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.name)[:60] + "-" + place


def make_loggers(nodes: Iterable[DictConfig], config: DictConfig, run: Run) -> list[Logger]:
    """The loggers of these config nodes, which get the whole config."""
    made = [make(node, folder=str(run.path), run_id=run_id(run.path)) for node in nodes]
    log_config(made, config)
    return made


def log_config(loggers: list[Logger], config: DictConfig) -> None:
    """Log the resolved config."""
    for logger in loggers:
        logger.log_hyperparams(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]


def log_result(loggers: list[Logger], result: Mapping[str, Any], predictions: Predictions | None) -> None:
    """Log the final metrics; W&B also gets the confusion matrix."""
    metrics = {
        f"{split}/{name}": value
        for split in ("val", "test")
        for name, value in (result.get(split) or {}).items()
        if isinstance(value, int | float)
    }
    cost = {f"cost/{name}": value for name, value in (result.get("cost") or {}).items()}
    for logger in loggers:
        if not isinstance(logger, WandbLogger):
            logger.log_metrics({f"final_{name}": value for name, value in metrics.items()})
            continue
        logger.experiment.summary.update({f"final/{name}": value for name, value in metrics.items()})
        logger.experiment.summary.update({"status": result["status"], **cost})
        if predictions is not None and len(predictions.classes) <= _MOST_PLOTTED_CLASSES:
            _plot_confusions(logger, predictions)


def _plot_confusions(logger: WandbLogger, predictions: Predictions) -> None:
    import wandb as client

    known = predictions.labels_N >= 0
    if not known.any():
        return
    plot = client.plot.confusion_matrix(
        y_true=predictions.labels_N[known].tolist(),
        preds=predictions.probabilities_NC[known].argmax(1).tolist(),
        class_names=list(predictions.classes),
    )
    logger.experiment.log({"confusion_matrix": plot})


def finish(loggers: list[Logger], *, failed: bool) -> None:
    """Close every logger; a W&B run ends with this job, so that the next one of a sweep has its own."""
    for logger in loggers:
        logger.finalize("failed" if failed else "success")
        if isinstance(logger, WandbLogger):
            logger.experiment.finish(exit_code=1 if failed else 0)


def mode_by_login() -> Literal["online", "offline"]:
    """Online where a W&B key is at hand (environment or netrc), else offline; no server is contacted."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return "online"
    host = urlparse(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").netloc
    for name in (os.environ["NETRC"],) if os.environ.get("NETRC") else ("~/.netrc", "~/_netrc"):
        try:
            entry = netrc.netrc(str(Path(name).expanduser())).hosts.get(host)
        except (netrc.NetrcParseError, OSError):
            continue
        if entry and entry[2]:
            return "online"
    return "offline"
