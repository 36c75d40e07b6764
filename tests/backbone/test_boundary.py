"""The freeze boundary: activations in the images' place, and everything behind it is as with images."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.utils.flop_counter import FlopCounterMode

from transferlab.backbone.boundary import Boundary, NoBoundary, activations, differs, find_boundary
from transferlab.backbone.cut import axes_in_memory
from transferlab.backbone.freezing import freeze_all_but_last, set_modes
from transferlab.backbone.network import Backbone
from transferlab.backbone.stages import Stage, ordered_stages

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


def random(name: str, image_size: int | None = None, **arguments) -> Backbone:
    torch.manual_seed(0)
    return Backbone(name=name, weights="random", image_size=image_size, **arguments)


def images_for(backbone: Backbone, count: int = 4, seed: int = 1) -> Tensor:
    side = backbone.preprocessing["image_size"]
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def cut_at(backbone: Backbone, frozen_stages: int, count: int = 4, seed: int = 1) -> tuple[Boundary, Tensor]:
    """A boundary and activations there, of the images of the same seed."""
    boundary = find_boundary(backbone, frozen_stages)
    backbone.eval()
    return boundary, activations(backbone, boundary, images_for(backbone, count, seed))


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
    original = random(name, image_size, kwargs=kwargs)
    for frozen_stages in (1, len(original.stages) - 1):
        num_open = len(original.stages) - frozen_stages
        whole, rest = copy.deepcopy(original), copy.deepcopy(original)
        boundary, first = cut_at(rest, frozen_stages)
        _, second = cut_at(rest, frozen_stages, count=3, seed=2)
        rest.starts_at = boundary
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
    assert_cut_everywhere(random(name, image_size, kwargs=kwargs), modules)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_boundaries_of_families(name):
    image_size, kwargs, modules = FAMILIES[name]
    assert_cut_everywhere(random(name, image_size, kwargs=kwargs), modules)


@pytest.mark.slow
def test_branches_side_by_side():
    """From the first transition on, a list of tensors passes: the last single one comes before."""
    backbone = random("hrnet_w18_small", 64)
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
        assert boundary.total_flops == found[-1].prefix_flops
        spared.append(boundary.prefix_flops)
    assert spared == sorted(set(spared))  # more from boundary to boundary


def flops_from(backbone: Backbone, boundary: Boundary, count: int) -> int:
    backbone.starts_at = boundary
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        backbone(torch.zeros(count, *boundary.shape))
    backbone.starts_at = None
    return flops.get_total_flops()


def test_flops_by_hand():
    backbone = random("mnist_convnet", 28)
    first = 2 * 24 * 24 * 32 * 3 * 5 * 5  # maps of 24 px, 32 filters over 3 channels of 5 x 5
    second = 2 * 8 * 8 * 48 * 32 * 5 * 5
    boundary = find_boundary(backbone, 1)
    assert (boundary.prefix_flops, boundary.total_flops) == (first, first + second)
    assert boundary.shape == (32, 12, 12)


def test_the_whole_backbone_frozen():
    backbone = random("test_resnet", 32)
    boundary, features_ND = cut_at(backbone, len(backbone.stages))
    assert (boundary.module, boundary.shape) == ("", (backbone.num_features,))
    assert torch.equal(features_ND, backbone(images_for(backbone)))
    backbone.starts_at = boundary
    assert backbone(features_ND) is features_ND
    assert differs(backbone, boundary, images_for(backbone)) is None


def test_only_the_prefix_runs_for_activations():
    backbone = random("test_resnet", 32)
    boundary = find_boundary(backbone, 3)
    called = set()
    for name, module in backbone.network.named_modules():
        module.register_forward_hook(lambda *_, name=name: called.add(name))
    made = activations(backbone, boundary, images_for(backbone))
    assert made.shape == (4, *boundary.shape)
    assert not made.requires_grad
    assert {"conv1", "layer2"} <= called
    assert not [name for name in called if name.startswith(("layer3", "layer4"))]


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
@pytest.mark.parametrize("num_open", [0, 1])
def test_nothing_else_changes(name, num_open):
    backbone = random(name, 32)
    freeze_all_but_last(backbone, num_open)
    set_modes(backbone, num_open, freeze_bn=False)
    before = described(backbone)
    boundary = find_boundary(backbone, 2)
    assert described(backbone) == before
    assert differs(backbone, boundary, images_for(backbone, count=2)) is None
    assert described(backbone) == before
    held = activations(backbone, boundary, images_for(backbone))
    backbone.starts_at = boundary
    names = list(backbone.state_dict())
    backbone.eval()(held)
    assert list(backbone.state_dict()) == names
    assert not [module for module in backbone.modules() if "forward" in vars(module)]
    backbone.starts_at = None
    assert backbone(images_for(backbone)).shape == (4, backbone.num_features)


def described(backbone: Backbone) -> str:
    """Everything that could have changed, and the state of the random numbers."""
    return str(
        [
            [(name, sorted(vars(module)), module.training) for name, module in backbone.named_modules()],
            [(name, p.requires_grad, p.grad, p.sum().item()) for name, p in backbone.named_parameters()],
            [(name, buffer.sum().item()) for name, buffer in backbone.named_buffers()],
            torch.get_rng_state().sum().item(),
        ]
    )


def test_modules_answer_again_after_an_error(monkeypatch):
    backbone = random("test_resnet", 32)
    boundary, held = cut_at(backbone, 3)
    expected = backbone(images_for(backbone))
    backbone.starts_at = boundary
    with monkeypatch.context() as patch:
        patch.setattr(backbone.network.layer4, "forward", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            backbone(held)
    backbone.starts_at = None
    assert torch.equal(backbone(images_for(backbone)), expected)


def test_a_forward_of_its_own_stays():
    """As other libraries put on modules."""
    backbone = random("test_resnet", 32)
    module = backbone.network.layer1
    own = module.forward = lambda maps: nn.Sequential.forward(module, maps) * 2
    boundary, held = cut_at(backbone, 3)
    expected = backbone(images_for(backbone))
    backbone.starts_at = boundary
    assert torch.equal(backbone(held), expected)
    assert module.forward is own


@pytest.mark.parametrize("is_cut", [False, True])
def test_copies(is_cut):
    backbone = random("test_resnet", 32)
    boundary, inputs = cut_at(backbone, 2)
    if is_cut:
        backbone.starts_at = boundary
    else:
        inputs = images_for(backbone)
    for other in (copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))):
        assert torch.equal(other(inputs), backbone(inputs))


def test_under_functional_call():
    """As an average of the weights is evaluated."""
    backbone = random("test_resnet", 32)
    other = {name: tensor + 0.01 for name, tensor in backbone.named_parameters() if "layer4" in name}
    boundary, held = cut_at(backbone, 4)
    expected = torch.func.functional_call(backbone, other, images_for(backbone))
    backbone.starts_at = boundary
    assert torch.equal(torch.func.functional_call(backbone, other, held), expected)


@pytest.mark.parametrize("name", ["test_convnext", "test_efficientnet", "test_vit"])
def test_order_in_memory_makes_no_difference(name):
    backbone = random(name, 64)
    boundary, held = cut_at(backbone, 2)
    expected = backbone(images_for(backbone))
    backbone.starts_at = boundary
    for batch in (held.contiguous(), held.transpose(1, -1).contiguous().transpose(1, -1), held.double()):
        assert torch.equal(backbone(batch), expected)
    rounded = backbone(held.half())
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - expected).abs().max() < 0.01 * expected.abs().max()


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (4, 1, 1), (2, 7)])
def test_axes_in_memory(shape):
    tensor = torch.zeros(shape)
    assert axes_in_memory(tensor) == tuple(range(len(shape)))
    swapped = tensor.transpose(0, -1).contiguous().transpose(0, -1)
    axes = axes_in_memory(swapped)
    assert sorted(axes) == list(range(len(shape)))
    assert swapped.permute(axes).is_contiguous()


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("test_resnet", torch.bfloat16), ("test_vit", torch.float32), ("test_convnext", torch.float32)],
)
def test_mixed_precision(name, dtype):
    """Found under autocast, it is exact there, from activations that were kept in full precision, too."""
    backbone = random(name, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        boundary, held = cut_at(backbone, 2)
        assert boundary.dtype == held.dtype == dtype
        assert differs(backbone, boundary, images_for(backbone, count=2)) is None
        expected = backbone(images_for(backbone))
        backbone.starts_at = boundary
        assert torch.equal(backbone(held.float()), expected)
    backbone.starts_at = None
    assert not torch.equal(backbone(images_for(backbone)), expected)


def test_compiled(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function: function)
    backbone = random("test_resnet", 32)
    backbone.network.compile()
    with pytest.raises(NoBoundary, match="compiled"):
        find_boundary(backbone, 1)
    assert find_boundary(backbone, len(backbone.stages)).shape == (backbone.num_features,)


def test_gradient_checkpointing():
    backbone = random("test_resnet", 32, gradient_checkpointing=True)
    with pytest.raises(NoBoundary, match="gradient_checkpointing=true"):
        find_boundary(backbone, 1)


def test_one_image_is_enough():
    """Although the last batch norms see one value of it for each channel."""
    backbone = random("test_resnet", 32)
    assert differs(backbone, find_boundary(backbone, 2), images_for(backbone, count=1)) is None


# --- what a network's own code can do between its modules -------------------------------------------------


class Chain(nn.Module):
    """Three stages of one convolution each; a function tells how they are called."""

    def __init__(self, code: Callable[[Chain, Tensor], Tensor], *, dropout: float = 0.0) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.act = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(dropout)
        self.pair = Pair()
        self.code = code

    def forward(self, images_NCHW: Tensor) -> Tensor:
        return self.code(self, images_NCHW).mean((2, 3))


class Pair(nn.Module):
    """Gives two tensors."""

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        return maps, maps + 1


def chain(code: Callable[[Chain, Tensor], Tensor], **arguments) -> Backbone:
    backbone = random("mnist_convnet", 28)
    backbone.network = Chain(code, **arguments)
    backbone.stages = ordered_stages(backbone.network)
    assert [stage.name for stage in backbone.stages] == ["first", "second", "third"]
    return backbone


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


def test_what_is_computed_in_place_leaves_activations_as_they_are():
    backbone = chain(lambda net, x: net.third(net.act(net.second(net.act(net.first(x))))))
    boundary, held = cut_at(backbone, 1)
    assert boundary.is_overwritten
    before = held.clone()
    assert (before < 0).any()
    backbone.starts_at = boundary
    assert torch.equal(backbone(held), backbone(held))
    assert torch.equal(held, before)
    assert not find_boundary(random("test_resnet", 32), 3).is_overwritten


@pytest.mark.parametrize(("dropout", "module"), [(0.0, "drop"), (0.5, "second")])
def test_dropout_between_stages_stays_behind_the_boundary(dropout, module):
    backbone = chain(lambda net, x: net.third(net.drop(net.second(net.first(x)))), dropout=dropout)
    boundary = find_boundary(backbone, 2)
    assert boundary.module == module
    assert differs(backbone, boundary, images_for(backbone, count=2)) is None


def test_dropout_draws_in_the_order_of_memory():
    """So that order is restored, whichever way activations were kept."""

    def code(net: Chain, x: Tensor) -> Tensor:
        return net.third(net.drop(net.second(net.first(x).to(memory_format=torch.channels_last))))

    backbone = chain(code, dropout=0.5)
    boundary, held = cut_at(backbone, 2)
    assert (boundary.module, boundary.axes) == ("second", (0, 2, 3, 1))
    assert boundary.laid_out(held.contiguous()).stride() == held.stride()
    assert boundary.laid_out(held).data_ptr() == held.data_ptr()  # not copied where it is in order
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


def test_activations_of_another_size_are_refused():
    backbone = random("test_resnet", 32)
    backbone.starts_at = find_boundary(backbone, 3)
    with pytest.raises(AssertionError):
        backbone(torch.zeros(2, 48, 5, 5))


def test_distributed(tmp_path):
    """Wrapped before anything is frozen, as it must be, and cut between two steps."""
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        backbone = random("test_resnet", 32)
        boundary, held = cut_at(backbone, 3)
        wrapped = nn.parallel.DistributedDataParallel(backbone, find_unused_parameters=True)
        freeze_all_but_last(backbone, 2)
        gradients = []
        for starts_at, inputs in (
            (None, images_for(backbone)),
            (boundary, held),
            (None, images_for(backbone)),
        ):
            backbone.zero_grad()
            backbone.starts_at = starts_at
            wrapped(inputs).square().sum().backward()
            gradients.append([p.grad.clone() for p in backbone.parameters() if p.requires_grad])
        for whole, rest, again in zip(*gradients, strict=True):
            assert torch.equal(whole, rest)
            assert torch.equal(whole, again)
    finally:
        torch.distributed.destroy_process_group()
