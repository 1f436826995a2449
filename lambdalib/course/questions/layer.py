"""The questions of lessons 04 and 04b. Used by `check_answer`."""

import math

from lambdalib.course.questions.question import Question, choice_of

__all__ = ["LAYER_QUESTIONS"]


LAYER_QUESTIONS = {
    # lesson 04
    "04.1": Question(
        100,
        "the query and the value each carry the factor 10, and their product carries 100",
        {
            10: (
                "that is a convolution, which multiplies the input with fixed "
                "weights; here the query and the value both come from the input"
            ),
            20: "the factors of query and value multiply, they do not add",
            1000: (
                "one factor too many: the stencils are weights, only the query and the value come from the input"
            ),
            1: "that is the layer with its norms; here they are taken out",
        },
        otherwise=lambda guess: "which of its factors come from the input: the query? the value? the stencil?",
    ),
    "04.2": Question(
        92,
        "the square root of k · r · r = 16 · 529 = 8464 terms of variance 1",
        {
            8464: "that is the variance, the number of terms; the standard deviation is its square root",
            23: "√(r · r): the sum also runs over the k = 16 stencils",
            math.sqrt(16 * 23): "r · r taps in a stencil, not r",
            16 * 23: (
                "k · √(r · r): the root is due on k as well; the "
                "number of terms is k · r · r, and its root is √16 · 23"
            ),
            4: "√k alone: the sum also runs over the r · r taps",
            1: "each term has standard deviation 1, but there are k · r · r of them",
            75.5: (
                "near, but part of the window is missing only at the border; far from it every tap reads a pixel"
            ),
        },
        otherwise=lambda guess: "count the terms of the sum, k · r · r; each has variance 1, and variances add",
        tolerance=0.05,
    ),
    "04.3": Question(
        "b",
        "batch norm divides the factor out again; only its small ε sees a difference",
        {
            "a": "between W_q and the lambdas stands a norm, which divides by the standard deviation",
            "c": "1000 is far from the end of float32, and the norm divides it out again",
        },
        otherwise=choice_of("a", "b", "c"),
    ),
    "04.4": Question(
        4,
        "content only solves B, position only solves A, both solve both",
        {
            6: (
                "a palette has no neighbours: content only cannot tell "
                "right from left. And 3 × 3 stencils end next to the pixel"
            ),
            5: (
                "content only cannot tell right from left, and 3 × 3 "
                "stencils cannot reach a far marker: two results stay at 0.5"
            ),
            3: "one of the halves is better than you think, or both together are",
            2: "each half solves one puzzle, and the network with both has still to be counted",
            1: "more: go through the networks and ask which can tell right from left, and which can see afar",
            0: "more: a network that can see what a puzzle asks for learns it easily",
        },
        otherwise=lambda guess: "three networks on two puzzles make six results, so a whole number from 0 to 6",
    ),
    "04.5": Question(
        (9728, 128),
        "64 · (8 · 16) + 64 · 16 + 64 · 8 weights, and k · v = 16 · 8",
        {
            (16896, 128): "keys are not made per head: all heads share them, 64 · 16 weights",
            (20480, 128): "that is attention's way, with keys and values for each head; here all heads share them",
            (20480, 1024): "that is attention's way, with keys and values for each head",
            (13312, 1024): "v = d_out / h = 8, not d_out: each head gives its share of the channels",
            (9728, 1024): "the weights are right; the lambda is k × v with v = 64 / 8",
            (13312, 128): "the lambda is right; the values have depth v = 8, so they need 64 · 8 weights",
            (2560, 128): "the queries are made for each of the 8 heads: 64 · 8 · 16 weights",
        },
        otherwise=lambda guess: (
            "queries 8192, keys 1024 and values 512 weights; a "
            f"lambda is k × v; you have {guess[0]} and {guess[1]}"
        ),
    ),
    "04.6": Question(
        256,
        "every layer squares the factor that reaches it: 2, 4, 16, 256",
        {
            64: "4 · 4 · 4: but the second layer is reached by a factor of 4 already, and makes 16 of it",
            16: "that is the output of the second layer",
            8: "2 · 2 · 2 would be three convolutions",
            12: "factors multiply along a chain, they do not add",
            4: "that is the output of the first layer",
        },
        otherwise=lambda guess: "what does one layer make of a factor s? Apply that three times, beginning with 2",
    ),
    "04.7": Question(
        16,
        "the window shows 4 × 4 pixels: √(16 · 16)",
        {
            28: "that is √(16 · 49), in the middle of the map; in the corner part of the window lies outside",
            256: "that is the variance; the standard deviation is its square root",
            4: "that is √16: but the sum runs over 16 stencils and 16 pixels, so it has 16 · 16 terms",
            14: "half a window? The corner sees 4 × 4 of the 7 × 7 taps, the middle row and column included",
            12: "the corner sees 4 × 4 taps, not 3 × 3: the middle row and column are on the map",
            8: "√(16 · 4): 4 taps in each direction are 4 · 4 taps",
        },
        otherwise=lambda guess: (
            "how many of the 7 × 7 taps fall on the map, in its corner? Times k, then the root"
        ),
        tolerance=0.02,
    ),
    # lesson 04b
    "04b.1": Question(
        (0.5, 0, 0),
        "1/16 of 8: pixel 3 is hidden from pixel 0, but it still stands in the denominator",
        {
            (1, 0, 0): (
                "that was before; the exponentials in the column were 1, 1, "
                "1, 5 and are now 1, 1, 1, 13, and their sum divides them all"
            ),
            (8, 0, 0): (
                "that is the palette when the weights are normalised over "
                "what pixel 0 sees; here all four pixels are in the sum"
            ),
            (8 / 13, 0, 0): "the sum of the exponentials is 1 + 1 + 1 + 13 = 16, not 13",
            (6.5, 6.5, 0): "that is yellow's share, 13/16; pixel 0 does not see yellow, its own share is 1/16",
            (5, 5, 0): "that is yellow's share before, 5/8; pixel 0 does not see yellow",
        },
        otherwise=lambda guess: "pixel 0 sees red alone, with weight 1 / (1 + 1 + 1 + 13); red is (8, 0, 0)",
    ),
    "04b.2": Question(
        "train",
        (
            "in train mode batch norm takes mean and variance over all "
            "positions, later ones included; in eval mode it uses stored ones"
        ),
        {
            "eval": "in eval mode batch norm uses stored numbers, which no input of today can change",
            "both": "not in eval mode: there batch norm uses stored numbers, which no input of today can change",
            "neither": (
                "the palettes and the stencils do not look ahead, but "
                "whose mean does batch norm subtract in train mode?"
            ),
        },
        otherwise=choice_of("train", "eval", "both", "neither"),
    ),
    "04b.E1": Question(
        (101, 149),
        "k · v + k = 65 numbers of palette at any time, and 12 for each of the last values, at most r = 7 of them",
        {
            (149, 149): "after three words the window holds three values only, not yet seven",
            (96, 144): "60 numbers of palette: each of its k rows also needs the logarithm of its weight",
            (65, 65): "that is the palette's part; the stencils need the last values as well, up to r of them",
            (60, 60): (
                "that is the palette; each of its k rows also needs "
                "a weight, and the stencils need the last values"
            ),
            (101, 12_000_065): "the stencils reach back r - 1 words, so values older than that can be forgotten",
            (101, 137): (
                "six values would do, since the next word brings its "
                "own; but `step` hands on all r = 7 of its window"
            ),
            (36, 84): "that is the window of values; the palette's memory is missing, k · v + k",
            (202, 298): "twice too much: the heads ask the same lambda, so they share one state",
        },
        otherwise=lambda guess: (
            "v = 24 / 2 = 12; a memory of k rows, each with v averages "
            "and one weight, and a window of min(words, r) values"
        ),
    ),
}
