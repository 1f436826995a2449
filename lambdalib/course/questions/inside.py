"""The questions of lesson 08. Used by `check_answer`."""

from lambdalib.course.questions.question import Question, choice_of

__all__ = ["INSIDE_QUESTIONS"]


INSIDE_QUESTIONS = {
    "08.1": Question(
        0,
        "each column of soft keys sums to 1, so the weights sum to 1 − 1: the sum of the query",
        {
            1: "so it is in attention, where the softmax comes last; here the query multiplies after it",
            2: "each column sums to 1, but the second one is subtracted: the query is (1, −1)",
            -1: "and the first column? It comes in with the weight 1",
            4: "four weights, but they do not sum to one each: add up the columns of soft keys first",
        },
        otherwise=lambda guess: "weight m is q · σ_m; add these up over m, column by column",
    ),
    "08.2": Question(
        "more",
        "the trained palettes are closer to plain averages of the map than the untrained ones",
        {"fewer": "many expect sharp palettes; these keys learnt to be nearly equal everywhere"},
        otherwise=choice_of("more", "fewer"),
    ),
    "08.3": Question(
        1.6,
        "1.6 points on 10,000 test images: these models hardly use their steering",
        {
            0: "nearly: the loss is small, but it is there",
            14.1: "that is what the stencils are worth to it; the steering is worth less",
            80: "then it would guess blindly; the stencils and palettes are all still there",
        },
        otherwise=lambda guess: "less than you think" if float(guess) > 1.6 else "more than that, but not by much",
        tolerance=0.3,
    ),
    "08.E1": Question(
        (5, 5, -3, 25),
        "content (5, 5, 5, 9) plus position (0, 0, −8, 16)",
        {
            (5, 5, 5, 9): "that is the content row; the position row is still to be added",
            (0, 0, -8, 16): "that is the position row; the content row is still to be added",
            (5, 5, 13, 25): "the offset is flipped: pixel 2 is on the left of pixel 3, and left has the weight −1",
            (
                4,
                4,
                -12,
                20,
            ): "the two numbers of the query have changed places: (2, 1) is 2 for everybody and for me",
            (5, 5, 4, 11): "the position row is in ones, the content row in eighths: bring both to eighths",
        },
        otherwise=lambda guess: (
            "content is 2 · (2, 2, 2, 2) + (1, 1, 1, 5), position 2 for itself and −1 for its left neighbour"
        ),
    ),
    "08.E2": Question(
        (-2, 6, 9, 0),
        "5 units of yellow became 5 of red and 5 of green: another row, the same output",
        {
            (-7, 1, 9, 0): "the yellow is gone, and with it 5 units of red and of green in the output",
            (-12, -4, 9, 0): "the sign: yellow was taken away, so red and green must be added in its place",
            (-4.5, 3.5, 9, 0): "a unit of yellow is a whole unit of red and a whole unit of green",
            (-7, 1, 9, 5): "that is the row itself; its last number must be 0",
        },
        otherwise=lambda guess: (
            "yellow (8, 8, 0) is red (8, 0, 0) plus green (0, 8, 0): replace all 5 units of it"
        ),
    ),
    "08.E4": Question(
        (-1, 0),
        "red minus green is 0 in both palette colours, so it is 0 in all their mixtures",
        {
            (1, -4): "this reads 0 from the first colour, and 8 from the second",
            (1, -12): "this reads 0 from the second colour, and −16 from the first",
            (0, 0): "this reads the red: 4 from the first colour",
            (1, 0): "red plus green is 8 in the first colour; the two must cancel",
        },
        otherwise=lambda guess: (
            f"it reads {4 + 4 * guess[0] + 2 * guess[1]:g} from (4, 4, 2) and "
            f"{6 + 6 * guess[0] + guess[1]:g} from (6, 6, 1)"
        ),
    ),
    "08.E5": Question(
        (16, 49),
        "content is a product through k = 16 columns; every position row has its own embeddings",
        {
            (16, 16): "in the position matrix each row n has its own E_n, so it is no product through 16 columns",
            (49, 49): "content is Q σᵀ, a product of 49 × 16 and 16 × 49",
            (32, 49): "v = 32 is the depth of the values; the rank of Q σᵀ is limited by k",
            (16, 32): "the values are not in the matrix: v = 32 plays no part",
            (49, 16): "the other way round",
        },
        otherwise=lambda guess: (
            "what is the inner size of Q σᵀ? And does one such product give all position rows?"
        ),
    ),
}
