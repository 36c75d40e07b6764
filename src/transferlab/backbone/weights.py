"""Where a backbone's weights come from: a hub, an installed package, a file, a trained model, or nowhere."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from transferlab.backbone.hub import described_by_hub, is_hub_folder
from transferlab.backbone.package_weights import package_weights
from transferlab.backbone.weights_file import WeightsError, WeightsFile, as_weights, described_weights
from transferlab.run.errors import UserError
from transferlab.run.reading import read_json
from transferlab.run.run_folder import Run

SHIPPED = Path(__file__).with_name("letters_resnet.safetensors")
MODEL_FORMAT = 1  # of a model.json; another number where what it says is to be read in another way


def find_weights(weights: str, name: str | None = None, *, needs_json: bool = True) -> WeightsFile | None:
    """The file that `backbone.weights` names; None for `hub` and `random`.

    Args:
        weights: as the config says it.
        name: timm's name of the network, where the config says it.
        needs_json: False for a network of the user's own.

    Raises:
        WeightsError: no such file, no JSON beside it, or a JSON that does not say what it should.
    """
    if weights in ("hub", "random"):
        return None
    if weights == "package":
        return package_weights(name)
    path = SHIPPED if weights == "shipped" else Path(weights).expanduser()
    if path.is_dir():
        try:
            return _read_hub_folder(path) if is_hub_folder(path) else read_model(path)
        except UserError as error:
            raise WeightsError(f"backbone.weights={error}") from None
    if not path.is_file():
        raise WeightsError(f"backbone.weights={weights}: there is no such file.")
    if path.suffix != ".safetensors":
        raise WeightsError(
            f"backbone.weights={weights}: only .safetensors files are read (a pickle could run any code). "
            f"{_conversion(path)}"
        )
    beside = path.with_suffix(".json")
    if not beside.is_file() and is_hub_folder(path.parent):
        return _read_hub_folder(path.parent, path)
    if not beside.is_file():
        if not needs_json:
            return WeightsFile(path, "", {}, {}, {}, beside)
        raise WeightsError(
            f"backbone.weights={weights}: {beside.name} is missing beside it. It must name the architecture, "
            'e.g. {"architecture": "resnet18"}, and further say `input_size`, `mean`, `std`, '
            "`interpolation`, `crop_pct` and `crop_mode` where the weights were trained with others than "
            "timm's for this architecture."
        )
    return described_weights(path, _read(beside))


_CONVERT = (
    "import sys, torch, safetensors.torch as s; t = torch.load(sys.argv[1], 'cpu', weights_only=True); "
    "t = t.get('state_dict') or t.get('model') or t; "
    "s.save_file({k: v.clone().contiguous() for k, v in t.items() if torch.is_tensor(v)}, sys.argv[2])"
)


def _conversion(path: Path) -> str:
    """The command that makes a safetensors file of a pickle, as a hint."""
    if path.suffix.lower() not in (".pth", ".pt", ".bin", ".ckpt", ".pkl", ".tar"):
        return "Fix: give a file whose name ends in .safetensors."
    new = path.with_suffix(".safetensors")
    return (
        f'Fix: python -c "{_CONVERT}" {shlex.quote(str(path))} {shlex.quote(str(new))}, which loads '
        f"tensors alone, and {new.with_suffix('.json').name} beside it that names the architecture, e.g. "
        '{"architecture": "resnet18"}.'
    )


def _read(file: Path) -> Any:
    with as_weights():
        return read_json(file, Any)


def _read_hub_folder(folder: Path, path: Path | None = None) -> WeightsFile:
    config, path = folder / "config.json", path or folder / "model.safetensors"
    if not path.is_file():
        pickles = sorted(file for file in folder.iterdir() if file.suffix in (".bin", ".pth", ".pt"))
        fix = _conversion(pickles[0]) if pickles else "Fix: copy it from where config.json comes from."
        raise WeightsError(f"{folder}: this folder holds config.json but no {path.name}. {fix}")
    about = described_by_hub(_read(config))
    if about is None:
        raise WeightsError(
            f"{config}: names no `architecture` of timm. Fix: give a folder that timm has written (a "
            "transformers model is another format), or a .safetensors file with its .json beside it."
        )
    return described_weights(path, about, config)


def read_model(folder: Path) -> WeightsFile:
    """The pair of files that holds a trained model, in a run folder or alone.

    Raises:
        WeightsError: a file is missing, or the JSON is not one that this version reads.
    """
    path = Run(folder).model_file
    beside = path.with_suffix(".json")
    for file in (path, beside):
        if not file.is_file():
            raise WeightsError(
                f"{folder}: this folder holds no {file.name}. Fix: give the folder of a run whose training "
                "has finished, or one with its model.safetensors and model.json."
            )
    about = _read(beside)
    found, version = (
        about.get(key) if isinstance(about, dict) else None for key in ("format", "transferlab")
    )
    if found != MODEL_FORMAT:
        raise WeightsError(
            f"{beside}: its format is {json.dumps(found)}, and this version of transferlab reads "
            f"{MODEL_FORMAT}. Fix: use the version that wrote it ({version or 'unknown'}), or train it again."
        )
    return described_weights(path, about)
