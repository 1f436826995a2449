"""Checks for the exercises. A wrong answer is told which mistake it looks like, an empty stub that it is empty.

Two kinds. Fingerprints run a learner's function on inputs whose answer names the mistake: axis sizes are distinct primes,
so that a 7 where a 1 was due can only be the context axis. Questions compare a number with the answer and with the wrong
answers that readers give most. Nothing here raises: a verdict is shown, and the lesson goes on.
"""

import math
from dataclasses import dataclass
from typing import Any, Callable

import torch
from torch import Tensor

from lambdalib import attention, cost, lambdas
from lambdalib.course.examples import strip
from lambdalib.layer import LambdaLayer

__all__ = [
    "Verdict", "check_answer", "check_attention", "check_budget", "check_causal_content_lambda", "check_close", "check_content_lambda",
    "check_masked_content_lambdas", "check_merge_heads", "check_mix", "check_other_strip", "check_position_lambdas",
]

PRIMES = dict(b=2, h=3, n=5, m=7, k=11, v=13)  # every axis its own size: a wrong size names its axis


@dataclass(frozen=True)
class Verdict:
    """What a check has to say. ok is True, False, or None for an exercise not tried yet. Taught in notebooks/00_start_here."""

    ok: bool | None
    message: str

    def __repr__(self) -> str:
        return {True: "✓ ", False: "✗ ", None: "· "}[self.ok] + self.message


def right(message: str) -> Verdict:
    return Verdict(True, message)


def wrong(message: str) -> Verdict:
    return Verdict(False, message)


NOT_ATTEMPTED = Verdict(None, "not attempted yet: replace the stub, then run this cell again")


def close(a: Tensor, b: Tensor | float) -> bool:
    return torch.allclose(a, torch.as_tensor(b, dtype=a.dtype).expand_as(a), atol=1e-6)


def run(function: Callable, shape: tuple[int, ...], *arguments) -> Tensor | Verdict:
    """The function's answer as a tensor of this shape, or the verdict on why it is none.

    The function gets copies: one that works in place is right all the same, and must not spoil what it is compared with.
    """
    copies = [argument.clone() if isinstance(argument, Tensor) else argument for argument in arguments]
    try:
        answer = function(*copies)
    except Exception as error:
        hint = " (is 0 <= row < height tested, and 0 <= column < width?)" if isinstance(error, IndexError) else ""
        return wrong(f"your function raised {type(error).__name__}: {error}{hint}")
    if answer is None:
        return NOT_ATTEMPTED
    if not isinstance(answer, Tensor):
        return wrong(f"expected a tensor of shape {shape}, got {type(answer).__name__}")
    if tuple(answer.shape) != shape:
        hint = " (two axes have changed places)" if sorted(answer.shape) == sorted(shape) else ""
        return wrong(f"expected shape {shape}, got {tuple(answer.shape)}{hint}")
    if not answer.any():
        return NOT_ATTEMPTED
    return answer.double()


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


# ---------------------------------------------------------------------------------------------------- fingerprints


def check_content_lambda(function: Callable) -> Verdict:
    """function(keys (b,m,k,u), values (b,m,v,u)) -> (b,k,v). Probe: values of 1 must give lambdas of 1.

    Taught in notebooks/02_content_lambdas.
    """
    b, m, k, v = (PRIMES[axis] for axis in "bmkv")
    keys, ones = random(b, m, k, 1), torch.ones(b, m, v, 1, dtype=torch.float64)
    answer = run(function, (b, k, v), keys, ones)
    if isinstance(answer, Verdict):
        return answer
    expected = "With every value 1, every entry of the lambda must be 1, because each column of soft keys sums to 1"
    if close(answer, m):
        return wrong(f"{expected}; yours are all {m} = m: the values were summed over the context on their own")
    if close(answer, b):
        return wrong(f"{expected}; yours are all {b} = b: the batch axis was summed away and spread again")
    if close(answer, 1 / m):
        return wrong(f"{expected}; yours are all 1/{m} = 1/m: divided by m after a softmax that already averages")
    if (answer < 0).any():
        return wrong(f"{expected}; some of yours are negative: the keys were not put through a softmax")
    if close(answer.sum(1), m):
        return wrong(f"{expected}; yours sum to {m} = m along the k axis: the softmax ran over the k axis instead of the context")
    if not close(answer, 1):
        return wrong(f"{expected}; yours lie between {answer.min():.3g} and {answer.max():.3g}: "
                     "is the softmax over the context, and is its division by the sum there?")
    keys, values = random(b, m, k, 2), random(b, m, v, 2)
    if (message := same(run(function, (b, k, v), keys, values), lambdas.content_lambda(keys, values))) is not None:
        return wrong(f"right for constant values and u = 1, but {message}: does every soft key meet the value of its own position "
                     "and its own u, and is each u divided by its own sum before the u are added?")
    return right("every entry is right: a softmax over the context, and one sum over m (and u)")


def check_other_strip(values) -> Verdict:
    """values (m=4, v=3): another strip with the strip's palette, in which pixels 0, 1 and 2 have changed.

    Taught in notebooks/02_content_lambdas.
    """
    if values is None:
        return NOT_ATTEMPTED
    try:
        values = torch.as_tensor(values, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        return wrong("expected four pixels, each a list of three numbers: red, green, blue")
    if values.shape != (4, 3):
        return wrong(f"expected four pixels of three numbers each, shape (4, 3), got {tuple(values.shape)}")
    _, keys, original, _ = strip()
    if not close(values[3], original[0, 3, :, 0]):
        return wrong(f"pixel 3 must stay (8, 8, 0), yours is {tuple(values[3].tolist())}: "
                     "twice colour 1 of the palette, minus colour 0, is pixel 3")
    palette, mine = (lambdas.content_lambda(keys, pixels)[0] for pixels in (original, values[None, :, :, None]))
    if not close(mine, palette):
        due, came = original[0, :3, :, 0].sum(0).tolist(), values[:3].sum(0).tolist()
        return wrong(f"another palette: pixels 0, 1 and 2 must still add up to {tuple(due)}, yours add up to {tuple(came)}")
    if kept := [str(n) for n in range(3) if close(values[n], original[0, n, :, 0])]:
        return wrong(f"the palette is right, but pixel {' and '.join(kept)} is unchanged: move light between all three")
    if sorted(values.tolist()) == sorted(original[0, :, :, 0].tolist()):
        return right("the same palette: pixels with equal keys may change places; new colours with the same sum work as well")
    return right("the same palette from three other colours: as long as their sum stays, nobody can tell")


def check_position_lambdas(function: Callable) -> Verdict:
    """function(table (k,u,r,r), values (b,m,v,u), height, width) -> (b,n,k,v). Probe: values that are their pixel's number.

    Taught in notebooks/03_position_lambdas.
    """
    height, width = 3, 5
    numbers = torch.arange(1.0, 16.0, dtype=torch.float64).view(1, 15, 1, 1)
    tap = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    tap[0, 0, 1, 2] = 1  # one pixel to the right
    answer = run(function, (1, 15, 1, 1), tap, numbers, height, width)
    if isinstance(answer, Verdict):
        return answer
    first_row = tuple(answer.flatten()[:5].round().int().tolist())
    expected = "The probe's stencil reads one pixel to the right, and each pixel's value is its number: the first row of 3 × 5 must read 2, 3, 4, 5, 0"
    mistakes = {
        (0, 1, 2, 3, 4): "the offset is flipped: entry (i, j) belongs to the pixel at n + offset, not n - offset",
        (6, 7, 8, 9, 10): "rows and columns have changed places: the table is (k, u, r_y, r_x), rows first",
        (2, 3, 4, 5, 1): "the reading wraps round the edge (roll?): beyond the border there are zeros",
        (2, 3, 4, 5, 6): "the window runs along the flattened map and forgets where a row ends: use the two coordinates",
        (1, 2, 3, 4, 5): "each pixel reads itself: were the embeddings summed over m before the values were read?",
        (1, 2, 3, 4, 0): "each pixel reads itself: were the embeddings summed over m before the values were read?",
        (2, 3, 4, 5, 5): "the border pixel is read again: outside the map there is nothing, which counts as 0",
        (0, 0, 0, 0, 0): "the reading is lost: is it overwritten by a later tap (= where += is due), or never added?",
    }
    if first_row != (2, 3, 4, 5, 0):
        return wrong(f"{expected}; yours reads {', '.join(map(str, first_row))}: {mistakes.get(first_row, 'check the offset of each tap')}")
    left = run(function, (1, 15, 1, 1), tap.flip(3), numbers, height, width)
    if isinstance(left, Verdict) or not close(left.flatten()[:5], torch.arange(5.0)):
        return wrong("Reading to the right is right, but one pixel to the left the first row must read 0, 1, 2, 3, 4: a column of -1 is outside, and not the last one (0 <= column)")
    ones = torch.ones(1, 15, 1, 1, dtype=torch.float64)
    counts = run(function, (1, 15, 1, 1), torch.ones(1, 1, 3, 3, dtype=torch.float64), ones, height, width)
    if isinstance(counts, Verdict):
        return counts
    if close(counts, 9):
        return wrong("A stencil of nine ones over a map of ones must read 4 in a corner and 6 on an edge; yours reads 9 everywhere: outside there is nothing to read")
    for axes, (b, k, v, u) in {"b, the batch": (2, 1, 1, 1), "k, the stencils": (1, 11, 1, 1), "v, the channels": (1, 1, 13, 1),
                               "u, the intra-depth (summed)": (1, 1, 1, 2), "b, k, v and u together": (2, 11, 13, 2)}.items():
        table, values = random(k, u, 5, 5), random(b, 15, v, u)
        reference = lambdas.position_lambdas(lambdas.relative_embeddings(table, height, width), values)
        if (message := same(run(function, tuple(reference.shape), table, values, height, width), reference)) is not None:
            return wrong(f"right for one stencil and one channel, but {message} with more than one entry on the axis {axes}")
    return right("every reading is right, borders included")


def check_merge_heads(function: Callable) -> Verdict:
    """function(output (b,h,n,v), height, width) -> (b, h·v, height, width). Probe: 0, 1, ..., 5 for two heads of three.

    Taught in notebooks/04_lambda_layer.
    """
    probe = torch.arange(6.0, dtype=torch.float64).view(1, 2, 1, 3)
    answer = run(function, (1, 6, 1, 1), probe, 1, 1)
    if isinstance(answer, Verdict):
        return answer
    order = tuple(answer.flatten().int().tolist())
    if order == (0, 3, 1, 4, 2, 5):
        return wrong("One pixel, head 0 = (0, 1, 2), head 1 = (3, 4, 5): the channels must read 0, 1, 2, 3, 4, 5; yours read 0, 3, 1, 4, 2, 5: "
                     "value-major, but channel = head · v + value")
    if order != (0, 1, 2, 3, 4, 5):
        return wrong(f"One pixel, head 0 = (0, 1, 2), head 1 = (3, 4, 5): the channels must read 0, 1, 2, 3, 4, 5; yours read {order}")
    b, h, v = (PRIMES[axis] for axis in "bhv")
    output = random(b, h, 35, v)
    reference = output.transpose(2, 3).reshape(b, h * v, 5, 7)
    if (message := same(run(function, tuple(reference.shape), output, 5, 7), reference)) is not None:
        hint = ": a reshape cannot swap axes, the n axis must first go last" if message.startswith("differs") else ""
        return wrong(f"right for one pixel, but {message}{hint}")
    return right("head-major, and every pixel in its place")


def check_masked_content_lambdas(function: Callable) -> Verdict:
    """function(keys (b,m,k), values (b,m,v), visible (n,m) of bool) -> (b,n,k,v), a palette for each query over what it may see.

    Probes: values of 1 must give 1, hidden pixels must not matter, and no mask must give the content lambda.
    Taught in notebooks/04_lambda_layer.
    """
    b, _, n, m, k, v = PRIMES.values()
    keys, ones = random(b, m, k), torch.ones(b, m, v, dtype=torch.float64)
    visible = torch.arange(m) <= torch.arange(n)[:, None] + 1  # query n sees context 0 ... n + 1
    answer = run(function, (b, n, k, v), keys, ones, visible)
    if isinstance(answer, Verdict):
        return answer
    if not close(answer, 1):
        part = keys.softmax(1)[:, None] * visible[None, :, :, None]
        after = close(answer, part.sum(2)[..., None].expand_as(answer))
        hint = "the mask came after the softmax, so the weights that are left sum to less than 1" if after else \
            "the weights of the visible pixels must sum to 1 for each query and each of the k columns"
        return wrong(f"With every value 1, a palette is 1 everywhere; yours lies between {answer.min():.3g} and {answer.max():.3g}: {hint}")
    values = random(b, m, v)
    answer, whole = run(function, (b, n, k, v), keys, values, visible), lambdas.content_lambda(keys[..., None], values[..., None])
    if isinstance(answer, Verdict):
        return answer
    if close(answer, whole[:, None].expand_as(answer)):
        return wrong("every query got the palette of the whole context: where does the mask come in?")
    changed = values.clone()
    changed[:, 2:] += 1
    moved = run(function, (b, n, k, v), keys, changed, visible)
    if isinstance(moved, Verdict):
        return moved
    if not close(moved[:, 0], answer[:, 0]):
        return wrong("query 0 may see context 0 and 1 only, but its palette moved when a hidden pixel changed: "
                     "a hidden score must be minus infinity before the softmax; a score of 0 still has weight")
    everything = run(function, (b, n, k, v), keys, values, torch.ones(n, m, dtype=torch.bool))
    if isinstance(everything, Verdict) or not close(everything, whole[:, None].expand_as(everything)):
        return wrong("with everything visible, each query must get the content lambda of lesson 02")
    reference = torch.stack([lambdas.content_lambda(keys[:, seen, :, None], values[:, seen, :, None]) for seen in visible], 1)
    if (message := same(answer, reference)) is not None:
        return wrong(f"the weights sum to 1 and hidden values do not matter, but the palette {message}: does the softmax run over m?")
    return right("a palette for each query, over exactly what it may see")


def check_causal_content_lambda(function: Callable) -> Verdict:
    """function(keys (b,n,k), values (b,n,v)) -> (b,n,k,v), a palette for each position over itself and what came before.

    Probes: values of 1 must give 1, an edited future must not reach the past, and the last palette is the content lambda.
    Taught in notebooks/04b_sequences.
    """
    b, n, k, v = (PRIMES[axis] for axis in "bmkv")
    keys, ones = random(b, n, k), torch.ones(b, n, v, dtype=torch.float64)
    answer = run(function, (b, n, k, v), keys, ones)
    if isinstance(answer, Verdict):
        return answer
    expected = "With every value 1, every palette is 1 everywhere"
    if answer[:, 0].isnan().any() or close(answer[:, 0], 0):
        return wrong(f"{expected}; yours has nothing at position 0: off by one, since a position sees itself as well as what came before")
    for mistake, hint in {
        keys.exp().cumsum(1): "yours are the running sums of exp K: the normaliser is missing, divide by the sum of the weights so far",
        keys.softmax(1).cumsum(1): "yours reach 1 at the last position only: the mask came after a softmax over all positions, "
                                   "so the weights that are left sum to less than 1",
    }.items():
        if close(answer, mistake[..., None].expand_as(answer)):
            return wrong(f"{expected}; {hint}")
    if not close(answer, 1):
        return wrong(f"{expected}; yours lie between {answer.min():.3g} and {answer.max():.3g}: for each position and each of "
                     "the k columns, the weights of what it sees must sum to 1")
    values = random(b, n, v)
    answer, whole = run(function, (b, n, k, v), keys, values), lambdas.content_lambda(keys[..., None], values[..., None])
    if isinstance(answer, Verdict):
        return answer
    if close(answer, whole[:, None].expand_as(answer)):
        return wrong("every position got the palette of the whole sequence, later positions included")
    reference = torch.stack([lambdas.content_lambda(keys[:, :t, :, None], values[:, :t, :, None]) for t in range(1, n + 1)], 1)
    plain = values.cumsum(1) / torch.arange(1, n + 1)[:, None]
    if close(answer, plain[:, :, None].expand_as(answer)):
        return wrong("a plain mean of the values so far: what do the keys do?")
    edited = [torch.cat([rows[:, :3], rows[:, 3:] + 1 + random(*rows[:, 3:].shape)], 1) for rows in (keys, values)]
    moved = run(function, (b, n, k, v), *edited)
    if isinstance(moved, Verdict):
        return moved
    if not close(moved[:, :3], answer[:, :3]):
        ahead = "by one position: the sums run one too far" if close(moved[:, :2], answer[:, :2]) else \
            "the sums run from the end, or the weights are compared with later ones"
        return wrong(f"positions 3 to {n - 1} were edited, and palettes 0 to 2 moved: they hear the future, {ahead}")
    if (message := same(answer, reference)) is not None:
        return wrong(f"the weights sum to 1 and the future is not heard, but the answer {message}: "
                     "does position n weigh each value up to its own with exp K?")
    return right("every position has a palette over exactly what it has seen, and the last one is the content lambda")


def check_attention(function: Callable) -> Verdict:
    """function(queries (b,h,n,k), keys (b,h,m,k), values (b,h,m,v)) -> (b,h,n,v). Probe: values of 1 must give 1.

    Taught in notebooks/01_self_attention.
    """
    b, h, n, m, k, v = PRIMES.values()
    queries, keys, ones = random(b, h, n, k), random(b, h, m, k) / 3, torch.ones(b, h, m, v, dtype=torch.float64)
    answer = run(function, (b, h, n, v), queries, keys, ones)
    if isinstance(answer, Verdict):
        return answer
    if not close(answer, 1):
        over_n = close(answer.sum(2), m)
        hint = "they sum to m over the queries: the softmax ran over n instead of m" if over_n else "the weights of a query must sum to 1 over the context"
        return wrong(f"With every value 1, a weighted average is 1; yours lie between {answer.min():.3g} and {answer.max():.3g}: {hint}")
    values = random(b, h, m, v)
    answer = run(function, (b, h, n, v), queries, keys, values)
    if same(answer, attention.softmax_attention(queries * k**-0.5, keys, values)) is None:
        return wrong("the scores were divided by √k: here the queries have absorbed that factor already")
    if (message := same(answer, attention.softmax_attention(queries, keys, values))) is not None:
        return wrong(f"the weights sum to 1, but the answer {message}: are the weights exponentials of the scores, "
                     "does query n meet key m, and weight (n, m) value m?")
    return right("a blend, with weights that sum to 1 over the context")


def check_close(mine, reference: Tensor, hint: str = "") -> Verdict:
    """Compare a tensor with the one it should equal; the hint is shown if they differ. Taught in notebooks/00_start_here."""
    if mine is None:
        return NOT_ATTEMPTED
    mine, hint = torch.as_tensor(mine), hint and f": {hint}"
    if mine.shape != reference.shape:
        return wrong(f"expected shape {tuple(reference.shape)}, got {tuple(mine.shape)}{hint}")
    gap = (mine.double() - reference.double()).abs().max().item()
    if not gap < 1e-5 * max(1.0, reference.abs().max().item()):  # a NaN is no match either
        return wrong(f"the largest difference is {gap:.3g}{hint}")
    return right("equal")


def check_mix(make: Callable) -> Verdict:
    """make(width, stride, lambda_options) -> the module between the 1×1 convolutions of a bottleneck. Probe: odd sides.

    Taught in notebooks/06_lambda_resnet.
    """
    width, options = 6, {"dim_k": 5, "heads": 2, "scope": 3}
    for stride in (1, 2, 3):
        try:
            mix = make(width, stride, options)
            if mix is None:
                return NOT_ATTEMPTED
            layers = [module for module in mix.modules() if isinstance(module, LambdaLayer)]
            features = random(2, width, 7, 11).float()
            answer = mix(features.clone())
        except Exception as error:
            return wrong(f"at stride {stride} your module raised {type(error).__name__}: {error}")
        if len(layers) != 1:
            return wrong(f"expected one lambda layer in the module, found {len(layers)}")
        due = (2, width, -(-7 // stride), -(-11 // stride))
        if answer.shape != due:
            return wrong(f"at stride {stride}, a 3×3 convolution turns {tuple(features.shape)} into {due}; yours makes {tuple(answer.shape)}, "
                         "which cannot be added to the shortcut")
        state = layers[0].state_dict()
        paper, plain = LambdaLayer(width, stride=stride, **options), LambdaLayer(width, **options)
        paper.load_state_dict(state)
        plain.load_state_dict(state)
        norm, pool = torch.nn.BatchNorm2d(width), torch.nn.AvgPool2d(3, stride, padding=1)
        if torch.allclose(answer, norm(paper(features)), atol=1e-5):
            continue
        if torch.allclose(answer, paper(features), atol=1e-5):
            return wrong("the shapes are right, but the norm is gone: the block's ReLU expects what the convolution's norm gave it")
        blurred = pool(plain(features)), plain(pool(features))
        if stride == 1 and any(torch.allclose(answer, norm(each), atol=1e-5) for each in blurred):
            return wrong("at stride 1 nothing is to be pooled: the convolution that is replaced did not blur there either")
        if stride > 1 and torch.allclose(answer, norm(plain(pool(features))), atol=1e-5):
            return wrong("the shapes are right and it is cheaper, but it is another function: the pool comes before the layer, the paper's after it")
        return wrong(f"the shapes are right, but at stride {stride} the numbers are not those of lambda layer, 3×3 average pool, norm, in this order")
    return right("layer, pool, norm: it fits where the convolution was, odd sides included")


def check_budget(options: dict | None, parameters: float, multiply_adds: float) -> Verdict:
    """A LambdaResNet-50 for 224×224 pictures and 1000 classes within two budgets, in millions and in billions.

    options: what create_model takes: layout, dim_k, heads, dim_u, scope. Taught in notebooks/06_lambda_resnet.
    """
    if options is None:
        return NOT_ATTEMPTED
    try:
        with torch.device("meta"):
            net = cost.create_model("lambda_resnet50", 1000, stem="imagenet", **options)
        have = cost.count_parameters(net) / 1e6, cost.multiply_adds(net, (1, 3, 224, 224)) / 1e9
    except (TypeError, ValueError) as error:
        return wrong(f"no net: {error}")
    made = f"{have[0]:.2f} M parameters and {have[1]:.2f} G multiply-adds"
    if not any(isinstance(module, LambdaLayer) for module in net.modules()):
        return wrong(f"{made}, but not one lambda layer")
    if have[0] > parameters:
        return wrong(f"{made}: too many parameters; they are saved where the net is wide")
    if have[1] > multiply_adds:
        return wrong(f"{made}: too many multiply-adds; they are spent where the map is large and the scope wide")
    return right(f"{made}: within both budgets")


def same(answer: Tensor | Verdict, reference: Tensor) -> str | None:
    """None if they agree, else the sentence that says by how much they do not."""
    if isinstance(answer, Verdict):
        return answer.message
    gap = (answer - reference).abs().max().item()
    return None if gap < 1e-4 else f"differs by up to {gap:.3g} on random input"


# ------------------------------------------------------------------------------------------------------- questions


@dataclass(frozen=True)
class Question:
    """An answer, the words for whoever finds it, and the wrong answers that give themselves away."""

    answer: Any
    because: str
    mistakes: dict
    otherwise: Callable[[Any], str] = lambda guess: "it is not one of the usual slips either: work the smallest case by hand"
    tolerance: float = 1e-6


def blend_of_the_strip(red: float, green: float, blue: float) -> str:
    """Whether a colour is a blend of the strip's pixels (8, 0, 0), (0, 8, 0), (0, 0, 8) and (8, 8, 0), and how far from (-8, 0, 8)."""
    yellow = (red + green + blue) / 8 - 1  # the weights sum to 1, and yellow alone brings light twice
    if min(red / 8 - yellow, green / 8 - yellow, blue / 8, yellow) < -1e-6:
        return "it is no blend: no weights from 0 to 1 that sum to 1 give this colour"
    return f"its distance from (-8, 0, 8) is {math.dist((red, green, blue), (-8, 0, 8)):.3g}; there is a nearer blend"


def kernel_of(query) -> str:
    """What a query makes of the strip's two stencils, (0, 1, 0) and (-1, 0, 1)."""
    me, slope = query
    return f"this query makes the kernel ({-slope:g}, {me:g}, {slope:g})"


def orders_of(guess) -> str:
    """How many of three named orders are right, and what to compare."""
    orders = [str(order).lower() for order in guess]
    if isinstance(guess, str) or len(orders) != 3 or not set(orders) <= {"convolution", "lambda", "attention"}:
        return 'three names are asked for, each "convolution", "lambda" or "attention" (the tiles are left aside), as (a, b, c)'
    hits = sum(map(str.__eq__, orders, ("convolution", "attention", "lambda")))
    return (f"{hits} of the three are right; compare, for one query, r² · k · v + h · k · v (convolution), "
            "m · k · v + h · k · v (lambda) and m · h · (k + v) (attention), with v = d / h")


QUESTIONS: dict[str, Question] = {
    # lesson 00
    "00.1": Question(16, "n · m = n² on the left and k · v = 256 on the right: equal at n = 16", {
        256: "that is k · v; the square has n · m = n² elements, so take the root",
        8: "half of 16; the square has n · m elements, and n = m",
        32: "a map of 32 pixels has a square of 1024, four times the tile",
    }, otherwise=lambda guess: f"with n = m = {guess} the square holds {guess * guess} numbers, and the tile 256"),
    "00.2": Question((1225, 128), "35 · 35 for every pair of pixels, 16 · 8 for the tile", {
        (35, 128): "the square has one number for each *pair* of the 35 pixels",
        (49, 128): "the map is 7 × 5, so it has 35 pixels, and the square 35 · 35 numbers",
        (1225, 256): "the tile is k · v = 16 · 8: the values here have depth 8",
        (128, 1225): "the other way round: square first, tile second",
    }, otherwise=lambda guess: "the square is right; the tile holds k · v numbers, whatever the map" if guess[0] == 1225
        else "how many pixels has the map? The square has one number for every pair of them"),
    # lesson 01
    "01.1": Question((6, 6, 1), "the scores are (0, 0, 0, log 5) again: key entry 0 is 0 at every pixel, so it adds the same to all scores", {
        (10, 10, 3): "that is the sum of the answers to (1, 0) and (0, 1); the weights of one query sum to 1, so answers do not add up",
        (5, 5, 1.5): "that is the mean of the answers to (1, 0) and (0, 1); work out the four scores of the query (1, 1) first",
        (4, 4, 2): "that is the answer to (1, 0), the plain mean; the query (1, 1) also asks with its second entry",
        (16, 16, 8): "that is the plain sum of the four pixels; the weights of one query sum to 1",
        (12, 12, 2): "that is twice (6, 6, 1); the weights of one query sum to 1",
    }, otherwise=lambda guess: "write down the four scores q · k_m first; the exponentials of the scores are in the ratio of the weights"),
    "01.3": Question((0, 0, 8), "red cannot fall below 0, so the distance is at least 8, and blue alone reaches 8", {
        (-8, 0, 8): "that is the wish itself; no weights from 0 to 1 can make its red part negative",
        (0, 0, 0): "black is no blend of these four pixels: the weights sum to 1, so some light always comes out",
        (-4, 0, 8): "a blend of parts that are 0 or 8 has no negative part",
        (-8, 0, 0): "a blend of parts that are 0 or 8 has no negative part",
        (4, 0, 4): "half red and half blue is √(12² + 4²) = 12.6 away from the wish; there is a nearer one",
    }, otherwise=lambda guess: blend_of_the_strip(*guess)),
    "01.4": Question("b", "each query still meets the same keys and values, in another order, and a sum has no order", {
        "a": "the queries were shuffled as well: the answer belongs to the pixel that asked, wherever it now stands",
        "c": "which weight would change? A score q · k depends on two pixels, and not on where they stand",
    }, otherwise=lambda guess: 'the answer is one of the letters "a", "b" and "c"'),
    "01.E1a": Question((6, 6, 1), "the query adds q · (10, -3) to all of its scores alike, and the softmax does not see that", {
        (16, 3, 1): "the vector is added to the keys, which have two entries here, and the answer is made of values",
        (4, 4, 2): "that would be all weights equal; compare the scores before and after: by how much does each one change?",
        (8, 8, 0): "that would be all weight on the yellow pixel; compare the scores before and after: by how much does each one change?",
    }, otherwise=lambda guess: "compare the four scores before and after: by how much does each one change?"),
    "01.E1b": Question((7, 7, 2), "the weights sum to 1, so the same colour added to all values is added once to the answer", {
        (6, 6, 1): "the weights stay, but the values are what is blended",
        (10, 10, 5): "four pixels, each with (1, 1, 1) more: but each counts only with its weight, and the weights sum to 1",
    }, otherwise=lambda guess: "Σ_m A_nm (v_m + c) = Σ_m A_nm v_m + c Σ_m A_nm; what is the last sum?"),
    "01.E2": Question(25 / 28, "the scores double, so the ratio of the weights is squared: 1 : 1 : 1 : 25", {
        5 / 8: "that is the weight for the query (0, 1): doubled scores do change a softmax",
        10 / 8: "a weight above 1? The scores double, not the weights",
        10 / 13: "the ratio 1 : 1 : 1 : 10 doubles the weight; doubling the score squares it, because the weight is an exponential",
        25: "25 is what the weight is in the ratio 1 : 1 : 1 : 25; divide by their sum",
        1: "nearly: a softmax never gives a weight of exactly 1",
    }, tolerance=2e-3, otherwise=lambda guess: "the scores are (0, 0, 0, 2 · log 5): take exponentials, then divide by their sum"),
    "01.E3b": Question(1 / 3, "red, green and blue have equal keys, so they always weigh the same: at most a third each, when yellow weighs nothing", {
        1: "which query would do that? Red, green and blue have the same key, so no query tells them apart",
        0.25: "that is the query (0, 0), all pixels alike; a query with a negative second entry makes yellow lighter",
        5 / 16: "that is the query (1, -1); go further in its direction",
        0.5: "two pixels cannot share the weight: red, green and blue have the same key, so the three weigh the same",
        0.125: "that is the query (0, 1), which prefers yellow; turn its sign round",
        0: "that is what a query (0, q1) with a very large q1 comes near to: the smallest weight, not the largest",
    }, tolerance=2e-3, otherwise=lambda guess: "red, green and blue have the same key, hence the same weight; how small can yellow's be?"),
    "01.E4": Question(46, "128 · 8 · 46⁴ · 4 bytes = 17.1 GiB, and 45 gives 15.6", {
        45: "45⁴ · 4096 bytes are 15.6 GiB: just below",
        2048: "that is n, the number of pixels; H is its square root",
        2049: "that is n, the number of pixels; H is its square root",
        77: "were the eight heads forgotten? Each of them has a map of its own",
        76: "were the eight heads forgotten? Each of them has a map of its own",
        153: "were the 128 pictures forgotten? Each of them has its own maps",
        152: "were the 128 pictures forgotten? Each of them has its own maps",
        64: "four bytes per number: at 64 the maps hold 16 Gi numbers, which are 64 GiB",
        65: "four bytes per number: 16 Gi numbers are 64 GiB",
    }, otherwise=lambda guess: f"at H = {guess:g} the maps take 128 · 8 · H⁴ · 4 bytes = {4096 * guess**4 / 2**30:.3g} GiB"),
    # lesson 02
    "02.3": Question((10, 10, 3), "colour 0 plus colour 1: (4, 4, 2) + (6, 6, 1), brighter than any pixel of the strip", {
        (6, 6, 1): "that is what attention answers; a lambda is linear, so the query (1, 1) is the sum of two answers",
        (5, 5, 1.5): "that is the mean of the two colours; the query (1, 1) adds them, its entries do not have to sum to 1",
        (8, 8, 3): "nothing clips: the numbers of a layer may go beyond full light",
    }, otherwise=lambda guess: "the query (1, 1) asks for colour 0 once and for colour 1 once"),
    "02.5": Question((6, 6, 1), "twice the pixels, half the weight each: a mean does not care how often the whole set is repeated", {
        (12, 12, 2): "that is a sum; a softmax over the context halves the weights when there are twice as many pixels",
        (3, 3, 0.5): "the weights are halved, but there are also twice as many pixels",
        (64 / 3, 64 / 3, 8): "that comes from a softmax over k; the softmax of a content lambda runs over the context m",
        (32 / 3, 32 / 3, 4): "that is the original strip with a softmax over k; the softmax runs over the context m",
    }, tolerance=1e-3, otherwise=lambda guess: "write down the eight weights of colour 1; they sum to 1, and each yellow weighs five times each of the others"),
    "02.6": Question(10, "sharp enough to find different colours, soft enough to mix them: the least error lies in between", {
        0: "at β = 0 all four colours are the mean of the picture, and so is the painting: the largest error of all",
        3: "better than 0, but the four colours are still greyish, since hundreds of pixels write each of them",
        30: "purer colours, but the recipes are sharper too: fewer mixtures, larger error than at 10",
        100: "the recipes are nearly “one colour each” here, so the painting is almost a poster of four flat colours",
    }, otherwise=lambda guess: "choose one of 0, 3, 10, 30 and 100"),
    "02.E2": Question((-1, 2), "2 · (6, 6, 1) - (4, 4, 2) = (8, 8, 0): a negative entry takes the others' light out again", {
        (0, 1): "colour 1 alone is (6, 6, 1): three eighths of it come from the other pixels",
        (2, -1): "twice colour 0 minus colour 1 is (2, 2, 3): try the other way round",
        (1, 1): "colour 0 plus colour 1 is (10, 10, 3): too bright, and it contains blue",
        (0, 2): "twice colour 1 is (12, 12, 2): colour 0 has to be taken away from it",
    }, otherwise=lambda guess: f"this query gets {tuple(a * guess[0] + b * guess[1] for a, b in ((4, 6), (4, 6), (2, 1)))}; (8, 8, 0) is asked for"),
    "02.E4": Question(4096, "b · k · v = 8 · 16 · 32: one lambda per picture, shared by all its heads and pixels", {
        4 * 4096: "× h, but all heads of a picture share its lambda: 8 · 16 · 32 = b · k · v numbers are left",
        512: "k · v = 512 is one lambda; each of the 8 pictures has its own",
        2048: "h · k · v: all heads share a lambda, but each of the 8 pictures has its own",
        4096 * 128 * 128: "one lambda per pixel? A content lambda has no index n: all queries of a picture share it",
        4 * 4096 * 128 * 128: "one lambda per pixel and head? A content lambda has neither index: a picture's queries share it",
        8 * 4 * 128**4: "b · h · n · m is the size of attention's maps; a lambda has k rows and v columns",
        8 * 128**4: "b · n · m counts pairs of pixels; a lambda has k rows and v columns",
    }, otherwise=lambda guess: "how many numbers are in one content lambda, and how many of these does a batch of 8 pictures have?"),
    "02.E5": Question(0.427, "√5 / (3 + √5), from a geometric mean; the lambda's 0.4375 = (2/8 + 5/8) / 2 is an arithmetic mean", {
        0.4375: "that is the lambda's weight; attention takes the mean of the keys before the softmax",
        0.625: "5/8 belongs to the query (0, 1)",
        0.25: "2/8 belongs to the query (1, 0)",
        0.375: "3/8 comes from the mean of 1 and 5 over 8; the keys are logarithms, so half a key is a square root",
        0.43: "near; give it to three decimals",
    }, tolerance=1e-3, otherwise=lambda guess: "the scores are (0, 0, 0, ½ · log 5): take exponentials, then divide by their sum"),
    # lesson 03
    "03.1": Question((-8, 0, 8), "right minus left is blue minus red: a colour with a negative part", {
        (8, 0, -8): "the other way round: the right neighbour is added, the left one subtracted",
        (8, 0, 8): "a sign: the left neighbour, red, is subtracted",
        (0, 8, 0): "that is what “me” reads; stencil 1 has weight 0 on the pixel itself",
        (0, 0, 8): "the left neighbour counts too, with weight -1",
    }),
    "03.E1": Question((8, -8, 0), "“me” reads (8, 0, 0); to the right is green, to the left nothing, so stencil 1 reads (0, 8, 0); the query subtracts it", {
        (8, 8, 0): "a sign: the query is (1, -1), it subtracts what stencil 1 reads",
        (8, 0, 0): "“me” alone: at the border the missing left neighbour counts as 0, the right one still counts",
        (0, -8, 0): "“me” was forgotten: the query (1, -1) asks both stencils",
        (-8, 8, 0): "both signs are turned round: 1 · “me” - 1 · “right minus left”",
        (16, 0, 0): "the reading wrapped round to the last pixel: beyond the border there is 0",
    }),
    "03.3a": Question(210, "cos(θ - 30°) = -1 at θ = 30° + 180°: the query then points back down the slope", {
        180: "-1 is reached at 180° on a ramp that grows in the direction 0°; this one grows in the direction 30°",
        120: "at 120° the query points across the slope, where the brightness stays the same, and reads 0",
        300: "at 300° the query points across the slope and reads 0",
        30: "at 30° the query points straight up the slope and reads +1",
        -150: "the right direction; between 0° and 360° it is called 210°",
    }),
    "03.3b": Question(frozenset({0, 1, 11}), "columns 0 and 1 lie at the seam, column 11 at the new border; all others agree", {
        (): "equivariance holds inside only: what do the stencils read at the border, and at the seam?",
    }, otherwise=lambda guess: f"{len({0, 1, 11} - set(guess))} column(s) missing, {len(set(guess) - {0, 1, 11})} too many. "
        "Which pixels have another neighbour, or a border, in one of the two that they have not in the other?"),
    "03.3c": Question("b", "each channel is filtered alone, by its head's one fixed kernel Σ_k q_hk T_k", {
        "a": "a full convolution mixes every channel with every other; stencils filter each value channel alone",
        "c": "the only thing that depended on the content, besides the values, was the query",
    }),
    "03.E2": Question(392, "one table of k · u · r · r = 8 · 1 · 7 · 7 entries serves every query, head and channel", {
        8 * 49 * 64: "× d: but all channels share the same stencils",
        8 * 49 * 16: "× v: but all value channels share the same stencils",
        8 * 49 * 4: "× h: but all heads share the same lambda, so also the same stencils",
        16 * 49: "v · r²: one stencil for each value channel; but there are k stencils, shared by all channels",
        8 * 1024 * 1024: "k · n · m is the dense E; only the table of offsets is learnt",
        9 * 64 * 64: "9 · d · d is the 3×3 convolution",
        8 * 7: "k · r: a stencil is r × r taps, not r",
        49: "that is one stencil; there are k of them",
    }),
    "03.E4a": Question((1, 0), "“me”, once", {"impossible": "it can be done: weigh the two stencils"}, otherwise=kernel_of),
    "03.E4b": Question((1, 0.5), "“me” plus half of “right minus left”", {"impossible": "it can be done: weigh the two stencils"}, otherwise=kernel_of),
    "03.E4c": Question("impossible", "a blur is symmetric; the only stencil that reaches the neighbours is not", {}, otherwise=kernel_of),
    "03.E4d": Question("impossible", "a Laplacian is symmetric; the only stencil that reaches the neighbours is not", {}, otherwise=kernel_of),
    # lesson 04
    "04.1": Question(100, "the query and the value each carry the factor 10, and their product carries 100", {
        10: "that is a convolution, which multiplies the input with fixed weights; here the query and the value both come from the input",
        20: "the factors of query and value multiply, they do not add",
        1000: "one factor too many: the stencils are weights, only the query and the value come from the input",
        1: "that is the layer with its norms; here they are taken out",
    }, otherwise=lambda guess: "which of its factors come from the input: the query? the value? the stencil?"),
    "04.2": Question(92, "the square root of k · r · r = 16 · 529 = 8464 terms of variance 1", {
        8464: "that is the variance, the number of terms; the standard deviation is its square root",
        23: "√(r · r): the sum also runs over the k = 16 stencils",
        math.sqrt(16 * 23): "r · r taps in a stencil, not r",
        16 * 23: "k · √(r · r): the root is due on k as well; the number of terms is k · r · r, and its root is √16 · 23",
        4: "√k alone: the sum also runs over the r · r taps",
        1: "each term has standard deviation 1, but there are k · r · r of them",
        75.5: "near, but part of the window is missing only at the border; far from it every tap reads a pixel",
    }, otherwise=lambda guess: "count the terms of the sum, k · r · r; each has variance 1, and variances add", tolerance=0.05),
    "04.3": Question("b", "batch norm divides the factor out again; only its small ε sees a difference", {
        "a": "between W_q and the lambdas stands a norm, which divides by the standard deviation",
        "c": "1000 is far from the end of float32, and the norm divides it out again",
    }, otherwise=lambda guess: 'answer with one of the letters "a", "b", "c"'),
    "04.4": Question(4, "content only solves B, position only solves A, both solve both", {
        6: "a palette has no neighbours: content only cannot tell right from left. And 3 × 3 stencils end next to the pixel",
        5: "content only cannot tell right from left, and 3 × 3 stencils cannot reach a far marker: two results stay at 0.5",
        3: "one of the halves is better than you think, or both together are",
        2: "each half solves one puzzle, and the network with both has still to be counted",
        1: "more: go through the networks and ask which can tell right from left, and which can see afar",
        0: "more: a network that can see what a puzzle asks for learns it easily",
    }, otherwise=lambda guess: "three networks on two puzzles make six results, so a whole number from 0 to 6"),
    "04.5": Question((9728, 128), "64 · (8 · 16) + 64 · 16 + 64 · 8 weights, and k · v = 16 · 8", {
        (16896, 128): "keys are not made per head: all heads share them, 64 · 16 weights",
        (20480, 128): "that is attention's way, with keys and values for each head; here all heads share them",
        (20480, 1024): "that is attention's way, with keys and values for each head",
        (13312, 1024): "v = d_out / h = 8, not d_out: each head gives its share of the channels",
        (9728, 1024): "the weights are right; the lambda is k × v with v = 64 / 8",
        (13312, 128): "the lambda is right; the values have depth v = 8, so they need 64 · 8 weights",
        (2560, 128): "the queries are made for each of the 8 heads: 64 · 8 · 16 weights",
    }, otherwise=lambda guess: f"queries 8192, keys 1024 and values 512 weights; a lambda is k × v; you have {guess[0]} and {guess[1]}"),
    "04.6": Question(256, "every layer squares the factor that reaches it: 2, 4, 16, 256", {
        64: "4 · 4 · 4: but the second layer is reached by a factor of 4 already, and makes 16 of it",
        16: "that is the output of the second layer",
        8: "2 · 2 · 2 would be three convolutions",
        12: "factors multiply along a chain, they do not add",
        4: "that is the output of the first layer",
    }, otherwise=lambda guess: "what does one layer make of a factor s? Apply that three times, beginning with 2"),
    "04.7": Question(16, "the window shows 4 × 4 pixels: √(16 · 16)", {
        28: "that is √(16 · 49), in the middle of the map; in the corner part of the window lies outside",
        256: "that is the variance; the standard deviation is its square root",
        4: "that is √16: but the sum runs over 16 stencils and 16 pixels, so it has 16 · 16 terms",
        14: "half a window? The corner sees 4 × 4 of the 7 × 7 taps, the middle row and column included",
        12: "the corner sees 4 × 4 taps, not 3 × 3: the middle row and column are on the map",
        8: "√(16 · 4): 4 taps in each direction are 4 · 4 taps",
    }, otherwise=lambda guess: "how many of the 7 × 7 taps fall on the map, in its corner? Times k, then the root", tolerance=0.02),
    # lesson 04b
    "04b.1": Question((0.5, 0, 0), "1/16 of 8: pixel 3 is hidden from pixel 0, but it still stands in the denominator", {
        (1, 0, 0): "that was before; the exponentials in the column were 1, 1, 1, 5 and are now 1, 1, 1, 13, and their sum divides them all",
        (8, 0, 0): "that is the palette when the weights are normalised over what pixel 0 sees; here all four pixels are in the sum",
        (8 / 13, 0, 0): "the sum of the exponentials is 1 + 1 + 1 + 13 = 16, not 13",
        (6.5, 6.5, 0): "that is yellow's share, 13/16; pixel 0 does not see yellow, its own share is 1/16",
        (5, 5, 0): "that is yellow's share before, 5/8; pixel 0 does not see yellow",
    }, otherwise=lambda guess: "pixel 0 sees red alone, with weight 1 / (1 + 1 + 1 + 13); red is (8, 0, 0)"),
    "04b.2": Question("train", "in train mode batch norm takes mean and variance over all positions, later ones included; in eval mode it uses stored ones", {
        "eval": "in eval mode batch norm uses stored numbers, which no input of today can change",
        "both": "not in eval mode: there batch norm uses stored numbers, which no input of today can change",
        "neither": "the palettes and the stencils do not look ahead, but whose mean does batch norm subtract in train mode?",
    }, otherwise=lambda guess: 'the answer is one of the words "train", "eval", "both" and "neither"'),
    "04b.E1": Question((101, 149), "k · v + k = 65 numbers of palette at any time, and 12 for each of the last values, at most r = 7 of them", {
        (149, 149): "after three words the window holds three values only, not yet seven",
        (96, 144): "60 numbers of palette: each of its k rows also needs the logarithm of its weight",
        (65, 65): "that is the palette's part; the stencils need the last values as well, up to r of them",
        (60, 60): "that is the palette; each of its k rows also needs a weight, and the stencils need the last values",
        (101, 12_000_065): "the stencils reach back r - 1 words, so values older than that can be forgotten",
        (101, 137): "six values would do, since the next word brings its own; but `step` hands on all r = 7 of its window",
        (36, 84): "that is the window of values; the palette's memory is missing, k · v + k",
        (202, 298): "twice too much: the heads ask the same lambda, so they share one state",
    }, otherwise=lambda guess: "v = 24 / 2 = 12; a memory of k rows, each with v averages and one weight, and a window of min(words, r) values"),
    # lesson 05
    "05.1": Question(120, "4 · 4 · 2 · 3 = 96 to make four lambdas, and 4 · 2 · 3 = 24 to apply each of them once", {
        96: "4 · 4 · 2 · 3 = 96 makes the four lambdas; each query still has to be multiplied with its own "
            "(or did you count only 3 taps for each pixel? Here the zeros beyond them are multiplied too)",
        60: "that makes the lambdas without the zeros beyond the taps, which are multiplied too; then each lambda has to be applied",
        84: "that leaves out the zeros beyond the taps; here they are multiplied too: all 4 · 4 pairs of pixels count",
        24: "that applies them (or makes one of them); all four have to be made and applied",
        48: "that would be one lambda for all four queries, as the palette is; here every pixel has a lambda of its own",
        80: "that is what the map needs; count the products of E with V first: for each pair of pixels, 2 stencils times 3 colours",
        32: "that is q · E, the first half of the map; begin with E · V: for each pair of pixels, 2 stencils times 3 colours",
    }, otherwise=lambda guess: "first E · V: for each of the 4 · 4 pairs of pixels, 2 stencils times 3 colours; then q · λ: for each of the 4 queries, 2 · 3"),
    "05.2": Question(100, "3 pixels of halo on each side: (3 + 4 + 3)² = 10² pixels", {
        10: "that is the side of the context; its pixels are asked",
        49: "that is what one query meets; the other 15 queries of the tile stand elsewhere, and their windows with them",
        7: "that is the side of the window of one query; what do the queries in the tile's corners meet?",
        16: "that is the tile alone; a window reaches 3 pixels beyond it on each side",
        84: "that is the halo alone; the tile's own 16 pixels belong to the context too",
        121: "4 + 7 = 11 is too wide: a window of 7 reaches 3 pixels to each side of a query, so 3 + 4 + 3",
        324: "a window of 7 reaches 3 pixels to each side of a query, not 7: 3 + 4 + 3",
        64: "a halo of 2 on each side is too narrow: a window of 7 has its query in the middle and reaches 3 pixels to each side",
        784: "each query meets 49 pixels, but 16 neighbours meet nearly the same ones: count each pixel once",
    }, otherwise=lambda guess: "a tile is 4 pixels wide, and a window of 7 reaches 3 pixels to each side of a query, also of one at the tile's edge"),
    "05.3": Question("convolution", "26.2 + 2 · 64 · 0.131 = 43.0 million; the tiles come to 19.7 + 64 · 0.614 = 59.0", {
        "tiles": "they have the fewest multiply-adds, but they make 614,400 numbers, and each of them costs as much as 64 multiply-adds",
        "lambda": "it makes as many lambdas as the convolution, which needs fewer multiply-adds",
        "attention": "it needs more multiply-adds than the tiles, and makes more numbers",
    }, otherwise=lambda guess: 'a name is asked for: "convolution", "lambda", "attention" or "tiles"'),
    "05.5": Question(4, "k · v = 16 · 64 = 1024 numbers against h · m = 4 · 64 = 256, for each pixel", {
        0.25: "the other way round: a lambda has k · v = 1024 entries here, and there is one for every pixel",
        16: "were the heads forgotten? Each of the 4 heads has maps of its own, and v = d / h = 64",
        1: "that is lambdas / dense E, which are equal here; the maps are h · n · m numbers, 4 · 64 for each pixel, and v = d / h = 64",
        64: "were the heads forgotten twice? v = d / h = 64, not 256, and each of the 4 heads has maps of its own",
    }, otherwise=lambda guess: "for each pixel: h rows of m weights on one side, one lambda of k · v entries on the other; v = d / h"),
    "05.6": Question(0.5, "h / k = 8 / 16: a map has b · h numbers for each pair of pixels, E has k of them and no batch", {
        2: "the other way round: h = 8 numbers for each pair of pixels in the maps, k = 16 in E",
        64: "that is the ratio for 128 pictures; the maps shrink with the batch, E does not",
        8: "that would be E with one number for each pair of pixels; it has k = 16",
        1: "for each pair of pixels the maps have one number for each of the h = 8 heads, E has k = 16",
        0.25: "that would be 4 heads; the attention of this table has 8",
        8192: "from 128 pictures to one the maps shrink, so the ratio is divided by 128",
    }, tolerance=1e-3, otherwise=lambda guess: "how many numbers has each for one pair of pixels (n, m): b · h in the maps, k in E"),
    "05.E1": Question(327680, "256 · 8 · 32 = 65,536 to make it, and 4 · 256 · 8 · 32 = 262,144 to apply it to h · n queries", {
        65536: "the palette is made, but not yet applied: h · n queries, each k · v multiply-adds",
        262144: "it is applied, but was never made: m · k · v multiply-adds",
        131072: "each of the 4 heads has queries of its own: the second term is h · n · k · v",
        17039360: "the palette is made once for the whole picture, not once for each of the 256 queries",
        1310720: "v is d / h = 32, not d = 128",
        2621440: "that is one head's map of every pixel with every pixel: n · m · (k + v)",
        10485760: "that is a map of every pixel with every pixel: h · n · m · (k + v)",
    }, otherwise=lambda guess: "make it: m · k · v; apply it: h · n · k · v; with m = n = 256, k = 8, h = 4, v = 128 / 4"),
    "05.E2": Question(("convolution", "attention", "lambda"), "a small window on a large map; a small map with few heads; a small map with many heads under one lambda", {
        ("convolution", "convolution", "convolution"): "the window is not always smaller than the map: 11² = 121 taps against 36 pixels",
        ("lambda", "lambda", "lambda"): "lambdas win only if the window has more taps than the map has pixels, and h · (k + v) exceeds k · v",
        ("attention", "attention", "attention"): "on the large map each query would meet 576 pixels where the window has 25",
        ("convolution", "attention", "attention"): "two are right. The third has 32 heads of v = 2: h · (k + v) = 320 against k · v = 16",
        ("convolution", "attention", "convolution"): "two are right. In the third the window has 121 taps, most of them beyond the border of 36 pixels",
        ("convolution", "convolution", "lambda"): "two are right. The second: 25 taps times k · v = 256 are 6,400; 36 pixels times h · (k + v) = 80 are 2,880",
    }, otherwise=orders_of),
    "05.E3": Question(8, "h = 8: v = 8, so k · v = 128 against h · (k + v) = 192; at h = 4 it is 256 against 128", {
        4: "h = 4: v = 16, so the lambdas need k · v = 256 for each pair of pixels, the maps h · (k + v) = 128",
        16: "16 does it, but it is not the smallest",
        2: "h = 2: v = 32, so the lambdas need k · v = 512 for each pair of pixels, the maps h · (k + v) = 96",
        1: "h = 1: v = 64, so the lambdas need k · v = 1024 for each pair of pixels, the maps k + v = 80",
        32: "32 does it, but it is not the smallest",
        64: "64 does it, but it is not the smallest",
    }, otherwise=lambda guess: "h has to divide 64; compare k · v with h · (k + v), with v = 64 / h"),
    "05.E4": Question(15, "m = k · v / h = 9 · 100 / 4 = 225 = 15 × 15", {
        225: "that is the number of pixels, m; its side is asked",
        30: "were the heads forgotten? v = d / h = 100, and there are h = 4 maps: m = k · v / h",
        60: "v = d / h = 100, and there are h = 4 maps: m = k · v / h",
    }, otherwise=lambda guess: "for each query h · m numbers in the maps, k · v in the lambda: solve h · m = k · v for m, then take the root"),
    "05.E5": Question(45360, "b · h · n · r² · (k + v) = 2 · 3 · 35 · 9 · 24: a map, but only of the window", {
        120120: "that is the price of the convolution: mix the stencils with the query first, then read the pixels",
        176400: "that is the price of the dense map: only the 9 pixels of the window should be met",
        20790: "the counter saw only the kernels; weigh the neighbours with `@` or einsum, since it does not see `*` followed by a sum",
        24570: "the counter saw only the weighing; mix the kernels with `@` or einsum, since it does not see `*` followed by a sum",
        110592: "that is the price of the library's tiles, 2 × 2 here: make the tile one pixel, so that nothing in it is empty",
        0: "the counter saw nothing: use `@` or einsum, since it does not see `*` followed by a sum",
        380380: "that is the price of the dense lambdas: mix the stencils with the query first, and read 9 pixels, not 35",
    }, otherwise=lambda guess: "45,360 are needed; the counter sees matrix products, einsum and convolutions, but not `*` followed by a sum"),
    # lesson 06
    "06.1": Question("c5", "the convolution has 9·d² weights, and d is largest in the last stage: three layers there save 6.7 million", {
        "c2": "that is where the map is largest, but the size of the map is no factor of the number of weights",
        "c3": "a convolution has 9·d² weights: does a stage with a larger d follow?",
        "c4": "the most layers, six, and second best: but d is twice as large in c5, and d counts squared",
    }, otherwise=lambda guess: "one of the four stages, in quotes: \"c2\", \"c3\", \"c4\" or \"c5\""),
    "06.2": Question(frozenset({"c2", "c3"}), "there the map is large and d small: 529 taps cost more than the 9·d² per pixel of a narrow convolution", {
        ("c2", "c3", "c4", "c5"): "in all four? A convolution costs 9·d² per pixel, and d is 256 and 512 in the last two stages",
        (): "in none? Per pixel a convolution costs 9·d², with d = 64 in the first stage, where a window has 529 taps",
        ("c2",): "c2, but not only: in c3 a pixel still costs 529·k·v = 271 thousand against 9·128² = 147 thousand, and its first layer works on the 56 × 56 map",
        ("c2", "c3", "c4"): "c2 and c3, yes; but in c4 a convolution costs 9 · 256² per pixel, and the map is small enough for a cheaper order",
        ("c3",): "c3, but not only: in c2 every layer works on the 56 × 56 map, and the convolution costs only 9 · 64² per pixel",
        ("c4", "c5"): "those are the wide stages, where a convolution is dear; the large maps are at the other end",
        ("c5",): "the last stage has the smallest map and the dearest convolutions",
    }, otherwise=lambda guess: "a tuple of stages such as (\"c4\", \"c5\"), or (): compare 9·d² per pixel with 529 taps per value and key channel"),
    "06.3": Question(225, "offsets go from -7 to 7 on each axis: 15 × 15", {
        529: "the window has 529 taps, but which query has a pixel 11 places to its right on a map of 8?",
        64: "64 pixels are seen by each query, but not all at the same offsets: the query in the corner looks the other way",
        256: "16 × 16? From -7 to 7 there are 15 offsets, 0 included",
        289: "from -8 to 8? Two pixels of a row of 8 are at most 7 apart",
        15: "that is one axis; the table has two",
        49: "7 offsets to the right, but also 7 to the left, and 0",
    }, otherwise=lambda guess: "which offsets exist between two pixels of one row of 8?"),
    "06.4": Question(0, "none: CCCL comes nearest, 7160 examples per second against 7240", {
        7: "all seven have fewer parameters, but parameters take no time",
        2: "CCLL and CCCL do need fewer multiply-adds, but multiply-adds are not seconds: compare 4980 and 7160 with 7240 examples per second",
        1: "CCCL comes nearest, but stays behind: 7160 examples per second against 7240",
    }, otherwise=lambda guess: "a number from 0 to 7; only two of the seven need fewer multiply-adds than the plain net, so more than two would be odd"),
    "06.E1": Question(3968, "48·(32 + 16 + 24) + 2·(32 + 24) + 8·2·25 = 3456 + 112 + 400", {
        3856: "the two norms are missing: a scale and a shift for each of 32 query and 24 value channels",
        3912: "a norm has two parameters per channel, a scale and a shift",
        5168: "× h for the stencils? All heads share one lambda, so also one table",
        7568: "values with d channels? v = d/h = 12: all heads share the values",
        3648: "a stencil has r × r taps, not r",
        3768: "× u for the stencils too: the table is (k, u, r, r)",
        4040: "biases? The projections have none",
        4000: "does BN sit on the keys too? Their softmax is their norm",
        22768: "× d for the stencils? All channels share them",
        2784: "u was forgotten: keys have k·u channels, values v·u, and the table k·u stencils",
    }, otherwise=lambda guess: "three parts: 48 times the channels of queries, keys and values; two per channel of the two norms; the table"),
    "06.E2a": Question(0, "with r = 7 every stage costs less than its convolutions: 41, 46, 23 and 12 million against 75 each", {
        2: "that was ImageNet with r = 23; here the window has 49 taps",
        4: "the other way round: count the stages in which the lambda layers need *more*",
    }, otherwise=lambda guess: "a number from 0 to 4: compare the second columns of `stage_costs((2, 2, 2, 2), ..., 32, r=7)` for CCCC and LLLL"),
    "06.E2b": Question(2, "u = 4 costs most where maps are large: in c2 and c3 the convolutions need less; c4 and c5 make maps first", {
        0: "that is the answer for u = 1; u = 4 multiplies the work of making the position lambdas by four",
        3: "c4 is just cheaper: 72 million against 75",
        4: "c4 and c5 are still cheaper: 72 and 38 million against 75",
    }, otherwise=lambda guess: "a number from 0 to 4: ask `stage_costs` with u=4, r=7 and compare the second column with that of CCCC"),
    "06.E5": Question(40, "at d = 36 the layer still has 150 parameters more, at d = 40 it has 2,188 fewer", {
        36: "nearly: with 36 channels the convolution has 11,664 weights, the layer 150 more",
        16: "that is the answer for r = 7, or for a table of r · k entries; at r = 23 it has 16 · 529",
        32: "at d = 32 the layer has 2,208 parameters more",
        64: "at 64 the swap saves 22,096, but it starts to save earlier",
        4: "at d = 4 a convolution has 144 weights, and the table alone 8,464",
        44: "it saves at 44, but it starts to save earlier",
    }, otherwise=lambda guess: "solve 9·d² = d·(64 + 16 + d/4) + 2·(64 + d/4) + 16·529 for d, then go up to the next multiple of 4"),
    # lesson 07
    "07.4": Question(2.302585, "-ln(1/10) = ln 10: each of the ten classes gets a probability of 1/10", {
        0.1: "1/10 is the probability of the right class; the loss is minus its logarithm",
        0.9: "9/10 is the share of wrong answers; the loss is minus the logarithm of the right class's probability",
        1: "that is the logarithm to base 10; the loss takes the natural one",
        3.321928: "that is the logarithm to base 2; the loss takes the natural one",
        10: "10 is one over the probability of the right class; take the logarithm",
        0: "0 is the loss of a net that is certain and right; this one gives each class the same probability",
        -2.302585: "a sign: the logarithm of 1/10 is negative, the loss is minus that",
    }, tolerance=5e-3, otherwise=lambda guess: "what probability does the softmax of ten equal logits give to the right class? Take minus its natural logarithm"),
    "07.5": Question("a", "small stencils alone keep the loss finite, but it stays at ln 10: nothing explodes, and nothing is learnt", {
        "b": "the other way round: the small start is safe but stays at ln 10, while with norms even N(0, 1) learns",
        "c": "either ends the explosion, but to be finite is not yet to learn: one of the two stays at ln 10",
        "d": "one of them is enough in these sixty steps",
    }, otherwise=lambda guess: 'the answer is one of the letters "a", "b", "c" and "d"'),
    "07.6": Question(8, "step 7 has the same weights and pictures, so its loss agrees; its update lacks momentum and schedule, and step 8 shows it", {
        7: "the loss of step 7 is measured before its update, with the weights that were saved and the pictures that the step number gives",
        12: "the run ends with step 11; what else does an update use besides the weights and the gradient?",
        0: "steps 0 to 6 were done before the stop",
        6: "step 6 was done before the stop",
        "never": "what does an update use besides the weights and the gradient? Momentum and a learning rate from a schedule",
    }, otherwise=lambda guess: "follow the run from step 7 on: what does the loss of a step depend on, and what its update?"),
    "07.E1": Question(4.605170, "ln 100: each class gets a probability of 1/100", {
        2.302585: "that is ln 10, for ten classes",
        23.02585: "ten times ln 10; the logarithm of ten times as many classes is only ln 10 more",
        0.01: "1/100 is the probability of the right class; the loss is minus its logarithm",
        0.99: "99/100 is the share of wrong answers",
        2: "that is the logarithm to base 10; the loss takes the natural one",
        6.643856: "that is the logarithm to base 2; the loss takes the natural one",
        100: "100 is one over the probability; take the logarithm",
    }, tolerance=5e-3, otherwise=lambda guess: "the same as with ten classes, but each now gets a probability of 1/100"),
    "07.E2": Question(0.866894, "the entropy of the target: 0.163 from the right class, 0.704 from the nine others", {
        0: "the net would have to be certain; then the nine others, whose targets are 0.02, would cost infinitely much",
        0.162730: "that is the term of the right class; nine others with a target of 0.02 each are missing",
        0.198451: "0.198 is -ln 0.82: the weight 0.82 before it is missing, and so are the nine other classes",
        0.223144: "0.223 is -ln 0.8: the target of the right class is 0.8 + 0.02, and the nine others count too",
        0.704164: "that is the term of the nine others; the right class is missing",
        0.240971: "that is one class of 0.82 and one of 0.02; there are nine of the latter",
        2.302585: "that is where it starts, with equal logits",
    }, tolerance=5e-3, otherwise=lambda guess: "add -t ln t over the ten classes: once with t = 0.82, nine times with t = 0.02"),
    "07.E3a": Question("b", "the test accuracy sits at 10 % with almost no scatter, and the loss settles near ln 10 after an explosion", {
        "a": "a net that learns slowly has a loss that falls below ln 10; this one settles there, at the loss of a net that says nothing",
        "c": "random guesses scatter: their standard deviation on 10,000 pictures is 0.3 points; these lie within 0.2 of each other",
        "d": "then the training loss would be near 0; it is near ln 10",
    }, otherwise=lambda guess: 'the answer is one of the letters "a", "b", "c" and "d"'),
    "07.E3b": Question("d", "99.5 % of the pictures that it has seen, 72 % of those that it has not", {
        "a": "it is right on 99.5 % of its training pictures: there is hardly anything left to learn from them",
        "b": "one answer to all pictures would give 10 %",
        "c": "guessing at random would give about 10 %",
    }, otherwise=lambda guess: 'the answer is one of the letters "a", "b", "c" and "d"'),
    "07.E6": Question(0.45, "the largest of 50 normal draws lies 2.25 standard deviations above the mean", {
        0: "it does not average out: the maximum is taken, and that is never below the mean of the 50",
        0.2: "one standard deviation above the mean is reached by one epoch in six; the best of 50 is further out",
        10: "50 · 0.2: the draws are not added, the largest is taken",
        1.414: "√50 · 0.2 is the scatter of a sum; the largest of the draws is taken",
        0.6: "that is about three standard deviations; the best of 50 does not get so far on average, the best of 500 does",
        2.25: "that is the number of standard deviations; one of them is 0.2 points",
    }, tolerance=0.05, otherwise=lambda guess: "how many standard deviations above the mean is the largest of 50 normal draws? Try it with torch.randn"),
    # lesson 09
    "09.1": Question((0.3, 9.6), "78.4 - 78.1 and 78.4 - 68.8: almost all of it survives without the palettes, and much is lost without the stencils", {
        (9.6, 0.3): "the other way round: that is what the name of the paper suggests, and not what its table says",
        (78.1, 68.8): "those are the accuracies that are left; the question asks how many points are lost",
        (68.8, 78.1): "those would be the accuracies that are left, and the other way round",
    }, tolerance=0.1, otherwise=lambda guess: "you expect the palettes to be worth more than the stencils; the paper's table says 0.3 and 9.6" if guess[0] > guess[1]
        else "you expect the stencils to be worth more than the palettes, and so it is: the paper's table says 0.3 and 9.6"),
    "09.3": Question("c", "it loses nothing that three seeds can see, and was even a little ahead; step 5 has the numbers", {
        "a": "a layer that looks at no other pixel should be lost, and yet: other parts of the net look; step 5 has the seeds",
        "b": "one would think so, and yet the difference is smaller than three seeds can see; step 5 has them",
    }, otherwise=lambda guess: 'the answer is one of the letters "a", "b" and "c"'),
    "09.6": Question("u4", "more than twice as much as any other; it is the best row of the paper's table too", {
        "k64": "four times as many colours and stencils gain less than half of what another size does",
        "k4": "fewer colours and stencils cost nothing here, but another change gains more",
        "h1": "one query for each pixel under a wide lambda gains nothing that three seeds can see",
        "h16": "sixteen queries under a lambda of 8 values gain nothing that three seeds can see",
        "scope3": "a window of 3 × 3 loses nothing, and gains nothing that three seeds can see",
    }, otherwise=lambda guess: 'the answer is one of "k4", "k64", "h1", "h16", "u4" and "scope3"'),
    "09.6b": Question("c", "a third of a point of a whole one: the largest of six gains was a lucky one, or it was only sooner", {
        "a": "it was the largest of six gains, and the largest is often a lucky one; less is left",
        "b": "by held-out pictures it was half a point, and after 48 epochs even less is left",
    }, otherwise=lambda guess: 'the answer is one of the letters "a", "b" and "c"'),
    "09.7": Question("c", "it loses about ten points: where nothing else lets distant pixels meet, the stencils carry the net, as they carry the paper's", {
        "a": "that was with convolutions in front; here nothing else looks at distant pixels, and the stencils' work is left undone",
        "b": "more than that: a palette knows what is in the picture, but not what lies beside what",
    }, otherwise=lambda guess: 'the answer is one of the letters "a", "b" and "c"'),
    "09.9": Question("c", "without its palettes this net falls by far more than 20 points, as it does without its stencils", {
        "a": "that is what the paper's ResNet lost when it was trained again without palettes; this net is not trained again",
        "b": "it loses far more: the net was trained with both halves, and is not trained again without one",
    }, otherwise=lambda guess: 'the answer is one of the letters "a", "b" and "c"'),
    "09.E1": Question((0.255, 0.361), "√(0.93 · 0.07 / 10,000) = 0.00255, and √2 times as much for a difference", {
        (2.55, 3.61): "ten times too much: the root is of p (1 - p) / n with p = 0.93 and n = 10,000, and then times 100",
        (0.00255, 0.00361): "right as shares; in points they are 100 times as large",
        (0.114, 0.161): "that is with 50,000 pictures; CIFAR-10 has 10,000 to test on",
        (0.255, 0.51): "the error of the one is right; errors of independent numbers add as squares, so the difference has √2 times as much",
        (0.255, 0.255): "the error of the one is right; a difference has the chance of both numbers in it",
        (0.255, 0): "the error of the one is right; a difference has the chance of both numbers in it",
        (1.14, 1.61): "that is on 500 pictures",
    }, tolerance=2e-2, otherwise=lambda guess: "100 · √(p (1 - p) / n) points with p = 0.93 and n = 10,000; a difference has the squares of both in it"),
    "09.E2": Question((4.24, 1.26), "30 / √50 and 30 / √570: the same 30 pictures, among few flips and among many", {
        (1.26, 4.24): "the other way round: (a) has 50 flips in all, (b) has 570",
        (0.83, 0.83): "the same gap is not the same evidence: count the flips, not the pictures on which both nets agree",
        (0.6, 0.0526): "the root is missing: (40 - 10) / √(40 + 10)",
        (18, 1.58): "those are the squares, the chi-squares of the books; the question asks for z",
        (30, 30): "those are the differences; divide each by its standard deviation",
    }, tolerance=4e-2, otherwise=lambda guess: "z = (a - b) / √(a + b), once with 40 and 10, once with 300 and 270"),
    "09.E4": Question("b", "convolutions before and between the content layers see neighbours, so shape reaches the layer inside each pixel's features", {
        "a": "a content layer cannot tell a picture from its confetti, but the net is more than that layer: what has made its features?",
        "c": "a softmax over positions weighs pixels by what they hold; shuffle them, and the weights are shuffled with them",
        "d": "a norm treats all positions alike; it knows nothing of where they are",
    }, otherwise=lambda guess: 'the answer is one of the letters "a", "b", "c" and "d"'),
    "09.E5": Question((4, 676), "one kernel of 13 × 13 = 169 taps for each of 4 heads; the 32 value channels share it", {
        (128, 21632): "a kernel for each channel would be a full depthwise convolution; here the channels of a head share one",
        (16, 2704): "those are the k = 16 stencils; with fixed queries they are mixed once, into one kernel for each head",
        (4, 36): "the heads are right; but these stencils cover the whole map: every offset from -6 to 6 in both directions",
        (4, 196): "the heads are right; offsets on a map of 7 × 7 go from -6 to 6, so a kernel has 13 × 13 taps",
        (1, 169): "each head has a query of its own, and so a kernel of its own",
        (4, 2768): "those are the numbers that are learned, 16 · 169 + 4 · 16; once trained, fewer will do",
        (4, 169): "169 taps for each of them",
    }, otherwise=lambda guess: "κ_h = Σ_k q_hk T_k: how many values has h, and how many offsets are there between two pixels of a 7 × 7 map?"),
}


def check_answer(question: str, guess) -> Verdict:
    """Compare a guess with the answer to a question of the lessons; None is no guess yet. Taught in notebooks/00_start_here.

    Args:
        question: its number, such as "03.2".
        guess: a number, or a sequence of numbers.
    """
    if question not in QUESTIONS:
        return wrong(f"there is no question {question!r}; there are {', '.join(sorted(QUESTIONS))}")
    if guess is None:
        return Verdict(None, "no guess yet")
    known = QUESTIONS[question]
    if matches(guess, known.answer, known.tolerance):
        return right(known.because)
    for mistake, message in known.mistakes.items():
        if matches(guess, mistake, known.tolerance):
            return wrong(message)
    try:
        return wrong(f"{guess!r} is not it: {known.otherwise(guess)}")
    except Exception:  # the guess is of another kind than the hint expects
        return wrong(f"{guess!r} is not it, and not of the form that is asked for")


def matches(guess, answer, tolerance: float) -> bool:
    """Equal within the tolerance, number by number; a set is compared as a set, words without regard to case."""
    if isinstance(guess, Tensor):
        guess = guess.tolist()
    if isinstance(answer, (set, frozenset)):
        return isinstance(guess, (set, frozenset, tuple, list)) and set(guess) == answer
    if isinstance(answer, (tuple, list)) or isinstance(guess, (tuple, list)):
        if not (isinstance(guess, (tuple, list)) and isinstance(answer, (tuple, list)) and len(guess) == len(answer)):
            return False
        return all(matches(g, a, tolerance) for g, a in zip(guess, answer))
    if isinstance(answer, str) and isinstance(guess, str):
        return guess.strip(" ()").lower() == answer
    if isinstance(answer, (bool, str)) or isinstance(guess, bool):
        return type(guess) is type(answer) and guess == answer
    try:
        return math.isclose(float(guess), float(answer), rel_tol=tolerance, abs_tol=tolerance)
    except (TypeError, ValueError):
        return False
