"""Lesson 04b's own check: every mistake that it knows gets its own message."""

import pytest
import torch
from torch import einsum

from lambdalib.course.checks import check_causal_content_lambda
from lambdalib.course.questions import check_answer
from lambdalib.lambdas import content_lambda


def sums(keys, values):
    """The weights so far and the values so far, weighted: (b, n, k, 1) and (b, n, k, v)."""
    weights = keys.exp()
    return weights.cumsum(1)[..., None], einsum("bnk,bnv->bnkv", weights, values).cumsum(1)


def causal(keys, values):
    weights, weighted = sums(keys, values)
    return weighted / weights


def with_mask(keys, values, diagonal=0):
    n = keys.shape[1]
    seen = torch.ones(n, n, dtype=torch.bool).tril(diagonal)
    scores = keys[:, None].masked_fill(~seen[None, :, :, None], float("-inf"))  # (b, n, m, k)
    return einsum("bnmk,bmv->bnkv", scores.softmax(2), values)


def masked_after(keys, values):
    return einsum("bnk,bnv->bnkv", keys.softmax(1), values).cumsum(1)


def one_short(keys, values):
    weights, weighted = sums(keys, values)
    return torch.cat([torch.zeros_like(weighted[:, :1]), (weighted / weights)[:, :-1]], 1)


def one_value_short(keys, values):
    weights, weighted = sums(keys, values)
    return torch.cat([torch.zeros_like(weighted[:, :1]), weighted[:, :-1]], 1) / weights


def whole(keys, values):
    return content_lambda(keys[..., None], values[..., None])[:, None].expand(-1, keys.shape[1], -1, -1)


def plain_mean(keys, values):
    means = values.cumsum(1) / torch.arange(1, values.shape[1] + 1)[:, None]
    return means[:, :, None].expand(-1, -1, keys.shape[2], -1)


MISTAKES = {
    "the normaliser is missing": lambda K, V: sums(K, V)[1],
    "the mask came after a softmax": masked_after,
    "off by one, since a position sees itself": one_short,
    "nothing at position 0": one_value_short,
    "has nothing at position 0: off by one": lambda K, V: with_mask(K, V, diagonal=-1),  # NaN in the first row
    "the sums run one too far": lambda K, V: with_mask(K, V, diagonal=1),
    "the sums run from the end": lambda K, V: causal(K.flip(1), V.flip(1)).flip(1),
    "the palette of the whole sequence": whole,
    "what do the keys do": plain_mean,
    "must sum to 1": lambda K, V: causal(K, V) / 2,
    "weigh each value up to its own": lambda K, V: causal(2 * K, V),
    "two axes have changed places": lambda K, V: causal(K, V).transpose(2, 3),
    "your function raised": lambda K, V: einsum("bmk,bmv->bmkv", K, V, V),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_causal_content_mistakes(message):
    verdict = check_causal_content_lambda(MISTAKES[message])
    assert verdict.ok is False and message in verdict.message, verdict


@pytest.mark.parametrize("solution", [causal, with_mask])
def test_causal_content_solutions(solution):
    assert check_causal_content_lambda(solution).ok is True


def test_causal_content_stub():
    stub = check_causal_content_lambda(lambda K, V: torch.zeros(*K.shape, V.shape[2]))
    assert stub.ok is None and check_causal_content_lambda(lambda *arguments: None).ok is None


def test_questions_in_other_clothes():
    assert check_answer("04b.1", torch.tensor([0.5, 0, 0])).ok and check_answer("04b.2", "Train").ok
    assert "with weight 1 / (1 + 1 + 1 + 13)" in check_answer("04b.1", (2, 0, 0)).message
    assert 'one of "train", "eval"' in check_answer("04b.2", "always").message
