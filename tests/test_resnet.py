"""LambdaResNets: shapes, the start as a shortcut, equality with torchvision, names and refusals."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from lambdalib.cost import saved_activation_bytes
from lambdalib.layer import LambdaLayer
from lambdalib.models import MODELS, create_model, list_models
from lambdalib.resnet import BasicBlock, Bottleneck, ResNet, shortcut
from lambdalib.small import SmallBlock

SMALL = {"dim_k": 5, "heads": 2, "dim_u": 3, "scope": 3}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def randomise(model):
    """Give every parameter and every norm statistic a value that a wrong use of it would show."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if "running_var" in name or ("weight" in name and tensor.dim() == 1):
                tensor.uniform_(0.5, 1.5)
            elif tensor.dim() > 1:
                tensor.normal_(std=tensor[0].numel() ** -0.5)
            elif tensor.is_floating_point():
                tensor.normal_(std=0.3)
    return model


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("lambda_options", [None, SMALL], ids=["convolution", "lambda"])
def test_a_bottleneck_halves_odd_maps_upwards_with_or_without_a_lambda_layer(stride, lambda_options):
    block = Bottleneck(13, 6, stride, lambda_options)
    assert block(torch.randn(2, 13, 7, 11)).shape == (2, 24, -(-7 // stride), -(-11 // stride))
    assert isinstance(block.mix[0], nn.Conv2d if lambda_options is None else LambdaLayer)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_basic_block_halves_odd_maps_upwards(stride):
    assert BasicBlock(13, 6, stride)(torch.randn(2, 13, 7, 11)).shape == (2, 6, -(-7 // stride), -(-11 // stride))


@pytest.mark.parametrize("dim", [24, 13], ids=["identity shortcut", "projected shortcut"])
@pytest.mark.parametrize(
    "make",
    [
        lambda dim: Bottleneck(dim, 6),
        lambda dim: Bottleneck(dim, 6, 1 if dim == 24 else 2, SMALL),
        lambda dim: BasicBlock(dim, 24),
    ],
    ids=["convolution", "lambda", "basic"],
)
def test_a_new_block_is_its_shortcut(make, dim):
    block, features = make(dim), torch.randn(2, dim, 7, 11)
    assert torch.equal(block(features), F.relu(block.shortcut(features)))
    assert isinstance(block.shortcut, nn.Identity) == (dim == 24)


def test_a_bottleneck_is_what_its_formula_says():
    block = randomise(Bottleneck(13, 6, 2, SMALL)).eval()
    x = torch.randn(2, 13, 7, 11)

    def norm(layer, y):
        mean, var, weight, bias = (
            t[:, None, None] for t in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
        )
        return (y - mean) / (var + layer.eps).sqrt() * weight + bias

    inner = norm(block.reduce[1], torch.einsum("oi,biyx->boyx", block.reduce[0].weight[:, :, 0, 0], x)).relu()
    layer = block.mix[0]
    assert layer.pool.stride == 2
    inner = norm(block.mix[1], layer(inner)).relu()
    inner = norm(block.expand[1], torch.einsum("oi,biyx->boyx", block.expand[0].weight[:, :, 0, 0], inner))
    way_round = norm(
        block.shortcut[1], torch.einsum("oi,biyx->boyx", block.shortcut[0].weight[:, :, 0, 0], x[:, :, ::2, ::2])
    )
    torch.testing.assert_close(block(x), (inner + way_round).relu(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name, layout, reference",
    [
        ("lambda_resnet50", "CCCC", torchvision.models.resnet50),
        ("resnet18", None, torchvision.models.resnet18),
    ],
)
def test_without_lambdas_it_is_the_net_that_torchvision_has(name, layout, reference):
    theirs = randomise(reference(num_classes=7).double()).eval()
    ours = create_model(name, 7, stem="imagenet", layout=layout).double().eval()
    state = theirs.state_dict().values()
    assert [t.shape for t in ours.state_dict().values()] == [t.shape for t in state]
    ours.load_state_dict(dict(zip(ours.state_dict(), state)))
    images = torch.randn(2, 3, 67, 97, dtype=torch.float64)
    expected = theirs(images)
    assert expected.std() > 0.1
    assert (ours(images) - expected).abs().max() / expected.abs().max() <= 1e-12


@pytest.mark.parametrize("stem, sides", [("cifar", [37, 19, 10, 5]), ("imagenet", [10, 5, 3, 2])])
def test_map_sides_by_stem(stem, sides):
    net, seen = ResNet((1, 1, 1, 1), "CLCL", 7, stem=stem, scope=3), []
    for stage in net.stages:
        stage.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape)))
    assert net(torch.randn(2, 3, 37, 37)).shape == (2, 7)
    assert seen == [(2, width, side, side) for width, side in zip((256, 512, 1024, 2048), sides)]


def test_the_layout_says_where_the_lambda_layers_are():
    with torch.device("meta"):
        net = ResNet((2, 1, 3, 1), "CLCL")
    kinds = [
        "".join("L" if isinstance(block.mix[0], LambdaLayer) else "C" for block in stage) for stage in net.stages
    ]
    assert kinds == ["CC", "L", "CCC", "L"]


def test_options_reach_every_lambda_layer():
    with torch.device("meta"):
        net = create_model("lambda_resnet38", dim_k=5, heads=2, dim_u=3, scope=9)
    layers = [module for module in net.modules() if isinstance(module, LambdaLayer)]
    assert len(layers) == 2 + 3 + 5 + 2
    assert all(layer.table.shape == (5, 3, 9, 9) and layer.heads == 2 for layer in layers)


@pytest.mark.parametrize(
    "stem, dim_u, side", [("imagenet", 1, 23), ("imagenet", 4, 7), ("cifar", 1, 7), ("cifar", 4, 7)]
)
def test_the_default_scope_is_the_papers(stem, dim_u, side):
    with torch.device("meta"):
        net = create_model("lambda_resnet18", stem=stem, dim_u=dim_u)
    assert net.stages[3][1].mix[0].table.shape == (16, dim_u, side, side)


@pytest.mark.parametrize("name", [f"lambda_resnet{depth}" for depth in (18, 38, 50, 101, 152, 200, 270, 350, 420)])
def test_the_lambda_nets_are_there_and_all_lambda(name):
    depths = {
        "18": [2, 2, 2, 2],
        "38": [2, 3, 5, 2],
        "50": [3, 4, 6, 3],
        "101": [3, 4, 23, 3],
        "152": [3, 8, 36, 3],
        "200": [3, 24, 36, 3],
        "270": [4, 29, 53, 4],
        "350": [4, 36, 72, 4],
        "420": [4, 44, 87, 4],
    }
    with torch.device("meta"):
        net = create_model(name)
    assert [len(stage) for stage in net.stages] == depths[name.removeprefix("lambda_resnet")]
    assert all(isinstance(block.mix[0], LambdaLayer) for stage in net.stages for block in stage)


@pytest.mark.parametrize("name", [name for name in list_models() if name.rsplit("resnet")[-1].isdigit()])
def test_every_net_builds_and_its_name_counts_its_layers(name):
    with torch.device("meta"):
        net = create_model(name, 7)
    assert net.head.out_features == 7
    per_block = 2 if isinstance(net.stages[0][0], BasicBlock) else 3
    layers = 2 + per_block * sum(len(stage) for stage in net.stages)
    named = int(name.rsplit("resnet")[-1])
    assert layers == {"lambda_resnet18": 26, "lambda_resnet270": 272, "lambda_resnet420": 419}.get(name, named)


def test_one_step_of_training_reaches_every_parameter():
    net = ResNet((1, 1, 1, 1), "LCLL", 7, **SMALL)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(2):  # the first step only opens the zero gammas
        optimiser.zero_grad()
        F.cross_entropy(net(torch.randn(5, 3, 17, 13)), torch.arange(5)).backward()
        optimiser.step()
    assert [name for name, parameter in net.named_parameters() if not parameter.grad.abs().sum() > 0] == []


@pytest.mark.parametrize(
    "arguments, words",
    [
        (
            dict(name="lambda_resnet5"),
            ["name must be one of", "lambda_resnet101", "'lambda_resnet5'", "did you mean 'lambda_resnet"],
        ),
        (dict(name="zebra"), ["name must be one of", "'zebra'"]),
        (dict(layout="CCL"), ["layout", "4 letters", "'CCL'"]),
        (dict(layout="CCLX"), ["layout", "C (convolution) or L (lambda)", "'CCLX'"]),
        (dict(layout=4), ["layout", "got 4"]),
        (dict(name="resnet18", layout="CCLL"), ["layout", "'CCCC'", "basic blocks", "'CCLL'"]),
        (dict(stem="patch"), ["stem", "cifar", "imagenet", "'patch'"]),
        (dict(num_classes=0), ["num_classes", "positive", "got 0"]),
        (dict(num_classes=2.5), ["num_classes", "positive", "got 2.5"]),
        (dict(heads=5), ["heads", "64", "got 5"]),
        (dict(scope=8), ["scope", "odd", "got 8"]),
        (dict(dim_k=0), ["dim_k", "positive", "got 0"]),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with torch.device("meta"), pytest.raises(ValueError) as error:
        create_model(**{"name": "lambda_resnet50"} | arguments)
    assert [word for word in words if word not in str(error.value)] == []


def test_a_shortcut_is_nothing_only_where_the_shapes_agree():
    features = torch.randn(2, 7, 5, 3)
    assert shortcut(7, 7, 1)(features) is features
    assert shortcut(7, 7, 2)(features).shape == (2, 7, 3, 2)
    assert shortcut(7, 11, 1)(features).shape == (2, 11, 5, 3)


def test_every_model_is_listed():
    assert list_models() == list(MODELS) and {"tiny", "small", "lambda_resnet18", "resnet18"} <= set(MODELS)


def test_a_basic_block_refuses_lambdas():
    with pytest.raises(ValueError, match="lambda_options must be None"):
        BasicBlock(8, 8, 1, SMALL)


@pytest.mark.parametrize(
    "name, layout, count", [("small", None, 870_488), ("tiny", None, 235_352), ("small", "CCC", 1_972_792)]
)
def test_small_nets(name, layout, count):
    """Counts by hand: stem 3·4·24 + 24, each block 9·d·d' + 4·d', and the mixer: 9·d'² or d'(h·k + k + d'/h) +
    norms + k·r².
    """
    net = create_model(name, layout=layout)
    assert sum(parameter.numel() for parameter in net.parameters()) == count
    images = torch.randn(3, 3, 32, 32)
    assert net(images).shape == (3, 10) and create_model(name, 7, layout=layout)(images).shape == (3, 7)
    sides = []
    for block in net.blocks:
        block.register_forward_hook(lambda module, inputs, output: sides.append(tuple(output.shape[2:])))
    net(images)
    assert sides == [(15, 15), (7, 7), (3, 3)]
    tables = [module.table.shape[-1] for module in net.modules() if isinstance(module, LambdaLayer)]
    assert tables == ([] if layout == "CCC" else [13, 5]), "twice the map, less one: every pixel sees every other"


def test_a_net_can_be_exported_and_traced_for_a_batch_of_any_size():
    net, images = create_model("tiny", layout="CCC").eval(), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        exported = torch.export.export(net, (images,), dynamic_shapes=({0: torch.export.Dim("b")},)).module()
        traced = torch.jit.trace(net, images)
        for run in (exported, traced):
            torch.testing.assert_close(run(images.repeat(2, 1, 1, 1)), net(images).repeat(2, 1))


def test_small_net_refuses():
    with pytest.raises(ValueError, match="scope must be an odd number .* got 0"):
        create_model("tiny", scope=0)
    with pytest.raises(ValueError, match="stem must be 'cifar' for a small net, got 'imagenet'"):
        create_model("small", stem="imagenet")
    with pytest.raises(ValueError, match="layout must have 3 letters.*'LLLL'"):
        create_model("small", layout="LLLL")


@pytest.mark.parametrize(
    "name, images",
    [
        ("lambda_resnet18", (2, 3, 16, 16)),
        ("lambda_resnet50_hybrid", (2, 3, 16, 16)),
        ("resnet18", (2, 3, 16, 16)),
        ("tiny", (2, 3, 32, 32)),
    ],
)
def test_recompute_reaches_every_block_and_changes_nothing(name, images):
    plain, checkpointed, images = (
        randomise(create_model(name)),
        create_model(name, recompute=True),
        torch.randn(images),
    )
    checkpointed.load_state_dict(plain.state_dict())
    blocks = [
        module for module in checkpointed.modules() if isinstance(module, (Bottleneck, BasicBlock, SmallBlock))
    ]
    assert blocks and all(block.recompute for block in blocks)
    runs = []
    for net in (plain, checkpointed):
        output = net(images)
        gradients = torch.autograd.grad(output.square().sum(), net.parameters(), allow_unused=True)
        runs.append([output, *(gradient for gradient in gradients if gradient is not None), *net.buffers()])
    assert all(torch.equal(one, other) for one, other in zip(*runs, strict=True))
    assert saved_activation_bytes(checkpointed, images) < 0.6 * saved_activation_bytes(plain, images)
