"""The questions of lessons 05 and 05b. Used by `check_answer`."""

from lambdalib.course.questions.question import Question, choice_of

__all__ = ["COST_QUESTIONS"]


def orders_of(guess) -> str:
    """How many of three named orders are right, and what to compare."""
    orders = [str(order).lower() for order in guess]
    if isinstance(guess, str) or len(orders) != 3 or not set(orders) <= {"convolution", "lambda", "attention"}:
        return 'three names are asked for, each "convolution", "lambda" or "attention" (no tiles), as (a, b, c)'
    hits = sum(map(str.__eq__, orders, ("convolution", "attention", "lambda")))
    return (
        f"{hits} of the three are right; compare, for one query, r² · k · v + h · k · v (convolution), "
        "m · k · v + h · k · v (lambda) and m · h · (k + v) (attention), with v = d / h"
    )


COST_QUESTIONS = {
    "05.1": Question(
        120,
        "4 · 4 · 2 · 3 = 96 to make four lambdas, and 4 · 2 · 3 = 24 to apply each of them once",
        {
            96: (
                "4 · 4 · 2 · 3 = 96 makes the four lambdas; each query still has to be multiplied with its own "
                "(or did you count only 3 taps for each pixel? Here the zeros beyond them are multiplied too)"
            ),
            60: (
                "that makes the lambdas without the zeros beyond the taps, "
                "which are multiplied too; then each lambda has to be applied"
            ),
            84: (
                "that leaves out the zeros beyond the taps; here they "
                "are multiplied too: all 4 · 4 pairs of pixels count"
            ),
            24: "that applies them (or makes one of them); all four have to be made and applied",
            48: (
                "that would be one lambda for all four queries, as the "
                "palette is; here every pixel has a lambda of its own"
            ),
            80: (
                "that is what the scores need; count the products of E with V "
                "first: for each pair of pixels, 2 stencils times 3 colours"
            ),
            32: (
                "that is q · E, which makes the scores; begin with "
                "E · V: for each pair of pixels, 2 stencils times 3 colours"
            ),
        },
        otherwise=lambda guess: (
            "first E · V: for each of the 4 · 4 pairs of pixels, 2 stencils "
            "times 3 colours; then q · λ: for each of the 4 queries, 2 · 3"
        ),
    ),
    "05.5": Question(
        4,
        "k · v = 16 · 64 = 1024 numbers against h · m = 4 · 64 = 256, for each pixel",
        {
            0.25: "the other way round: a lambda has k · v = 1024 entries here, and there is one for every pixel",
            16: "were the heads forgotten? Each of the 4 heads has scores of its own, and v = d / h = 64",
            1: (
                "that is lambdas / dense E, which are equal here; the scores are "
                "h · n · m numbers, 4 · 64 for each pixel, and v = d / h = 64"
            ),
            64: (
                "were the heads forgotten twice? v = d / h = 64, not "
                "256, and each of the 4 heads has scores of its own"
            ),
        },
        otherwise=lambda guess: (
            "for each pixel: h rows of m weights on one side, one lambda of k · v entries on the other; v = d / h"
        ),
    ),
    "05.6": Question(
        0.5,
        "h / k = 8 / 16: there are b · h scores for each pair of pixels; E has k numbers and no batch",
        {
            2: "the other way round: h = 8 scores for each pair of pixels, k = 16 numbers in E",
            64: "that is the ratio for 128 images; the scores shrink with the batch, E does not",
            8: "that would be E with one number for each pair of pixels; it has k = 16",
            1: "for each pair of pixels there is one score for each of the h = 8 heads, and k = 16 numbers in E",
            0.25: "that would be 4 heads; the attention of this table has 8",
            8192: "from 128 images to one the scores shrink, so the ratio is divided by 128",
        },
        otherwise=lambda guess: (
            "how many numbers has each for one pair of pixels (n, m): b · h scores, k numbers in E"
        ),
        tolerance=1e-3,
    ),
    "05.E1": Question(
        327680,
        "256 · 8 · 32 = 65,536 to make it, and 4 · 256 · 8 · 32 = 262,144 to apply it to h · n queries",
        {
            65536: "the palette is made, but not yet applied: h · n queries, each k · v multiply-adds",
            262144: "it is applied, but was never made: m · k · v multiply-adds",
            131072: "each of the 4 heads has queries of its own: the second term is h · n · k · v",
            17039360: "the palette is made once for the whole image, not once for each of the 256 queries",
            1310720: "v is d / h = 32, not d = 128",
            2621440: "that is attention with one head: n · m · (k + v)",
            10485760: "that is attention, every pixel with every pixel: h · n · m · (k + v)",
        },
        otherwise=lambda guess: (
            "make it: m · k · v; apply it: h · n · k · v; with m = n = 256, k = 8, h = 4, v = 128 / 4"
        ),
    ),
    "05.E2": Question(
        64,
        "4 · 128 · 8 · 4096² bytes = 64 · 2³⁰",
        {
            8: "were the heads forgotten? Each of the 8 heads has scores of its own",
            16: "were the bytes forgotten? A float32 number takes 4 bytes",
            0.5: "that is one image; the batch has 128",
            68.7: "those are GB, 10⁹ bytes; a GiB has 2³⁰ bytes",
            1024: "a map of 64 × 64 has 4096 pixels, so 4096² pairs",
        },
        otherwise=lambda guess: "4 bytes · 128 images · 8 heads · n · m, with n = m = 64 · 64; then divide by 2³⁰",
        tolerance=2e-3,
    ),
    "05.E3": Question(
        ("convolution", "attention", "lambda"),
        "a small window on a large map; a small map with few heads; a small map with many heads under one lambda",
        {
            ("convolution", "convolution", "convolution"): (
                "the window is not always smaller than the map: 11² = 121 taps against 36 pixels"
            ),
            ("lambda", "lambda", "lambda"): (
                "lambdas win only if the window has more taps than "
                "the map has pixels, and h · (k + v) exceeds k · v"
            ),
            ("attention", "attention", "attention"): (
                "on the large map each query would meet 576 pixels where the window has 25"
            ),
            ("convolution", "attention", "attention"): (
                "two are right. The third has 32 heads of v = 2: h · (k + v) = 320 against k · v = 16"
            ),
            ("convolution", "attention", "convolution"): (
                "two are right. In the third the window has 121 taps, most of them beyond the border of 36 pixels"
            ),
            ("convolution", "convolution", "lambda"): (
                "two are right. The second: 25 taps times k · v = 256 "
                "are 6,400; 36 pixels times h · (k + v) = 80 are 2,880"
            ),
        },
        otherwise=orders_of,
    ),
    "05.E4": Question(
        8,
        "h = 8: v = 8, so k · v = 128 against h · (k + v) = 192; at h = 4 it is 256 against 128",
        {
            4: (
                "h = 4: v = 16, so the lambdas need k · v = 256 for "
                "each pair of pixels, the scores h · (k + v) = 128"
            ),
            16: "16 does it, but it is not the smallest",
            2: "h = 2: v = 32, so a pair of pixels costs k · v = 512 by lambdas, h · (k + v) = 96 by scores",
            1: "h = 1: v = 64, so a pair of pixels costs k · v = 1024 by lambdas, k + v = 80 by scores",
            32: "32 does it, but it is not the smallest",
            64: "64 does it, but it is not the smallest",
        },
        otherwise=lambda guess: "h has to divide 64; compare k · v with h · (k + v), with v = 64 / h",
    ),
    "05.E5": Question(
        15,
        "m = k · v / h = 9 · 100 / 4 = 225 = 15 × 15",
        {
            225: "that is the number of pixels, m; its side is asked",
            30: "were the heads forgotten? v = d / h = 100, and each of h = 4 heads has scores: m = k · v / h",
            60: "v = d / h = 100, and each of h = 4 heads has scores: m = k · v / h",
        },
        otherwise=lambda guess: (
            "for each query h · m scores, k · v numbers in the "
            "lambda: solve h · m = k · v for m, then take the root"
        ),
    ),
    # lesson 05b
    "05b.1": Question(
        100,
        "3 pixels of halo on each side: (3 + 4 + 3)² = 10² pixels",
        {
            10: "that is the side of the context; its pixels are asked",
            49: (
                "that is what one query meets; the other 15 queries of "
                "the tile stand elsewhere, and their windows with them"
            ),
            7: "that is the side of the window of one query; what do the queries in the tile's corners meet?",
            16: "that is the tile alone; a window reaches 3 pixels beyond it on each side",
            84: "that is the halo alone; the tile's own 16 pixels belong to the context too",
            121: "4 + 7 = 11 is too wide: a window of 7 reaches 3 pixels to each side of a query, so 3 + 4 + 3",
            324: "a window of 7 reaches 3 pixels to each side of a query, not 7: 3 + 4 + 3",
            64: (
                "a halo of 2 on each side is too narrow: a window of 7 has "
                "its query in the middle and reaches 3 pixels to each side"
            ),
            784: "each query meets 49 pixels, but 16 neighbours meet nearly the same ones: count each pixel once",
        },
        otherwise=lambda guess: (
            "a tile is 4 pixels wide, and a window of 7 reaches 3 pixels "
            "to each side of a query, also of one at the tile's edge"
        ),
    ),
    "05b.2": Question(
        "convolution",
        "26.2 + 2 · 64 · 0.131 = 43.0 million; the tiles come to 19.7 + 64 · 0.614 = 59.0",
        {
            "tiles": (
                "they have the fewest multiply-adds, but they make 614,400 "
                "numbers, and each of them costs as much as 64 multiply-adds"
            ),
            "lambda": "it makes as many lambdas as the convolution, which needs fewer multiply-adds",
            "attention": "it needs more multiply-adds than the tiles, and makes more numbers",
        },
        otherwise=choice_of("convolution", "lambda", "attention", "tiles"),
    ),
    "05b.E1": Question(
        (484, 7.5625),
        "the halo is 7, the tile 8, the context 8 + 2 · 7 = 22: 22² pixels, and 22² / 8² copies",
        {
            (22, 2.75): "those are sides; a context has 22² pixels, a tile 8²",
            (484, 2.75): "the first is right; the second is a ratio of sides, and copies go by pixels",
            (484, 64): "the first is right; 64 are the pixels of a tile, divide the context by it",
            (484, 30.25): "the first is right; how many pixels has a tile? Its side is 15 // 2 + 1",
            (225, 3.515625): "225 is the window of one query; the context is what all queries of a tile meet",
        },
        otherwise=lambda guess: (
            "the halo is 15 // 2 pixels, the tile one pixel wider, the context the tile with a halo on each side; "
            "copies are pixels of the context / pixels of the tile"
        ),
        tolerance=1e-3,
    ),
    "05b.E2": Question(
        5,
        "the convolution against the tiles, in millions: 44.0 against 41.9 at r = 3, 60.8 against 106.2 at r = 5",
        {
            9: "that is where it changes with u = 1; with u = 4 the tiles make four times as many scores",
            7: "at r = 7 it names the convolution, but this is not the smallest such r",
            3: "at r = 3 it still names the tiles",
            4: "r is odd",
        },
        otherwise=lambda guess: "call plan(1, 4, (32, 32), 16, 16, 4, (r, r)) for r = 3, 5, 7 and so on",
    ),
    "05b.E3": Question(
        45360,
        "b · h · n · r² · (k + v) = 2 · 3 · 35 · 9 · 24: scores, but only those of the window",
        {
            120120: ("those are the convolution's: mix the stencils with the query first, then read the pixels"),
            176400: "those are the attention order's: only the 9 pixels of the window should be met",
            20790: (
                "the counter saw only the kernels; weigh the neighbours with "
                "`@` or einsum, since it does not see `*` followed by a sum"
            ),
            24570: (
                "the counter saw only the weighing; mix the kernels with "
                "`@` or einsum, since it does not see `*` followed by a sum"
            ),
            110592: (
                "those are the multiply-adds of the library's tiles, 2 × 2 here: "
                "make the tile one pixel, so that nothing in it is empty"
            ),
            0: "the counter saw nothing: use `@` or einsum, since it does not see `*` followed by a sum",
            380380: (
                "those are the multiply-adds of the dense lambdas: mix the "
                "stencils with the query first, and read 9 pixels, not 35"
            ),
        },
        otherwise=lambda guess: (
            "45,360 are needed; the counter sees matrix products, "
            "einsum and convolutions, but not `*` followed by a sum"
        ),
    ),
}
