import pytest
import torch
from torch import nn

from vibench.nn.resnet import BLOCKS, WIDTHS, TwoStreamResNet
from vibench.nn.torchvision_ops import import_torchvision


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))


def stages_of(module: nn.Module) -> set[str]:
    return {name.partition(".")[0] for name in module.state_dict()}


@pytest.mark.parametrize(
    ("specific_stages", "specific"),
    [
        (0, set()),
        (1, {"conv1", "bn1"}),
        (3, {"conv1", "bn1", "layer1", "layer2"}),
        (5, {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}),
    ],
)
def test_the_split_sits_where_it_is_told(specific_stages, specific):
    backbone = TwoStreamResNet("resnet18", specific_stages)
    everything = {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}
    assert stages_of(backbone.visible) == stages_of(backbone.infrared) == specific
    assert stages_of(backbone.shared) == everything - specific


@pytest.mark.parametrize("specific_stages", range(6))
def test_is_the_resnet_of_torchvision_cut_in_two(specific_stages, images):
    torch.manual_seed(0)
    reference = import_torchvision().models.resnet18(weights=None).eval()
    torch.manual_seed(0)
    backbone = TwoStreamResNet("resnet18", specific_stages, last_stride=2).eval()
    children = dict(reference.named_children())
    expected = nn.Sequential(*[children[name] for name in children if name not in ("avgpool", "fc")])(images)
    # Both streams start from the same weights.
    torch.testing.assert_close(backbone(visible=images), expected)
    torch.testing.assert_close(backbone(infrared=images), expected)


def test_streams_are_independent_and_rows_are_visible_then_infrared(images):
    backbone = TwoStreamResNet("resnet18", 1).eval()
    nn.init.normal_(backbone.infrared.conv1.weight)
    both = backbone(visible=images, infrared=images)
    torch.testing.assert_close(both[:2], backbone(visible=images))
    torch.testing.assert_close(both[2:], backbone(infrared=images))
    assert not torch.allclose(both[:2], both[2:])


def test_shared_norms_see_both_modalities_in_one_batch(images):
    backbone = TwoStreamResNet("resnet18", 1).train()
    seen = []
    backbone.shared.layer1[0].bn1.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    backbone(visible=images, infrared=images)
    assert seen == [4]


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
@pytest.mark.parametrize(("last_stride", "size"), [(1, (4, 2)), (2, (2, 1))])
def test_last_stride_and_widths(architecture, last_stride, size, images):
    backbone = TwoStreamResNet(architecture, last_stride=last_stride).eval()
    assert backbone(visible=images).shape == (2, WIDTHS[architecture][-1], *size)
    assert backbone.out_channels == WIDTHS[architecture][-1]
    for stage, (blocks, width) in enumerate(zip(BLOCKS[architecture], WIDTHS[architecture], strict=True), start=1):
        layer = getattr(backbone.shared, f"layer{stage}")
        last_norm = [module for module in layer[-1].modules() if isinstance(module, nn.BatchNorm2d)][-1]
        assert (len(layer), last_norm.num_features) == (blocks, width)


def test_inserted_modules_follow_their_block_in_specific_and_shared_stages(images):
    class Double(nn.Module):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return 2 * features

    torch.manual_seed(0)
    plain = TwoStreamResNet("resnet18", 2).eval()
    torch.manual_seed(0)
    doubled = TwoStreamResNet("resnet18", 2, inserted={"layer1_1": Double(), "layer4_1": Double()}).eval()
    before_layer2 = {}
    for network in (plain, doubled):
        network.shared.layer2[0].register_forward_pre_hook(
            lambda module, inputs, network=network: before_layer2.__setitem__(network, inputs[0])
        )
    plain(visible=images)
    actual = doubled(visible=images)
    torch.testing.assert_close(before_layer2[doubled], 2 * before_layer2[plain])
    torch.testing.assert_close(actual, 2 * plain.shared(2 * plain.visible(images, plain.inserted), plain.inserted))


@pytest.mark.parametrize("in_channels", [1, 2])
def test_grey_stem_starts_with_the_summed_colour_kernels(in_channels, images):
    torch.manual_seed(0)
    colour = TwoStreamResNet("resnet18", 0).shared.conv1
    torch.manual_seed(0)
    grey = TwoStreamResNet("resnet18", 0, in_channels=in_channels).shared.conv1
    assert grey.weight.shape[1] == in_channels
    one = images[:, :1]
    expected = colour(one.expand(-1, 3, -1, -1))
    for channel in range(in_channels):
        padded = torch.zeros(2, in_channels, 64, 32)
        padded[:, channel] = one[:, 0]
        torch.testing.assert_close(grey(padded), expected, atol=1e-5, rtol=1e-5)


def test_refuses_a_split_beyond_the_network():
    with pytest.raises(ValueError, match="0 to 5"):
        TwoStreamResNet("resnet18", 6)
