"""Lambdas over sequences: masks, a context that ends at the query, a memory that takes in one position at a time.

A sequence is a map one row high. A masked query sees part of the context, so each query has a content lambda of
its own; when it sees all that came before, that lambda is a running average, and k·v + k numbers are all there is
to remember. Taught in notebooks/04b_sequences.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, einsum, nn

from lambdalib.arguments import check_axes, check_flags, describe
from lambdalib.contractions import position_output
from lambdalib.guards import check_arguments, float32_under_float16
from lambdalib.lambdas import apply_lambdas, content_lambda, position_lambdas, relative_embeddings

__all__ = [
    "masked_content_lambdas",
    "masked_position_lambdas",
    "causal_content_lambdas",
    "causal_step",
    "LambdaLayer1d",
]


def check_mask(mask: Tensor, n: int | None, m: int) -> None:
    """Refuse what is no mask of m context positions, for n queries or any number of them. Raises ValueError."""
    fits = isinstance(mask, Tensor) and mask.dtype == torch.bool and mask.dim() == 2
    if not fits or mask.shape[1] != m or n not in (None, mask.shape[0]):
        raise ValueError(
            f"mask must be bool ({'n' if n is None else n}, {m}), one for the whole batch, got {describe(mask)}"
        )


def masked_content_lambdas(keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Summarise for each query what it may see.

    λᶜ_n = Σ_m softmax_{m seen by n}(K)_m ⊗ V_m        Bello 2021, appendix B.2. Taught in notebooks/04b_sequences.

    Args:
        keys: (b, m, k, u), not yet normalised.
        values: (b, m, v, u).
        mask: (n, m) of bool, shared by the batch: mask[n, m] is True where query n sees context m.
    Returns:
        (b, n, k, v): one lambda per query; 0 for a query that sees nothing. It makes b·n·m·k·u weights on the way.
    Raises:
        ValueError: mask is not (n, m) of bool.
    """
    check_mask(mask, None, keys.shape[1])
    hidden = ~mask[:, :, None, None]
    # not -inf: where nothing is seen, that is NaN
    scores = keys[:, None].masked_fill(hidden, torch.finfo(keys.dtype).min)
    soft_keys = scores.softmax(dim=2).masked_fill(hidden, 0)
    return einsum("bnmku,bmvu->bnkv", soft_keys, values)


def masked_position_lambdas(embeddings: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Read what each query may see of the context through its own sheet of embeddings.

    λᵖ_n = Σ_{m seen by n} E_nm ⊗ V_m        Bello 2021, appendix B.2. Used by LambdaLayer1d.

    Args:
        embeddings: (n, m, k, u).
        values: (b, m, v, u).
        mask: (n, m) of bool, shared by the batch; so the embeddings are masked, once for all examples.
    Returns:
        (b, n, k, v).
    Raises:
        ValueError: mask is not (n, m) of bool, or embeddings and values do not agree.
    """
    check_axes("n m k u, b m v u", embeddings=embeddings, values=values)
    check_mask(mask, *embeddings.shape[:2])
    return position_lambdas(embeddings.masked_fill(~mask[:, :, None, None], 0), values)


# A memory (b, ..., k, u, 1 + v) is what a stretch of positions leaves behind. Entry 0 is the logarithm of the
# stretch's weight, log Σ exp K, which no range of keys overflows; the others are its values, averaged with the
# weights exp K. Rounding the logarithm is the price: in float32 a weight is right to about 1e-7·|K|.


def written(keys: Tensor, values: Tensor) -> Tensor:
    """The memories of single positions, in float32 at least: (b, n, k, u), (b, n, v, u) -> (b, n, k, u, 1 + v)."""
    dtype = torch.promote_types(keys.dtype, torch.float32)
    averages = values.transpose(2, 3)[:, :, None].expand(-1, -1, keys.shape[2], -1, -1)
    return torch.cat([keys[..., None].to(dtype), averages.to(dtype)], dim=-1)


def merge(earlier: Tensor, later: Tensor) -> Tensor:
    """The memory of two neighbouring stretches: weights add, and averages mix in proportion to them."""
    fraction = (later[..., :1] - earlier[..., :1]).sigmoid()  # later weight / both weights
    weight = torch.logaddexp(earlier[..., :1], later[..., :1])
    return torch.cat([weight, torch.lerp(earlier[..., 1:], later[..., 1:], fraction)], dim=-1)


def cumulative(memories: Tensor) -> Tensor:
    """A cumulative sum whose plus is merge: entry n holds all positions up to n. It takes fewer than 2n merges."""
    n = memories.shape[1]
    if n < 2:
        return memories
    even, odd = memories[:, 0::2], memories[:, 1::2]
    odd = cumulative(merge(even[:, : n // 2], odd))  # by pairs: half as many, complete at 1, 3, 5, ...
    even = torch.cat([even[:, :1], merge(odd[:, : (n - 1) // 2], even[:, 1:])], dim=1)
    woven = torch.stack([even[:, : n // 2], odd], dim=2).flatten(1, 2)
    return torch.cat([woven, even[:, n // 2 :]], dim=1)  # an odd n has one even position more


def recall(memories: Tensor) -> Tensor:
    """The content lambdas that memories hold: (b, ..., k, u, 1 + v) -> (b, ..., k, v)."""
    return memories[..., 1:].sum(dim=-2)


def causal_content_lambdas(keys: Tensor, values: Tensor) -> Tensor:
    """Summarise for each position all positions up to and including it, in time linear in n.

    λᶜ_n = Σ_{m≤n} softmax_{m≤n}(K)_m ⊗ V_m        Bello 2021, appendix B.2. Taught in notebooks/04b_sequences.

    Computed in float32 at least, for finite keys of any range; the last lambda is content_lambda(keys, values).

    Args:
        keys: (b, n, k, u), not yet normalised.
        values: (b, n, v, u).
    Returns:
        (b, n, k, v): one lambda per position, as masked_content_lambdas gives for a lower triangular mask.
    Raises:
        ValueError: keys and values do not agree.
    """
    check_axes("b n k u, b n v u", keys=keys, values=values)
    return recall(cumulative(written(keys, values))).to(values.dtype)


def causal_step(memory: Tensor | None, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Write one more position into the memory, and read the content lambda so far.

    λᶜ_n = λᶜ_{n-1} + (V_n - λᶜ_{n-1}) · exp K_n / Σ_{m≤n} exp K_m, for each u
    Taught in notebooks/04b_sequences.

    Args:
        memory: (b, k, u, 1 + v) from the step before, of a size that does not grow; None before the first.
        keys: (b, k, u) of this position.
        values: (b, v, u) of this position.
    Returns:
        (b, k, v), the n-th of causal_content_lambdas, and the memory after this position.
    """
    new = written(keys[:, None], values[:, None])[:, 0]
    memory = new if memory is None else merge(memory, new)
    return recall(memory).to(values.dtype), memory


def check_state(state: tuple[Tensor, Tensor], b: int, k: int, u: int, v: int) -> None:
    """Refuse what LambdaLayer1d.step did not give to this batch and layer. Raises ValueError."""
    if not isinstance(state, tuple) or len(state) != 2:
        raise ValueError(f"state must be None or the pair from the step before, got {describe(state)}")
    check_axes(f"{b} {k} {u} {1 + v}, {b} r {v} {u}", **{"state[0]": state[0], "state[1]": state[1]})


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each position of (b, d, n), which looks at no other position.

    Taught in notebooks/04b_sequences.
    """

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features.transpose(1, 2)).transpose(1, 2)


class LambdaLayer1d(nn.Module):
    """A lambda layer over a sequence, which may be causal: a drop-in for a convolution over time.

    y_hn = (λᶜ_n + λᵖ_n)ᵀ q_hn, as LambdaLayer on a map one row high
    Bello 2021, sections 3.1 and 3.2, appendix B.2.    Taught in notebooks/04b_sequences.

    A causal layer's lambdas hold positions m ≤ n alone, and its queries and values have a layer norm over channels
    at each position: batch norm would tell the past the mean and spread of the future while it trains. For the
    same reason a masked layer, which has batch norm, keeps hidden positions fully apart in eval mode only.

    Args:
        dim, dim_out: channels in and out; dim_out is a multiple of heads, by default dim.
        dim_k: k, depth of queries and keys.
        heads: h, queries per position; the value depth is v = dim_out / heads.
        dim_u: u, intra-depth.
        scope: r, taps of the position lambdas, odd: they reach r//2 positions to both sides, or r - 1 back if
            causal.
        causal: whether a position sees only itself and those before it.
    Raises:
        ValueError: a size is not allowed, features or mask do not fit this layer; the message names what does.
    """

    def __init__(
        self,
        dim: int,
        dim_out: int | None = None,
        *,
        dim_k: int = 16,
        heads: int = 4,
        dim_u: int = 1,
        scope: int = 23,
        causal: bool = False,
    ):
        super().__init__()
        dim_out = dim if dim_out is None else dim_out
        check_flags(causal=causal)
        if scope is None:
            raise ValueError("scope must be an odd number of taps, since a sequence has no fixed length, got None")
        check_arguments(dim, dim_out, dim_k, heads, dim_u, scope, feat_size=None, stride=1)
        self.heads, self.dim_k, self.dim_u, self.dim_v, self.causal = heads, dim_k, dim_u, dim_out // heads, causal
        self.to_queries = nn.Conv1d(dim, heads * dim_k, 1, bias=False)
        self.to_keys = nn.Conv1d(dim, dim_k * dim_u, 1, bias=False)
        self.to_values = nn.Conv1d(dim, self.dim_v * dim_u, 1, bias=False)
        norm = ChannelNorm if causal else nn.BatchNorm1d
        self.norm_queries = norm(heads * dim_k)
        self.norm_values = norm(self.dim_v * dim_u)
        self.table = nn.Parameter(torch.empty(dim_k, dim_u, 1, scope))
        nn.init.normal_(self.to_queries.weight, std=(dim_k * dim) ** -0.5)  # as in LambdaLayer
        nn.init.normal_(self.to_keys.weight, std=dim**-0.5)
        nn.init.normal_(self.to_values.weight, std=dim**-0.5)
        nn.init.normal_(self.table, std=(dim_k * dim_u * scope) ** -0.5)

    def project(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(b, dim, n) -> queries (b, h, n, k), keys (b, n, k, u), values (b, n, v, u)."""
        queries = rearrange(self.norm_queries(self.to_queries(features)), "b (h k) n -> b h n k", h=self.heads)
        keys = rearrange(self.to_keys(features), "b (k u) n -> b n k u", u=self.dim_u)
        values = rearrange(self.norm_values(self.to_values(features)), "b (v u) n -> b n v u", u=self.dim_u)
        return queries, keys, values

    @float32_under_float16
    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """(b, dim, n) -> (b, dim_out, n). mask: (n, n) of bool, True where seen; not for a causal layer."""
        dim = self.to_keys.in_channels
        check_axes(f"b {dim} n", features=features)
        if mask is not None and self.causal:
            raise ValueError(f"mask must be None, since this layer is causal already, got {describe(mask)}")
        n = features.shape[2]
        if n == 0:
            raise ValueError(f"features must have at least one position, got {tuple(features.shape)}")
        queries, keys, values = self.project(features)
        if mask is not None:
            check_mask(mask, n, n)
            positions = masked_position_lambdas(relative_embeddings(self.table, 1, n), values, mask)
            output = apply_lambdas(queries, masked_content_lambdas(keys, values, mask) + positions)
        else:
            content = causal_content_lambdas(keys, values) if self.causal else content_lambda(keys, values)
            ahead = self.table.shape[3] - 1 if self.causal else 0
            table = F.pad(self.table, (0, ahead))  # the last tap becomes the middle: zeros for the positions ahead
            output = apply_lambdas(queries, content) + position_output(queries, table, values, (1, n))
        return rearrange(output, "b h n v -> b (h v) n")

    @float32_under_float16
    def step(self, state: tuple[Tensor, Tensor] | None, features: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One more position of a causal layer, for generation: what forward gives there, from a fixed-size state.

        Args:
            state: from the step before: the content's memory (b, k, u, 1 + v) and the last r values (b, ≤ r, v,
                u); or None.
            features: (b, dim), this position.
        Returns:
            (b, dim_out), and the state after this position.
        Raises:
            ValueError: the layer is not causal, or state and features are not its own.
        """
        if not self.causal:
            raise ValueError(
                "causal must be True for step, since otherwise later positions change this one, got False"
            )
        check_axes(f"b {self.to_keys.in_channels}", features=features)
        if state is not None:
            check_state(state, len(features), self.dim_k, self.dim_u, self.dim_v)
        queries, keys, values = self.project(features[..., None])
        memory, window = (None, values[:, :0]) if state is None else state
        content, memory = causal_step(memory, keys[:, 0], values[:, 0])
        window = torch.cat([window, values], dim=1)[:, -self.table.shape[3] :]
        # (1, m, k, u): the embeddings of the one query
        taps = self.table[:, :, :, -window.shape[1] :].permute(2, 3, 0, 1)
        output = apply_lambdas(queries, content) + apply_lambdas(queries, position_lambdas(taps, window))
        return output.flatten(1), (memory, window)
