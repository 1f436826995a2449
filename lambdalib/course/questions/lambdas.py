"""The questions of lessons 02 and 03. Used by `check_answer`."""

from lambdalib.course.questions.question import Question

__all__ = ["LAMBDA_QUESTIONS"]


def kernel_of(query) -> str:
    """What a query makes of the strip's two stencils, (0, 1, 0) and (-1, 0, 1)."""
    me, slope = query
    return f"this query makes the kernel ({-slope:g}, {me:g}, {slope:g})"


LAMBDA_QUESTIONS = {
    # lesson 02
    "02.3": Question(
        (10, 10, 3),
        "colour 0 plus colour 1: (4, 4, 2) + (6, 6, 1), brighter than any pixel of the strip",
        {
            (6, 6, 1): (
                "that is what attention answers; a lambda is linear, so the query (1, 1) is the sum of two answers"
            ),
            (5, 5, 1.5): (
                "that is the mean of the two colours; the query "
                "(1, 1) adds them, its entries do not have to sum to 1"
            ),
            (8, 8, 3): "nothing clips: the numbers of a layer may go beyond full light",
        },
        otherwise=lambda guess: "the query (1, 1) asks for colour 0 once and for colour 1 once",
    ),
    "02.5": Question(
        (6, 6, 1),
        "twice the pixels, half the weight each: a mean does not care how often the whole set is repeated",
        {
            (12, 12, 2): (
                "that is a sum; a softmax over the context halves the weights when there are twice as many pixels"
            ),
            (3, 3, 0.5): "the weights are halved, but there are also twice as many pixels",
            (64 / 3, 64 / 3, 8): (
                "that comes from a softmax over k; the softmax of a content lambda runs over the context m"
            ),
            (32 / 3, 32 / 3, 4): (
                "that is the original strip with a softmax over k; the softmax runs over the context m"
            ),
        },
        otherwise=lambda guess: (
            "write down the eight weights of colour 1; they sum to "
            "1, and each yellow weighs five times each of the others"
        ),
        tolerance=1e-3,
    ),
    "02.6": Question(
        10,
        "sharp enough to find different colours, soft enough to mix them: the least error lies in between",
        {
            0: (
                "at β = 0 all four colours are the mean of the image, "
                "and so is the painting: the largest error of all"
            ),
            3: (
                "better than 0, but the four colours are still "
                "greyish, since hundreds of pixels write each of them"
            ),
            30: "purer colours, but the recipes are sharper too: fewer mixtures, larger error than at 10",
            100: (
                "the recipes are nearly “one colour each” here, so "
                "the painting is almost a poster of four flat colours"
            ),
        },
        otherwise=lambda guess: "choose one of 0, 3, 10, 30 and 100",
    ),
    "02.E2": Question(
        (-1, 2),
        "2 · (6, 6, 1) - (4, 4, 2) = (8, 8, 0): a negative entry takes the others' light out again",
        {
            (0, 1): "colour 1 alone is (6, 6, 1): three eighths of it come from the other pixels",
            (2, -1): "twice colour 0 minus colour 1 is (2, 2, 3): try the other way round",
            (1, 1): "colour 0 plus colour 1 is (10, 10, 3): too bright, and it contains blue",
            (0, 2): "twice colour 1 is (12, 12, 2): colour 0 has to be taken away from it",
        },
        otherwise=lambda guess: (
            f"this query gets {tuple(a * guess[0] + b * guess[1] for a, b in ((4, 6), (4, 6), (2, 1)))}; "
            "(8, 8, 0) is asked for"
        ),
    ),
    "02.E4": Question(
        4096,
        "b · k · v = 8 · 16 · 32: one lambda per image, shared by all its heads and pixels",
        {
            4 * 4096: "× h, but all heads of an image share its lambda: 8 · 16 · 32 = b · k · v numbers are left",
            512: "k · v = 512 is one lambda; each of the 8 images has its own",
            2048: "h · k · v: all heads share a lambda, but each of the 8 images has its own",
            4096 * 128 * 128: (
                "one lambda per pixel? A content lambda has no index n: all queries of an image share it"
            ),
            4 * 4096 * 128 * 128: (
                "one lambda per pixel and head? A content lambda has neither index: an image's queries share it"
            ),
            8 * 4 * 128**4: "b · h · n · m is the size of attention's matrices; a lambda has k rows and v columns",
            8 * 128**4: "b · n · m counts pairs of pixels; a lambda has k rows and v columns",
        },
        otherwise=lambda guess: (
            "how many numbers are in one content lambda, and how many of these does a batch of 8 images have?"
        ),
    ),
    "02.E5": Question(
        0.427,
        "√5 / (3 + √5), from a geometric mean; the lambda's 0.4375 = (2/8 + 5/8) / 2 is an arithmetic mean",
        {
            0.4375: "that is the lambda's weight; attention takes the mean of the keys before the softmax",
            0.625: "5/8 belongs to the query (0, 1)",
            0.25: "2/8 belongs to the query (1, 0)",
            0.375: (
                "3/8 comes from the mean of 1 and 5 over 8; the "
                "keys are logarithms, so half a key is a square root"
            ),
            0.43: "near; give it to three decimals",
        },
        otherwise=lambda guess: "the scores are (0, 0, 0, ½ · log 5): take exponentials, then divide by their sum",
        tolerance=1e-3,
    ),
    # lesson 03
    "03.1": Question(
        (-8, 0, 8),
        "right minus left is blue minus red: a colour with a negative part",
        {
            (8, 0, -8): "the other way round: the right neighbour is added, the left one subtracted",
            (8, 0, 8): "a sign: the left neighbour, red, is subtracted",
            (0, 8, 0): "that is what “me” reads; stencil 1 has weight 0 on the pixel itself",
            (0, 0, 8): "the left neighbour counts too, with weight -1",
        },
    ),
    "03.E1": Question(
        (8, -8, 0),
        (
            "“me” reads (8, 0, 0); to the right is green, to the left "
            "nothing, so stencil 1 reads (0, 8, 0); the query subtracts it"
        ),
        {
            (8, 8, 0): "a sign: the query is (1, -1), it subtracts what stencil 1 reads",
            (8, 0, 0): (
                "“me” alone: at the border the missing left neighbour counts as 0, the right one still counts"
            ),
            (0, -8, 0): "“me” was forgotten: the query (1, -1) asks both stencils",
            (-8, 8, 0): "both signs are turned round: 1 · “me” - 1 · “right minus left”",
            (16, 0, 0): "the reading wrapped round to the last pixel: beyond the border there is 0",
        },
    ),
    "03.3a": Question(
        210,
        "cos(θ - 30°) = -1 at θ = 30° + 180°: the query then points back down the slope",
        {
            180: (
                "-1 is reached at 180° on a ramp that grows in the "
                "direction 0°; this one grows in the direction 30°"
            ),
            120: "at 120° the query points across the slope, where the brightness stays the same, and reads 0",
            300: "at 300° the query points across the slope and reads 0",
            30: "at 30° the query points straight up the slope and reads +1",
            -150: "the right direction; between 0° and 360° it is called 210°",
        },
    ),
    "03.3b": Question(
        frozenset({0, 1, 11}),
        "columns 0 and 1 lie at the seam, column 11 at the new border; all others agree",
        {
            (): "equivariance holds inside only: what do the stencils read at the border, and at the seam?",
        },
        otherwise=lambda guess: (
            f"{len({0, 1, 11} - set(guess))} column(s) missing, {len(set(guess) - {0, 1, 11})} too many. Which "
            "pixels have another neighbour, or a border, in one of the two that they have not in the other?"
        ),
    ),
    "03.3c": Question(
        "b",
        "each channel is filtered alone, by its head's one fixed kernel Σ_k q_hk T_k",
        {
            "a": (
                "a full convolution mixes every channel with every other; stencils filter each value channel alone"
            ),
            "c": "the only thing that depended on the content, besides the values, was the query",
        },
    ),
    "03.E2": Question(
        392,
        "one table of k · u · r · r = 8 · 1 · 7 · 7 entries serves every query, head and channel",
        {
            8 * 49 * 64: "× d: but all channels share the same stencils",
            8 * 49 * 16: "× v: but all value channels share the same stencils",
            8 * 49 * 4: "× h: but all heads share the same lambda, so also the same stencils",
            16 * 49: (
                "v · r²: one stencil for each value channel; but there are k stencils, shared by all channels"
            ),
            8 * 1024 * 1024: "k · n · m is the dense E; only the table of offsets is learnt",
            9 * 64 * 64: "9 · d · d is the 3×3 convolution",
            8 * 7: "k · r: a stencil is r × r taps, not r",
            49: "that is one stencil; there are k of them",
        },
    ),
    "03.E4a": Question(
        (1, 0),
        "“me”, once",
        {
            "impossible": "it can be done: weigh the two stencils",
        },
        otherwise=kernel_of,
    ),
    "03.E4b": Question(
        (1, 0.5),
        "“me” plus half of “right minus left”",
        {
            "impossible": "it can be done: weigh the two stencils",
        },
        otherwise=kernel_of,
    ),
    "03.E4c": Question(
        "impossible",
        "a blur is symmetric; the only stencil that reaches the neighbours is not",
        {},
        otherwise=kernel_of,
    ),
    "03.E4d": Question(
        "impossible",
        "a Laplacian is symmetric; the only stencil that reaches the neighbours is not",
        {},
        otherwise=kernel_of,
    ),
}
