"""A network that starts at a boundary, and what stays as it was."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from tests.backbone.networks import Chain, boundary_of, chain, images_for, random_backbone
from transferlab.backbone.boundary import activations, axes_in_memory
from transferlab.backbone.boundary_search import differs, find_boundary
from transferlab.backbone.freezing import freeze_all_but_last, set_modes
from transferlab.backbone.network import Backbone


def test_only_the_prefix_runs_for_activations():
    backbone = random_backbone("test_resnet", 32)
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
    backbone = random_backbone(name, 32)
    freeze_all_but_last(backbone, num_open)
    set_modes(backbone, num_open, freeze_bn=False)
    before = described(backbone)
    boundary = find_boundary(backbone, 2)
    assert described(backbone) == before
    assert differs(backbone, boundary, images_for(backbone, count=2)) is None
    assert described(backbone) == before
    held = activations(backbone, boundary, images_for(backbone))
    backbone.boundary = boundary
    names = list(backbone.state_dict())
    backbone.eval()(held)
    assert list(backbone.state_dict()) == names
    assert not [module for module in backbone.modules() if "forward" in vars(module)]
    backbone.boundary = None
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
    backbone = random_backbone("test_resnet", 32)
    boundary, held = boundary_of(backbone, 3)
    expected = backbone(images_for(backbone))
    backbone.boundary = boundary
    with monkeypatch.context() as patch:
        patch.setattr(backbone.network.layer4, "forward", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            backbone(held)
    backbone.boundary = None
    assert torch.equal(backbone(images_for(backbone)), expected)


def test_a_forward_of_its_own_stays():
    """As other libraries put on modules."""
    backbone = random_backbone("test_resnet", 32)
    module = backbone.network.layer1
    own = module.forward = lambda maps: nn.Sequential.forward(module, maps) * 2
    boundary, held = boundary_of(backbone, 3)
    expected = backbone(images_for(backbone))
    backbone.boundary = boundary
    assert torch.equal(backbone(held), expected)
    assert module.forward is own


@pytest.mark.parametrize("starts_there", [False, True])
def test_copies(starts_there):
    backbone = random_backbone("test_resnet", 32)
    boundary, inputs = boundary_of(backbone, 2)
    if starts_there:
        backbone.boundary = boundary
    else:
        inputs = images_for(backbone)
    for other in (copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))):
        assert torch.equal(other(inputs), backbone(inputs))


def test_under_functional_call():
    """As an average of the weights is evaluated."""
    backbone = random_backbone("test_resnet", 32)
    other = {name: tensor + 0.01 for name, tensor in backbone.named_parameters() if "layer4" in name}
    boundary, held = boundary_of(backbone, 4)
    expected = torch.func.functional_call(backbone, other, images_for(backbone))
    backbone.boundary = boundary
    assert torch.equal(torch.func.functional_call(backbone, other, held), expected)


def test_distributed(tmp_path):
    """Wrapped before anything is frozen, as it must be, and moved to a boundary between two steps."""
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        backbone = random_backbone("test_resnet", 32)
        boundary, held = boundary_of(backbone, 3)
        wrapped = nn.parallel.DistributedDataParallel(backbone, find_unused_parameters=True)
        freeze_all_but_last(backbone, 2)
        gradients = []
        for start, inputs in (
            (None, images_for(backbone)),
            (boundary, held),
            (None, images_for(backbone)),
        ):
            backbone.zero_grad()
            backbone.boundary = start
            wrapped(inputs).square().sum().backward()
            gradients.append([p.grad.clone() for p in backbone.parameters() if p.requires_grad])
        for whole, rest, again in zip(*gradients, strict=True):
            assert torch.equal(whole, rest)
            assert torch.equal(whole, again)
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("name", ["test_convnext", "test_efficientnet", "test_vit"])
def test_order_in_memory_makes_no_difference(name):
    backbone = random_backbone(name, 64)
    boundary, held = boundary_of(backbone, 2)
    expected = backbone(images_for(backbone))
    backbone.boundary = boundary
    for batch in (held.contiguous(), held.transpose(1, -1).contiguous().transpose(1, -1), held.double()):
        assert torch.equal(backbone(batch), expected)
    rounded = backbone(held.half())
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - expected).abs().max() < 0.01 * expected.abs().max()


def test_dropout_draws_in_the_order_of_memory():
    """So that order is restored, whichever way activations were kept."""

    def code(net: Chain, x: Tensor) -> Tensor:
        return net.third(net.drop(net.second(net.first(x).to(memory_format=torch.channels_last))))

    backbone = chain(code, dropout=0.5)
    boundary, held = boundary_of(backbone, 2)
    assert (boundary.module, boundary.axes) == ("second", (0, 2, 3, 1))
    assert boundary.laid_out(held.contiguous()).stride() == held.stride()
    assert boundary.laid_out(held).data_ptr() == held.data_ptr()  # not copied where it is in order
    assert differs(backbone, boundary, images_for(backbone, count=2)) is None


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (4, 1, 1), (2, 7)])
def test_axes_in_memory(shape):
    tensor = torch.zeros(shape)
    assert axes_in_memory(tensor) == tuple(range(len(shape)))
    swapped = tensor.transpose(0, -1).contiguous().transpose(0, -1)
    axes = axes_in_memory(swapped)
    assert sorted(axes) == list(range(len(shape)))
    assert swapped.permute(axes).is_contiguous()


def test_what_is_computed_in_place_leaves_activations_as_they_are():
    backbone = chain(lambda net, x: net.third(net.act(net.second(net.act(net.first(x))))))
    boundary, held = boundary_of(backbone, 1)
    assert boundary.is_overwritten
    before = held.clone()
    assert (before < 0).any()
    backbone.boundary = boundary
    assert torch.equal(backbone(held), backbone(held))
    assert torch.equal(held, before)
    assert not find_boundary(random_backbone("test_resnet", 32), 3).is_overwritten


def test_activations_of_another_size_are_refused():
    backbone = random_backbone("test_resnet", 32)
    backbone.boundary = find_boundary(backbone, 3)
    with pytest.raises(AssertionError):
        backbone(torch.zeros(2, 48, 5, 5))
