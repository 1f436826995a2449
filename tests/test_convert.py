"""Others' layers as ours and back: bit-exact round trips, equal outputs, whole nets of timm, and what cannot be
converted.
"""

import copy
import itertools
import re
import subprocess
import sys

import lambda_networks
import pytest
import timm
import torch
from timm.layers.lambda_layer import LambdaLayer as TimmLayer
from torch import nn

from lambdalib import convert
from lambdalib.convert import from_lambda_networks, from_timm, swap, to_lambda_networks, to_timm
from lambdalib.layer import LambdaLayer

D, K, H, V, U = 17, 11, 3, 13, 3
D_OUT = H * V
SIZE = (5, 7)
PEER, NET = 2e-6, 1e-5  # max|y - y_ref| / max|y_ref|, float32: one layer, a whole net

pytestmark = pytest.mark.filterwarnings("ignore:torch.meshgrid")
modes = pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def randomise(model):
    """Give every norm, bias and table numbers of its own, so that none is silently skipped."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            module.num_batches_tracked.fill_(7)
    for name, parameter in model.named_parameters():
        if name.endswith(("position_bias", "conv_lambda.bias", "pos_conv.bias", "pos_emb", "qkv.bias")):
            nn.init.normal_(parameter, std=0.3)
    return model


def timm_layer(**options):
    return randomise(TimmLayer(D_OUT, num_heads=H, dim_head=K, **options))


def lambda_networks_layer(**options):
    return randomise(lambda_networks.LambdaLayer(D, dim_out=D_OUT, dim_k=K, heads=H, **options))


TIMM = {
    "local": dict(r=3),
    "local, pooled": dict(r=5, stride=2),
    "wider than the map": dict(r=11),
    "global": dict(r=None, feat_size=SIZE),
    "global, pooled": dict(r=None, feat_size=SIZE, stride=2),
}
LAMBDA_NETWORKS = {
    "local": dict(r=3),
    "local, u": dict(r=5, dim_u=U),
    "global": dict(n=5),
    "global, u": dict(n=5, dim_u=U),
}
timms = pytest.mark.parametrize("options", TIMM.values(), ids=TIMM)
lambdas = pytest.mark.parametrize("options", LAMBDA_NETWORKS.values(), ids=LAMBDA_NETWORKS)


def difference(ours, reference):
    """max|y - y_ref| / max|y_ref|."""
    return ((ours - reference).abs().max() / reference.abs().max()).item()


def same_bits(one, other):
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def assert_same(peer, ours, features, training, tolerance=PEER):
    """Same outputs and input gradients, and in train mode the same running statistics in every norm they share."""
    outputs, gradients = [], []
    for model in (peer, ours):
        inputs = features.clone().requires_grad_()
        outputs.append(model.train(training)(inputs))
        weights = torch.arange(outputs[-1].numel(), dtype=features.dtype).cos().view(outputs[-1].shape)
        gradients.append(torch.autograd.grad((outputs[-1] * weights).sum(), inputs)[0])
    assert outputs[1].shape == outputs[0].shape
    assert difference(outputs[1], outputs[0]) <= tolerance
    assert difference(gradients[1], gradients[0]) <= 10 * tolerance
    statistics = [
        [buffer for name, buffer in model.named_buffers() if "running" in name] for model in (peer, ours)
    ]
    assert len(statistics[0]) == len(statistics[1]) > 0
    for theirs, own in zip(*statistics):
        assert (
            difference(own.sort().values, theirs.sort().values) <= 10 * tolerance
        )  # u is their slow index, our fast one


# ---- one layer


@modes
@timms
def test_timm_as_ours(options, training):
    peer = timm_layer(**options)
    assert_same(peer, from_timm(peer), torch.randn(2, D_OUT, *SIZE), training)


@modes
@lambdas
def test_lambda_networks_as_ours(options, training):
    peer = lambda_networks_layer(**options)
    assert_same(peer, from_lambda_networks(peer), torch.randn(2, D, 5, 5), training)


@timms
def test_timm_there_and_back(options):
    peer = timm_layer(**options)
    back = to_timm(from_timm(peer))
    assert type(back) is TimmLayer and same_bits(back, peer)
    assert torch.equal(back(features := torch.randn(2, D_OUT, *SIZE)), peer(features))


@lambdas
def test_lambda_networks_there_and_back(options):
    peer = lambda_networks_layer(**options)
    back = to_lambda_networks(from_lambda_networks(peer))
    assert type(back) is lambda_networks.LambdaLayer and same_bits(back, peer)
    assert torch.equal(back(features := torch.randn(2, D, 5, 5)), peer(features))


OURS = {"local": dict(scope=3, position_bias=True), "global": dict(scope=None, feat_size=(5, 5))}


@modes
@pytest.mark.parametrize("options", OURS.values(), ids=OURS)
@pytest.mark.parametrize(
    "there, back",
    [(to_timm, from_timm), (to_lambda_networks, from_lambda_networks)],
    ids=["timm", "lambda-networks"],
)
def test_ours_there_and_back(there, back, options, training):
    ours = randomise(LambdaLayer(D_OUT, dim_k=K, heads=H, **options))
    returned = back(there(ours))
    assert same_bits(returned, ours)
    assert_same(there(ours), ours, torch.randn(2, D_OUT, 5, 5), training)


@pytest.mark.parametrize(
    "there, options", [(to_timm, {}), (to_timm, dict(stride=3)), (to_lambda_networks, dict(dim_u=U))]
)
def test_ours_without_bias_gets_a_zero_bias(there, options):
    ours = randomise(LambdaLayer(D_OUT, dim_k=K, heads=H, scope=3, **options))
    assert_same(ours, there(ours), torch.randn(2, D_OUT, *SIZE), training=False)


@modes
def test_biases_of_qkv_are_absorbed(training):
    peer = timm_layer(r=3, qkv_bias=True)
    features = torch.randn(2, D_OUT, *SIZE)
    ours = from_timm(peer)
    means = peer.norm_q.running_mean.clone()
    outputs = [layer.train(training)(features) for layer in (peer, ours)]
    assert difference(outputs[1], outputs[0]) <= PEER
    if training:
        assert difference(peer.norm_q.running_mean, means) > 0.01
        expected = peer.norm_q.running_mean - peer.qkv.bias[: H * K]
        assert difference(ours.norm_queries.running_mean, expected) <= 10 * PEER


def test_timm_gains_another_number_of_channels():
    """timm's layer can be built with dim_out other than dim, but cannot run; ours with its weights can."""
    peer = randomise(TimmLayer(D, D_OUT, num_heads=H, dim_head=K, r=3))
    assert from_timm(peer)(torch.randn(2, D, *SIZE)).shape == (2, D_OUT, *SIZE)


@pytest.mark.parametrize(
    "convert, make",
    [(from_timm, timm_layer), (from_lambda_networks, lambda_networks_layer)],
    ids=["timm", "lambda-networks"],
)
def test_type_mode_and_norms_are_kept(convert, make):
    peer = make(r=3).double().eval().requires_grad_(False)
    peer.norm_q.eps, peer.norm_v.momentum = 1e-2, 0.03
    ours = convert(peer)
    assert ours.table.dtype == torch.float64 and not ours.training and not ours.norm_values.training
    assert ours.norm_queries.eps == 1e-2 and ours.norm_values.momentum == 0.03
    assert not any(parameter.requires_grad for parameter in ours.parameters())
    assert all(parameter.requires_grad for parameter in convert(make(r=3)).parameters())
    features = torch.randn(2, ours.to_keys.in_channels, *SIZE, dtype=torch.float64)
    assert difference(ours(features), peer(features)) < 1e-12
    peer.train().norm_q.eval()
    ours = convert(peer)
    assert ours.training and ours.norm_values.training and not ours.norm_queries.training


@pytest.mark.parametrize(
    "convert, make",
    [(from_timm, timm_layer), (from_lambda_networks, lambda_networks_layer)],
    ids=["timm", "lambda-networks"],
)
def test_the_copy_shares_nothing(convert, make):
    peer = make(r=3)
    before = copy.deepcopy(peer.state_dict())
    ours = convert(peer)
    with torch.no_grad():
        for tensor in ours.state_dict().values():
            tensor.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in peer.state_dict().items())


# ---- whole nets

NETS = {"lambda_resnet26t": 3, "lambda_resnet26rpt_256": 3, "lambda_resnet50ts": 5}


def peers_in(model):
    return [module for module in model.modules() if isinstance(module, (TimmLayer, lambda_networks.LambdaLayer))]


@modes
@pytest.mark.parametrize("name", NETS)
def test_swap_in_nets_of_timm(name, training, capsys):
    model, features = randomise(timm.create_model(name, img_size=64, num_classes=13)), torch.randn(5, 3, 64, 64)
    for module in model.modules():  # as in a trained net: each block adds a little, and the running statistics fit
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1
        if hasattr(module, "conv3_1x1"):
            module.conv3_1x1.bn.weight.data.mul_(0.3)
    model.train()(features)
    peer = copy.deepcopy(model.train(training))
    assert swap(model, features[:2]) == NETS[name] and swap(model) == 0
    printed = re.match(
        r"Layers replaced: (\d+). Outputs differ by (\S+) of the largest.\n", capsys.readouterr().out
    )
    assert int(printed[1]) == NETS[name] and 0 < float(printed[2]) <= NET
    assert not peers_in(model) and len(peers_in(peer)) == NETS[name]
    with torch.no_grad():
        expected, output = peer(features), model(features)
        print(f"max|y - y_ref| / max|y_ref| = {difference(output, expected):.1e}")
        assert difference(output, expected) <= NET
        assert difference(model.double()(features.double()), peer.double()(features.double())) < 1e-12
        for module in model.modules():
            if isinstance(module, LambdaLayer):
                module.table.zero_()
        assert difference(model.float()(features), expected) > 100 * NET  # the layers matter in this net


class Mine(nn.Module):
    """A user's net: a list, a dict, one layer under three names, a pool that somebody changed."""

    def __init__(self):
        super().__init__()
        self.body = nn.ModuleList([nn.Conv2d(3, D_OUT, 3), timm_layer(r=3, stride=2)])
        self.side = nn.ModuleDict(
            {"a": randomise(lambda_networks.LambdaLayer(D_OUT, dim_k=K, heads=H, r=3, dim_u=U))}
        )
        self.again = self.same = self.body[1]
        self.body[1].pool = nn.MaxPool2d(2)
        self.nothing = None

    def forward(self, images):
        features = self.body[1](self.body[0](images))
        return self.again(self.side["a"](features))


@modes
def test_swap_in_any_net(training):
    model = Mine()
    peer = copy.deepcopy(model)
    assert swap(model) == 2
    assert isinstance(model.body[1], LambdaLayer) and isinstance(model.side["a"], LambdaLayer)
    assert model.again is model.same is model.body[1] and isinstance(model.again.pool, nn.MaxPool2d)
    assert_same(peer, model, torch.randn(2, 3, 19, 23), training, NET)


MEASURED = (
    r"^Layers replaced: 2. Outputs differ by (\S+) of the largest.\n"
    r"(\S+) times as fast: (\S+) ms before, (\S+) ms after.\n$"
)


@modes
@pytest.mark.parametrize("before, after, ratio", [(3, 2, "1.50"), (2, 8, "0.25")])
def test_swap_measures_and_changes_nothing_else(monkeypatch, capsys, training, before, after, ratio):
    """By a clock that goes on when a net is asked: the first answers take long, and so does one of the others."""
    calls, clock = itertools.count(), [0.0]
    monkeypatch.setattr(convert, "perf_counter", lambda: clock[0])

    class Timed(Mine):
        def forward(self, images):
            call = next(calls)
            clock[0] += 1000 if call < 3 else after if peers_in(self) == [] else before
            assert not torch.is_grad_enabled() and not any(module.training for module in self.modules())
            return super().forward(images)

    model = Timed().train(training)
    model.body[1].norm_q.train(not training)
    expected, images = copy.deepcopy(model), torch.randn(2, 3, 19, 23)
    swap(expected)
    assert swap(model, images) == 2 and next(calls) == 12
    assert same_bits(model, expected) and model.again is model.same is model.body[1] and not peers_in(model)
    assert [module.training for module in model.modules()] == [module.training for module in expected.modules()]
    apart, printed, *seconds = re.match(MEASURED, capsys.readouterr().out).groups()
    assert (
        printed == ratio
        and [float(s) for s in seconds] == [1000 * before, 1000 * after]
        and 0 < float(apart) <= NET
    )


def test_swap_names_a_difference(monkeypatch, capsys):
    """One layer's answers become wrong by 1 where the largest of all is 4: told, not hidden."""
    model = nn.Sequential(timm_layer(r=3))
    largest = model.eval()(images := torch.randn(2, D_OUT, *SIZE)).abs().max()
    monkeypatch.setattr(convert, "from_timm", lambda layer: nn.Sequential(from_timm(layer), Shift(largest / 4)))
    swap(model, images)
    assert "Layers replaced: 1. Outputs differ by 2.5e-01 of" in capsys.readouterr().out


class Shift(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, features):
        return features + self.by


@pytest.mark.parametrize(
    "wrong, error, message",
    [
        (
            lambda model, images: [images],
            ValueError,
            r"^model must answer with one tensor to be compared, got list$",
        ),
        (lambda model, images: images if peers_in(model) else images[9], IndexError, r"^index 9 is out of bounds"),
    ],
    ids=["a list", "a failure half-way"],
)
def test_a_net_that_cannot_be_measured_stays_as_it_was(wrong, error, message):
    class Other(Mine):
        def forward(self, images):
            return wrong(self, images)

    model = Other().train()
    modules = list(model.modules())
    with pytest.raises(error, match=message):
        swap(model, torch.randn(2, 3, 19, 23))
    assert all(module is before and module.training for module, before in zip(model.modules(), modules))


def test_swap_leaves_ours_and_others_alone():
    model = nn.Sequential(nn.Conv2d(3, D_OUT, 3), LambdaLayer(D_OUT, heads=H))
    before = list(model)
    assert swap(model) == 0
    assert all(module is kept for module, kept in zip(model, before))


# ---- refusals


def ours(dim=D_OUT, dim_out=None, **options):
    return LambdaLayer(dim, dim_out, dim_k=K, heads=H, **options)


@pytest.mark.parametrize(
    "convert, make, message",
    [
        (
            from_timm,
            lambda: nn.Conv2d(3, 3, 1),
            r"^layer must be a LambdaLayer of timm, got torch\.nn\.modules\.conv\.Conv2d$",
        ),
        (
            from_timm,
            lambda: lambda_networks_layer(r=3),
            r"^layer must be .* of timm, got lambda_networks\..*\.LambdaLayer$",
        ),
        (from_timm, ours, r"^layer must be .* of timm, got lambdalib\.layer\.LambdaLayer$"),
        (from_timm, lambda: timm_layer(r=4), r"^scope must be an odd number of taps, .*, got 4$"),
        (
            from_lambda_networks,
            lambda: timm_layer(r=3),
            r"^layer must be .* of lambda-networks, got timm\..*\.LambdaLayer$",
        ),
        (to_timm, lambda: timm_layer(r=3), r"^layer must be a LambdaLayer of lambdalib, got timm\."),
        (
            to_timm,
            lambda: ours(dim_u=2),
            r"^layer has dim_u = 2, but timm's has no intra-depth, which means dim_u = 1$",
        ),
        (to_timm, lambda: ours(D), r"^heads must divide"),
        (
            to_timm,
            lambda: ours(D, D_OUT),
            r"^layer takes 17 channels and gives 39, but timm's cannot change their number$",
        ),
        (
            to_timm,
            lambda: ours(scope=None, feat_size=SIZE, position_bias=True),
            r"^layer has a position_bias .*, for which timm's",
        ),
        (to_lambda_networks, lambda: nn.Identity(), r"^layer must be a LambdaLayer of lambdalib, got torch\."),
        (
            to_lambda_networks,
            lambda: ours(stride=2),
            r"^layer pools \(AvgPool2d\(.*\)\), but lambda-networks' has no stride",
        ),
        (
            to_lambda_networks,
            lambda: ours(scope=None, feat_size=SIZE),
            r"^layer has feat_size = \(5, 7\), .* square maps only$",
        ),
        (
            to_lambda_networks,
            lambda: ours(scope=None, feat_size=(5, 5), position_bias=True),
            r"^layer has a position_bias ",
        ),
        (swap, lambda: timm_layer(r=3), r"^model is itself a lambda layer, .*: use from_timm$"),
        (
            swap,
            lambda: lambda_networks_layer(r=3),
            r"^model is itself a lambda layer, .*: use from_lambda_networks$",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_cannot_be_converted_is_named(convert, make, message):
    with pytest.raises(ValueError, match=message):
        convert(make())


def test_swap_changes_all_or_nothing():
    model = nn.ModuleDict({"good": timm_layer(r=3), "bad": nn.Sequential(timm_layer(r=4))})
    with pytest.raises(ValueError, match=r"^model\.bad\.0 cannot be converted: scope must be an odd .*, got 4$"):
        swap(model)
    assert len(peers_in(model)) == 2


def test_neither_package_is_needed():
    """With both of them missing the module loads, knows a namesake, and fails only where their layers are to be
    made.
    """
    code = """
import sys
sys.modules["timm"] = sys.modules["timm.layers.lambda_layer"] = sys.modules["lambda_networks"] = None
from lambdalib.convert import package_of, swap, to_lambda_networks, to_timm
from lambdalib.layer import LambdaLayer
from torch import nn
assert swap(nn.Sequential(LambdaLayer(8))) == 0
assert package_of(type("LambdaLayer", (nn.Module,), {"__module__": "timm.models.layers.lambda_layer"})()) == "timm"
assert package_of(type("Other", (nn.Module,), {"__module__": "timm.layers"})()) is None
for convert in (to_timm, to_lambda_networks):
    try:
        convert(LambdaLayer(8))
    except ModuleNotFoundError:
        print("missing")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["missing", "missing"], done.stderr
