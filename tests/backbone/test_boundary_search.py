"""The freeze boundary: where it is, and that everything behind it gives and learns as with images."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.torch_version import TorchVersion
from torch.utils.flop_counter import FlopCounterMode

from tests.backbone.networks import Chain, boundary_of, chain, images_for, random_backbone
from transferlab.backbone.boundary import Boundary, Placeholder
from transferlab.backbone.boundary_search import NoBoundary, differs, find_boundary, prefixes, record_calls
from transferlab.backbone.freezing import freeze_all_but_last, set_modes
from transferlab.backbone.network import Backbone
from transferlab.backbone.stages import Stage

# torch 2.14, the last for Python 3.10, counts 1.3 % more for a ViT that is cut at its first stage
MISCOUNT = 0.0 if TorchVersion(torch.__version__) >= "2.15" else 0.02

# small networks of the main kinds, with everything that draws random numbers in training
NETWORKS = {
    "mnist_convnet": (28, {"batch_norm": True}, ["stages.0"]),
    "test_resnet": (32, {"drop_path_rate": 0.3}, ["maxpool", "layer1", "layer2", "layer3"]),
    "test_vit": (
        32,  # another size than the one it was made for
        {"drop_path_rate": 0.3, "proj_drop_rate": 0.2, "attn_drop_rate": 0.2},
        ["norm_pre", "blocks.0", "blocks.1", "blocks.2", "blocks.3", "blocks.4"],
    ),
    "test_convnext": (32, {"drop_path_rate": 0.3}, ["stages.0", "stages.1", "stages.2"]),
    "test_efficientnet": (32, {"drop_path_rate": 0.3}, ["blocks.0", "blocks.1", "blocks.2", "blocks.3"]),
    "test_nfnet": (32, {}, ["stages.0.0.act1", "stages.1.0.act1", "stages.2.0.act1", "stages.3.0.act1"]),
}
# the smallest of each family that people transfer from: image size and the modules behind which it can be cut
FAMILIES = {
    "resnet18": (64, {}, ["layer1", "layer2", "layer3"]),
    "vgg11_bn": (
        32,
        {"mlp_ratio": 1 / 64},  # its linear layers are the most of it
        [f"features.{number}" for number in (8, 11, 15, 18, 22, 25)],
    ),
    "inception_v3": (
        80,
        {},
        [f"Mixed_{block}" for block in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e")]
        + ["Mixed_7a", "Mixed_7b"],
    ),
    "inception_v4": (80, {}, [f"features.{number}" for number in (5, 7, *range(9, 21))]),
    "efficientnet_b0": (64, {}, ["blocks.2", "blocks.3", "blocks.4", "blocks.5"]),
    "mobilenetv2_100": (64, {}, ["blocks.2", "blocks.3", "blocks.4", "blocks.5"]),
    "mobilenetv3_small_100": (64, {}, ["blocks.2", "blocks.3", "blocks.4", "global_pool"]),
    "convnext_atto": (64, {}, ["stages.1", "stages.2"]),
    "regnetx_002": (64, {}, ["s3"]),
    "regnety_002": (64, {}, ["s3"]),
    "densenet121": (64, {}, [f"features.transition{number}" for number in (1, 2, 3)]),
    "legacy_xception": (64, {}, [f"block{number}" for number in range(3, 13)]),
    "resnetv2_18": (64, {}, ["stages.0", "stages.1", "stages.2"]),
    "levit_128": (224, {}, ["stages.0.downsample", "stages.0", "stages.1"]),
    "vit_tiny_patch16_224": (64, {}, ["norm_pre", *(f"blocks.{number}" for number in range(11))]),
    "deit_tiny_patch16_224": (64, {}, ["norm_pre", *(f"blocks.{number}" for number in range(11))]),
    "swin_tiny_patch4_window7_224": (64, {}, ["layers.1", "layers.2"]),
}


def trained(backbone: Backbone, num_open: int, inputs: list[Tensor]) -> dict[str, Tensor]:
    """Weights and statistics after a step of gradient descent on each input, and what was given and drawn."""
    freeze_all_but_last(backbone, num_open)
    optimizer = torch.optim.SGD(backbone.parameters(), lr=0.1, weight_decay=0.1)
    given = {}
    for step, batch in enumerate(inputs):
        torch.manual_seed(step)
        set_modes(backbone, num_open, freeze_bn=False)
        features_ND = backbone(batch)
        optimizer.zero_grad()
        (features_ND * torch.linspace(-1, 1, features_ND.shape[1])).square().mean().backward()
        optimizer.step()
        given[f"features of step {step}"] = features_ND.detach()
        given[f"random number after step {step}"] = torch.rand(())
    with torch.no_grad():
        given["features in evaluation"] = backbone.eval()(inputs[0])
    return {**backbone.state_dict(), **given}


@pytest.mark.parametrize("name", NETWORKS)
def test_trains_bit_for_bit_as_the_whole_network(name):
    image_size, kwargs, _ = NETWORKS[name]
    original = random_backbone(name, image_size, kwargs=kwargs)
    for frozen_stages in (1, len(original.stages) - 1):
        num_open = len(original.stages) - frozen_stages
        whole, rest = copy.deepcopy(original), copy.deepcopy(original)
        boundary, first = boundary_of(rest, frozen_stages)
        _, second = boundary_of(rest, frozen_stages, count=3, seed=2)
        rest.boundary = boundary
        expected = trained(whole, num_open, [images_for(whole), images_for(whole, count=3, seed=2)])
        got = trained(rest, num_open, [first.contiguous(), second.contiguous()])
        for what, tensor in expected.items():
            assert torch.equal(tensor, got[what]), what
        name_of_open = original.stages[-1].parameters[0]
        assert not torch.equal(
            expected[f"network.{name_of_open}"], original.state_dict()[f"network.{name_of_open}"]
        )


@pytest.mark.parametrize("name", NETWORKS)
def test_boundaries(name):
    image_size, kwargs, modules = NETWORKS[name]
    assert_cut_everywhere(random_backbone(name, image_size, kwargs=kwargs), modules)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_boundaries_of_families(name):
    image_size, kwargs, modules = FAMILIES[name]
    assert_cut_everywhere(random_backbone(name, image_size, kwargs=kwargs), modules)


@pytest.mark.slow
def test_branches_side_by_side():
    """From the first transition on, a list of tensors passes: the last single one comes before."""
    backbone = random_backbone("hrnet_w18_small", 64)
    for frozen_stages in range(1, len(backbone.stages)):
        boundary = find_boundary(backbone, frozen_stages)
        assert boundary.module == "layer1"
        assert differs(backbone, boundary, images_for(backbone, count=2)) is None


def assert_cut_everywhere(backbone: Backbone, modules: list[str]) -> None:
    images = images_for(backbone, count=2)
    spared = [0]
    found = [find_boundary(backbone, number + 1) for number in range(len(backbone.stages))]
    assert [boundary.module for boundary in found] == [*modules, ""]
    for boundary in found:
        assert differs(backbone, boundary, images) is None
        assert flops_from(backbone, boundary, count=3) == 3 * (boundary.total_flops - boundary.prefix_flops)
        assert boundary.total_flops == pytest.approx(found[-1].prefix_flops, rel=MISCOUNT, abs=0)
        spared.append(boundary.prefix_flops)
    assert spared == sorted(set(spared))  # more from boundary to boundary


def flops_from(backbone: Backbone, boundary: Boundary, count: int) -> int:
    backbone.boundary = boundary
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        backbone(torch.zeros(count, *boundary.shape))
    backbone.boundary = None
    return flops.get_total_flops()


def test_flops_by_hand():
    backbone = random_backbone("mnist_convnet", 28)
    first = 2 * 24 * 24 * 32 * 3 * 5 * 5  # maps of 24 px, 32 filters over 3 channels of 5 x 5
    second = 2 * 8 * 8 * 48 * 32 * 5 * 5
    boundary = find_boundary(backbone, 1)
    assert (boundary.prefix_flops, boundary.total_flops) == (first, first + second)
    assert boundary.shape == (32, 12, 12)


def test_the_whole_backbone_frozen():
    backbone = random_backbone("test_resnet", 32)
    boundary, features_ND = boundary_of(backbone, len(backbone.stages))
    assert (boundary.module, boundary.shape) == ("", (backbone.num_features,))
    assert torch.equal(features_ND, backbone(images_for(backbone)))
    backbone.boundary = boundary
    assert backbone(features_ND) is features_ND
    assert differs(backbone, boundary, images_for(backbone)) is None


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("test_resnet", torch.bfloat16), ("test_vit", torch.float32), ("test_convnext", torch.float32)],
)
def test_mixed_precision(name, dtype):
    """Found under autocast, it is exact there, from activations that were kept in full precision, too."""
    backbone = random_backbone(name, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        boundary, held = boundary_of(backbone, 2)
        assert boundary.dtype == held.dtype == dtype
        assert differs(backbone, boundary, images_for(backbone, count=2)) is None
        expected = backbone(images_for(backbone))
        backbone.boundary = boundary
        assert torch.equal(backbone(held.float()), expected)
    backbone.boundary = None
    assert not torch.equal(backbone(images_for(backbone)), expected)


def test_compiled(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function: function)
    backbone = random_backbone("test_resnet", 32)
    backbone.network.compile()
    with pytest.raises(NoBoundary, match="compiled"):
        find_boundary(backbone, 1)
    assert find_boundary(backbone, len(backbone.stages)).shape == (backbone.num_features,)


def test_gradient_checkpointing():
    backbone = random_backbone("test_resnet", 32, gradient_checkpointing=True)
    with pytest.raises(NoBoundary, match="gradient_checkpointing=true"):
        find_boundary(backbone, 1)


def test_one_image_is_enough():
    """Although the last batch norms see one value of it for each channel."""
    backbone = random_backbone("test_resnet", 32)
    assert differs(backbone, find_boundary(backbone, 2), images_for(backbone, count=1)) is None


# --- what a network's own code can do between its modules -------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (lambda net, x: net.third(net.act(net.second(net.first(x)))), ["first", "act"]),
        # what the first stage gives is used later, too
        (lambda net, x: net.third(net.second(one := net.first(x))) + one, ["first", "first"]),
        (lambda net, x: net.third(sum(net.pair(net.second(net.first(x))))), ["first", "second"]),
        (lambda net, x: net.third(net.act(net.second(net.act(net.first(x))))), ["first", "second"]),
        # placeholders take no memory to write to
        (lambda net, x: net.third(net.second(net.first(x).add_(1))), ["first", "first"]),
        # of a module that is not called, only its user knows
        (lambda net, x: net.third(conv2d(net.first(x), net.second.weight)), ["first", "first"]),
        # windows of images in the images' place
        (
            lambda net, x: net.third(net.second(net.first(x).view(-1, 3, 14, 14)).view_as(x)),
            ["first", "first"],
        ),
    ],
    ids=["plain", "skip", "two tensors", "module used twice", "in place", "not called", "windows"],
)
def test_last_place_where_one_tensor_passes(code, expected):
    backbone = chain(code)
    found = [find_boundary(backbone, number) for number in (1, 2)]
    assert [boundary.module for boundary in found] == expected
    for boundary in found:
        assert differs(backbone, boundary, images_for(backbone, count=2)) is None


@pytest.mark.parametrize(
    "code",
    [
        lambda net, x: net.third(net.second(net.first(x))) + x,
        lambda net, x: net.first(net.second(net.third(x))),
    ],
    ids=["images are used later", "last stage first"],
)
def test_no_boundary(code):
    backbone = chain(code)
    with pytest.raises(NoBoundary, match="no single tensor"):
        find_boundary(backbone, 2)


@pytest.mark.parametrize(("dropout", "module"), [(0.0, "drop"), (0.5, "second")])
def test_dropout_between_stages_stays_behind_the_boundary(dropout, module):
    backbone = chain(lambda net, x: net.third(net.drop(net.second(net.first(x)))), dropout=dropout)
    boundary = find_boundary(backbone, 2)
    assert boundary.module == module
    assert differs(backbone, boundary, images_for(backbone, count=2)) is None


def test_a_difference_in_gradients_is_told():
    """A network that uses a parameter of a late stage early, in code of its own."""
    backbone = chain(lambda net, x: net.third(net.second(net.first(x))))
    network = backbone.network
    network.scale = nn.Parameter(torch.ones(()))
    network.code = lambda net, x: net.third(net.second(net.first(x * net.scale)))
    first, second, third = backbone.stages
    backbone.stages = (first, second, Stage("third", (*third.parameters, "scale")))
    boundary = find_boundary(backbone, 2)
    told = differs(backbone, boundary, images_for(backbone, count=2))
    assert told == "behind second the gradient of scale would differ in training"


def test_a_difference_in_evaluation_is_told():
    def code(net: Chain, x: Tensor) -> Tensor:
        one = net.first(x)
        two = net.third(net.second(one))
        return two if net.training else two + one

    backbone = chain(code)
    told = differs(backbone, find_boundary(backbone, 2), images_for(backbone, count=2))
    assert told == "behind second the features would differ in evaluation"


def test_code_that_does_not_run_on_placeholders_is_told():
    def code(net: Chain, x: Tensor) -> Tensor:
        if not net.training and x.isnan().any():
            raise ValueError("odd images")
        return net.third(net.second(net.first(x)))

    backbone = chain(code)
    told = differs(backbone, find_boundary(backbone, 2), images_for(backbone, count=2))
    assert told == "behind second the network does not run (ValueError: odd images)"


CALLED_WITH_NCHW = torch.zeros(2, 3, 4, 4)


class Twice(nn.Module):
    """Calls one module twice and a part of another one directly."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU())
        self.act = nn.ReLU()
        self.windows = nn.Unflatten(0, (1, 2))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(24, 5))

    def forward(self, images_NCHW: Tensor) -> Tensor:
        maps = self.act(self.block(images_NCHW))
        self.windows(maps)
        return self.head[1](self.act(self.head[0](maps)))


def test_record_calls():
    network = Twice()
    calls, features_ND = record_calls(network, CALLED_WITH_NCHW)
    assert torch.equal(features_ND, network(CALLED_WITH_NCHW))
    assert [call.module for call in calls] == [
        *("block.0", "block.1", "block"),
        *("act", "windows", "head.0", "act", "head.1"),
    ]
    inner, _, block, *_ = calls
    assert block.began < inner.began < inner.ended < block.ended
    assert block.output == Placeholder((6, 2, 2), torch.float32)
    assert [call.module for call in calls if not call.is_per_image] == ["windows"]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        # the activation is called again: it is left out each time, but nothing can end there
        (["head.1.weight"], [["block", "act", "head.0"], ["block"]]),
        (["block.0.weight"], []),
        (["block.1.unknown"], [["block.0"]]),
        (["head.unknown", "head.1.bias"], [["block", "act", "head.0"], ["block"]]),
        # of modules that are not called themselves
        (["head.1.inner.weight"], [["block", "act", "head.0"], ["block"]]),
        (["unknown"], []),
    ],
)
def test_prefixes(parameters, expected):
    calls, _ = record_calls(Twice(), CALLED_WITH_NCHW)
    found = [[call.module for call in prefix] for prefix in prefixes(calls, parameters)]
    assert found == expected
