"""Names that W&B would refuse."""

from __future__ import annotations


def test_projects_and_tags(problems):
    (text,) = problems("logger=wandb", "logger.wandb.project='a/b:c'")
    assert text.startswith("logger.wandb.project=a/b:c: must have at most 128 characters and none of / ")
    assert problems("logger=wandb", f"logger.wandb.project={'a' * 129}")
    (text,) = problems("logger=wandb", "logger.wandb.tags=['']")
    assert text == "logger.wandb.tags: '' must have 1 to 64 characters."
    assert problems("logger=wandb", "logger.wandb.project=fine-1.2", "logger.wandb.tags=[a,b]") == []
    assert problems("logger=tensorboard") == []
