"""The questions of lesson 06. Used by `check_answer`."""

from lambdalib.course.questions.question import Question

__all__ = ["NET_QUESTIONS"]


NET_QUESTIONS = {
    "06.1": Question(
        "c5",
        (
            "the convolution has 9·d² weights, and d is largest in "
            "the last stage: three layers there save 6.7 million"
        ),
        {
            "c2": (
                "that is where the map is largest, but the size of the map is no factor of the number of weights"
            ),
            "c3": "a convolution has 9·d² weights: does a stage with a larger d follow?",
            "c4": "the most layers, six, and second best: but d is twice as large in c5, and d counts squared",
        },
        otherwise=lambda guess: 'one of the four stages, in quotes: "c2", "c3", "c4" or "c5"',
    ),
    "06.2": Question(
        frozenset({"c2", "c3"}),
        "there the map is large and d small: 529 taps cost more than the 9·d² per pixel of a narrow convolution",
        {
            ("c2", "c3", "c4", "c5"): (
                "in all four? A convolution costs 9·d² per pixel, and d is 256 and 512 in the last two stages"
            ),
            (): (
                "in none? Per pixel a convolution costs 9·d², with "
                "d = 64 in the first stage, where a window has 529 taps"
            ),
            ("c2",): (
                "c2, but not only: in c3 a pixel still costs 529·k·v = 271 thousand against "
                "9·128² = 147 thousand, and its first layer works on the 56 × 56 map"
            ),
            ("c2", "c3", "c4"): (
                "c2 and c3, yes; but in c4 a convolution costs 9 · 256² "
                "per pixel, and the map is small enough for a cheaper order"
            ),
            ("c3",): (
                "c3, but not only: in c2 every layer works on the 56 × 56 "
                "map, and the convolution costs only 9 · 64² per pixel"
            ),
            ("c4", "c5"): (
                "those are the wide stages, where a convolution is dear; the large maps are at the other end"
            ),
            ("c5",): "the last stage has the smallest map and the dearest convolutions",
        },
        otherwise=lambda guess: (
            'a tuple of stages such as ("c4", "c5"), or (): compare '
            "9·d² per pixel with 529 taps per value and key channel"
        ),
    ),
    "06.3": Question(
        225,
        "offsets go from -7 to 7 on each axis: 15 × 15",
        {
            529: "the window has 529 taps, but which query has a pixel 11 places to its right on a map of 8?",
            64: (
                "64 pixels are seen by each query, but not all at the "
                "same offsets: the query in the corner looks the other way"
            ),
            256: "16 × 16? From -7 to 7 there are 15 offsets, 0 included",
            289: "from -8 to 8? Two pixels of a row of 8 are at most 7 apart",
            15: "that is one axis; the table has two",
            49: "7 offsets to the right, but also 7 to the left, and 0",
        },
        otherwise=lambda guess: "which offsets exist between two pixels of one row of 8?",
    ),
    "06.4": Question(
        0,
        "none: CCCL comes nearest, 7160 examples per second against 7240",
        {
            7: "all seven have fewer parameters, but parameters take no time",
            2: (
                "CCLL and CCCL do need fewer multiply-adds, but multiply-adds are "
                "not seconds: compare 4980 and 7160 with 7240 examples per second"
            ),
            1: "CCCL comes nearest, but stays behind: 7160 examples per second against 7240",
        },
        otherwise=lambda guess: (
            "a number from 0 to 7; only two of the seven need fewer "
            "multiply-adds than the plain model, so more than two would be strange"
        ),
    ),
    "06.E1": Question(
        3968,
        "48·(32 + 16 + 24) + 2·(32 + 24) + 8·2·25 = 3456 + 112 + 400",
        {
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
        },
        otherwise=lambda guess: (
            "three parts: 48 times the channels of queries, keys "
            "and values; two per channel of the two norms; the table"
        ),
    ),
    "06.E2a": Question(
        0,
        "with r = 7 every stage costs less than its convolutions: 41, 46, 23 and 12 million against 75 each",
        {
            2: "that was ImageNet with r = 23; here the window has 49 taps",
            4: "the other way round: count the stages in which the lambda layers need *more*",
        },
        otherwise=lambda guess: (
            "a number from 0 to 4: compare the second columns of "
            "`stage_costs((2, 2, 2, 2), ..., 32, r=7)` for CCCC and LLLL"
        ),
    ),
    "06.E2b": Question(
        2,
        (
            "u = 4 costs most where maps are large: in c2 and c3 "
            "the convolutions need less; c4 and c5 compute scores first"
        ),
        {
            0: "that is the answer for u = 1; u = 4 multiplies the work of making the position lambdas by four",
            3: "c4 is just cheaper: 72 million against 75",
            4: "c4 and c5 are still cheaper: 72 and 38 million against 75",
        },
        otherwise=lambda guess: (
            "a number from 0 to 4: ask `stage_costs` with u=4, r=7 and compare the second column with that of CCCC"
        ),
    ),
    "06.E5": Question(
        40,
        "at d = 36 the layer still has 150 parameters more, at d = 40 it has 2,188 fewer",
        {
            36: "nearly: with 36 channels the convolution has 11,664 weights, the layer 150 more",
            16: "that is the answer for r = 7, or for a table of r · k entries; at r = 23 it has 16 · 529",
            32: "at d = 32 the layer has 2,208 parameters more",
            64: "at 64 the swap saves 22,096, but it starts to save earlier",
            4: "at d = 4 a convolution has 144 weights, and the table alone 8,464",
            44: "it saves at 44, but it starts to save earlier",
        },
        otherwise=lambda guess: (
            "solve 9·d² = d·(64 + 16 + d/4) + 2·(64 + d/4) + 16·529 for d, then go up to the next multiple of 4"
        ),
    ),
}
