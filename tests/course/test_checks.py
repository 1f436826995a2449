"""Every mistake that a check knows gets its own message; a right answer passes; an empty stub is never wrong."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import einsum

from lambdalib import attention, lambdas, sequences
from lambdalib.course import checks, probe
from lambdalib.course.examples import plane, strip
from lambdalib.course.questions import QUESTIONS, check_answer
from lambdalib.course.verdict import Verdict
from lambdalib.layer import LambdaLayer

C = "bmku,bmvu->bkv"


def test_strip_table():
    """Every object of the strip that the lessons print, by its formula."""
    queries, keys, values, table = strip()
    palette = lambdas.content_lambda(keys, values)
    assert torch.allclose(palette[0], torch.tensor([[4, 4, 2], [6, 6, 1.0]], dtype=torch.float64))
    content = lambdas.apply_lambdas(queries, palette)[0, 0]
    assert torch.allclose(
        content, torch.tensor([[4, 4, 2], [6, 6, 1], [-2, -2, 1], [10, 10, 3.0]], dtype=torch.float64)
    )
    embeddings = lambdas.relative_embeddings(table, 1, 4)
    readings = lambdas.position_lambdas(embeddings, values)
    assert readings[0].tolist() == [
        [[8, 0, 0], [0, 8, 0]],
        [[0, 8, 0], [-8, 0, 8]],
        [[0, 0, 8], [8, 0, 0]],
        [[8, 8, 0], [0, 0, -8]],
    ]
    position = lambdas.apply_lambdas(queries, readings)[0, 0]
    assert position.tolist() == [[8, 0, 0], [-8, 0, 8], [-8, 0, 8], [8, 8, -8]]
    assert torch.allclose(
        content + position,
        torch.tensor([[12, 4, 2], [-2, 6, 9], [-10, -2, 9], [18, 18, -5.0]], dtype=torch.float64),
    )
    equivalent = einsum("bhnk,bmku->nm", queries, keys.softmax(1)) + einsum("bhnk,nmku->nm", queries, embeddings)
    assert torch.allclose(
        8 * equivalent,
        torch.tensor([[10, 2, 2, 2], [-7, 1, 9, 5], [1, 9, 9, -11], [3, 3, -5, 15.0]], dtype=torch.float64),
    )
    one_head = keys[..., 0][:, None], values[..., 0][:, None]
    blended = attention.softmax_attention(queries, *one_head)[0, 0]
    assert torch.allclose(
        blended, torch.tensor([[4, 4, 2], [6, 6, 1], [3, 3, 2.5], [6, 6, 1.0]], dtype=torch.float64)
    )


def test_plane_is_the_yellow_biplane():
    image = plane()
    assert image.shape == (3, 32, 32) and 0 <= image.min() and image.max() <= 1
    assert (image.mean((1, 2)) * 255).round().int().tolist() == [84, 129, 149]


CONTENT_MISTAKES = {
    "softmax ran over the k axis": lambda K, V: einsum(C, K.softmax(2), V),
    "summed over the context on their own": lambda K, V: einsum("bmku,bnvu->bkv", K.softmax(1), V),
    "the batch axis was summed": lambda K, V: einsum("bmku,cmvu->bkv", K.softmax(1), V),
    "divided by m after": lambda K, V: einsum(C, K.softmax(1), V) / K.shape[1],
    "not put through a softmax": lambda K, V: einsum(C, K, V),
    "two axes have changed places": lambda K, V: einsum("bmku,bmvu->bvk", K.softmax(1), V),
    "does every soft key meet": lambda K, V: einsum(C, K.softmax(1), V.flip(1)),
    "your function raised": lambda K, V: einsum("bmk,bmv->bkv", K, V),
    "expected a tensor": lambda K, V: 1,
}


@pytest.mark.parametrize("message", CONTENT_MISTAKES)
def test_content_mistakes(message):
    verdict = checks.check_content_lambda(CONTENT_MISTAKES[message])
    assert verdict.ok is False and message in verdict.message, verdict


YELLOW = [8, 8, 0]
OTHER_STRIPS = {
    "pixel 3 must stay": [[0, 8, 0], [0, 0, 8], [8, 0, 0], [8, 0, 0]],
    "yours add up to (9.0, 8.0, 8.0)": [[1, 8, 0], [0, 0, 8], [8, 0, 0], YELLOW],
    "pixel 2 is unchanged": [[4, 4, 0], [4, 4, 0], [0, 0, 8], YELLOW],
    "pixel 0 and 1 and 2 is unchanged": [[8, 0, 0], [0, 8, 0], [0, 0, 8], YELLOW],
    "shape (4, 3), got (3, 3)": [[4, 4, 0], [4, 4, 0], [0, 0, 8]],
    "each a list of three numbers": [[4, 4, 0], [4, 4], [0, 0, 8], YELLOW],
}


@pytest.mark.parametrize("message", OTHER_STRIPS)
def test_other_strip_mistakes(message):
    verdict = checks.check_other_strip(OTHER_STRIPS[message])
    assert verdict.ok is False and message in verdict.message, verdict


def test_other_strip_right_and_stub():
    grey = [[8 / 3, 8 / 3, 8 / 3]] * 3
    assert checks.check_other_strip([*grey, YELLOW]).ok is True
    swapped = checks.check_other_strip(torch.tensor([[0, 8, 0], [0, 0, 8], [8, 0, 0], YELLOW]))
    assert swapped.ok is True and "change places" in swapped.message
    assert checks.check_other_strip(None).ok is None


def readings(table, values, offset=None, E=None, height=3, width=5):
    E = lambdas.relative_embeddings(table, height, width) if E is None else E
    return lambdas.position_lambdas(E, values)


def wrapped(table, values, height, width, mode="circular"):
    r = table.shape[2]
    maps = F.pad(values.permute(0, 2, 3, 1).reshape(-1, values.shape[3], height, width), [r // 2] * 4, mode=mode)
    return F.conv2d(maps, table).view(values.shape[0], values.shape[2], table.shape[0], -1).permute(0, 3, 2, 1)


def raster(table, values, height, width):
    r_y, r_x = table.shape[2:]
    answer = torch.zeros(values.shape[0], height * width, table.shape[0], values.shape[2], dtype=values.dtype)
    for n in range(height * width):
        for i in range(r_y):
            for j in range(r_x):
                m = n + (i - r_y // 2) * width + j - r_x // 2
                if 0 <= m < height * width:
                    answer[:, n] += einsum("ku,bvu->bkv", table[:, :, i, j], values[:, m])
    return answer


def clamped(table, values, height, width):
    return (
        wrapped(table, values, height, width, "replicate")
        if table.sum() == 9
        else readings(table, values, height=height, width=width)
    )


POSITION_MISTAKES = {
    "the offset is flipped": lambda T, V, H, W: readings(T.flip(2, 3), V, height=H, width=W),
    "rows and columns have changed places": lambda T, V, H, W: readings(T.transpose(2, 3), V, height=H, width=W),
    "wraps round the edge": wrapped,
    "forgets where a row ends": raster,
    "each pixel reads itself": lambda T, V, H, W: einsum(
        "nmku,bnvu->bnkv",
        lambdas.relative_embeddings(T, H, W)
        + 1 * (1 - lambdas.relative_embeddings(T, H, W).sum(1, keepdim=True)) / (H * W),
        V,
    ),
    "outside there is nothing to read": clamped,
    "the border pixel is read again": lambda T, V, H, W: wrapped(T, V, H, W, "replicate"),
    "= where += is due": lambda T, V, H, W: (
        raster(T, V, H, W) * (T.sum() > 1) + (T.sum() == 1) * (torch.arange(15.0) > 10)[None, :, None, None]
    ),
    "0 <= column": lambda T, V, H, W: (
        wrapped(T, V, H, W) if T.sum() == 1 and T[0, 0, 1, 0] else readings(T, V, height=H, width=W)
    ),
    "0 <= row < height tested": lambda T, V, H, W: V[len(V)],
    "the axis u": lambda T, V, H, W: readings(T[:, [0] * T.shape[1]], V, height=H, width=W),
    "the axis k": lambda T, V, H, W: readings(T[[0] * len(T)], V, height=H, width=W),
    "the axis v": lambda T, V, H, W: readings(T, V[:, :, [0] * V.shape[2]], height=H, width=W),
    "the axis b": lambda T, V, H, W: readings(T, V[[0] * len(V)], height=H, width=W),
    "two axes have changed places, n and k": lambda T, V, H, W: readings(T, V, height=H, width=W).transpose(1, 2),
}


@pytest.mark.parametrize("message", POSITION_MISTAKES)
def test_position_mistakes(message):
    verdict = checks.check_position_lambdas(POSITION_MISTAKES[message])
    assert verdict.ok is False and message in verdict.message, verdict


MERGE_MISTAKES = {
    "value-major": lambda y, H, W: y.permute(0, 3, 1, 2).reshape(y.shape[0], -1, H, W),
    "a reshape cannot swap axes": lambda y, H, W: y.reshape(y.shape[0], -1, H, W),
}


@pytest.mark.parametrize("message", MERGE_MISTAKES)
def test_merge_mistakes(message):
    verdict = checks.check_merge_heads(MERGE_MISTAKES[message])
    assert verdict.ok is False and message in verdict.message, verdict


def scores(q, k):
    return einsum("bhnk,bhmk->bhnm", q, k)


ATTENTION_MISTAKES = {
    "the softmax ran over n": lambda q, k, v: einsum("bhnm,bhmv->bhnv", scores(q, k).softmax(2), v),
    "must sum to 1 over the context": lambda q, k, v: einsum("bhnm,bhmv->bhnv", scores(q, k), v),
    "divided by √k": lambda q, k, v: attention.softmax_attention(q / 11**0.5, k, v),
    "does query n meet key m": lambda q, k, v: attention.softmax_attention(q, k, v.flip(2)),
    "two axes have changed places, h and n": lambda q, k, v: attention.softmax_attention(q, k, v).transpose(1, 2),
}


@pytest.mark.parametrize("message", ATTENTION_MISTAKES)
def test_attention_mistakes(message):
    verdict = checks.check_attention(ATTENTION_MISTAKES[message])
    assert verdict.ok is False and message in verdict.message, verdict


def test_wrong_numbers_stand_beside_the_right_ones():
    """Where random inputs are compared, the verdict shows entries, and where the shape is wrong, its axis."""
    swapped = checks.check_attention(lambda q, k, v: attention.softmax_attention(q, k, v.flip(2)))
    assert "expected" in swapped.detail and "yours" in swapped.detail and "390 of 390 entries" in swapped.detail
    for check, mistake in {
        checks.check_position_lambdas: POSITION_MISTAKES["the axis v"],
        checks.check_content_lambda: CONTENT_MISTAKES["does every soft key meet"],
        checks.check_merge_heads: lambda y, H, W: y.transpose(2, 3).reshape(y.shape[0], -1, H, W).flip(2),
    }.items():
        assert "entries differ" in check(mistake).detail, check
    assert checks.check_content_lambda(lambda K, V: torch.zeros(2, 11, 12)).message.endswith(
        "v must be 13, yours is 12"
    )
    assert "(b, h · v, height, width)" in checks.check_merge_heads(lambda y, H, W: y).message


SOLUTIONS = {
    checks.check_content_lambda: (
        lambdas.content_lambda,
        lambda K, V: torch.zeros(K.shape[0], K.shape[2], V.shape[2]),
    ),
    checks.check_position_lambdas: (
        lambda T, V, H, W: readings(T, V, height=H, width=W),
        lambda T, V, H, W: torch.zeros(V.shape[0], V.shape[1], T.shape[0], V.shape[2]),
    ),
    checks.check_merge_heads: (
        lambda y, H, W: y.transpose(2, 3).reshape(y.shape[0], -1, H, W),
        lambda y, H, W: torch.zeros(y.shape[0], y.shape[1] * y.shape[3], H, W),
    ),
    checks.check_attention: (attention.softmax_attention, lambda q, k, v: torch.zeros(*q.shape[:3], v.shape[3])),
}


@pytest.mark.parametrize("check", SOLUTIONS, ids=lambda check: check.__name__)
def test_solution_passes_and_stub_is_not_wrong(check):
    solution, stub = SOLUTIONS[check]
    assert check(solution).ok is True, check(solution)
    assert check(stub).ok is None and "no answer yet" in repr(check(stub))
    assert check(lambda *arguments: None).ok is None


def test_a_range_is_told_from_its_smallest_number():
    assert probe.between(torch.tensor([[3.0, -1.0], [2.0, 0.125]])) == "lie between -1 and 3"


def test_close():
    three = torch.tensor([1.0, 2.0, 3.0])
    assert checks.check_close(three + 1e-7, three).ok is True
    assert checks.check_close(None, three).ok is None
    verdict = checks.check_close(three + 1, three, "why")
    assert verdict.message == "the largest difference is 1: why" and "1  2  3   2  3  4   ←" in verdict.detail
    assert checks.check_close([1, None, 3], three).ok is None
    assert checks.check_close(three[:2], three, axes="m").message.endswith("m must be 3, yours is 2")
    assert checks.check_close(three[:2], three).ok is False
    assert checks.check_close(three * float("nan"), three).ok is False


FUNCTIONS = {
    checks.check_content_lambda: lambdas.content_lambda,
    checks.check_position_lambdas: lambda T, V, H, W: readings(T, V, height=H, width=W),
    checks.check_merge_heads: lambda y, H, W: y.transpose(2, 3).flatten(1, 2).unflatten(2, (H, W)).clone(),
    checks.check_attention: attention.softmax_attention,
    checks.check_causal_content_lambda: lambda K, V: sequences.causal_content_lambdas(K[..., None], V[..., None]),
    checks.check_masked_content_lambdas: lambda K, V, seen: sequences.masked_content_lambdas(
        K[..., None], V[..., None], seen
    ),
}


def in_place(function):
    """The function, if it had spoilt every tensor that it was given once it was done."""

    def spoils(*arguments):
        answer = function(*arguments)
        for argument in arguments:
            if isinstance(argument, torch.Tensor):
                argument.zero_()
        return answer

    return spoils


@pytest.mark.parametrize("check", FUNCTIONS, ids=lambda check: check.__name__)
def test_an_answer_that_works_in_place_is_right(check):
    verdict = check(in_place(FUNCTIONS[check]))
    assert verdict.ok, verdict


class InPlace(torch.nn.Sequential):
    def forward(self, features):
        answer = super().forward(features)
        features.zero_()
        return answer


def test_a_block_that_works_in_place_is_right():
    verdict = checks.check_mix(
        lambda width, stride, options: InPlace(
            LambdaLayer(width, stride=stride, **options), torch.nn.BatchNorm2d(width)
        )
    )
    assert verdict.ok, verdict


def leave(*arguments):
    raise SystemExit("bye")


ODD_ANSWERS = {
    "raised SystemExit: bye": leave,
    "device meta": lambda answer: torch.empty_like(answer, device="meta"),
    "real numbers": lambda answer: answer.to(torch.complex64),
}


@pytest.mark.parametrize("check", FUNCTIONS, ids=lambda check: check.__name__)
def test_an_odd_answer_of_a_function_is_told_what_it_is(check):
    for message, spoil in ODD_ANSWERS.items():
        verdict = check(lambda *arguments, spoil=spoil: spoil(FUNCTIONS[check](*arguments)))
        assert verdict.ok is False and message in verdict.message, verdict
    assert check(lambda *arguments: FUNCTIONS[check](*arguments).to_sparse()).ok is True
    assert check(3).ok is False and "not callable" in check(3).message


def test_a_module_that_breaks_is_told_so():
    assert "raised SystemExit: bye" in checks.check_mix(leave).message
    assert "raised AttributeError" in checks.check_mix(lambda *arguments: 3).message


NO_NUMBERS = {"str": "three", "dict": {}, "function": leave, "list": [[1.0, 2.0], [3.0]], "int": 10**400}


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_what_holds_no_numbers_is_told_so(kind):
    verdict = checks.check_close(NO_NUMBERS[kind], torch.ones(3))
    assert verdict.ok is False and f"numbers of equal length, got {kind}" in verdict.message
    assert checks.check_other_strip(NO_NUMBERS[kind]).ok is False


def test_numbers_may_come_as_anything_that_holds_them():
    three = torch.tensor([1.0, 2.0, 3.0])
    assert checks.check_close([1, 2, 3], three).ok and checks.check_close(three.numpy(), three).ok
    assert checks.check_close(three.to_sparse(), three).ok and checks.check_close(three.requires_grad_(), three).ok
    assert "device meta" in checks.check_close(three.to("meta"), three).message


def test_options_that_break_the_model_are_told_so():
    assert "no model" in checks.check_budget({"heads": "four"}, 15, 8).message
    assert "no model" in checks.check_budget(3, 15, 8).message


@pytest.mark.parametrize("error", [ZeroDivisionError("odd"), SystemExit("odd")], ids=repr)
def test_a_value_that_breaks_a_check_is_told_so(error):
    class Broken:
        @property
        def __class__(self):
            raise error

    verdict = checks.check_close(Broken(), torch.ones(3))
    assert verdict.ok is False and verdict.message == f"this answer cannot be checked: {type(error).__name__}: odd"


def test_ctrl_c_stops_a_check():
    def interrupt(*arguments):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checks.check_attention(interrupt)


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("an error without words")


class Unspeakable:
    def __repr__(self):
        raise RuntimeError("a value without words")

    __eq__ = __float__ = __len__ = __iter__ = __repr__
    __hash__ = None


class NoArray:
    """Claims to be an array, and leaves when it is asked for its numbers."""

    shape, ndim = (3,), 1

    def __array__(self, *arguments, **options):
        raise SystemExit("no numbers")

    def __bool__(self):
        raise ZeroDivisionError("neither true nor false")

    __getitem__ = __bool__


class OddTensor(torch.Tensor):
    """A tensor that breaks whatever is done with it."""

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), options=None):
        raise SystemExit("untouchable")


def mute(*arguments):
    raise Mute


endless = [1]
endless.append(endless)

NASTY = {
    "a word": "three",
    "bytes": b"3",
    "a dict": {"a": 1},
    "a set": {1, 2},
    "a number": 3,
    "a number too large": 10**400,
    "a number too large to be written": 10**5000,
    "nan": float("nan"),
    "inf": float("inf"),
    "a complex number": 1j,
    "a bool": True,
    "nothing in a list": [],
    "lists of unequal length": [[1.0, 2.0], [3.0]],
    "a list within itself": endless,
    "a type": int,
    "a module": torch,
    "a generator": (number for number in range(3)),
    "a value without words": Unspeakable(),
    "words in an array": np.array(["a", "b"]),
    "objects in an array": np.array([None, {}], dtype=object),
    "an empty tensor": torch.empty(0),
    "a tensor of nan": torch.full((2, 2), torch.nan),
    "a tensor without numbers": torch.ones(3, device="meta"),
    "a sparse tensor": torch.eye(3).to_sparse(),
    "a tensor of complex numbers": torch.ones(3, dtype=torch.complex64),
    "a tensor of bool": torch.ones(3, dtype=torch.bool),
    "a tensor of five axes": torch.ones(1, 1, 1, 1, 1),
    "a nested tensor": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
    "tensors without numbers in a list": [torch.ones(3, device="meta")] * 3,
    "an object that is no array": NoArray(),
    "objects that are no arrays": [NoArray()] * 3,
    "a tensor that breaks": torch.ones(3).as_subclass(OddTensor),
    "a number too large in an array": np.array([10**400, 1, 2], dtype=object),
    "an array of nan": np.full(3, np.nan),
    "a function that leaves": leave,
    "a function that fails without words": mute,
}
ALL = {  # every public check, by what it makes of a learner's value
    "check_close": lambda value: checks.check_close(value, torch.tensor([2.0, 0.0, 1.0])),
    "check_other_strip": checks.check_other_strip,
    "check_budget": lambda value: checks.check_budget(value, 15, 8),
    **{name: lambda value, name=name: check_answer(name, value) for name in QUESTIONS},
    **{
        name: getattr(checks, name)
        for name in checks.__all__
        if name not in {"check_close", "check_other_strip", "check_budget"}
    },
}


def test_every_check_is_tried():
    assert ALL.keys() == set(checks.__all__) | set(QUESTIONS) and len(checks.__all__) > 9


@pytest.mark.parametrize("name", ALL)
def test_whatever_a_check_is_given_it_does_not_raise(name):
    check = ALL[name]
    verdict = check(None)
    assert verdict.ok is None and verdict.message.startswith("no answer yet: "), verdict
    for kind, value in NASTY.items():
        verdict = check(value)
        assert isinstance(verdict, Verdict) and verdict.ok is not True and verdict.message, kind
        assert verdict._repr_html_() and repr(verdict)


@pytest.mark.parametrize("check", [*FUNCTIONS, checks.check_mix], ids=lambda check: check.__name__)
def test_whatever_a_function_answers_its_check_does_not_raise(check):
    assert check(lambda *arguments: None).ok is None
    for kind, value in NASTY.items():
        verdict = check(lambda *arguments, value=value: value)
        assert isinstance(verdict, Verdict) and verdict.ok is not True and repr(verdict), kind


def test_no_check_changes_a_learners_tensors():
    values = [
        torch.tensor([[0, 8, 0], [0, 0, 8], [8, 0, 0], YELLOW], dtype=dtype) for dtype in (None, torch.float64)
    ]
    for value in values:
        before = value.clone()
        assert checks.check_close(value, value + 1).ok is False and checks.check_close(value, before).ok
        assert checks.check_other_strip(value).ok and check_answer("01.1", value).ok is False
        assert torch.equal(value, before) and value.dtype == before.dtype
