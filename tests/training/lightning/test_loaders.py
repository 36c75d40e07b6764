"""The batches that a Lightning trainer sees after a resume are those that it would have seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from transferlab.data.augmentation.pipeline import Augmentation
from transferlab.data.batches import Batches
from transferlab.data.catalog.digits import Digits
from transferlab.data.catalog.digits_on_photos import DigitsOnPhotos
from transferlab.data.data_settings import DataSettings
from transferlab.data.image.preprocessing import Preprocessing
from transferlab.data.mixing.batch import Mixing
from transferlab.data.splits import arrange
from transferlab.training.lightning.loaders import Loaders

pytestmark = pytest.mark.filterwarnings("ignore")


class Recorder(pl.LightningModule):
    """Writes down a number that depends on every pixel of each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, float, float, int]] = []

    def training_step(self, batch, batch_idx):
        places = torch.arange(batch["image"].numel()).reshape(batch["image"].shape).cos()
        target = batch["target_image"].sum().item()
        self.seen.append(
            (batch_idx, (batch["image"] * places).sum().item(), target, int(batch["label"].sum()))
        )
        return self.weight * 0.0 + self.weight

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture(scope="module")
def digits():
    """Batches of the same splits, read once."""
    settings = DataSettings(
        root=None,
        source=Digits(),
        mixing=Mixing(),
        num_workers=0,
        augmentation=Augmentation(min_crop_area=0.5),
        target=DigitsOnPhotos(),
        batch_size=32,
        fraction=0.3,
    )
    splits = arrange(settings)

    def batches(workers: int = 0) -> Batches:
        used = replace(settings, num_workers=workers)
        return Batches(splits, used, Preprocessing(image_size=8), seed=0)

    return batches


def fit(data, folder, *, max_epochs, every_steps=None, resume=None, accumulate=1):
    model = Recorder()
    saver = ModelCheckpoint(folder, save_top_k=-1, every_n_train_steps=every_steps, filename="{step}")
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=max_epochs,
        limit_train_batches=5,
        limit_val_batches=1,
        accumulate_grad_batches=accumulate,
        callbacks=[saver],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=1,
    )
    trainer.fit(model, datamodule=Loaders(data), ckpt_path=resume)
    return model.seen


@pytest.mark.parametrize(("workers", "accumulate"), [(0, 1), (2, 1), (0, 2)])
def test_resumed_batches(digits, tmp_path, workers, accumulate):
    whole = fit(digits(), tmp_path / "a", max_epochs=3, every_steps=1, accumulate=accumulate)
    assert len(whole) == 15
    assert len(set(whole)) == 15
    for step in (2, 6) if workers else (1, 2, 3, 4, 6):
        path = tmp_path / "a" / f"step={step}.ckpt"
        ready = torch.load(path, weights_only=True)["loops"]["fit_loop"]["epoch_loop.batch_progress"][
            "total"
        ]["ready"]
        rest = fit(
            digits(workers),
            tmp_path / "b",
            max_epochs=3,
            resume=path,
            accumulate=accumulate,
        )
        assert rest == whole[ready:]
