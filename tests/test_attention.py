"""The attention of lesson 01 against its formulas in plain Python, against PyTorch's own, and its properties."""

import math

import pytest
import torch
import torch.nn.functional as F
from loops import loop_embeddings
from torch.testing import assert_close

from lambdalib.attention import SelfAttention, linear_attention, relative_attention, softmax_attention
from lambdalib.lambdas import apply_lambdas, content_lambda, relative_embeddings

B, H, N, M, K, V = 2, 3, 5, 7, 11, 13
EXACT = dict(rtol=1e-11, atol=1e-11)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def inputs(n=N, m=M):
    """Queries, keys, values; keys small enough that no single weight drowns the others."""
    return random(B, H, n, K), random(B, H, m, K) / 2, random(B, H, m, V)


# ---- the formulas, number by number


def loop_attention(queries, keys, values, embeddings=None):
    """Softmax attention in Python floats: for each query its scores, their exponentials, and the weighted sum."""
    (batch, heads, positions, depth), (context, width) = queries.shape, values.shape[2:]
    output = torch.empty(batch, heads, positions, width, dtype=torch.float64)
    q, key, value = queries.tolist(), keys.tolist(), values.tolist()
    e = None if embeddings is None else embeddings.tolist()
    for b in range(batch):
        for h in range(heads):
            for n in range(positions):
                weights = []
                for m in range(context):
                    score = sum(q[b][h][n][i] * key[b][h][m][i] for i in range(depth))
                    if e is not None:
                        score += sum(q[b][h][n][i] * e[n][m][i] for i in range(depth))
                    weights.append(math.exp(score))
                for v in range(width):
                    output[b, h, n, v] = sum(weights[m] * value[b][h][m][v] for m in range(context)) / sum(weights)
    return output


def loop_linear_attention(queries, keys, values):
    """y = Σ_m Σ_k q_nk · exp(k_mk) / Σ_m' exp(k_m'k) · v_m in Python floats: scores first, unlike the library."""
    (batch, heads, positions, depth), (context, width) = queries.shape, values.shape[2:]
    output = torch.empty(batch, heads, positions, width, dtype=torch.float64)
    q, key, value = queries.tolist(), keys.tolist(), values.tolist()
    for b in range(batch):
        for h in range(heads):
            sums = [sum(math.exp(key[b][h][m][i]) for m in range(context)) for i in range(depth)]
            for n in range(positions):
                weights = [
                    sum(q[b][h][n][i] * math.exp(key[b][h][m][i]) / sums[i] for i in range(depth))
                    for m in range(context)
                ]
                for v in range(width):
                    output[b, h, n, v] = sum(weights[m] * value[b][h][m][v] for m in range(context))
    return output


def loop_self_attention(layer, features):
    """The whole layer: projections pixel by pixel, depth fastest within a head, table read by offset, output head-
    major.
    """
    batch, _, height, width = features.shape

    def project(conv):
        weight = conv.weight[:, :, 0, 0].detach()
        pixels = [
            torch.stack([weight @ features[b, :, y, x] for y in range(height) for x in range(width)])
            for b in range(batch)
        ]
        channels, depth = weight.shape[0], weight.shape[0] // layer.heads
        assert channels == depth * layer.heads
        return torch.stack(
            [torch.stack([rows[:, h * depth : (h + 1) * depth] for h in range(layer.heads)]) for rows in pixels]
        )

    embeddings = loop_embeddings(layer.table.detach(), height, width)[..., 0]
    output = loop_attention(
        project(layer.to_queries), project(layer.to_keys), project(layer.to_values), embeddings
    )
    _, heads, _, depth = output.shape
    return torch.stack(
        [output[:, h, :, v].view(batch, height, width) for h in range(heads) for v in range(depth)], dim=1
    )


def test_softmax_attention_is_the_formula():
    queries, keys, values = inputs()
    output = softmax_attention(queries, keys, values)
    assert output.shape == (B, H, N, V)
    assert_close(output, loop_attention(queries, keys, values), **EXACT)


def test_relative_attention_is_the_formula():
    queries, keys, values = inputs()
    embeddings = random(N, M, K) / 2
    assert_close(
        relative_attention(queries, keys, values, embeddings),
        loop_attention(queries, keys, values, embeddings),
        **EXACT,
    )


def test_linear_attention_is_the_formula_whichever_bracket_comes_first():
    queries, keys, values = inputs()
    assert_close(linear_attention(queries, keys, values), loop_linear_attention(queries, keys, values), **EXACT)


# ---- against PyTorch and against the lambdas


def test_softmax_attention_is_pytorchs_without_its_scale():
    queries, keys, values = inputs()
    theirs = F.scaled_dot_product_attention(queries, keys, values, scale=1.0)
    assert_close(softmax_attention(queries, keys, values), theirs, **EXACT)
    absorbed = softmax_attention(queries * K**-0.5, keys, values)  # 1/√k belongs to the queries
    assert_close(absorbed, F.scaled_dot_product_attention(queries, keys, values), **EXACT)
    assert (absorbed - theirs).abs().max() > 0.1


def test_relative_attention_is_pytorchs_with_the_positions_as_a_mask():
    queries, keys, values = inputs()
    embeddings = random(N, M, K) / 2
    mask = (queries[:, :, :, None] * embeddings).sum(-1)  # (b, h, n, m)
    theirs = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, scale=1.0)
    assert_close(relative_attention(queries, keys, values, embeddings), theirs, **EXACT)
    assert (theirs - softmax_attention(queries, keys, values)).abs().max() > 0.1


def test_without_embeddings_relative_attention_is_softmax_attention():
    queries, keys, values = inputs()
    assert_close(
        relative_attention(queries, keys, values, torch.zeros(N, M, K, dtype=torch.float64)),
        softmax_attention(queries, keys, values),
        **EXACT,
    )


def test_linear_attention_of_one_head_is_the_content_lambda():
    """The door to lesson 02."""
    queries, keys, values = (rows[:, :1] for rows in inputs())
    palette = content_lambda(keys[:, 0, :, :, None], values[:, 0, :, :, None])
    assert_close(linear_attention(queries, keys, values), apply_lambdas(queries, palette), **EXACT)


# ---- properties


def test_answers_stay_within_the_values_and_those_of_linear_attention_do_not():
    queries, keys, values = inputs()
    low, high = values.amin(2, keepdim=True), values.amax(2, keepdim=True)
    blend, other = softmax_attention(queries, keys, values), linear_attention(queries, keys, values)
    assert ((low < blend) & (blend < high)).all()
    assert not ((low < other) & (other < high)).all()


def test_equal_additions_to_all_keys_cancel_and_to_all_values_come_through():
    queries, keys, values = inputs()
    shift, colour = random(K), random(V)
    assert_close(
        softmax_attention(queries, keys + shift, values), softmax_attention(queries, keys, values), **EXACT
    )
    assert_close(
        softmax_attention(queries, keys, values + colour),
        softmax_attention(queries, keys, values) + colour,
        **EXACT,
    )


def test_huge_scores_give_no_nan():
    queries, keys, values = inputs()
    cold = softmax_attention(1e6 * queries, keys, values)
    best = (queries @ keys.transpose(2, 3)).argmax(-1)[..., None].expand(B, H, N, V)
    assert_close(cold, values.gather(2, best), **EXACT)  # so cold that it copies


@pytest.mark.parametrize("attention", [softmax_attention, linear_attention])
def test_a_permutation_of_the_positions_permutes_the_answers(attention):
    queries, keys, values = inputs(n=M)
    order = torch.randperm(M)
    straight, shuffled = (
        attention(queries, keys, values),
        attention(*(rows[:, :, order] for rows in (queries, keys, values))),
    )
    assert_close(shuffled, straight[:, :, order], **EXACT)
    assert (shuffled - straight).abs().max() > 0.1  # equivariant, not invariant
    context_only = attention(queries, keys[:, :, order], values[:, :, order])
    assert_close(context_only, straight, **EXACT)


def test_positions_break_the_permutation_unless_they_are_permuted_too():
    queries, keys, values = inputs(n=M)
    embeddings = relative_embeddings(random(K, 1, 1, 2 * M - 1), 1, M)[..., 0]
    order = torch.randperm(M)
    straight = relative_attention(queries, keys, values, embeddings)
    shuffled = relative_attention(*(rows[:, :, order] for rows in (queries, keys, values)), embeddings)
    assert (shuffled - straight[:, :, order]).abs().max() > 0.1
    back = relative_attention(
        *(rows[:, :, order] for rows in (queries, keys, values)), embeddings[order][:, order]
    )
    assert_close(back, straight[:, :, order], **EXACT)


@pytest.mark.parametrize("attention", [softmax_attention, linear_attention])
def test_heads_and_examples_do_not_meet(attention):
    queries, keys, values = inputs()
    whole = attention(queries, keys, values)
    for b in range(B):
        for h in range(H):
            alone = attention(*(rows[b : b + 1, h : h + 1] for rows in (queries, keys, values)))
            assert_close(whole[b : b + 1, h : h + 1], alone, **EXACT)


def test_gradients():
    queries, keys, values, embeddings = (
        random(*shape).requires_grad_() for shape in ((1, 2, 3, 2), (1, 2, 4, 2), (1, 2, 4, 3), (3, 4, 2))
    )
    assert torch.autograd.gradcheck(softmax_attention, (queries, keys, values))
    assert torch.autograd.gradcheck(relative_attention, (queries, keys, values, embeddings))
    assert torch.autograd.gradcheck(linear_attention, (queries, keys, values))


# ---- the layer


@pytest.mark.parametrize(
    "dim, dim_out, heads, size",
    [(7, 15, 3, (3, 5)), (5, 5, 1, (5, 2)), (3, 22, 2, (1, 7)), (2, 3, 3, (1, 1))],
    ids=str,
)
def test_the_layer_is_the_formula(dim, dim_out, heads, size):
    layer = SelfAttention(dim, dim_out, dim_k=11, heads=heads, feat_size=size).double()
    features = random(2, dim, *size)
    output = layer(features)
    assert output.shape == (2, dim_out, *size)
    assert_close(output, loop_self_attention(layer, features), **EXACT)


def test_the_layer_keeps_the_channels_by_default_and_counts_its_numbers():
    layer = SelfAttention(12, dim_k=5, heads=4, feat_size=(3, 7))
    assert layer(torch.randn(2, 12, 3, 7)).shape == (2, 12, 3, 7)
    assert sum(p.numel() for p in layer.parameters()) == 12 * 20 + 12 * 20 + 12 * 12 + 5 * 5 * 13
    assert {name for name, _ in layer.named_parameters()} == {
        "to_queries.weight",
        "to_keys.weight",
        "to_values.weight",
        "table",
    }


def test_only_the_table_tells_the_layer_where_pixels_are():
    layer, order = SelfAttention(6, dim_k=5, heads=3, feat_size=(3, 5)).double(), torch.randperm(15)
    features = random(2, 6, 3, 5)

    def shuffle(maps):
        return maps.flatten(2)[:, :, order].view_as(maps)

    assert (layer(shuffle(features)) - shuffle(layer(features))).abs().max() > 0.01
    torch.nn.init.zeros_(layer.table)
    assert_close(layer(shuffle(features)), shuffle(layer(features)), **EXACT)


def test_scores_and_values_start_near_one_and_positions_near_a_quarter():
    layer = SelfAttention(64, dim_k=16, heads=4, feat_size=(7, 9))
    features = torch.randn(8, 64, 7, 9)
    queries, keys, values = (
        conv(features).flatten(2).unflatten(1, (4, -1)).transpose(2, 3)
        for conv in (layer.to_queries, layer.to_keys, layer.to_values)
    )
    assert 0.8 < (queries @ keys.transpose(2, 3)).std() < 1.2
    assert 0.8 < values.std() < 1.2
    offsets = torch.einsum("bhnk,nmk->bhnm", queries, relative_embeddings(layer.table, 7, 9)[..., 0])
    assert 0.7 * 16**-0.5 < offsets.std() < 1.3 * 16**-0.5


def test_gradients_of_the_layer():
    layer = SelfAttention(2, 4, dim_k=2, heads=2, feat_size=(2, 3)).double()
    assert torch.autograd.gradcheck(layer, [random(1, 2, 2, 3).requires_grad_()])
    layer(random(1, 2, 2, 3)).square().sum().backward()
    assert all(p.grad.abs().min() > 0 for p in layer.parameters()), (
        "every entry of the weights and of the table takes part"
    )


def test_no_pictures_give_no_pictures():
    assert SelfAttention(4, 12, feat_size=(3, 5))(torch.randn(0, 4, 3, 5)).shape == (0, 12, 3, 5)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="heads must divide dim_out = 10, got 3"):
        SelfAttention(12, 10, heads=3, feat_size=(4, 4))
    with pytest.raises(ValueError, match="heads must divide dim_out = 12, got 0"):
        SelfAttention(12, heads=0, feat_size=(4, 4))
    with pytest.raises(ValueError, match="heads must divide dim_out = 7, got 4"):
        SelfAttention(7, feat_size=(4, 4))
    layer = SelfAttention(4, feat_size=(3, 5))
    with pytest.raises(ValueError, match=r"features must be \(3, 5\) pixels for this layer, got \(5, 3\)"):
        layer(torch.randn(1, 4, 5, 3))
