"""The questions of lessons 00 and 01. Used by `check_answer`."""

import math

from lambdalib.course.questions.question import Question, choice_of

__all__ = ["ATTENTION_QUESTIONS"]


def blend_of_the_strip(red: float, green: float, blue: float) -> str:
    """Whether a colour is a blend of the strip's four pixels, and how far it is from (-8, 0, 8)."""
    yellow = (red + green + blue) / 8 - 1  # the weights sum to 1, and yellow alone brings light twice
    if min(red / 8 - yellow, green / 8 - yellow, blue / 8, yellow) < -1e-6:
        return "it is no blend: no weights from 0 to 1 that sum to 1 give this colour"
    return (
        f"its distance from (-8, 0, 8) is {math.dist((red, green, blue), (-8, 0, 8)):.3g}; there is a nearer blend"
    )


ATTENTION_QUESTIONS = {
    # lesson 00
    "00.half": Question(
        "palettes",
        "in this network, without training again; what each half is worth is another question, for lesson 09",
        {"stencils": "in this network the other half hurts more, though both count"},
        otherwise=choice_of("palettes", "stencils"),
    ),
    "00.1": Question(
        16,
        "n · m = n² on the left and k · v = 256 on the right: equal at n = 16",
        {
            256: "that is k · v; the square has n · m = n² elements, so take the root",
            8: "half of 16; the square has n · m elements, and n = m",
            32: "a map of 32 pixels has a square of 1024, four times the tile",
        },
        otherwise=lambda guess: f"with n = m = {guess} the square holds {guess * guess} numbers, and the tile 256",
    ),
    "00.2": Question(
        (1225, 128),
        "35 · 35 for every pair of pixels, 16 · 8 for the tile",
        {
            (35, 128): "the square has one number for each *pair* of the 35 pixels",
            (49, 128): "the map is 7 × 5, so it has 35 pixels, and the square 35 · 35 numbers",
            (1225, 256): "the tile is k · v = 16 · 8: the values here have depth 8",
            (128, 1225): "the other way round: square first, tile second",
        },
        otherwise=lambda guess: (
            "the square is right; the tile holds k · v numbers, whatever the map"
            if guess[0] == 1225
            else "how many pixels has the map? The square has one number for every pair of them"
        ),
    ),
    # lesson 01
    "01.1": Question(
        (6, 6, 1),
        (
            "the scores are (0, 0, 0, log 5) again: key entry 0 is "
            "0 at every pixel, so it adds the same to all scores"
        ),
        {
            (10, 10, 3): (
                "that is the sum of the answers to (1, 0) and (0, 1); the "
                "weights of one query sum to 1, so answers do not add up"
            ),
            (5, 5, 1.5): (
                "that is the mean of the answers to (1, 0) and (0, 1); "
                "work out the four scores of the query (1, 1) first"
            ),
            (4, 4, 2): (
                "that is the answer to (1, 0), the plain mean; the query (1, 1) also asks with its second entry"
            ),
            (16, 16, 8): "that is the plain sum of the four pixels; the weights of one query sum to 1",
            (12, 12, 2): "that is twice (6, 6, 1); the weights of one query sum to 1",
        },
        otherwise=lambda guess: (
            "write down the four scores q · k_m first; the "
            "exponentials of the scores are in the ratio of the weights"
        ),
    ),
    "01.3": Question(
        (0, 0, 8),
        "red cannot fall below 0, so the distance is at least 8, and blue alone reaches 8",
        {
            (-8, 0, 8): "that is the wish itself; no weights from 0 to 1 can make its red part negative",
            (0, 0, 0): (
                "black is no blend of these four pixels: the weights sum to 1, so some light always comes out"
            ),
            (-4, 0, 8): "a blend of parts that are 0 or 8 has no negative part",
            (-8, 0, 0): "a blend of parts that are 0 or 8 has no negative part",
            (4, 0, 4): "half red and half blue is √(12² + 4²) = 12.6 away from the wish; there is a nearer one",
        },
        otherwise=lambda guess: blend_of_the_strip(*guess),
    ),
    "01.4": Question(
        "b",
        "each query still meets the same keys and values, in another order, and a sum has no order",
        {
            "a": (
                "the queries were shuffled as well: the answer belongs "
                "to the pixel that asked, wherever it now stands"
            ),
            "c": "which weight would change? A score q · k depends on two pixels, and not on where they stand",
        },
        otherwise=choice_of("a", "b", "c"),
    ),
    "01.E1a": Question(
        (6, 6, 1),
        "the query adds q · (10, -3) to all of its scores alike, and the softmax does not see that",
        {
            (16, 3, 1): (
                "the vector is added to the keys, which have two entries here, and the answer is made of values"
            ),
            (4, 4, 2): (
                "that would be all weights equal; compare the scores "
                "before and after: by how much does each one change?"
            ),
            (8, 8, 0): (
                "that would be all weight on the yellow pixel; compare the "
                "scores before and after: by how much does each one change?"
            ),
        },
        otherwise=lambda guess: "compare the four scores before and after: by how much does each one change?",
    ),
    "01.E1b": Question(
        (7, 7, 2),
        "the weights sum to 1, so the same colour added to all values is added once to the answer",
        {
            (6, 6, 1): "the weights stay, but the values are what is blended",
            (10, 10, 5): (
                "four pixels, each with (1, 1, 1) more: but each "
                "counts only with its weight, and the weights sum to 1"
            ),
        },
        otherwise=lambda guess: "Σ_m A_nm (v_m + c) = Σ_m A_nm v_m + c Σ_m A_nm; what is the last sum?",
    ),
    "01.E2": Question(
        25 / 28,
        "the scores double, so the ratio of the weights is squared: 1 : 1 : 1 : 25",
        {
            5 / 8: "that is the weight for the query (0, 1): doubled scores do change a softmax",
            10 / 8: "a weight above 1? The scores double, not the weights",
            10 / 13: (
                "the ratio 1 : 1 : 1 : 10 doubles the weight; doubling the "
                "score squares it, because the weight is an exponential"
            ),
            25: "25 is what the weight is in the ratio 1 : 1 : 1 : 25; divide by their sum",
            1: "nearly: a softmax never gives a weight of exactly 1",
        },
        otherwise=lambda guess: "the scores are (0, 0, 0, 2 · log 5): take exponentials, then divide by their sum",
        tolerance=2e-3,
    ),
    "01.E3b": Question(
        1 / 3,
        (
            "red, green and blue have equal keys, so they always weigh "
            "the same: at most a third each, when yellow weighs nothing"
        ),
        {
            1: "which query would do that? Red, green and blue have the same key, so no query tells them apart",
            0.25: (
                "that is the query (0, 0), all pixels alike; a query "
                "with a negative second entry makes yellow lighter"
            ),
            5 / 16: "that is the query (1, -1); go further in its direction",
            0.5: (
                "two pixels cannot share the weight: red, green and "
                "blue have the same key, so the three weigh the same"
            ),
            0.125: "that is the query (0, 1), which prefers yellow; turn its sign round",
            0: (
                "that is what a query (0, q1) with a very large q1 "
                "comes near to: the smallest weight, not the largest"
            ),
        },
        otherwise=lambda guess: (
            "red, green and blue have the same key, hence the same weight; how small can yellow's be?"
        ),
        tolerance=2e-3,
    ),
    "01.E4": Question(
        46,
        "128 · 8 · 46⁴ · 4 bytes = 17.1 GiB, and 45 gives 15.6",
        {
            45: "45⁴ · 4096 bytes are 15.6 GiB: just below",
            2048: "that is n, the number of pixels; H is its square root",
            2049: "that is n, the number of pixels; H is its square root",
            77: "were the eight heads forgotten? Each of them has a matrix of its own",
            76: "were the eight heads forgotten? Each of them has a matrix of its own",
            153: "were the 128 images forgotten? Each of them has its own matrices",
            152: "were the 128 images forgotten? Each of them has its own matrices",
            64: "four bytes per number: at 64 the matrices hold 16 Gi numbers, which are 64 GiB",
            65: "four bytes per number: 16 Gi numbers are 64 GiB",
        },
        otherwise=lambda guess: (
            f"at H = {guess:g} the matrices take 128 · 8 · H⁴ · 4 bytes = {4096 * guess**4 / 2**30:.3g} GiB"
        ),
    ),
}
