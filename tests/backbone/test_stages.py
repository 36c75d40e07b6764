"""Stages of every family: each parameter once, from the input to the output, none too small."""

from __future__ import annotations

import pytest
import timm
import torch

from transferlab.backbone.stages import merge_small, ordered_stages, stage_of_modules

FAMILIES = {  # the smallest member of each, and its stages
    "resnet18": ["layer1", "layer2", "layer3", "layer4"],
    "vgg11": ["features.0-11", "features.13", "features.16", "features.18", "pre_logits"],
    "inception_v3": [f"Mixed_{block}" for block in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e")]
    + ["Mixed_7a", "Mixed_7b", "Mixed_7c"],
    "inception_v4": [
        "features.0-5",
        "features.6-7",
        "features.8-9",
        *(f"features.{n}" for n in range(10, 22)),
    ],
    "efficientnet_b0": ["blocks.0-2", "blocks.3", "blocks.4", "blocks.5", "blocks.6"],
    "mobilenetv2_035": ["blocks.0-2", "blocks.3", "blocks.4", "blocks.5", "conv_head"],
    "mobilenetv3_small_050": ["blocks.0-2", "blocks.3", "blocks.4", "blocks.5", "conv_head"],
    "convnext_atto": ["stages.0-1", "stages.2", "stages.3"],
    "regnetx_002": ["s3", "s4"],
    "densenet121": [
        "features.conv0-transition1",
        "features.denseblock2-transition2",
        "features.denseblock3-transition3",
        "features.denseblock4-norm5",
    ],
    "vit_tiny_patch16_224": ["patch_embed", *(f"blocks.{n}" for n in range(12))],
    "deit_tiny_patch16_224": ["patch_embed", *(f"blocks.{n}" for n in range(12))],
    "swin_tiny_patch4_window7_224": ["layers.0-1", "layers.2", "layers.3"],
    # timm's own groups lay the last two over the two before
    "cait_xxs24_224": [
        "patch_embed",
        *(f"blocks.{n}" for n in range(24)),
        "blocks_token_only.0",
        "blocks_token_only.1",
    ],
    # of these, timm tells no groups
    "poolformer_s12": ["stages.0-1", "stages.2", "stages.3"],
    "pit_ti_224": ["pos_embed", "patch_embed", "transformers.0", "transformers.1", "transformers.2"],
}


def skeleton(name: str) -> torch.nn.Module:
    """A timm network without memory for its weights."""
    with torch.device("meta"):
        return timm.create_model(name, num_classes=0).eval()


def order_of_use(network: torch.nn.Module) -> dict[str, int]:
    """When each module that owns a parameter is first called in a forward pass, by its name."""
    called: dict[str, int] = {}

    def note(module: torch.nn.Module, *_: object) -> None:
        called.setdefault(names[module], len(called))

    names = {module: name for name, module in network.named_modules() if name}
    for module in names:
        if next(module.parameters(recurse=False), None) is not None:
            module.register_forward_hook(note)
    network(torch.zeros(1, *network.pretrained_cfg["input_size"], device="meta"))
    return called


@pytest.mark.parametrize("name", FAMILIES)
def test_families(name):
    network = skeleton(name)
    stages = ordered_stages(network)
    assert [stage.name for stage in stages] == FAMILIES[name]

    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    listed = [parameter for stage in stages for parameter in stage.parameters]
    assert sorted(listed) == sorted(sizes)  # each exactly once
    for stage in stages:
        assert sum(sizes[parameter] for parameter in stage.parameters) >= 0.01 * sum(sizes.values())

    called = order_of_use(network)
    last = -1
    for stage in stages:  # every module of a stage is used after every one of the stage before
        uses = [called[owner] for p in stage.parameters if (owner := p.rpartition(".")[0]) in called]
        assert last < min(uses, default=last + 1)
        last = max(uses, default=last)


@pytest.mark.slow
@pytest.mark.parametrize("module", timm.list_modules())
def test_every_family_of_timm(module):
    names = timm.list_models(module=module)
    if not names:
        pytest.skip("no networks of its own")
    network = skeleton(names[0])
    stages = ordered_stages(network)
    assert len({stage.name for stage in stages}) == len(stages) >= 2
    listed = [name for stage in stages for name in stage.parameters]
    assert sorted(listed) == sorted(name for name, _ in network.named_parameters())  # each exactly once
    placed = stage_of_modules(network, stages)
    bare = [name for name, module in network.named_modules() if next(module.parameters(), None) is None]
    assert sorted(placed) == sorted(bare)
    assert set(placed.values()) <= set(range(len(stages)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "vit_tiny_patch16_224",
            {"pos_drop": 0, "patch_drop": 0, "head_drop": 12, "blocks.4.attn.attn_drop": 5},
        ),
        ("twins_pcpvt_small", {"pos_drops.0": 0, "pos_drops.2": 2, "pos_drops.3": 3, "head_drop": 3}),
        ("cait_xxs24_224", {"pos_drop": 0, "blocks_token_only.0.attn.attn_drop": 25, "head_drop": 26}),
    ],
)
def test_dropouts_belong_to_the_stage_before_them(name, expected):
    network = skeleton(name)
    placed = stage_of_modules(network, ordered_stages(network))
    assert {module: placed[module] for module in expected} == expected


def test_merging_small_groups():
    groups = [["stem"], ["a"], ["b"], ["c"], ["norm"]]
    assert merge_small(groups, [9, 1, 490, 491, 9]) == [
        ["stem", "a"],
        ["b"],
        ["c", "norm"],
    ]  # 10 is 1 % of 1000
    assert merge_small(groups, [9, 0, 491, 491, 9]) == [["stem", "a", "b"], ["c", "norm"]]
    assert merge_small([["only"]], [5]) == [["only"]]
    assert merge_small([], []) == []
