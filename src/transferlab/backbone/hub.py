"""The model hub: a single request for a network's weights, before timm tries for minutes; its config.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm


def why_unreachable(name: str) -> str | None:
    """Why the weights can neither be fetched from the hub nor found in its cache; None where one works.

    huggingface_hub repeats a failed request five times with growing pauses, for each file name that timm
    tries: about a minute where the connection is refused, three where nothing answers.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError

    known = timm.get_pretrained_cfg(name)
    if known is None or not known.hf_hub_id:
        return None  # timm fetches them elsewhere
    files = [known.hf_hub_filename] if known.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
    if any(isinstance(try_to_load_from_cache(known.hf_hub_id, file), str) for file in files):
        return None
    try:
        get_hf_file_metadata(hf_hub_url(known.hf_hub_id, files[0]), timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except HfHubHTTPError as error:
        status = error.response.status_code
        return f"{constants.ENDPOINT} answers with error {status}" if status >= 500 else None
    except Exception as error:  # of the HTTP library, which differs between versions of huggingface_hub
        return f"{constants.ENDPOINT}: {error}"
    return None


def is_hub_folder(folder: Path) -> bool:
    """True for a folder as timm and the hub write it, and no run's."""
    return (folder / "config.json").is_file() and not (folder / "model.json").is_file()


_OF_CLASSIFIER = ("num_classes", "pretrained", "in_chans")  # arguments that a backbone does not take


def described_by_hub(config: Any) -> dict[str, Any] | None:
    """The content of timm's config.json by the names of a weights file's JSON; None: it is not timm's."""
    if not isinstance(config, dict) or not isinstance(config.get("architecture"), str):
        return None
    images, kwargs = config.get("pretrained_cfg", config), config.get("model_args") or {}
    if not isinstance(images, dict) or not isinstance(kwargs, dict):
        return None
    kwargs = {name: value for name, value in kwargs.items() if name not in _OF_CLASSIFIER}
    return {**images, "architecture": config["architecture"], "model_kwargs": kwargs}
