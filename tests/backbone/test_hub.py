"""Weights from a hub: a small one on this machine, in a process that has been told of no other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from tests.backbone.hub_server import HubServer
from transferlab.backbone.timm_network import timm_backbone
from transferlab.backbone.weights_file import WeightsError

# One process for all cases: importing torch and timm is what takes the time
SCRIPT = """
import sys, time
import torch
from huggingface_hub import constants
from safetensors.torch import load_file
from transferlab.backbone.network import Backbone
from transferlab.backbone.timm_network import timm_backbone

def attempt(name, cache):
    constants.HF_HUB_CACHE = cache
    started = time.monotonic()
    try:
        network = timm_backbone(name=name, weights="hub", image_size=32).network
        served, own = load_file(sys.argv[1]), network.state_dict()
        answer = "equal" if all(torch.equal(own[key], served[key]) for key in own) else "other weights"
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    print(f"{time.monotonic() - started:.1f}|{answer}", flush=True)

for line in sys.stdin:
    attempt(*line.split())
"""


@pytest.fixture(scope="module")
def repositories(tmp_path_factory) -> Path:
    """A good repository, a repository without weights, and one with a broken file."""
    root = tmp_path_factory.mktemp("hub")
    torch.manual_seed(0)
    network = timm.create_model("resnet10t")
    for name in ("resnet10t.c3_in1k", "resnet14t.c3_in1k", "resnet26t.ra2_in1k"):
        (root / "timm" / name).mkdir(parents=True)
    save_file(network.state_dict(), root / "timm" / "resnet10t.c3_in1k" / "model.safetensors")
    (root / "timm" / "resnet26t.ra2_in1k" / "model.safetensors").write_bytes(b"not weights")
    return root


@pytest.mark.slow
def test_hub(repositories, tmp_path):
    served = repositories / "timm" / "resnet10t.c3_in1k" / "model.safetensors"
    with HubServer(repositories) as hub:
        settings = {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_ETAG_TIMEOUT": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "OMP_NUM_THREADS": "1",
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(served)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=inherited | settings,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None

        def attempt(name: str, cache: str) -> tuple[float, str]:
            process.stdin.write(f"{name} {tmp_path / cache}\n")
            process.stdin.flush()
            seconds, _, answer = process.stdout.readline().strip().partition("|")
            return float(seconds), answer

        try:
            assert attempt("resnet10t", "full")[1] == "equal"
            assert f"GET /timm/resnet10t.c3_in1k/resolve/main/{served.name}" in hub.requests
            fetched = len(hub.requests)
            assert attempt("resnet10t", "full")[1] == "equal"
            assert not [request for request in hub.requests[fetched:] if request.startswith("GET /timm")]

            assert "weights of resnet14t could not be loaded" in attempt("resnet14t", "full")[1]
            assert "weights of resnet26t could not be loaded" in attempt("resnet26t", "full")[1]
            assert "nobody has published weights of dpn48b" in attempt("dpn48b", "full")[1]
            hub.status = 503
            _refused_quickly(*attempt("resnet10t", "empty"), reason="answers with error 503")
            assert attempt("resnet10t", "full")[1] == "equal"
            hub.close()  # nothing listens any more
            _refused_quickly(*attempt("resnet10t", "empty"), reason="refused")
            assert attempt("resnet10t", "full")[1] == "equal"
            with HubServer(repositories, port=hub.port, silent=True):
                _refused_quickly(*attempt("resnet10t", "empty"), reason="timed out")
                assert attempt("resnet10t", "full")[1] == "equal"
        finally:
            process.stdin.close()
            process.wait(timeout=30)
            process.stdout.close()


def _refused_quickly(seconds: float, answer: str, *, reason: str) -> None:
    assert answer.startswith(
        "WeightsError: backbone.weights=hub: the weights of resnet10t could not be loaded ("
    )
    assert reason in answer
    assert "Check the connection (and HF_ENDPOINT, HF_HUB_OFFLINE), or give a file" in answer
    assert seconds < 6


def test_offline(monkeypatch, tmp_path):
    """HF_HUB_OFFLINE=1, as in these tests, asks nobody at all."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match=r"weights of resnet10t could not be loaded \(.*[Oo]ffline"):
        timm_backbone(name="resnet10t", weights="hub")
