"""How sure predictions are: their entropy, and weights that let sure ones count more.

The weight 1 + exp(-H): Long et al., Conditional adversarial domain adaptation, NeurIPS 2018
(entropy conditioning); taken over by Jin et al., Minimum class confusion, ECCV 2020.
"""

from __future__ import annotations

import torch


def entropy(logits_NC: torch.Tensor) -> torch.Tensor:
    """The entropy of each softmax `(N,)` in nats, 0 to log C; fp32.

    >>> entropy(torch.zeros(1, 4)).item() == torch.tensor(4.0).log().item()
    True
    """
    log_p = logits_NC.float().log_softmax(1)
    return -(log_p.exp() * log_p).sum(1)


def certainty_weights(entropy_N: torch.Tensor) -> torch.Tensor:
    """1 + exp(-entropy) without gradient: 2 for a sure prediction, 1 + 1/C for an evenly spread one.

    Constants, as in TLlib: with a gradient, the network could change what a sample weighs instead of what it
    is (the authors' first code lets it through, reversed).
    """
    return 1 + (-entropy_N.detach()).exp()
