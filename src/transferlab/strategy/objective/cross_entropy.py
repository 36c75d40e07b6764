"""Cross-entropy on labelled samples; with two domains, on the source's alone (the source-only baseline).

Label smoothing: Szegedy et al., Rethinking the Inception architecture, CVPR 2016, section 7.
"""

from __future__ import annotations

from torch.nn import functional

from transferlab.backbone.classifier import Classifier
from transferlab.strategy.parts import Batch, Losses, Objective


class CrossEntropy(Objective):
    """Cross-entropy, with `label_smoothing` of the probability spread over all classes."""

    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def losses(self, network: Classifier, batch: Batch, progress: float) -> Losses:
        """See `Objective`."""
        logits_NC, labels_N = network(batch["image"]), batch["label"]
        loss = functional.cross_entropy(logits_NC.float(), labels_N, label_smoothing=self.label_smoothing)
        accuracy = (logits_NC.argmax(1) == labels_N).float().mean()
        return Losses({"class_loss": loss}, {"accuracy": accuracy})
