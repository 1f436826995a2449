"""The twins against loops from their formulas, against the lambda layer on the same weights, and against
convolutions.
"""

import pytest
import torch
import torch.nn.functional as F
from loops import loop_apply, loop_content_lambda, loop_embeddings, loop_norm, loop_position_lambdas

from lambdalib.layer import LambdaLayer
from lambdalib.models import create_model
from lambdalib.twins import TWINS, Twin

DIM, HEADS, K, HEIGHT, WIDTH, BATCH = 21, 3, 5, 2, 7, 2
V, N = DIM // HEADS, HEIGHT * WIDTH
CASES = [(kind, 1) for kind in TWINS] + [(kind, 4) for kind in ("content", "position", "frozen-query")]


def make(kind, u=1, train=False):
    """A twin whose norms' scales, biases and statistics are no ones and zeros."""
    torch.manual_seed(0)
    twin = Twin(DIM, kind, (HEIGHT, WIDTH), dim_k=K, heads=HEADS, dim_u=u).double()
    for name, tensor in twin.state_dict().items():
        if "running_var" in name or "1.weight" in name:
            tensor.uniform_(0.5, 1.5)
        elif tensor.is_floating_point() and tensor.dim() == 1:
            tensor.normal_()
    return twin.train(train), torch.randn(BATCH, DIM, HEIGHT, WIDTH, dtype=torch.float64)


def taken(twin, features):
    """Queries, keys and values as (b, groups, n, depth), depth fastest among the channels; None where there are
    none.

    Keys and values with u > 1 have a depth of k·u and v·u, u fastest."""

    def project(conv):
        return torch.einsum("od,bdyx->boyx", conv.weight[:, :, 0, 0], features)

    def split(maps, groups):
        depth = maps.shape[1] // groups
        return torch.stack(
            [torch.stack([maps[:, g * depth + i].flatten(1) for i in range(depth)], -1) for g in range(groups)], 1
        )

    groups = HEADS if "attention" in twin.kind or twin.kind == "pointwise" else 1
    queries = (
        None
        if twin.kind == "pointwise"
        else (
            twin.queries.expand(BATCH, HEADS, N, K)
            if twin.kind == "frozen-query"
            else split(loop_norm(twin.to_queries[1], project(twin.to_queries[0])), HEADS)
        )
    )
    keys = None if twin.to_keys is None else split(project(twin.to_keys), groups)
    return queries, keys, split(loop_norm(twin.to_values[1], project(twin.to_values[0])), groups)


def loop_attention(queries, keys, values, scores_of):
    """y_n = Σ_m a_nm v_m, one head, one pixel at a time; scores_of(q, k_m) -> the n-th row's scores before the
    softmax.
    """
    output = torch.zeros(BATCH, HEADS, N, V, dtype=torch.float64)
    for b in range(BATCH):
        for h in range(HEADS):
            for n in range(N):
                weights = torch.stack([scores_of(queries[b, h, n], keys[b, h, m], n, m) for m in range(N)]).exp()
                output[b, h, n] = sum(weights[m] / weights.sum() * values[b, h, m] for m in range(N))
    return output


def by_formula(twin, features):
    queries, keys, values = taken(twin, features)
    if twin.kind == "pointwise":
        output = values
    elif twin.kind == "attention":
        embeddings = loop_embeddings(twin.table, HEIGHT, WIDTH)[..., 0]
        output = loop_attention(queries, keys, values, lambda q, k, n, m: (q @ k + q @ embeddings[n, m]) / K**0.5)
    elif twin.kind == "linear-attention":
        lambdas = [loop_content_lambda(keys[:, h, ..., None], values[:, h, ..., None]) for h in range(HEADS)]
        output = torch.cat([loop_apply(queries[:, h : h + 1], lambdas[h]) for h in range(HEADS)], 1)
    else:
        u = twin.table.shape[1] if hasattr(twin, "table") else keys.shape[-1] // K
        values = torch.stack([values[:, 0, :, i::u] for i in range(u)], -1)  # (b, m, v, u)
        if twin.kind == "content":
            output = loop_apply(
                queries, loop_content_lambda(torch.stack([keys[:, 0, :, i::u] for i in range(u)], -1), values)
            )
        else:
            output = loop_apply(queries, loop_position_lambdas(twin.table, values, HEIGHT, WIDTH))
    return torch.stack([output[:, h, :, i].view(BATCH, HEIGHT, WIDTH) for h in range(HEADS) for i in range(V)], 1)


@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("kind, u", CASES)
def test_a_twin_is_what_its_formula_says(kind, u, train):
    twin, features = make(kind, u, train)
    assert (twin(features) - by_formula(twin, features)).abs().max() < 1e-12


@pytest.mark.parametrize("u", [1, 4])
def test_content_and_position_add_up_to_the_lambda_layer(u):
    content, features = make("content", u)
    position, _ = make("position", u)
    layer = LambdaLayer(DIM, dim_k=K, heads=HEADS, dim_u=u, scope=None, feat_size=(HEIGHT, WIDTH)).double().eval()
    with torch.no_grad():
        for twin in (content, position):
            twin.to_queries[0].weight.copy_(layer.to_queries.weight)
            twin.to_queries[1].load_state_dict(layer.norm_queries.state_dict())
            twin.to_values[0].weight.copy_(layer.to_values.weight)
            twin.to_values[1].load_state_dict(layer.norm_values.state_dict())
        content.to_keys.weight.copy_(layer.to_keys.weight)
        position.table.copy_(layer.table)
        assert (content(features) + position(features) - layer(features)).abs().max() < 1e-12


def test_pointwise_sees_no_other_pixel():
    twin, features = make("pointwise")
    weight, norm = twin.to_values[0].weight[:, :, 0, 0], twin.to_values[1]
    mixed = torch.einsum("od,bdyx->bxyo", weight, features)
    expected = (mixed - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
    assert (twin(features) - expected.permute(0, 3, 2, 1)).abs().max() < 1e-12


def test_a_frozen_query_is_a_convolution_of_each_channel():
    twin, features = make("frozen-query")
    values, kernels = twin.to_values(features), torch.einsum("hk,kyx->hyx", twin.queries[:, 0], twin.table[:, 0])
    together = F.conv2d(
        values.flatten(0, 1)[:, None], kernels[:, None], padding=(HEIGHT - 1, WIDTH - 1)
    )  # (b·v, h, H, W)
    expected = together.view(BATCH, V, HEADS, HEIGHT, WIDTH).transpose(1, 2).flatten(1, 2)
    assert (twin(features) - expected).abs().max() < 1e-12


def test_with_u_a_frozen_query_mixes_u_channels_into_one():
    """A grouped convolution: v groups, u channels in and h out."""
    twin, features = make("frozen-query", 4)
    kernels = torch.einsum("hk,kuyx->huyx", twin.queries[:, 0], twin.table)
    together = F.conv2d(
        twin.to_values(features), kernels.repeat(V, 1, 1, 1), padding=(HEIGHT - 1, WIDTH - 1), groups=V
    )
    expected = together.view(BATCH, V, HEADS, HEIGHT, WIDTH).transpose(1, 2).flatten(1, 2)
    assert (twin(features) - expected).abs().max() < 1e-12


@pytest.mark.parametrize("kind, u", CASES)
def test_a_twin_has_the_parameters_it_uses_and_no_others(kind, u):
    twin, features = make(kind, u, train=True)
    (twin(features) ** 3).sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 1e-9 for p in twin.parameters())
    own = HEADS if "attention" in kind or kind == "pointwise" else 1
    queries, keys, values = HEADS * K * DIM + 2 * HEADS * K, own * K * u * DIM, own * V * u * (DIM + 2)
    table = K * u * (2 * HEIGHT - 1) * (2 * WIDTH - 1)
    expected = {
        "content": queries + keys + values,
        "position": queries + values + table,
        "frozen-query": HEADS * K + values + table,
        "attention": queries + keys + values + table,
        "linear-attention": queries + keys + values,
        "pointwise": values,
    }
    assert sum(p.numel() for p in twin.parameters()) == expected[kind]


@pytest.mark.parametrize("kind, u", CASES)
def test_a_twin_starts_near_one(kind, u):
    torch.manual_seed(0)
    spread = Twin(128, kind, (7, 7), dim_u=u)(torch.randn(64, 128, 7, 7)).std()
    assert (
        (0.05 if kind in ("content", "linear-attention", "attention") else 0.5) < spread < 2
    )  # means of noise are small


@pytest.mark.parametrize("kind, u", CASES)
def test_a_net_of_twins_learns_in_bfloat16(kind, u):
    torch.manual_seed(0)
    net = create_model("tiny", twin=kind, dim_u=u).to(memory_format=torch.channels_last)
    assert [module.dim_u for module in net.modules() if isinstance(module, Twin)] == [u, u]
    images, labels = torch.randn(8, 3, 32, 32), torch.arange(8)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(15):
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 1


@pytest.mark.parametrize(
    "mixer, meets",
    [({"twin": "pointwise"}, False), ({"twin": "position"}, True), ({"twin": "content"}, True), ({}, True)],
)
def test_with_a_narrow_head_pixels_meet_in_the_mixers_only(mixer, meets):
    """The first of 3 × 3 places is made of the pixels 0 to 8 by the stem's and the pools' 2 × 2; the others come
    in by mixing.
    """
    torch.manual_seed(0)
    net = create_model("tiny", layout="LLL", widen=1, **mixer).double().eval()
    images = torch.randn(1, 3, 32, 32, dtype=torch.float64).requires_grad_()
    net.blocks(net.stem(images))[0, :, 0, 0].sum().backward()
    seen = images.grad[0].abs().sum(0) > 1e-12
    assert seen[:9, :9].any() and (seen[9:].any() or seen[:, 9:].any()) == meets


@pytest.mark.parametrize("kind, u", CASES)
def test_no_pictures_give_no_pictures(kind, u):
    twin, features = make(kind, u)
    assert twin(features[:0]).shape == (0, DIM, HEIGHT, WIDTH)


def test_twins_refuse_what_makes_none():
    with pytest.raises(ValueError, match="heads must divide dim = 21, got 0"):
        Twin(21, "content", (3, 3), heads=0)
    with pytest.raises(ValueError, match="twin must be None or one of .*'content'.* got 'contents'"):
        create_model("tiny", layout="CCC", twin="contents")
    with pytest.raises(ValueError, match="kind must be one of .*'frozen-query'.* got 'frozen'"):
        Twin(21, "frozen", (3, 3))
    with pytest.raises(ValueError, match="heads must divide dim = 21, got 4"):
        Twin(21, "content", (3, 3))
    with pytest.raises(ValueError, match=r"features must be \(3, 5\) pixels for this layer, got \(5, 3\)"):
        Twin(8, "position", (3, 5))(torch.randn(1, 8, 5, 3))
    with pytest.raises(ValueError, match="dim_u must be 1 for a twin without lambdas, attention, got 4"):
        create_model("tiny", twin="attention", dim_u=4)
    with pytest.raises(ValueError, match="dim_u must be at least 1, got 0"):
        Twin(21, "content", (3, 3), heads=3, dim_u=0)
    with pytest.raises(ValueError, match="twin must be None where scope is given, got 'content'"):
        create_model("tiny", twin="content", scope=3)
    with pytest.raises(
        ValueError, match="twin must be None for resnet18: it is for small and tiny, got 'content'"
    ):
        create_model("resnet18", twin="content")
    with pytest.raises(ValueError, match="widen must be None for resnet18: it is for small and tiny, got 1"):
        create_model("resnet18", widen=1)
    with pytest.raises(ValueError, match="widen must be 3 or 1, got 2"):
        create_model("tiny", widen=2)
