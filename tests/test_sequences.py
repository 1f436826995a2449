"""Masks and causal lambdas against loops over what each query sees, the forms against each other, and the future
kept out.
"""

import copy
import re

import pytest
import torch
from loops import loop_apply, loop_content_lambda, loop_embeddings, loop_norm, loop_position_lambdas
from torch import nn
from torch.testing import assert_close

from lambdalib import sequences
from lambdalib.lambdas import content_lambda, position_lambdas
from lambdalib.sequences import (
    LambdaLayer1d,
    causal_content_lambdas,
    causal_step,
    cumulative,
    masked_content_lambdas,
    masked_position_lambdas,
)

B, N, M, K, V, U, D, H = 2, 5, 7, 11, 13, 3, 17, 3
EXACT = dict(rtol=1e-11, atol=1e-11)
modes = pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
kinds = pytest.mark.parametrize("causal", [False, True], ids=["two-sided", "causal"])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def triangle(n):
    return torch.ones(n, n, dtype=torch.bool).tril()


def some_mask(n=N, m=M):
    """Rows of all kinds: one that sees nothing, one that sees one position, one that sees all."""
    mask = torch.rand(n, m) < 0.5
    mask[0], mask[1], mask[2] = False, torch.arange(m) == 3, True
    return mask


def loop_masked_content(keys, values, mask):
    nothing = values.new_zeros(len(keys), keys.shape[2], values.shape[2])
    return torch.stack(
        [loop_content_lambda(keys[:, row], values[:, row]) if row.any() else nothing for row in mask], dim=1
    )


def make(dim=D, dim_out=H * V, *, dim_k=K, heads=H, dim_u=U, scope=5, **options):
    """A layer whose norms all have values of their own, so that none is silently skipped."""
    layer = LambdaLayer1d(dim, dim_out, dim_k=dim_k, heads=heads, dim_u=dim_u, scope=scope, **options)
    for norm in (layer.norm_queries, layer.norm_values):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias)
        if isinstance(norm, nn.BatchNorm1d):
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
    return layer


def loop_layer_1d(layer, features, mask):
    """The whole layer by its formula; the stencil's tap j reads n + j - r//2, or n + j - (r - 1) in a causal
    layer.
    """
    (batch, _, n), r = features.shape, layer.table.shape[3]
    heads, k, u, v = layer.heads, layer.dim_k, layer.dim_u, layer.dim_v

    def project(conv):
        return torch.stack(
            [
                torch.stack([conv.weight[:, :, 0] @ features[b, :, t] for t in range(n)], dim=1)
                for b in range(batch)
            ]
        )

    def normed(norm, rows):
        if isinstance(norm, nn.BatchNorm1d):
            return loop_norm(norm, rows)
        columns = [row - row.mean(1, keepdim=True) for row in rows.unbind(2)]
        columns = [row / (row.square().mean(1, keepdim=True) + norm.eps).sqrt() for row in columns]
        return torch.stack([row * norm.weight + norm.bias for row in columns], dim=2)

    q, key = normed(layer.norm_queries, project(layer.to_queries)), project(layer.to_keys)
    value = normed(layer.norm_values, project(layer.to_values))
    queries = torch.stack([torch.stack([q[:, h * k + i] for i in range(k)], dim=-1) for h in range(heads)], dim=1)
    keys = torch.stack([torch.stack([key[:, i * u + j] for j in range(u)], dim=-1) for i in range(k)], dim=2)
    values = torch.stack([torch.stack([value[:, i * u + j] for j in range(u)], dim=-1) for i in range(v)], dim=2)
    lambdas = []
    for t in range(n):
        position = 0
        for j in range(r):
            m = t + j - (r - 1 if layer.causal else r // 2)
            if 0 <= m < n and mask[t, m]:
                position = position + torch.einsum("ku,bvu->bkv", layer.table[:, :, 0, j], values[:, m])
        lambdas.append(position + loop_masked_content(keys, values, mask[t : t + 1])[:, 0])
    output = loop_apply(queries, torch.stack(lambdas, dim=1))
    return torch.stack([output[:, h, :, i] for h in range(heads) for i in range(v)], dim=1)


# ---- masks


def test_masked_content_lambdas_are_the_formula():
    keys, values, mask = random(B, M, K, U), random(B, M, V, U), some_mask()
    lambdas = masked_content_lambdas(keys, values, mask)
    assert lambdas.shape == (B, N, K, V)
    assert_close(lambdas, loop_masked_content(keys, values, mask), **EXACT)


def test_masked_position_lambdas_are_the_formula():
    table, mask = random(K, U, 1, 5), some_mask(M, M)
    values = random(B, M, V, U)
    embeddings = loop_embeddings(table, 1, M)
    expected = torch.stack(
        [
            loop_position_lambdas(table, values * row[None, :, None, None], 1, M)[:, n]
            for n, row in enumerate(mask)
        ],
        dim=1,
    )
    assert_close(masked_position_lambdas(embeddings, values, mask), expected, **EXACT)


def test_a_full_mask_changes_nothing():
    keys, values, mask = random(B, M, K, U), random(B, M, V, U), torch.ones(N, M, dtype=torch.bool)
    embeddings = random(N, M, K, U)
    assert_close(
        masked_content_lambdas(keys, values, mask),
        content_lambda(keys, values)[:, None].expand(-1, N, -1, -1),
        **EXACT,
    )
    assert torch.equal(masked_position_lambdas(embeddings, values, mask), position_lambdas(embeddings, values))


@pytest.mark.parametrize("fill", [0.0, 50.0, 1e30])
def test_a_query_that_sees_nothing_gets_zero_and_teaches_nothing(fill):
    keys = (random(B, M, K, U) + fill).requires_grad_()
    values = random(B, M, V, U).requires_grad_()
    mask = some_mask()
    with torch.autograd.set_detect_anomaly(True):  # no NaN on the way either
        lambdas = masked_content_lambdas(keys, values, mask)
        blind = torch.autograd.grad(lambdas[:, 0].sum(), (keys, values), retain_graph=True)
        every = torch.autograd.grad(lambdas.square().sum(), (keys, values))
    assert lambdas.isfinite().all() and not lambdas[:, 0].any() and lambdas[:, 1:].flatten(2).any(2).all()
    assert not any(gradient.any() for gradient in blind)
    assert all(gradient.isfinite().all() for gradient in every)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64], ids=str)
def test_keys_are_normalised_over_what_is_seen(dtype):
    """A hidden key of any size takes no weight: with values of 1 each lambda is u, whatever lies hidden."""
    keys, mask = torch.randn(B, M, K, U).to(dtype), torch.arange(M) < M - torch.arange(N)[:, None]
    keys[:, -1] = 6e4  # seen by query 0 alone; would leave the others nothing
    lambdas = masked_content_lambdas(keys, torch.ones(B, M, V, U, dtype=dtype), mask)
    assert lambdas.dtype == dtype
    assert_close(lambdas.double(), torch.full((B, N, K, V), float(U), dtype=torch.float64), rtol=0, atol=0.03)
    if dtype == torch.float64:
        assert_close(lambdas, torch.full_like(lambdas, U), **EXACT)


def test_masked_lambdas_do_not_hear_what_is_hidden():
    keys, values, mask = random(B, M, K, U).requires_grad_(), random(B, M, V, U).requires_grad_(), some_mask()
    embeddings = random(N, M, K, U)
    for n, row in enumerate(mask):
        content, position = (
            masked_content_lambdas(keys, values, mask),
            masked_position_lambdas(embeddings, values, mask),
        )
        for gradient in torch.autograd.grad(
            content[:, n].sin().sum() + position[:, n].sin().sum(), (keys, values)
        ):
            assert not gradient[:, ~row].any()
        assert not row.any() or gradient[:, row].flatten(2).any(2).all()


def test_the_order_of_the_context_does_not_matter():
    keys, values, mask, order = random(B, M, K, U), random(B, M, V, U), some_mask(), torch.randperm(M)
    embeddings = random(N, M, K, U)
    assert_close(
        masked_content_lambdas(keys[:, order], values[:, order], mask[:, order]),
        masked_content_lambdas(keys, values, mask),
        **EXACT,
    )
    assert_close(
        masked_position_lambdas(embeddings[:, order], values[:, order], mask[:, order]),
        masked_position_lambdas(embeddings, values, mask),
        **EXACT,
    )


@pytest.mark.parametrize(
    "mask, got",
    [
        (torch.ones(N, M), "torch.float32 (5, 7)"),
        (torch.ones(M, N, dtype=torch.bool), "torch.bool (7, 5)"),
        (torch.ones(B, N, M, dtype=torch.bool), "torch.bool (2, 5, 7)"),
    ],
    ids=str,
)
def test_other_masks_are_refused(mask, got):
    keys, values, embeddings = random(B, M, K, U), random(B, M, V, U), random(N, M, K, U)
    with pytest.raises(
        ValueError, match=re.escape(f"mask must be bool (n, 7), one for the whole batch, got {got}")
    ):
        masked_content_lambdas(keys, values, mask)
    with pytest.raises(
        ValueError, match=re.escape(f"mask must be bool (5, 7), one for the whole batch, got {got}")
    ):
        masked_position_lambdas(embeddings, values, mask)


# ---- causal


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 13, 16, 31])
def test_causal_lambdas_are_the_formula(n):
    keys, values = random(B, n, K, U), random(B, n, V, U)
    lambdas = causal_content_lambdas(keys, values)
    assert lambdas.shape == (B, n, K, V)
    assert_close(lambdas, loop_masked_content(keys, values, triangle(n)), **EXACT)
    assert_close(lambdas, masked_content_lambdas(keys, values, triangle(n)), **EXACT)
    assert_close(lambdas[:, -1], content_lambda(keys, values), **EXACT)


def in_steps(keys, values):
    memory, lambdas, sizes = None, [], set()
    for n in range(keys.shape[1]):
        lambda_n, memory = causal_step(memory, keys[:, n], values[:, n])
        lambdas.append(lambda_n)
        sizes.add(tuple(memory.shape))
    return torch.stack(lambdas, dim=1), sizes


def test_steps_give_the_same_from_a_memory_that_does_not_grow():
    keys, values = random(B, 31, K, U), random(B, 31, V, U)
    lambdas, sizes = in_steps(keys, values)
    assert_close(lambdas, causal_content_lambdas(keys, values), **EXACT)
    assert sizes == {(B, K, U, 1 + V)}
    _, sizes = in_steps(keys[..., :1], values[..., :1])
    assert {size[1] * size[2] * size[3] for size in sizes} == {K * V + K}


RANGES = {
    "wide": lambda n: 100 * torch.randn(B, n, K, U),
    "an early key dominates": lambda n: torch.randn(B, n, K, U) + 1e4 * (torch.arange(n) == 1)[:, None, None],
    "a late key dominates": lambda n: torch.randn(B, n, K, U) + 1e4 * (torch.arange(n) == n - 2)[:, None, None],
    "rising": lambda n: torch.randn(B, n, K, U) + 300 * torch.arange(n)[:, None, None],
    "falling": lambda n: torch.randn(B, n, K, U) - 300 * torch.arange(n)[:, None, None],
    "far up": lambda n: torch.randn(B, n, K, U) + 1e4,
    "far down": lambda n: torch.randn(B, n, K, U) - 1e4,
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", RANGES)
def test_keys_of_any_range(name, dtype):
    """The reference is the masked softmax in float64. Sums of weights near exp(±10⁴) have 10⁴ roundings."""
    n, tolerance = 23, torch.finfo(dtype).eps * (3e4 if "far" in name else 30)
    keys, values = RANGES[name](n).to(dtype).requires_grad_(), torch.randn(B, n, V, U).to(dtype)
    wide = keys.detach().double().requires_grad_()
    expected = masked_content_lambdas(wide, values.double(), triangle(n))
    probe = torch.randn(B, n, K, V)
    (slope,) = torch.autograd.grad((expected * probe).sum(), wide)
    for lambdas in (causal_content_lambdas(keys, values), in_steps(keys, values)[0]):
        assert_close(lambdas.double(), expected, rtol=tolerance, atol=tolerance)
        (gradient,) = torch.autograd.grad((lambdas * probe).sum(), keys)
        assert_close(gradient.double(), slope, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "dtype, tolerance", [(torch.float32, 2e-6), (torch.bfloat16, 1e-2), (torch.float16, 2e-3)], ids=str
)
def test_causal_lambdas_in_every_precision(dtype, tolerance):
    """Long enough that a running sum kept in bfloat16 would stop growing."""
    keys, values = torch.randn(B, 600, K, U).to(dtype), torch.randn(B, 600, V, U).to(dtype)
    expected = causal_content_lambdas(keys.double(), values.double())
    for lambdas in (causal_content_lambdas(keys, values), in_steps(keys, values)[0]):
        assert lambdas.dtype == dtype
        assert (lambdas.double() - expected).abs().max() < tolerance * expected.abs().max()


def test_causal_lambdas_hear_the_whole_past_and_no_future():
    keys, values = random(B, 13, K, U).requires_grad_(), random(B, 13, V, U).requires_grad_()
    lambdas = causal_content_lambdas(keys, values)
    for n in range(13):
        for gradient in torch.autograd.grad(lambdas[:, n].sin().sum(), (keys, values), retain_graph=True):
            assert not gradient[:, n + 1 :].any()
            assert n == 0 or gradient[:, : n + 1].flatten(2).any(2).all()


def test_causal_lambdas_ignore_the_order_of_the_past_and_a_shift_of_all_keys():
    keys, values = random(B, 13, K, U), random(B, 13, V, U)
    order = torch.cat([torch.randperm(7), torch.arange(7, 13)])
    lambdas, shuffled = (
        causal_content_lambdas(keys, values),
        causal_content_lambdas(keys[:, order], values[:, order]),
    )
    assert_close(shuffled[:, 6:], lambdas[:, 6:], **EXACT)
    assert (shuffled[:, :6] - lambdas[:, :6]).abs().max() > 0.1
    assert_close(causal_content_lambdas(keys + 5, values), lambdas, **EXACT)


@pytest.mark.parametrize("n", [1, 2, 7, 64, 1000])
def test_the_cumulative_form_is_linear(n, monkeypatch):
    """Merges are counted: fewer than two per position."""
    merged, merge = [], sequences.merge
    monkeypatch.setattr(
        sequences, "merge", lambda earlier, later: merged.append(later.shape[1]) or merge(earlier, later)
    )
    cumulative(torch.randn(1, n, 1, 1, 2))
    assert n - 1 <= sum(merged) < 2 * n


def test_gradcheck_of_the_functions():
    keys, values = random(2, 5, 2, 2).requires_grad_(), random(2, 5, 3, 2).requires_grad_()
    mask = some_mask(5, 5)
    embeddings = random(5, 5, 2, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda k, v: masked_content_lambdas(k, v, mask), (keys, values))
    assert torch.autograd.gradcheck(lambda e, v: masked_position_lambdas(e, v, mask), (embeddings, values))
    assert torch.autograd.gradcheck(causal_content_lambdas, (keys, values))
    assert torch.autograd.gradcheck(lambda k, v: in_steps(k, v)[0], (keys, values))


# ---- the layer


@modes
@pytest.mark.parametrize("scope", [1, 5, 17])
@kinds
def test_the_layer_is_the_formula(causal, scope, training):
    layer = make(scope=scope, causal=causal).double().train(training)
    features = random(B, D, M)
    mask = triangle(M) if causal else torch.ones(M, M, dtype=torch.bool)
    expected = loop_layer_1d(copy.deepcopy(layer), features, mask)
    output = layer(features)
    assert output.shape == (B, H * V, M)
    assert_close(output, expected, rtol=1e-10, atol=1e-10)


@modes
def test_the_masked_layer_is_the_formula(training):
    layer, features, mask = make().double().train(training), random(B, D, M), some_mask(M, M)
    expected = loop_layer_1d(copy.deepcopy(layer), features, mask)
    output = layer(features, mask)
    assert_close(output, expected, rtol=1e-10, atol=1e-10)
    assert not output[..., 0].any()
    assert_close(layer(features, torch.ones(M, M, dtype=torch.bool)), layer(features), rtol=1e-10, atol=1e-10)


def test_a_causal_layer_is_a_layer_under_a_triangular_mask():
    """With the same norms, and the causal taps in the left half of a table that reaches as far back."""
    causal, masked = make(scope=5, causal=True).double(), make(scope=9).double()
    masked.norm_queries, masked.norm_values = causal.norm_queries, causal.norm_values
    state = causal.state_dict()
    masked.load_state_dict(state | {"table": nn.functional.pad(state["table"], (0, 4), value=7.0)})
    features = random(B, D, M)
    assert_close(causal(features), masked(features, triangle(M)), rtol=1e-10, atol=1e-10)


@modes
@pytest.mark.parametrize("scope, n", [(1, 11), (5, 11), (31, 11), (5, 400), (801, 300)], ids=str)
def test_no_future_value_reaches_a_past_output(scope, n, training):
    """By gradient, in each order of contraction that the sizes choose."""
    layer = make(scope=scope, causal=True).train(training)
    features = torch.randn(B, D, n, requires_grad=True)
    output = layer(features)
    for t in [0, 1, n // 2, n - 2]:
        (gradient,) = torch.autograd.grad(output[..., t].sin().sum(), features, retain_graph=True)
        assert not gradient[..., t + 1 :].any()
        assert gradient[..., : t + 1].any(1).all()


def test_batch_norm_would_let_the_future_through():
    """Why the causal layer has none: under a triangular mask, a batch-normed layer leaks in train mode, and only
    there.
    """
    layer, leaks = make(), []
    for training in (False, True):
        features = torch.randn(B, D, M, requires_grad=True)
        (gradient,) = torch.autograd.grad(
            layer.train(training)(features, triangle(M))[..., 0].sin().sum(), features
        )
        leaks.append(gradient[..., 1:].any().item())
    assert leaks == [False, True]


@modes
def test_what_comes_later_or_in_other_examples_changes_nothing(training):
    layer, features = make(causal=True).double().train(training), random(B, D, M)
    output = layer(features)
    for t in range(1, M):
        assert_close(layer(features[..., :t]), output[..., :t], **EXACT)
    assert_close(layer(features[:1]), output[:1], **EXACT)


@modes
@pytest.mark.parametrize("scope, u", [(1, 1), (5, U), (31, 1)])
def test_steps_of_the_layer_give_its_forward(scope, u, training):
    layer = make(scope=scope, dim_u=u, causal=True).double().train(training)
    features, state, outputs, sizes = random(B, D, 13), None, [], []
    expected = layer(features)
    for t in range(13):
        output, state = layer.step(state, features[..., t])
        outputs.append(output)
        sizes.append(sum(part[0].numel() for part in state))
    assert_close(torch.stack(outputs, dim=2), expected, rtol=1e-10, atol=1e-10)
    assert sizes == [u * (K * V + K) + min(t + 1, scope) * V * u for t in range(13)]


@kinds
def test_the_position_output_moves_with_the_sequence(causal):
    """What the table adds depends on offsets alone: delay the sequence, and it comes delayed."""
    layer = make(scope=5, causal=causal).double().eval()
    plain = copy.deepcopy(layer)
    nn.init.zeros_(plain.table)
    features, delay, back, ahead = random(B, D, 31), 3, 4 if causal else 2, 0 if causal else 2

    def position(x):
        return layer(x) - plain(x)

    before, after = position(features).roll(delay, 2), position(features.roll(delay, 2))
    inside = slice(back + delay, 31 - ahead)
    assert_close(after[..., inside], before[..., inside], **EXACT)
    assert (after - before).abs().max() > 0.1


def test_heads_leave_head_major():
    layer, features = make(causal=True).double(), random(B, D, M)
    with torch.no_grad():
        layer.norm_queries.weight[K : 2 * K] = 0
        layer.norm_queries.bias[K : 2 * K] = 0  # head 1 asks nothing
    silent = ~layer(features).flatten(2).any(2).any(0)
    assert silent.tolist() == [V <= channel < 2 * V for channel in range(H * V)]


@modes
@kinds
def test_gradcheck_of_the_layer(causal, training):
    layer = make(2, 4, dim_k=2, heads=2, dim_u=2, scope=3, causal=causal).double().train(training)
    names = [name for name, _ in layer.named_parameters()]

    def run(features, *parameters):
        return torch.func.functional_call(copy.deepcopy(layer), dict(zip(names, parameters)), (features,))

    features = random(2, 2, 5).requires_grad_()
    assert torch.autograd.gradcheck(run, (features, *(p.detach().requires_grad_() for p in layer.parameters())))


@pytest.mark.parametrize(
    "dtype, scale, tolerance", [(torch.bfloat16, 1, 2e-2), (torch.float16, 1e4, 1e-6)], ids=str
)
@pytest.mark.parametrize("form", ["two-sided", "masked", "causal", "steps"])
def test_autocast_is_close_to_float32(form, dtype, scale, tolerance):
    """float16 is left for float32, as in LambdaLayer, so that activations of 1e4 stay finite."""
    layer = make(causal=form in ("causal", "steps"))
    features = scale * torch.randn(B, D, M)

    def run():
        if form != "steps":
            return layer(features, some_mask(M, M) if form == "masked" else None)
        state, outputs = None, []
        for t in range(M):
            output, state = layer.step(state, features[..., t])
            outputs.append(output)
        return torch.stack(outputs, dim=2)

    torch.manual_seed(1)
    expected = run()
    torch.manual_seed(1)
    with torch.autocast("cpu", dtype=dtype):
        output = run().float()
    output.sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())
    assert (output - expected).abs().max() < tolerance * expected.abs().max()


@kinds
def test_a_layer_cast_to_bfloat16_runs(causal):
    layer, features = make(causal=causal), torch.randn(B, D, M)
    expected = layer(features)
    output = layer.bfloat16()(features.bfloat16())
    assert output.dtype == torch.bfloat16
    assert (output.float() - expected).abs().max() < 5e-2 * expected.abs().max()


@kinds
def test_initial_spreads_and_one_layout_of_parameters(causal):
    layer = LambdaLayer1d(256, dim_k=16, heads=4, dim_u=4, scope=23, causal=causal)
    expected = {
        "to_queries.weight": ((64, 256, 1), (16 * 256) ** -0.5),
        "to_keys.weight": ((64, 256, 1), 256**-0.5),
        "to_values.weight": ((256, 256, 1), 256**-0.5),
        "table": ((16, 4, 1, 23), (16 * 4 * 23) ** -0.5),
    }
    for name, (shape, std) in expected.items():
        assert layer.get_parameter(name).shape == shape
        assert layer.get_parameter(name).std().item() == pytest.approx(std, rel=0.08), name
    norms = {f"norm_{part}.{name}" for part in ("queries", "values") for name in ("weight", "bias")}
    assert {name for name, _ in layer.named_parameters()} == {*expected, *norms}
    defaults = LambdaLayer1d(64)
    assert (
        defaults.to_queries.weight.shape == (64, 64, 1)
        and defaults.table.shape == (16, 1, 1, 23)
        and not defaults.causal
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(dim=0), "dim must be a positive integer, got 0"),
        (dict(dim=10), "heads must divide dim_out = 10"),
        (dict(dim=8, scope=4), "scope must be an odd number"),
        (
            dict(dim=8, scope=None),
            "scope must be an odd number of taps, since a sequence has no fixed length, got None",
        ),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match="^" + message):
        LambdaLayer1d(**arguments)


def test_bad_inputs_are_refused():
    plain, causal = make(), make(causal=True)
    for call, message in [
        (
            lambda: plain(torch.randn(B, D + 1, M)),
            "features must be floats (b, 17, n), got torch.float32 (2, 18, 7)",
        ),
        (
            lambda: plain(torch.randn(B, D, 1, M)),
            "features must be floats (b, 17, n), got torch.float32 (2, 17, 1, 7)",
        ),
        (lambda: plain(torch.randn(B, D, 0)), "features must have at least one position, got (2, 17, 0)"),
        (
            lambda: plain(torch.randn(B, D, M), triangle(N)),
            "mask must be bool (7, 7), one for the whole batch, got torch.bool (5, 5)",
        ),
        (
            lambda: causal(torch.randn(B, D, M), triangle(M)),
            "mask must be None, since this layer is causal already, got torch.bool (7, 7)",
        ),
        (lambda: plain.step(None, torch.randn(B, D)), "causal must be True for step"),
        (lambda: causal.step((None, None), torch.randn(B, D)), "state[0] must be"),
        (
            lambda: causal.step(None, torch.randn(B, D, 1)),
            "features must be floats (b, 17), got torch.float32 (2, 17, 1)",
        ),
    ]:
        with pytest.raises(ValueError, match="^" + re.escape(message)):
            call()
