"""Checks for the exercises: they run a learner's function on inputs whose answer names the mistake.

Axis sizes are distinct primes, so that a 7 where a 1 was due can only be the context axis. A wrong answer is told
which mistake it looks like, an empty stub that it is empty. Nothing here raises: a verdict is shown, and the
lesson goes on. Taught in notebooks/00_start_here.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lambdalib import attention, cost, lambdas
from lambdalib.course.compare_arrays import shape_difference, side_by_side
from lambdalib.course.examples import strip
from lambdalib.course.probe import PRIMES, between, close, difference, first_run, gap, random, run
from lambdalib.course.verdict import (
    NOT_ATTEMPTED,
    Refused,
    Verdict,
    never_raises,
    numbers,
    right,
    unanswered,
    words_of,
    wrong,
)
from lambdalib.layer import LambdaLayer
from lambdalib.models import create_model

__all__ = [
    "check_attention",
    "check_budget",
    "check_causal_content_lambda",
    "check_close",
    "check_content_lambda",
    "check_masked_content_lambdas",
    "check_merge_heads",
    "check_mix",
    "check_other_strip",
    "check_position_lambdas",
]


@never_raises
def check_content_lambda(function: Callable) -> Verdict:
    """function(keys (b,m,k,u), values (b,m,v,u)) -> (b,k,v). Probe: values of 1 must give lambdas of 1.

    Taught in notebooks/02_content_lambdas.
    """
    b, m, k, v = (PRIMES[axis] for axis in "bmkv")
    keys, ones = random(b, m, k, 1), torch.ones(b, m, v, 1, dtype=torch.float64)
    answer = first_run(function, "bkv", (b, k, v), keys, ones)
    due = "With every value 1, every entry of the lambda must be 1, because each column of soft keys sums to 1"
    if close(answer, m):
        return wrong(f"{due}; yours are all {m} = m: the values were summed over the context on their own")
    if close(answer, b):
        return wrong(f"{due}; yours are all {b} = b: the batch axis was summed away and spread again")
    if close(answer, 1 / m):
        return wrong(f"{due}; yours are all 1/{m} = 1/m: divided by m after a softmax that already averages")
    if (answer < 0).any():
        return wrong(f"{due}; some of yours are negative: the keys were not put through a softmax")
    if close(answer.sum(1), m):
        return wrong(
            f"{due}; yours sum to {m} = m along the k axis: the softmax ran over the k axis instead of the context"
        )
    if not close(answer, 1):
        hint = "is the softmax over the context, and is its division by the sum there?"
        return wrong(f"{due}; yours {between(answer)}: {hint}")
    keys, values = random(b, m, k, 2), random(b, m, v, 2)
    if (off := difference(function, "bkv", lambdas.content_lambda(keys, values), keys, values)) is not None:
        return wrong(
            f"right for constant values and u = 1, but {off.message}: does every soft key meet the value of its "
            "own position and its own u, and is each u divided by its own sum before the u are added?",
            off.detail,
        )
    return right("every entry is right: a softmax over the context, and one sum over m (and u)")


@never_raises
def check_other_strip(values) -> Verdict:
    """values (m=4, v=3): another strip with the strip's palette, in which pixels 0, 1 and 2 have changed.

    Taught in notebooks/02_content_lambdas.
    """
    if unanswered(values):
        return NOT_ATTEMPTED
    try:
        values = numbers(values)
    except Refused:
        return wrong("expected four pixels, each a list of three numbers: red, green, blue")
    if values.shape != (4, 3):
        return wrong(f"expected four pixels of three numbers each, shape (4, 3), got {tuple(values.shape)}")
    _, keys, original, _ = strip()
    if not close(values[3], original[0, 3, :, 0]):
        return wrong(
            f"pixel 3 must stay (8, 8, 0), yours is {tuple(values[3].tolist())}: "
            "twice colour 1 of the palette, minus colour 0, is pixel 3"
        )
    palette, mine = (lambdas.content_lambda(keys, pixels)[0] for pixels in (original, values[None, :, :, None]))
    if not close(mine, palette):
        due, came = original[0, :3, :, 0].sum(0).tolist(), values[:3].sum(0).tolist()
        return wrong(
            f"another palette: pixels 0, 1 and 2 must still add up to {tuple(due)}, yours add up to {tuple(came)}"
        )
    if unchanged := [str(n) for n in range(3) if close(values[n], original[0, n, :, 0])]:
        pixels = " and ".join(unchanged)
        return wrong(f"the palette is right, but pixel {pixels} is unchanged: move light between all three")
    if sorted(values.tolist()) == sorted(original[0, :, :, 0].tolist()):
        return right(
            "the same palette: pixels with equal keys may change places; "
            "new colours with the same sum work as well"
        )
    return right("the same palette from three other colours: as long as their sum stays, nobody can tell")


READINGS = {  # the first row that a mistake makes of the probe in check_position_lambdas
    (0, 1, 2, 3, 4): "the offset is flipped: entry (i, j) belongs to the pixel at n + offset, not n - offset",
    (6, 7, 8, 9, 10): "rows and columns have changed places: the table is (k, u, r_y, r_x), rows first",
    (2, 3, 4, 5, 1): "the reading wraps round the edge (roll?): beyond the border there are zeros",
    (2, 3, 4, 5, 6): (
        "the window runs along the flattened map and forgets where a row ends: use the two coordinates"
    ),
    (1, 2, 3, 4, 5): "each pixel reads itself: were the embeddings summed over m before the values were read?",
    (1, 2, 3, 4, 0): "each pixel reads itself: were the embeddings summed over m before the values were read?",
    (2, 3, 4, 5, 5): "the border pixel is read again: outside the map there is nothing, which counts as 0",
    (0, 0, 0, 0, 0): "the reading is lost: is it overwritten by a later tap (= where += is due), or never added?",
}


@never_raises
def check_position_lambdas(function: Callable) -> Verdict:
    """function(table (k,u,r,r), values (b,m,v,u), height, width) -> (b,n,k,v).

    Probe: values that count their pixels.
    Taught in notebooks/03_position_lambdas.
    """
    height, width, one_value = 3, 5, (1, 15, 1, 1)
    counting = torch.arange(1.0, 16.0, dtype=torch.float64).view(one_value)
    tap = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    tap[0, 0, 1, 2] = 1  # one pixel to the right
    answer = first_run(function, "bnkv", one_value, tap, counting, height, width)
    first_row = answer.flatten()[:5].round().int().tolist()
    if first_row != [2, 3, 4, 5, 0]:
        hint = READINGS.get(tuple(first_row), "check the offset of each tap")
        return wrong(
            "The probe's stencil reads one pixel to the right, and each pixel's value is its number: the first "
            f"row of 3 × 5 must read 2, 3, 4, 5, 0; yours reads {', '.join(map(str, first_row))}: {hint}"
        )
    left = run(function, "bnkv", one_value, tap.flip(3), counting, height, width)
    if not close(left.flatten()[:5], torch.arange(5.0)):
        return wrong(
            "Reading to the right is right, but one pixel to the left the first row must read 0, 1, 2, 3, 4: "
            "a column of -1 is outside, and not the last one (0 <= column)"
        )
    ones = torch.ones(one_value, dtype=torch.float64)
    if close(run(function, "bnkv", one_value, torch.ones_like(tap), ones, height, width), 9):
        return wrong(
            "A stencil of nine ones over a map of ones must read 4 in a corner and 6 on an edge; "
            "yours reads 9 everywhere: outside there is nothing to read"
        )
    for axes, (b, k, v, u) in {
        "b, the batch": (2, 1, 1, 1),
        "k, the stencils": (1, 11, 1, 1),
        "v, the channels": (1, 1, 13, 1),
        "u, the intra-depth (summed)": (1, 1, 1, 2),
        "b, k, v and u together": (2, 11, 13, 2),
    }.items():
        table, values = random(k, u, 5, 5), random(b, 15, v, u)
        reference = lambdas.position_lambdas(lambdas.relative_embeddings(table, height, width), values)
        if (off := difference(function, "bnkv", reference, table, values, height, width)) is not None:
            return wrong(
                f"right for one stencil and one channel, but not with more than one entry on the axis {axes}: "
                f"{off.message}",
                off.detail,
            )
    return right("every reading is right, borders included")


@never_raises
def check_merge_heads(function: Callable) -> Verdict:
    """function(output (b,h,n,v), height, width) -> (b, h·v, height, width).

    Probe: 0, 1, ..., 5 for two heads of three.
    Taught in notebooks/04_lambda_layer.
    """
    axes = ("b", "h · v", "height", "width")
    probe = torch.arange(6.0, dtype=torch.float64).view(1, 2, 1, 3)
    order = first_run(function, axes, (1, 6, 1, 1), probe, 1, 1).flatten().int().tolist()
    if order != [0, 1, 2, 3, 4, 5]:
        hint = ": value-major, but channel = head · v + value" if order == [0, 3, 1, 4, 2, 5] else ""
        return wrong(
            "One pixel, head 0 = (0, 1, 2), head 1 = (3, 4, 5): the channels must read 0, 1, 2, 3, 4, 5; "
            f"yours read {', '.join(map(str, order))}{hint}"
        )
    b, h, v = (PRIMES[axis] for axis in "bhv")
    output = random(b, h, 35, v)
    reference = output.transpose(2, 3).reshape(b, h * v, 5, 7)
    if (off := difference(function, axes, reference, output, 5, 7)) is not None:
        hint = ": a reshape cannot swap axes, the n axis must first go last" if off.detail else ""
        return wrong(f"right for one pixel, but {off.message}{hint}", off.detail)
    return right("head-major, and every pixel in its place")


@never_raises
def check_masked_content_lambdas(function: Callable) -> Verdict:
    """function(keys (b,m,k), values (b,m,v), visible (n,m) of bool) -> (b,n,k,v).

    Each query gets a palette over what it may see. Probes: values of 1 must give 1, hidden pixels must not matter,
    and no mask must give the content lambda.
    Taught in notebooks/04_lambda_layer.
    """
    b, _, n, m, k, v = PRIMES.values()
    keys, ones = random(b, m, k), torch.ones(b, m, v, dtype=torch.float64)
    visible = torch.arange(m) <= torch.arange(n)[:, None] + 1  # query n sees context 0 ... n + 1
    answer = first_run(function, "bnkv", (b, n, k, v), keys, ones, visible)
    if not close(answer, 1):
        part = keys.softmax(1)[:, None] * visible[None, :, :, None]
        if close(answer, part.sum(2)[..., None].expand_as(answer)):
            hint = "the mask came after the softmax, so the weights that are left sum to less than 1"
        else:
            hint = "the weights of the visible pixels must sum to 1 for each query and each of the k columns"
        return wrong(f"With every value 1, a palette is 1 everywhere; yours {between(answer)}: {hint}")
    values = random(b, m, v)
    whole = lambdas.content_lambda(keys[..., None], values[..., None])[:, None].expand(b, n, k, v)
    answer = run(function, "bnkv", (b, n, k, v), keys, values, visible)
    if close(answer, whole):
        return wrong("every query got the palette of the whole context: where does the mask come in?")
    edited = torch.cat([values[:, :2], values[:, 2:] + 1], 1)
    if not close(run(function, "bnkv", (b, n, k, v), keys, edited, visible)[:, 0], answer[:, 0]):
        return wrong(
            "query 0 may see context 0 and 1 only, but its palette moved when a hidden pixel changed: "
            "a hidden score must be minus infinity before the softmax; a score of 0 still has weight"
        )
    if not close(run(function, "bnkv", (b, n, k, v), keys, values, torch.ones(n, m, dtype=torch.bool)), whole):
        return wrong("with everything visible, each query must get the content lambda of lesson 02")
    seen = [lambdas.content_lambda(keys[:, mask, :, None], values[:, mask, :, None]) for mask in visible]
    if (off := gap(answer, torch.stack(seen, 1))) is not None:
        return wrong(
            f"the weights sum to 1 and hidden values do not matter, but the palette {off.message}: "
            "does the softmax run over m?",
            off.detail,
        )
    return right("a palette for each query, over exactly what it may see")


@never_raises
def check_causal_content_lambda(function: Callable) -> Verdict:
    """function(keys (b,n,k), values (b,n,v)) -> (b,n,k,v).

    Each position gets a palette over itself and what came before. Probes: values of 1 must give 1, an edited
    future must not reach the past, and the last palette is the content lambda.
    Taught in notebooks/04b_sequences.
    """
    b, n, k, v = (PRIMES[axis] for axis in "bmkv")
    keys, ones = random(b, n, k), torch.ones(b, n, v, dtype=torch.float64)
    answer = first_run(function, "bnkv", (b, n, k, v), keys, ones)
    due = "With every value 1, every palette is 1 everywhere"
    if answer[:, 0].isnan().any() or close(answer[:, 0], 0):
        hint = "off by one, since a position sees itself as well as what came before"
        return wrong(f"{due}; yours has nothing at position 0: {hint}")
    if close(answer, keys.exp().cumsum(1)[..., None].expand_as(answer)):
        hint = "the normaliser is missing, divide by the sum of the weights so far"
        return wrong(f"{due}; yours are the running sums of exp K: {hint}")
    if close(answer, keys.softmax(1).cumsum(1)[..., None].expand_as(answer)):
        return wrong(
            f"{due}; yours reach 1 at the last position only: the mask came after a softmax over all positions, "
            "so the weights that are left sum to less than 1"
        )
    if not close(answer, 1):
        hint = "for each position and each of the k columns, the weights of what it sees must sum to 1"
        return wrong(f"{due}; yours {between(answer)}: {hint}")
    values = random(b, n, v)
    answer = run(function, "bnkv", (b, n, k, v), keys, values)
    reference = torch.stack(
        [lambdas.content_lambda(keys[:, :t, :, None], values[:, :t, :, None]) for t in range(1, n + 1)], 1
    )
    if close(answer, reference[:, -1:].expand_as(answer)):
        return wrong("every position got the palette of the whole sequence, later positions included")
    mean = values.cumsum(1) / torch.arange(1, n + 1)[:, None]
    if close(answer, mean[:, :, None].expand_as(answer)):
        return wrong("a plain mean of the values so far: what do the keys do?")
    edited = [torch.cat([rows[:, :3], rows[:, 3:] + 1 + random(*rows[:, 3:].shape)], 1) for rows in (keys, values)]
    moved = run(function, "bnkv", (b, n, k, v), *edited)
    if not close(moved[:, :3], answer[:, :3]):
        if close(moved[:, :2], answer[:, :2]):
            hint = "by one position: the sums run one too far"
        else:
            hint = "the sums run from the end, or the weights are compared with later ones"
        return wrong(
            f"positions 3 to {n - 1} were edited, and palettes 0 to 2 moved: they hear the future, {hint}"
        )
    if (off := gap(answer, reference)) is not None:
        return wrong(
            f"the weights sum to 1 and the future is not heard, but the answer {off.message}: "
            "does position n weigh each value up to its own with exp K?",
            off.detail,
        )
    return right(
        "every position has a palette over exactly what it has seen, and the last one is the content lambda"
    )


@never_raises
def check_attention(function: Callable) -> Verdict:
    """function(queries (b,h,n,k), keys (b,h,m,k), values (b,h,m,v)) -> (b,h,n,v). Probe: values of 1 must give 1.

    Taught in notebooks/01_self_attention.
    """
    b, h, n, m, k, v = PRIMES.values()
    queries, keys = random(b, h, n, k), random(b, h, m, k) / 3
    answer = first_run(function, "bhnv", (b, h, n, v), queries, keys, torch.ones(b, h, m, v, dtype=torch.float64))
    if not close(answer, 1):
        if close(answer.sum(2), m):
            hint = "they sum to m over the queries: the softmax ran over n instead of m"
        else:
            hint = "the weights of a query must sum to 1 over the context"
        return wrong(f"With every value 1, a weighted average is 1; yours {between(answer)}: {hint}")
    values = random(b, h, m, v)
    answer = run(function, "bhnv", (b, h, n, v), queries, keys, values)
    if gap(answer, attention.softmax_attention(queries * k**-0.5, keys, values)) is None:
        return wrong("the scores were divided by √k: here the queries have absorbed that factor already")
    if (off := gap(answer, attention.softmax_attention(queries, keys, values))) is not None:
        return wrong(
            f"the weights sum to 1, but the answer {off.message}: are the weights exponentials of the scores, "
            "does query n meet key m, and weight (n, m) value m?",
            off.detail,
        )
    return right("a blend, with weights that sum to 1 over the context")


@never_raises
def check_close(mine, reference: Tensor, hint: str = "", axes: Sequence[str] = ()) -> Verdict:
    """Compare numbers with the tensor that they should equal.

    Taught in notebooks/00_start_here.

    Args:
        hint: shown if they differ.
        axes: the names of the reference's axes, such as "bnkv", for the words on a wrong shape.
    """
    if unanswered(mine):
        return NOT_ATTEMPTED
    mine, reference, hint = numbers(mine), numbers(reference), hint and f": {hint}"
    if (words := shape_difference(reference.shape, mine.shape, axes)) is not None:
        return wrong(f"{words}{hint}")
    largest, tolerance = (mine - reference).abs().max().item(), 1e-5 * max(1.0, reference.abs().max().item())
    if not largest < tolerance:  # a NaN is no match either
        return wrong(f"the largest difference is {largest:.3g}{hint}", side_by_side(reference, mine, tolerance))
    return right("equal")


@never_raises
def check_mix(make: Callable) -> Verdict:
    """make(width, stride, lambda_options) -> the module between the 1×1 convolutions of a bottleneck.

    Probe: odd sides. Taught in notebooks/06_lambda_resnet.
    """
    if make is None:
        return NOT_ATTEMPTED
    width, options = 6, {"dim_k": 5, "heads": 2, "scope": 3}
    for stride in (1, 2, 3):
        features = random(2, width, 7, 11).float()
        try:
            mix = make(width, stride, options)
            if mix is None:
                return NOT_ATTEMPTED
            layers = [module for module in mix.modules() if isinstance(module, LambdaLayer)]
            answer = mix(features.clone())
        except (Exception, SystemExit) as error:  # noqa: BLE001
            return wrong(f"at stride {stride} your module raised {words_of(error)}")
        if len(layers) != 1:
            return wrong(f"expected one lambda layer in the module, found {len(layers)}")
        due, answer = (2, width, -(-7 // stride), -(-11 // stride)), numbers(answer).float()
        if answer.shape != due:
            return wrong(
                f"at stride {stride}, a 3×3 convolution turns {tuple(features.shape)} into {due}; "
                f"yours makes {tuple(answer.shape)}, which cannot be added to the shortcut"
            )
        state = layers[0].state_dict()
        paper, plain = LambdaLayer(width, stride=stride, **options), LambdaLayer(width, **options)
        paper.load_state_dict(state)
        plain.load_state_dict(state)
        norm, pool = torch.nn.BatchNorm2d(width), torch.nn.AvgPool2d(3, stride, padding=1)
        if torch.allclose(answer, norm(paper(features)), atol=1e-5):
            continue
        if torch.allclose(answer, paper(features), atol=1e-5):
            hint = "the block's ReLU expects what the convolution's norm gave it"
            return wrong(f"the shapes are right, but the norm is gone: {hint}")
        blurred = pool(plain(features)), plain(pool(features))
        if stride == 1 and any(torch.allclose(answer, norm(each), atol=1e-5) for each in blurred):
            return wrong("at stride 1 nothing is to be pooled: the convolution did not blur there either")
        if stride > 1 and torch.allclose(answer, norm(plain(pool(features))), atol=1e-5):
            return wrong(
                "the shapes are right and it is cheaper, but it is another function: "
                "the pool comes before the layer, the paper's after it"
            )
        return wrong(
            f"the shapes are right, but at stride {stride} the numbers are not those of "
            "lambda layer, 3×3 average pool, norm, in this order",
            side_by_side(norm(paper(features)).detach().double(), answer.double(), 1e-5),
        )
    return right("layer, pool, norm: it fits where the convolution was, odd sides included")


@never_raises
def check_budget(options: dict | None, parameters: float, multiply_adds: float) -> Verdict:
    """A LambdaResNet-50 for 224×224 images and 1000 classes within two budgets.

    Taught in notebooks/06_lambda_resnet.

    Args:
        options: what create_model takes: layout, dim_k, heads, dim_u, scope.
        parameters: the most, in millions.
        multiply_adds: the most, in billions.
    """
    if options is None:
        return NOT_ATTEMPTED
    try:
        with torch.device("meta"):
            model = create_model("lambda_resnet50", 1000, stem="imagenet", **options)
        have = cost.count_parameters(model) / 1e6, cost.multiply_adds(model, (1, 3, 224, 224)) / 1e9
    except Exception as error:  # noqa: BLE001
        return wrong(f"no model: {words_of(error)}")
    made = f"{have[0]:.2f} M parameters and {have[1]:.2f} G multiply-adds"
    if not any(isinstance(module, LambdaLayer) for module in model.modules()):
        return wrong(f"{made}, but not one lambda layer")
    if have[0] > parameters:
        return wrong(f"{made}: too many parameters; they are saved where the model is wide")
    if have[1] > multiply_adds:
        return wrong(f"{made}: too many multiply-adds; they are spent where the map is large and the scope wide")
    return right(f"{made}: within both budgets")
