"""The twins against loops from their formulas, against the lambda layer on the same weights, and against
convolutions.
"""

import pytest
import torch
import torch.nn.functional as F
from loops import loop_apply, loop_content_lambda, loop_embeddings, loop_norm, loop_position_lambdas

from lambdalib.layer import LambdaLayer
from lambdalib.models import create_model
from lambdalib.twins import CONVOLUTION_KINDS, TWINS, Twin

DIM, HEADS, K, HEIGHT, WIDTH, BATCH = 21, 3, 5, 2, 7, 2
V, N = DIM // HEADS, HEIGHT * WIDTH
# kind, u, scope
CASES = [
    *[(kind, 1, None) for kind in TWINS],
    *[(kind, 4, None) for kind in ("content", "position", "frozen-query")],
    *[("position", 1, 1), ("position", 4, 1), ("frozen-query", 1, 3)],
]


def make(kind, u=1, scope=None, train=False):
    """A twin whose norms' scales, biases and statistics are no ones and zeros."""
    torch.manual_seed(0)
    twin = Twin(DIM, kind, (HEIGHT, WIDTH), dim_k=K, heads=HEADS, dim_u=u, scope=scope).double()
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


def loop_convolution(conv, features):
    """y[o, n] = Σ over the group's channels c and the taps (i, j) of W[o, c, i, j] · x[c, m], where the pixel
    m = n + (i - r_y//2, j - r_x//2) exists.
    """
    (out, width, r_y, r_x), height, across = conv.weight.shape, *features.shape[2:]
    groups, output = features.shape[1] // width, features.new_zeros(len(features), out, *features.shape[2:])
    for o in range(out):
        first = o // (out // groups) * width
        for y in range(height):
            for x in range(across):
                for i in range(r_y):
                    for j in range(r_x):
                        p, q = y + i - r_y // 2, x + j - r_x // 2
                        if 0 <= p < height and 0 <= q < across:
                            seen = features[:, first : first + width, p, q]
                            output[:, o, y, x] += seen @ conv.weight[o, :, i, j]
    return output


def by_formula(twin, features):
    if twin.kind in CONVOLUTION_KINDS:
        for conv in twin.convolutions:
            features = loop_convolution(conv, features)
        return features
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
@pytest.mark.parametrize("kind, u, scope", CASES)
def test_a_twin_is_what_its_formula_says(kind, u, scope, train):
    twin, features = make(kind, u, scope, train)
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


def test_with_scope_1_a_query_acts_on_its_own_pixel_only():
    """y_hn = Σ_u (q_hn · T_u) v_nu, written out. Heads are slowest among channels, u is fastest in values."""
    b, u, v, k, h = 17, 2, 3, 5, 7
    torch.manual_seed(0)
    twin = Twin(h * v, "position", (11, 13), dim_k=k, heads=h, dim_u=u, scope=1).double().eval()
    features = torch.randn(b, h * v, 11, 13, dtype=torch.float64)
    queries, values = twin.to_queries(features), twin.to_values(features)
    assert twin.table.shape == (k, u, 1, 1)
    for head in range(h):
        for depth in range(v):
            expected = torch.zeros(b, 11, 13, dtype=torch.float64)
            for intra in range(u):
                stencil = sum(queries[:, head * k + i] * twin.table[i, intra, 0, 0] for i in range(k))
                expected = expected + stencil * values[:, depth * u + intra]
            assert (twin(features)[:, head * v + depth] - expected).abs().max() < 1e-12


def test_pointwise_sees_no_other_pixel():
    twin, features = make("pointwise")
    weight, norm = twin.to_values[0].weight[:, :, 0, 0], twin.to_values[1]
    mixed = torch.einsum("od,bdyx->bxyo", weight, features)
    expected = (mixed - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
    assert (twin(features) - expected.permute(0, 3, 2, 1)).abs().max() < 1e-12


@pytest.mark.parametrize("scope", [None, 1, 3, 5])
def test_a_frozen_query_is_a_convolution_of_each_channel(scope):
    twin, features = make("frozen-query", scope=scope)
    values, kernels = twin.to_values(features), torch.einsum("hk,kyx->hyx", twin.queries[:, 0], twin.table[:, 0])
    padding = (HEIGHT - 1, WIDTH - 1) if scope is None else scope // 2
    together = F.conv2d(values.flatten(0, 1)[:, None], kernels[:, None], padding=padding)  # (b·v, h, H, W)
    expected = together.view(BATCH, V, HEADS, HEIGHT, WIDTH).transpose(1, 2).flatten(1, 2)
    assert (twin(features) - expected).abs().max() < 1e-12


@pytest.mark.parametrize("scope", [None, 1, 3])
def test_with_u_a_frozen_query_mixes_u_channels_into_one(scope):
    """A grouped convolution: v groups, u channels in and h out."""
    twin, features = make("frozen-query", 4, scope)
    kernels = torch.einsum("hk,kuyx->huyx", twin.queries[:, 0], twin.table)
    padding = (HEIGHT - 1, WIDTH - 1) if scope is None else scope // 2
    together = F.conv2d(twin.to_values(features), kernels.repeat(V, 1, 1, 1), padding=padding, groups=V)
    expected = together.view(BATCH, V, HEADS, HEIGHT, WIDTH).transpose(1, 2).flatten(1, 2)
    assert (twin(features) - expected).abs().max() < 1e-12


def test_the_rivals_are_convolutions():
    """PyTorch's own, on the rivals' weights; of a depthwise kernel each channel has one."""
    whole, features = make("depthwise-global")
    local, _ = make("depthwise")
    for twin, padding in ((local, 1), (whole, (HEIGHT - 1, WIDTH - 1))):
        filters, mix = (conv.weight for conv in twin.convolutions)
        filtered = F.conv2d(features, filters, padding=padding, groups=DIM)
        assert (twin(features) - torch.einsum("oc,bcyx->boyx", mix[..., 0, 0], filtered)).abs().max() < 1e-12
    twin, _ = make("bottleneck")
    narrow, dense, back = (conv.weight for conv in twin.convolutions)
    kernel = torch.einsum(
        "oi,ijyx,jc->ocyx", back[..., 0, 0], dense, narrow[..., 0, 0]
    )  # one convolution of rank 5
    assert len(dense) == dense.shape[1] == DIM // 4 == 5
    assert (twin(features) - F.conv2d(features, kernel, padding=1)).abs().max() < 1e-12


@pytest.mark.parametrize("kind, u, scope", CASES)
def test_a_twin_has_the_parameters_it_uses_and_no_others(kind, u, scope):
    twin, features = make(kind, u, scope, train=True)
    (twin(features) ** 3).sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 1e-9 for p in twin.parameters())
    own = HEADS if "attention" in kind or kind == "pointwise" else 1
    queries, keys, values = HEADS * K * DIM + 2 * HEADS * K, own * K * u * DIM, own * V * u * (DIM + 2)
    whole, quarter = (2 * HEIGHT - 1) * (2 * WIDTH - 1), DIM // 4
    table = K * u * (scope**2 if scope else whole)
    expected = {
        "content": queries + keys + values,
        "position": queries + values + table,
        "frozen-query": HEADS * K + values + table,
        "attention": queries + keys + values + table,
        "linear-attention": queries + keys + values,
        "pointwise": values,
        "depthwise": 9 * DIM + DIM**2,
        "depthwise-global": whole * DIM + DIM**2,
        "bottleneck": 2 * DIM * quarter + 9 * quarter**2,
    }
    assert sum(p.numel() for p in twin.parameters()) == expected[kind]


@pytest.mark.parametrize("kind, u, scope", CASES)
def test_a_twin_starts_near_one(kind, u, scope):
    torch.manual_seed(0)
    spread = Twin(128, kind, (7, 7), dim_u=u, scope=scope)(torch.randn(64, 128, 7, 7)).std()
    assert (
        (0.05 if kind in ("content", "linear-attention", "attention") else 0.5) < spread < 2
    )  # means of noise are small


@pytest.mark.parametrize("kind", CONVOLUTION_KINDS)
def test_each_convolution_of_a_rival_keeps_the_variance(kind):
    """Where the kernel sees all of its pixels: a global one everywhere, one of 3×3 away from the border."""
    torch.manual_seed(0)
    features = torch.randn(32, 64, 15, 15)
    for conv in Twin(64, kind, (15, 15)).convolutions:
        features = conv(features)
        seen = features if kind == "depthwise-global" else features[:, :, 1:-1, 1:-1]
        assert 0.85 < seen.std() < 1.15
        features = torch.randn_like(features)


def test_the_rivals_are_as_large_as_the_lambda_layer():
    """In the first lambda block of tiny, on a map of 7 × 7 pixels with 128 channels."""
    layers = {kind: Twin(128, kind, (7, 7)) for kind in CONVOLUTION_KINDS}
    layers |= {f"position, u = {u}": Twin(128, "position", (7, 7), dim_u=u, scope=1) for u in (1, 4)}
    layers |= {f"lambda, u = {u}": LambdaLayer(128, dim_u=u, scope=13) for u in (1, 4)}
    parameters = {name: sum(p.numel() for p in layer.parameters()) for name, layer in layers.items()}
    assert parameters == {
        "depthwise": 17_536,
        "depthwise-global": 38_016,
        "bottleneck": 17_408,
        "position, u = 1": 12_496,
        "position, u = 4": 25_024,
        "lambda, u = 1": 17_232,
        "lambda, u = 4": 43_968,
    }
    for name in ("depthwise", "bottleneck"):
        assert abs(parameters[name] / parameters["lambda, u = 1"] - 1) < 0.02
    assert 0.85 < parameters["depthwise-global"] / parameters["lambda, u = 4"] < 1
    blocks = create_model("tiny").blocks, create_model("tiny", twin="depthwise").blocks  # the very same place
    assert [sum(p.numel() for p in block[1].mix[0].parameters()) for block in blocks] == [17_232, 17_536]


@pytest.mark.parametrize("kind, u, scope", CASES)
def test_a_net_of_twins_learns_in_bfloat16(kind, u, scope):
    torch.manual_seed(0)
    net = create_model("tiny", twin=kind, dim_u=u, scope=scope).to(memory_format=torch.channels_last)
    twins = [module for module in net.modules() if isinstance(module, Twin)]
    assert [twin.dim_u for twin in twins] == [u, u]
    assert scope is None or all(twin.table.shape[2:] == (scope, scope) for twin in twins)
    images, labels = torch.randn(4, 3, 32, 32), torch.arange(4)  # few: some CPUs have no bfloat16
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(10):
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 1


@pytest.mark.parametrize(
    "mixer, meets",
    [
        ({"twin": "pointwise"}, False),
        ({"twin": "position", "scope": 1}, False),
        ({"twin": "position", "scope": 1, "dim_u": 4}, False),
        ({"twin": "position"}, True),
        ({"twin": "content"}, True),
        ({"twin": "depthwise"}, True),
        ({}, True),
    ],
)
def test_with_a_narrow_head_pixels_meet_in_the_mixers_only(mixer, meets):
    """The first of 3 × 3 places is made of the pixels 0 to 8 by the stem's and the pools' 2 × 2; the others come
    in by mixing.
    """
    torch.manual_seed(0)
    net = create_model("tiny", layout="LLL", widen=1, **mixer).double().eval()
    # two images: of a single one PyTorch 2.14's batch norm on a CPU misreads a gradient that lies channels last
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64).requires_grad_()
    net.blocks(net.stem(images))[0, :, 0, 0].sum().backward()
    seen = images.grad[0].abs().sum(0) > 1e-12
    assert seen[:9, :9].any() and (seen[9:].any() or seen[:, 9:].any()) == meets


@pytest.mark.parametrize("kind, u, scope", CASES)
def test_no_pictures_give_no_pictures(kind, u, scope):
    twin, features = make(kind, u, scope)
    assert twin(features[:0]).shape == (0, DIM, HEIGHT, WIDTH)


def test_twins_refuse_what_makes_none():
    with pytest.raises(ValueError, match="heads must be a positive integer, got 0"):
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
    with pytest.raises(ValueError, match="dim_u must be a positive integer, got 0"):
        Twin(21, "content", (3, 3), heads=3, dim_u=0)
    for kind in ("content", "attention", "depthwise"):
        with pytest.raises(ValueError, match=f"scope must be None for .* position lambdas, {kind}, got 3"):
            create_model("tiny", twin=kind, scope=3)
    for scope in (0, -1, 2, 3.0, True):
        with pytest.raises(ValueError, match=f"scope must be an odd number of pixels, or None .*, got {scope!r}"):
            Twin(21, "position", (3, 3), heads=3, scope=scope)
    with pytest.raises(ValueError, match="dim_u must be 1 for a twin without lambdas, bottleneck, got 4"):
        Twin(21, "bottleneck", (3, 3), heads=3, dim_u=4)
    with pytest.raises(ValueError, match="dim must be at least 4 for a bottleneck, .* got 3"):
        Twin(3, "bottleneck", (3, 3), heads=3)
    with pytest.raises(ValueError, match=r"features must be \(3, 5\) pixels for this layer, got \(5, 3\)"):
        Twin(8, "depthwise", (3, 5))(torch.randn(1, 8, 5, 3))
    with pytest.raises(
        ValueError, match="twin must be None for resnet18: it is for small and tiny, got 'content'"
    ):
        create_model("resnet18", twin="content")
    with pytest.raises(ValueError, match="widen must be None for resnet18: it is for small and tiny, got 1"):
        create_model("resnet18", widen=1)
    with pytest.raises(ValueError, match="widen must be 3 or 1, got 2"):
        create_model("tiny", widen=2)
