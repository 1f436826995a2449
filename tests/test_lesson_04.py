"""Lesson 04's own check: every mistake that it knows gets its own message."""

import pytest
import torch
from torch import einsum

from lambdalib.course.checks import check_masked_content_lambdas


def masked(keys, values, visible, hidden=float("-inf"), axis=2):
    scores = keys[:, None].masked_fill(~visible[None, :, :, None], hidden)
    return einsum("bnmk,bmv->bnkv", scores.softmax(axis), values)


def masked_after(keys, values, visible):
    return einsum("nm,bmk,bmv->bnkv", visible.to(keys), keys.softmax(1), values)


def renormalised_over_everything(keys, values, visible):
    return (
        masked(keys, values, visible)
        + masked(-keys, values, visible) * (1 - visible.double().mean(1))[None, :, None, None]
    ) / (2 - visible.double().mean(1))[None, :, None, None]


MISTAKES = {
    "the mask came after the softmax": masked_after,
    "must sum to 1 for each query": lambda K, V, seen: masked_after(K, V, seen) * 2,
    "where does the mask come in": lambda K, V, seen: masked(K, V, torch.ones_like(seen)),
    "a score of 0 still has weight": lambda K, V, seen: masked(K, V, seen, hidden=0.0),
    "with everything visible": lambda K, V, seen: masked(K, V, seen) if not seen.all() else masked(2 * K, V, seen),
    "does the softmax run over m": renormalised_over_everything,
    "two axes have changed places": lambda K, V, seen: masked(K, V, seen).transpose(2, 3),
    "your function raised": lambda K, V, seen: einsum("bmk,bmv->bkv", K, V, seen),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_masked_content_mistakes(message):
    verdict = check_masked_content_lambdas(MISTAKES[message])
    assert verdict.ok is False and message in verdict.message, verdict


def test_masked_content_solution_and_stub():
    assert check_masked_content_lambdas(masked).ok is True
    stub = check_masked_content_lambdas(
        lambda K, V, seen: torch.zeros(K.shape[0], len(seen), K.shape[2], V.shape[2])
    )
    assert stub.ok is None and check_masked_content_lambdas(lambda *arguments: None).ok is None
