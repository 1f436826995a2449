"""The layer against loops, against two independent implementations on copied weights, and against the paper's
claims.
"""

import ast
import copy
import math
import re
from pathlib import Path
from types import SimpleNamespace

import hypothesis.strategies as st
import lambda_networks
import pytest
import torch
from hypothesis import given, settings
from loops import loop_layer
from timm.layers import lambda_layer as timm_layer
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.testing import assert_close

import lambdalib.layer
from lambdalib.contractions import ORDERS, position_numbers, position_output
from lambdalib.cost import saved_activation_bytes
from lambdalib.guards import float32_under_float16
from lambdalib.layer import LambdaLayer

D, K, H, V, U = 17, 11, 3, 13, 3
D_OUT = H * V
SIZE = (5, 7)
PEER = 2e-6  # max|y - y_ref| / max|y_ref| against an independent implementation, float32


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def randomise(layer):
    """Give every norm and every bias values of its own, so that none is silently skipped."""
    for module in layer.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    if getattr(layer, "position_bias", None) is not None:
        nn.init.normal_(layer.position_bias)
    return layer


def make(dim=D, dim_out=D_OUT, *, dim_k=K, heads=H, dim_u=U, **options):
    return randomise(LambdaLayer(dim, dim_out, dim_k=dim_k, heads=heads, dim_u=dim_u, **options))


FORMS = {
    "local": dict(scope=3),
    "local, biased": dict(scope=3, position_bias=True),
    "wider than the map": dict(scope=11),
    "global": dict(scope=None, feat_size=SIZE),
    "global, biased": dict(scope=None, feat_size=SIZE, position_bias=True),
}
forms = pytest.mark.parametrize("options", FORMS.values(), ids=FORMS.keys())
modes = pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])


def difference(ours, reference):
    """max|y - y_ref| / max|y_ref|."""
    return ((ours - reference).abs().max() / reference.abs().max()).item()


# ---- the formula


@modes
@forms
def test_the_layer_is_the_formula(options, training):
    layer = make(**options).double().train(training)
    features = torch.randn(2, D, *SIZE, dtype=torch.float64)
    expected = loop_layer(copy.deepcopy(layer), features)
    output = layer(features)
    assert output.shape == (2, D_OUT, *SIZE)
    assert_close(output, expected, rtol=1e-10, atol=1e-10)


@modes
@pytest.mark.parametrize(
    "options", [dict(scope=3, position_bias=True), dict(scope=None, feat_size=(2, 3), stride=2)], ids=str
)
def test_gradcheck(options, training):
    layer = make(2, 4, dim_k=2, heads=2, dim_u=2, **options).double().train(training)
    names = [name for name, _ in layer.named_parameters()]

    def run(features, *parameters):
        return torch.func.functional_call(copy.deepcopy(layer), dict(zip(names, parameters)), (features,))

    features = torch.randn(2, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (features, *(p.detach().requires_grad_() for p in layer.parameters())))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    dim=st.integers(1, 5),
    v=st.integers(1, 3),
    k=st.integers(1, 4),
    heads=st.integers(1, 3),
    u=st.integers(1, 3),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    scope=st.sampled_from([1, 3, 5, 9, None]),
    biased=st.booleans(),
    training=st.booleans(),
)
def test_any_configuration_follows_the_formula(dim, v, k, heads, u, size, scope, biased, training):
    layer = (
        make(
            dim,
            heads * v,
            dim_k=k,
            heads=heads,
            dim_u=u,
            scope=scope,
            feat_size=None if scope else size,
            position_bias=biased,
        )
        .double()
        .train(training)
    )
    features = torch.randn(2, dim, *size, dtype=torch.float64)
    assert_close(layer(features), loop_layer(layer, features), rtol=1e-9, atol=1e-9)


@forms
def test_gradients_repeat_bit_for_bit(options):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        layer, features = make(**options), torch.randn(16, D, *SIZE, requires_grad=True)
        inputs = [features, *layer.parameters()]
        runs = [torch.autograd.grad(layer(features).square().sum(), inputs) for _ in range(4)]
    finally:
        torch.set_num_threads(threads)
    for run in runs[1:]:
        assert all(torch.equal(one, first) for one, first in zip(run, runs[0]))


# ---- independent implementations, on copied weights


def copy_norm(ours, theirs, order=slice(None)):
    ours.load_state_dict(
        {name: value[order] if value.dim() else value for name, value in theirs.state_dict().items()}
    )


@torch.no_grad()
def from_timm(peer, dim, options):
    """Our layer with timm's weights: one projection makes q, k and v there; kernels are (r, r, 1), tables (y, x,
    k).
    """
    ours = LambdaLayer(dim, dim_k=peer.dim_qk, heads=peer.num_heads, **options)
    projections = [ours.to_queries, ours.to_keys, ours.to_values]
    for conv, weight in zip(projections, peer.qkv.weight.split([conv.out_channels for conv in projections])):
        conv.weight.copy_(weight)
    copy_norm(ours.norm_queries, peer.norm_q)
    copy_norm(ours.norm_values, peer.norm_v)
    if peer.conv_lambda is not None:
        ours.table.copy_(peer.conv_lambda.weight[..., 0])
        ours.position_bias.copy_(peer.conv_lambda.bias)
    else:
        ours.table.copy_(peer.pos_emb.permute(2, 0, 1)[:, None])
    return ours


@torch.no_grad()
def from_lambda_networks(peer, dim, dim_out, dim_k, options):
    """Our layer with lambda-networks' weights: there u is the slow index of keys and values, here the fast one."""
    ours = LambdaLayer(dim, dim_out, dim_k=dim_k, heads=peer.heads, dim_u=peer.u, **options)

    def u_last(channels):
        return torch.arange(channels).view(peer.u, -1).T.flatten()

    ours.to_queries.weight.copy_(peer.to_q.weight)
    ours.to_keys.weight.copy_(peer.to_k.weight[u_last(peer.to_k.out_channels)])
    ours.to_values.weight.copy_(peer.to_v.weight[u_last(peer.to_v.out_channels)])
    copy_norm(ours.norm_queries, peer.norm_q)
    copy_norm(ours.norm_values, peer.norm_v, u_last(peer.to_v.out_channels))
    if peer.local_contexts:
        ours.table.copy_(peer.pos_conv.weight[:, :, 0])
        ours.position_bias.copy_(peer.pos_conv.bias)
    else:
        ours.table.copy_(peer.rel_pos_emb.permute(2, 3, 0, 1))
    return ours


def assert_same(peer, ours, features, training):
    """Same output and input gradient, and in train mode the same running statistics."""
    outputs, gradients = [], []
    for layer in (peer, ours):
        inputs = features.clone().requires_grad_()
        outputs.append(layer.train(training)(inputs))
        weights = torch.arange(outputs[-1].numel(), dtype=torch.float32).cos().view(outputs[-1].shape)
        gradients.append(torch.autograd.grad((outputs[-1] * weights).sum(), inputs)[0])
    error = difference(outputs[1], outputs[0])
    print(f"max|y - y_ref| / max|y_ref| = {error:.1e}")
    assert error <= PEER
    assert difference(gradients[1], gradients[0]) <= 10 * PEER
    assert_close(ours.norm_queries.running_var, peer.norm_q.running_var)
    assert_close(ours.norm_queries.running_mean, peer.norm_q.running_mean)


@modes
@pytest.mark.parametrize("r", [3, 5, 11])
def test_timm_convolution(r, training):
    """timm's convolution form; it needs dim_out == dim, and has no intra-depth."""
    peer = randomise(timm_layer.LambdaLayer(D_OUT, num_heads=H, dim_head=K, r=r))
    nn.init.normal_(peer.conv_lambda.bias)
    ours = from_timm(peer, D_OUT, dict(scope=r, position_bias=True))
    assert_same(peer, ours, torch.randn(2, D_OUT, *SIZE), training)


@modes
@pytest.mark.parametrize("size", [(5, 7), (7, 3), (5, 5)], ids=str)
def test_timm_table(size, training):
    peer = randomise(timm_layer.LambdaLayer(D_OUT, feat_size=size, num_heads=H, dim_head=K, r=None))
    nn.init.normal_(peer.pos_emb, std=0.3)
    ours = from_timm(peer, D_OUT, dict(scope=None, feat_size=size))
    assert_same(peer, ours, torch.randn(2, D_OUT, *size), training)


@modes
@pytest.mark.parametrize("u", [1, 3])
@pytest.mark.parametrize("r", [3, 5, 11])
def test_lambda_networks_local(r, u, training):
    peer = randomise(lambda_networks.LambdaLayer(D, dim_out=D_OUT, dim_k=K, heads=H, dim_u=u, r=r))
    nn.init.normal_(peer.pos_conv.bias)
    ours = from_lambda_networks(peer, D, D_OUT, K, dict(scope=r, position_bias=True))
    assert_same(peer, ours, torch.randn(2, D, *SIZE), training)


@modes
@pytest.mark.parametrize("u", [1, 3])
@pytest.mark.filterwarnings("ignore:torch.meshgrid")
def test_lambda_networks_global(u, training):
    """Their global form knows square maps only; its table starts at N(0, 1), which we copy."""
    peer = randomise(lambda_networks.LambdaLayer(D, dim_out=D_OUT, dim_k=K, heads=H, dim_u=u, n=5))
    ours = from_lambda_networks(peer, D, D_OUT, K, dict(scope=None, feat_size=(5, 5)))
    assert_same(peer, ours, torch.randn(2, D, 5, 5), training)


# ---- properties


def test_content_is_blind_to_positions():
    """Without a table the layer sees a bag of pixels: shuffle them and the outputs are shuffled alike."""
    layer = make(scope=3, position_bias=True).eval()
    features, shuffled = torch.randn(2, D, *SIZE), torch.randperm(35)

    def shuffle(maps):
        return maps.flatten(2)[..., shuffled].view(maps.shape)

    assert difference(layer(shuffle(features)), shuffle(layer(features))) > 0.1
    nn.init.zeros_(layer.table)
    assert difference(layer(shuffle(features)), shuffle(layer(features))) < 1e-5


def test_the_layer_moves_with_the_image():
    layer, (down, right), reach = make(scope=3).eval(), (2, 3), 1
    features = torch.randn(2, D, 11, 13)
    before = layer(features).roll((down, right), (2, 3))
    after = layer(features.roll((down, right), (2, 3)))
    inside = (..., slice(reach + down, 11 - reach), slice(reach + right, 13 - reach))
    assert difference(after[inside], before[inside]) < 1e-5
    assert difference(after, before) > 0.1  # at the border the window meets other pixels


def test_heads_leave_head_major():
    """Channels h·v ... h·v + v - 1 are the output of head h alone: a one-head layer with that head's queries."""
    layer = make(scope=3, position_bias=True).eval()
    features = torch.randn(2, D, *SIZE)
    output = layer(features)
    for head in range(H):
        single = make(D, V, heads=1, scope=3, position_bias=True).eval()
        state, rows = layer.state_dict(), slice(head * K, (head + 1) * K)
        for name in state:
            if "queries" in name and state[name].dim():
                state[name] = state[name][rows]
        single.load_state_dict(state)
        assert difference(single(features), output[:, head * V : (head + 1) * V]) < 1e-5


@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("size", [(5, 7), (7, 8), (8, 5), (1, 3)], ids=str)
def test_stride_is_an_average_pool_after_the_layer(size, stride):
    plain = make(scope=3).eval()
    strided = make(scope=3, stride=stride).eval()
    strided.load_state_dict(plain.state_dict())
    features = torch.randn(2, D, *size)
    output = strided(features)
    assert output.shape == (2, D_OUT, math.ceil(size[0] / stride), math.ceil(size[1] / stride))
    assert torch.equal(output, nn.functional.avg_pool2d(plain(features), 3, stride, padding=1))


def test_position_bias_adds_one_vector_to_every_lambda():
    """It adds b·q to all v channels of a head at once, and starts at nothing."""
    plain, biased = make(scope=3).eval(), make(scope=3, position_bias=True).eval()
    assert LambdaLayer(D, D_OUT, heads=H, position_bias=True).position_bias.count_nonzero() == 0
    assert plain.position_bias is None and biased.position_bias.shape == (K,)
    biased.load_state_dict(plain.state_dict() | {"position_bias": biased.position_bias})
    features = torch.randn(2, D, *SIZE)
    queries = plain.norm_queries(plain.to_queries(features)).view(2, H, K, *SIZE)
    added = torch.einsum("bhkyx,k->bhyx", queries, biased.position_bias).repeat_interleave(V, dim=1)
    assert_close(biased(features) - plain(features), added, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["to_queries", "to_values"])
def test_the_scale_of_a_normed_projection_does_not_matter(name):
    layer, features = make(scope=3).train(), torch.randn(2, D, *SIZE)
    before = layer(features)
    with torch.no_grad():
        getattr(layer, name).weight.mul_(1000)
    assert difference(layer(features), before) < 1e-3


def test_the_scale_of_the_keys_does_matter():
    layer, features = make(scope=3).train(), torch.randn(2, D, *SIZE)
    before = layer(features)
    with torch.no_grad():
        layer.to_keys.weight.mul_(1000)
    assert difference(layer(features), before) > 1e-2


def test_a_local_layer_takes_other_maps():
    layer = make(scope=5).double().eval()
    for size in [(1, 1), (2, 9), (6, 3)]:
        features = torch.randn(1, D, *size, dtype=torch.float64)
        assert_close(layer(features), loop_layer(layer, features), rtol=1e-10, atol=1e-10)


@forms
def test_channels_last_changes_nothing(options):
    layer, features = make(**options).eval(), torch.randn(2, D, *SIZE)
    expected = layer(features)
    assert difference(layer(features.contiguous(memory_format=torch.channels_last)), expected) < 1e-6
    layer = layer.to(memory_format=torch.channels_last)
    assert difference(layer(features.contiguous(memory_format=torch.channels_last)), expected) < 2e-6


def test_one_layout_of_parameters():
    shapes = {
        "to_queries.weight": (H * K, D, 1, 1),
        "to_keys.weight": (K * U, D, 1, 1),
        "to_values.weight": (V * U, D, 1, 1),
        "norm_queries.weight": (H * K,),
        "norm_queries.bias": (H * K,),
        "norm_values.weight": (V * U,),
        "norm_values.bias": (V * U,),
    }
    for options, sides in [(dict(scope=3), (3, 3)), (dict(scope=None, feat_size=SIZE), (9, 13))]:
        layer = make(**options)
        assert {name: tuple(p.shape) for name, p in layer.named_parameters()} == shapes | {"table": (K, U, *sides)}
    defaults = LambdaLayer(64)
    assert defaults.to_queries.weight.shape == (64, 64, 1, 1) and defaults.table.shape == (16, 1, 23, 23)
    assert defaults.dim_v == 16 and defaults.position_bias is None


def test_only_floating_numbers_are_widened():
    seen, layer = [], SimpleNamespace(table=torch.zeros(1))
    guarded = float32_under_float16(lambda layer, *inputs, **named: seen.extend([*inputs, *named.values()]))
    with torch.autocast("cpu", torch.float16):
        guarded(layer, torch.ones(2, dtype=torch.float16), torch.ones(2, dtype=torch.bool), mask=None)
    assert [getattr(value, "dtype", None) for value in seen] == [torch.float32, torch.bool, None]


# ---- order and memory


def test_the_order_is_handed_on(monkeypatch):
    seen = []
    monkeypatch.setattr(
        lambdalib.layer,
        "position_output",
        lambda *arguments: seen.append(arguments[4:]) or position_output(*arguments),
    )
    for options in [dict(), dict(order="tiles")]:
        make(scope=3, **options)(torch.randn(2, D, *SIZE))
    assert seen == [("auto",), ("tiles",)]


@pytest.mark.parametrize("half", [False, True], ids=["", "under float16 autocast"])
@pytest.mark.parametrize("order", ORDERS)
def test_recompute_holds_the_features_only_and_changes_nothing(order, half):
    plain, checkpointed = (make(scope=3, order=order, recompute=recompute) for recompute in (False, True))
    checkpointed.load_state_dict(plain.state_dict())
    features = torch.randn(2, D, *SIZE, requires_grad=True)
    runs = []
    for layer in (plain, checkpointed):
        with torch.autocast("cpu", torch.float16, enabled=half):
            output = layer(features)
        gradients = torch.autograd.grad(output.square().sum(), [features, *layer.parameters()])
        runs.append([output, *gradients, *layer.buffers()])
    assert all(torch.equal(one, other) for one, other in zip(*runs))
    assert saved_activation_bytes(checkpointed, features) == features.nbytes
    numbers = position_numbers(2, H, SIZE, K, V, U, (3, 3))[order]
    assert saved_activation_bytes(plain, features) >= features.nbytes + 4 * numbers


def test_recompute_is_left_to_the_compiler():
    plain, checkpointed, features = make(scope=3), make(scope=3, recompute=True), torch.randn(2, D, *SIZE)
    checkpointed.load_state_dict(plain.state_dict())
    output = torch.compile(checkpointed, backend="aot_eager", fullgraph=True)(features)
    output.sum().backward()
    assert (output - plain(features)).abs().max() < 1e-5


# ---- refusals


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(dim=0), r"^dim must be a positive integer, got 0$"),
        (dict(dim=8, dim_out=0), r"^dim_out must be a positive integer, got 0$"),
        (dict(dim=8, dim_k=-3), r"^dim_k must be a positive integer, got -3$"),
        (dict(dim=8, heads=0), r"^heads must be a positive integer, got 0$"),
        (dict(dim=8, dim_u=1.5), r"^dim_u must be a positive integer, got 1\.5$"),
        (dict(dim=8, stride=0), r"^stride must be a positive integer, got 0$"),
        (dict(dim=8, stride="2"), r"^stride must be a positive integer, got '2'$"),
        (dict(dim=10), r"^heads must divide dim_out = 10, .* got 4$"),
        (dict(dim=8, dim_out=9, heads=2), r"^heads must divide dim_out = 9, .* got 2$"),
        (dict(dim=8, scope=None), r"^feat_size must be .*\(height, width\).*, got None$"),
        (dict(dim=8, scope=None, feat_size=(5,)), r"^feat_size must be .*\(height, width\).*, got \(5,\)$"),
        (dict(dim=8, scope=None, feat_size=(5, 0)), r"^feat_size must be .*\(height, width\).*, got \(5, 0\)$"),
        (dict(dim=8, scope=None, feat_size=5), r"^feat_size must be .*\(height, width\).*, got 5$"),
        (
            dict(dim=8, scope=None, feat_size=(5.0, 7.0)),
            r"^feat_size must be .*\(height, width\).*, got \(5\.0, 7\.0\)$",
        ),
        (dict(dim=8, scope=4), r"^scope must be an odd number .* or None .*, got 4$"),
        (dict(dim=8, scope=-3), r"^scope must be an odd number .* or None .*, got -3$"),
        (dict(dim=8, scope=3.0), r"^scope must be an odd number .* or None .*, got 3\.0$"),
        (dict(dim=8, dim_k=True), r"^dim_k must be a positive integer, got True$"),
        (dict(dim=8, scope=True), r"^scope must be an odd number .*, got True$"),
        (dict(dim=8, order=["tiles"]), r"^order must be one of .*, got \['tiles'\]$"),
        (dict(dim=8, order="fast"), r"^order must be one of \['auto', 'convolution', .*\], got 'fast'$"),
        (
            dict(dim=8, scope=3, feat_size=(5, 7)),
            r"^feat_size is for the global form .*, got feat_size=\(5, 7\) with scope=3$",
        ),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LambdaLayer(**arguments)


def test_a_global_layer_refuses_other_maps():
    layer = make(scope=None, feat_size=SIZE)
    with pytest.raises(ValueError, match=r"^features must be \(5, 7\) pixels for this layer, got \(7, 5\)$"):
        layer(torch.randn(2, D, 7, 5))


def test_features_without_a_pixel_are_refused():
    with pytest.raises(ValueError, match=r"^features must have at least one pixel, got \(2, 8, 0, 7\)$"):
        LambdaLayer(8)(torch.randn(2, 8, 0, 7))


@pytest.mark.parametrize("shape", [(2, 5, 7), (2, 3, 5, 7)])
def test_features_of_another_shape_are_refused(shape):
    with pytest.raises(
        ValueError, match=rf"^features must be floats \(b, 8, H, W\), got torch.float32 {re.escape(str(shape))}$"
    ):
        LambdaLayer(8)(torch.randn(shape))


# ---- half precision


def run_autocast(layer, features, dtype):
    """Output and all gradients under autocast, with whether each is finite."""
    features = features.clone().requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        output = layer(features)
    output.float().sum().backward()
    gradients = [features.grad, *(p.grad for p in layer.parameters())]
    return output, output.isfinite().all().item(), all(g.isfinite().all().item() for g in gradients)


@modes
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "options", [dict(scope=3, position_bias=True), dict(scope=None, feat_size=(5, 3))], ids=str
)
def test_large_activations_stay_finite(options, dtype, training):
    layer = make(16, 16, dim_k=8, heads=4, dim_u=3, **options).train(training)
    output, finite_output, finite_gradients = run_autocast(layer, 1e4 * torch.randn(2, 16, 5, 3), dtype)
    assert finite_output and finite_gradients
    assert output.abs().max() > 1


@modes
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_activations_come_in(dtype, training):
    """Inside a network under autocast the layer's input is half precision already."""
    layer, features = make(scope=3).train(training), 1e3 * torch.randn(2, D, *SIZE).to(dtype)
    output, finite_output, finite_gradients = run_autocast(layer, features, dtype)
    assert finite_output and finite_gradients
    assert difference(output.float(), layer(features.float())) < 2e-2


@pytest.mark.parametrize("options", [dict(r=3), dict(n=5)], ids=str)
@pytest.mark.filterwarnings("ignore:torch.meshgrid")
def test_large_activations_break_lambda_networks(options):
    """What the float32 island is for: without it float16 overflows, in eval mode already on the way forward."""
    peer = lambda_networks.LambdaLayer(16, dim_k=8, heads=4, dim_u=3, **options)
    features = 1e4 * torch.randn(2, 16, 5, 5)
    _, finite_output, _ = run_autocast(peer.eval(), features, torch.float16)
    assert not finite_output
    peer.zero_grad()
    _, _, finite_gradients = run_autocast(peer.train(), features, torch.float16)
    assert not finite_gradients


@modes
@pytest.mark.parametrize("dtype, tolerance", [(torch.bfloat16, 2e-2), (torch.float16, 1e-6)], ids=str)
@forms
def test_autocast_is_close_to_float32(options, dtype, tolerance, training):
    layer, features = make(**options).train(training), torch.randn(2, D, *SIZE)
    output, _, _ = run_autocast(layer, features, dtype)
    assert difference(output.float(), layer(features)) <= tolerance


# ---- the code itself


def test_no_three_dimensional_convolution():
    for path in sorted(Path(lambdalib.layer.__file__).parent.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            getattr(node, "attr", getattr(node, "id", getattr(node, "name", None))) for node in ast.walk(tree)
        }
        assert not names & {"Conv3d", "conv3d", "LazyConv3d"}, path.name


def test_the_layer_comes_first_and_is_short():
    """The first class of its file, and at most 35 statements, docstrings aside."""
    tree = ast.parse(Path(lambdalib.layer.__file__).read_text(encoding="utf-8"))
    first = next(node for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef)))
    assert first.name == "LambdaLayer"
    statements = [node for node in ast.walk(first) if isinstance(node, ast.stmt)]
    docstrings = [
        node for node in statements if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    ]
    assert 20 < len(statements) - len(docstrings) <= 35


@pytest.mark.parametrize(
    "options", [dict(scope=3, stride=2, position_bias=True), dict(scope=None, feat_size=SIZE)], ids=str
)
def test_compile_without_graph_breaks(options):
    torch._dynamo.reset()
    layer = make(**options).eval()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    features = torch.randn(2, D, *SIZE)
    outputs, gradients = [], []
    for run in (layer, compiled):
        inputs = features.clone().requires_grad_()
        outputs.append(run(inputs))
        gradients.append(torch.autograd.grad(outputs[-1].square().sum(), [inputs, layer.table]))
    assert difference(outputs[1], outputs[0]) < 1e-5
    for ours, plain in zip(gradients[1], gradients[0]):
        assert difference(ours, plain) < 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_compile_under_autocast(dtype):
    torch._dynamo.reset()
    layer, features = make(scope=3).eval(), torch.randn(2, D, *SIZE)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    with torch.autocast("cpu", dtype=dtype), torch.no_grad():
        assert difference(compiled(features), layer(features)) < 2e-2


# ---- the start


@pytest.mark.parametrize(
    "options, visible", [(dict(scope=7), 49), (dict(scope=None, feat_size=(11, 13)), 143)], ids=str
)
def test_initial_spreads(options, visible):
    layer = LambdaLayer(256, dim_k=16, heads=4, dim_u=4, **options)
    expected = {
        "to_queries.weight": (16 * 256) ** -0.5,
        "to_keys.weight": 256**-0.5,
        "to_values.weight": 256**-0.5,
        "table": (16 * 4 * visible) ** -0.5,
    }
    for name, std in expected.items():
        parameter = layer.get_parameter(name)
        assert parameter.std().item() == pytest.approx(std, rel=0.05), name
        assert abs(parameter.mean().item()) < 0.1 * std, name


@pytest.mark.parametrize("options", [dict(scope=3), dict(scope=7), dict(scope=None, feat_size=(13, 17))], ids=str)
@pytest.mark.parametrize("u", [1, 4])
def test_the_position_output_starts_near_one(options, u):
    """White noise, normed queries and values: the table's spread makes what the position lambdas give about as
    large.
    """
    layer = LambdaLayer(64, dim_k=16, heads=4, dim_u=u, **options).train()
    size, features = (13, 17), torch.randn(4, 64, 13, 17)
    queries = (
        layer.norm_queries(layer.to_queries(features))
        .flatten(2)
        .transpose(1, 2)
        .unflatten(2, (4, 16))
        .transpose(1, 2)
    )
    values = layer.norm_values(layer.to_values(features)).flatten(2).transpose(1, 2).unflatten(2, (16, u))
    std = position_output(queries, layer.table, values, size).std().item()
    print(f"std of the position output: {std:.2f}")
    assert 0.5 < std < 2


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_an_ensemble_of_layers_runs_as_one(order, gradients):
    layers = [LambdaLayer(8, dim_k=3, heads=2, scope=3, order=order).eval() for _ in range(3)]
    features, (parameters, buffers) = torch.randn(2, 8, 5, 7), torch.func.stack_module_state(layers)

    def twice(*state):
        return torch.func.functional_call(layers[0], state, torch.func.functional_call(layers[0], state, features))

    with torch.set_grad_enabled(gradients):
        together = torch.func.vmap(twice)(parameters, buffers)
        assert_close(together, torch.stack([layer(layer(features)) for layer in layers]))


@pytest.mark.parametrize("order", ORDERS)
def test_no_images_give_no_images(order):
    layer = LambdaLayer(8, 6, dim_k=3, heads=2, scope=3, stride=2, order=order)
    assert layer.eval()(torch.randn(0, 8, 5, 7)).shape == (0, 6, 3, 4)


def test_a_device_without_autocast_is_not_asked_for_its_type():
    with torch.device("meta"):
        assert LambdaLayer(8, dim_k=3, heads=2, scope=3)(torch.empty(2, 8, 5, 7)).shape == (2, 8, 5, 7)


def test_a_layer_in_half_precision_runs_under_autocast():
    features = torch.randn(2, 8, 5, 7)
    for dtype in (torch.float16, torch.float64):
        layer = LambdaLayer(8, dim_k=3, heads=2, scope=3).eval().to(dtype)
        with torch.no_grad():
            expected = layer(features.to(dtype))
            with torch.autocast("cpu", torch.float16):
                assert_close(layer(features.to(dtype)), expected)


@pytest.mark.parametrize("order", ORDERS)
def test_the_layer_can_be_exported_vectorised_and_differentiated(order):
    layer, features = LambdaLayer(8, dim_k=3, heads=2, scope=3, order=order).eval(), torch.randn(2, 8, 5, 7)
    with torch.no_grad():
        expected = layer(features)
        assert_close(torch.export.export(layer, (features,)).module()(features), expected)
        assert_close(torch.func.vmap(layer)(features.unflatten(0, (2, 1))).flatten(0, 1), expected)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        assert layer(torch.empty(2, 8, 5, 7)).shape == expected.shape
    inputs = features.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(layer(inputs).square().sum(), inputs)
    assert_close(torch.func.grad(lambda maps: layer(maps).square().sum())(features), gradient)


@pytest.mark.parametrize("order", ["convolution", "lambda"])  # the others cut the batch into chunks
def test_a_batch_of_any_size_can_be_exported_and_traced(order):
    layer, features = LambdaLayer(8, dim_k=3, heads=2, scope=3, order=order).eval(), torch.randn(2, 8, 5, 7)
    with torch.no_grad():
        exported = torch.export.export(layer, (features,), dynamic_shapes=({0: torch.export.Dim("b")},)).module()
        traced = torch.jit.trace(layer, features)
        for run in (exported, traced):
            assert_close(run(features.repeat(2, 1, 1, 1)), layer(features).repeat(2, 1, 1, 1))


@modes
@pytest.mark.parametrize("recompute", [False, True], ids=["", "recompute"])
@pytest.mark.parametrize("order", ORDERS)
def test_second_derivatives_and_forward_mode(order, recompute, training):
    """The gradient of a gradient, and of a tangent, with and without activation checkpointing."""
    layer = (
        make(2, 4, dim_k=2, heads=2, dim_u=1, scope=3, order=order, recompute=recompute).double().train(training)
    )
    names = [name for name, _ in layer.named_parameters()]

    def run(features, *parameters):
        return torch.func.functional_call(layer, dict(zip(names, parameters)), (features,))

    features = torch.randn(2, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    inputs = features, *(parameter.detach().requires_grad_() for parameter in layer.parameters())
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)
    if recompute and hasattr(torch.utils.checkpoint, "_NoopSaveInputs"):  # torch 2.6 and 2.11 have it, 2.14 not
        pytest.skip("this torch's checkpoint saves inputs by an autograd.Function that has no forward mode")
    assert torch.autograd.gradcheck(run, inputs, check_forward_ad=True, check_backward_ad=False, fast_mode=True)


@modes
def test_with_recompute_a_graph_can_be_walked_twice(training):
    layer, features = make(scope=3, recompute=True).train(training), torch.randn(2, D, *SIZE, requires_grad=True)
    output = layer(features)
    statistics = [buffer.clone() for buffer in layer.buffers()]
    (first,) = torch.autograd.grad(output.square().sum(), features, retain_graph=True)
    (second,) = torch.autograd.grad(output.square().sum(), features)
    assert torch.equal(first, second) and first.abs().sum() > 0
    assert all(torch.equal(one, other) for one, other in zip(layer.buffers(), statistics))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_pixel_after_pixel_comes_out(order, layout):
    layer, features = make(scope=3, order=order), torch.randn(2, D, *SIZE).contiguous(memory_format=layout)
    assert layer(features).is_contiguous(memory_format=torch.channels_last)
