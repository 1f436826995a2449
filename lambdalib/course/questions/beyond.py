"""The questions of lesson 10. Used by `check_answer`."""

from lambdalib.course.questions.question import Question, choice_of

__all__ = ["BEYOND_QUESTIONS"]


BEYOND_QUESTIONS = {
    "10.1": Question(
        "slope",
        "taps after a softmax are positive, and a slope needs a negative one",
        {
            "blur": "three equal numbers before the softmax give it exactly",
            "centre": "one number far above the other two comes as close as you like",
        },
        otherwise=choice_of("blur", "centre", "slope"),
    ),
    "10.2a": Question(
        (8, 8, 0),
        "red plus green is yellow, a colour that nobody wrote",
        {
            (4, 4, 0): "that is the average; the sum has no rate in front",
            (0, 8, 0): "the sum takes nothing away, so red is still there",
            (8, 0, 0): "green was written under the same key, and is added",
        },
        otherwise=lambda guess: "the key (1, 0) reads row 0, to which both writes were added",
    ),
    "10.2b": Question(
        (0, 8, 0),
        "before green is written, the key reads red; so green minus red is written, and green is left",
        {
            (8, 8, 0): "that is the sum: the delta rule first takes away what the key reads already",
            (4, 4, 0): "that is a rate of one half, for the second write",
            (-8, 8, 0): "that is what is written; red stood there before, so add it",
        },
        otherwise=lambda guess: "write value minus reading: first red − 0, then green − red. Add the two",
    ),
    "10.3": Question(
        42,
        "after many orders the average hardly moves, so it knows little about the newest one",
        {
            70: "only if the row followed the newest order; an average weighs all orders alike",
            100: "30 % of the orders are a surprise to everybody",
            25: "so a blind guess would do; the average is a little better than that",
        },
        otherwise=lambda guess: (
            "it is less: old orders outweigh new ones more and more"
            if float(guess) > 42
            else "it is more: the newest order still counts a little, and guests stay for a while"
        ),
        tolerance=0.1,
    ),
    "10.E1": Question(
        (0, 8, 8),
        "blue replaced red in row 0, and green stands in row 1",
        {
            (8, 8, 8): "that is the sum; blue under the same key replaces red",
            (4, 8, 4): "that is an average of red and blue; with the rate 1 nothing of red is left",
            (0, 0, 8): "the query (1, 1) reads row 1, too, which holds green",
            (8, 8, 0): "the third write came under the key of red, and changed row 0",
            (0, 4, 4): "the query adds the two rows; it does not average them",
        },
        otherwise=lambda guess: "which colour is in row 0 after three writes, and which in row 1? Add them",
    ),
    "10.E2": Question(
        (0, 8, 0, 0, 0, 8),
        "green replaced red under its key, and blue under the other key is untouched",
        {
            (8, 8, 0, 0, 0, 8): "row 0 reads red plus green: what the key knows already was not taken away",
            (0, 8, 0, 0, 0, 0): "blue under the other key is gone: only the reading of this key may be taken away",
            (-8, 8, 0, 0, 0, 8): "red was taken away twice: was the whole memory replaced by the write?",
            (-8, 8, 0, 0, 0, 0): "the write replaced the memory; it must be added to it",
            (8, 0, 0, 0, 0, 8): "the second write under a key changed nothing: is the sign of the bracket right?",
            (16, 8, 0, 0, 0, 8): "what the key knows was added; it must be subtracted from the value",
            (0, 8, -8, 0, 0, 8): "all rows were summed in the reading; read with the key only",
        },
        otherwise=lambda guess: (
            f"row 0 must read (0, 8, 0) and row 1 (0, 0, 8); yours read {tuple(guess[:3])} and {tuple(guess[3:])}"
        ),
    ),
    "10.E3": Question(
        (5.12, 4.8, 0),
        "0.64 of red is left, and 0.6 of green leaks in: similar keys disturb each other",
        {
            (8, 0, 0): "the keys overlap: k₁ · k₂ = 0.6, so writing under k₂ changes what k₁ reads",
            (8, 4.8, 0): "that is the sum; the delta rule writes green minus 0.6 red",
            (0, 8, 0): "so k₂ reads; k₁ sees only 0.6 of what was written under k₂",
            (3.2, 4.8, 0): "0.6 of red was taken away whole, but k₁ sees only 0.6 of that",
        },
        otherwise=lambda guess: "k₁ reads red plus 0.6 times the second write, and that is green minus 0.6 red",
        tolerance=1e-3,
    ),
    "10.E4": Question(
        (1, 1 / 2, 1 / 3, 5 / 8),
        "each rate is the new weight's share of all the weight so far",
        {
            (1, 1, 1, 5): "these are the weights; a rate is the weight divided by all the weight so far",
            (
                1 / 8,
                1 / 8,
                1 / 8,
                5 / 8,
            ): "these are shares of the whole; each write sees the weight so far",
            (1, 1 / 2, 1 / 3, 1 / 4): "with these yellow would weigh no more than the others",
            (1, 1, 1, 1): "with these only yellow is left",
        },
        otherwise=lambda guess: "the weights so far add up to 1, 2, 3 and 8",
        tolerance=2e-3,
    ),
    "10.E5": Question(
        8,
        "k: a linear function of 8 numbers is fixed by 8 independent keys",
        {
            32: "v columns make each value longer; they do not make room for more values",
            256: "k · v numbers are stored, but a value has v of them",
            40: "k + v has no meaning here: count the independent keys",
            7: "with 8 keys at right angles, the eighth still has a direction of its own",
            9: "a ninth key in 8 dimensions is a combination of the others",
        },
        otherwise=lambda guess: "how many linearly independent keys are there in k dimensions?",
    ),
}
