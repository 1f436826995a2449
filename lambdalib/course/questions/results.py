"""The questions of lessons 07, 09 and 09b. Used by `check_answer`."""

from lambdalib.course.questions.question import Question, choice_of

__all__ = ["RESULT_QUESTIONS"]


RESULT_QUESTIONS = {
    # lesson 07
    "07.4": Question(
        2.302585,
        "-ln(1/10) = ln 10: each of the ten classes gets a probability of 1/10",
        {
            0.1: "1/10 is the probability of the right class; the loss is minus its logarithm",
            0.9: (
                "9/10 is the share of wrong answers; the loss is "
                "minus the logarithm of the right class's probability"
            ),
            1: "that is the logarithm to base 10; the loss takes the natural one",
            3.321928: "that is the logarithm to base 2; the loss takes the natural one",
            10: "10 is one over the probability of the right class; take the logarithm",
            0: (
                "0 is the loss of a model that is certain and right; "
                "this one gives each class the same probability"
            ),
            -2.302585: "a sign: the logarithm of 1/10 is negative, the loss is minus that",
        },
        otherwise=lambda guess: (
            "what probability does the softmax of ten equal logits "
            "give to the right class? Take minus its natural logarithm"
        ),
        tolerance=5e-3,
    ),
    "07.5": Question(
        "a",
        (
            "small stencils alone keep the loss finite, but it "
            "stays at ln 10: nothing explodes, and nothing is learnt"
        ),
        {
            "b": (
                "the other way round: the small start is safe but "
                "stays at ln 10, while with norms even N(0, 1) learns"
            ),
            "c": "either ends the explosion, but to be finite is not yet to learn: one of the two stays at ln 10",
            "d": "one of them is enough in these sixty steps",
        },
        otherwise=choice_of("a", "b", "c", "d"),
    ),
    "07.6": Question(
        8,
        (
            "step 7 has the same weights and images, so its loss agrees; "
            "its update lacks momentum and schedule, and step 8 shows it"
        ),
        {
            7: (
                "the loss of step 7 is measured before its update, with the "
                "weights that were saved and the images that the step number gives"
            ),
            12: "the run ends with step 11; what else does an update use besides the weights and the gradient?",
            0: "steps 0 to 6 were done before the stop",
            6: "step 6 was done before the stop",
            "never": (
                "what does an update use besides the weights and the "
                "gradient? Momentum and a learning rate from a schedule"
            ),
        },
        otherwise=lambda guess: (
            "follow the run from step 7 on: what does the loss of a step depend on, and what its update?"
        ),
    ),
    "07.7": Question(
        "d",
        "the average gains 1.9 ± 1.1 points; label smoothing and shifts change nothing that three seeds can show",
        {
            "a": "a common belief; here label smoothing changes nothing that three seeds can show",
            "b": "ten epochs are too few to learn images by heart, so the size of the shifts hardly matters",
            "c": "second best: its interval still contains 0",
        },
        otherwise=choice_of("a", "b", "c", "d"),
    ),
    "07.E1": Question(
        4.605170,
        "ln 100: each class gets a probability of 1/100",
        {
            2.302585: "that is ln 10, for ten classes",
            23.02585: "ten times ln 10; the logarithm of ten times as many classes is only ln 10 more",
            0.01: "1/100 is the probability of the right class; the loss is minus its logarithm",
            0.99: "99/100 is the share of wrong answers",
            2: "that is the logarithm to base 10; the loss takes the natural one",
            6.643856: "that is the logarithm to base 2; the loss takes the natural one",
            100: "100 is one over the probability; take the logarithm",
        },
        otherwise=lambda guess: "the same as with ten classes, but each now gets a probability of 1/100",
        tolerance=5e-3,
    ),
    "07.E2": Question(
        0.866894,
        "the entropy of the target: 0.163 from the right class, 0.704 from the nine others",
        {
            0: (
                "the model would have to be certain; then the nine others, "
                "whose targets are 0.02, would cost infinitely much"
            ),
            0.162730: "that is the term of the right class; nine others with a target of 0.02 each are missing",
            0.198451: "0.198 is -ln 0.82: the weight 0.82 before it is missing, and so are the nine other classes",
            0.223144: (
                "0.223 is -ln 0.8: the target of the right class is 0.8 + 0.02, and the nine others count too"
            ),
            0.704164: "that is the term of the nine others; the right class is missing",
            0.240971: "that is one class of 0.82 and one of 0.02; there are nine of the latter",
            2.302585: "that is where it starts, with equal logits",
        },
        otherwise=lambda guess: "add -t ln t over the ten classes: once with t = 0.82, nine times with t = 0.02",
        tolerance=5e-3,
    ),
    "07.E3a": Question(
        "b",
        (
            "the test accuracy sits at 10 % with almost no scatter, "
            "and the loss settles near ln 10 after an explosion"
        ),
        {
            "a": (
                "a model that learns slowly has a loss that falls below ln 10; "
                "this one settles there, at the loss of a model that says nothing"
            ),
            "c": (
                "random guesses scatter: their standard deviation on 10,000 "
                "images is 0.3 points; these lie within 0.2 of each other"
            ),
            "d": "then the training loss would be near 0; it is near ln 10",
        },
        otherwise=choice_of("a", "b", "c", "d"),
    ),
    "07.E3b": Question(
        "d",
        "99.5 % of the images that it has seen, 72 % of those that it has not",
        {
            "a": "it is right on 99.5 % of its training images: there is hardly anything left to learn from them",
            "b": "one answer to all images would give 10 %",
            "c": "guessing at random would give about 10 %",
        },
        otherwise=choice_of("a", "b", "c", "d"),
    ),
    "07.E6": Question(
        0.45,
        "the largest of 50 normal draws lies 2.25 standard deviations above the mean",
        {
            0: "it does not average out: the maximum is taken, and that is never below the mean of the 50",
            0.2: (
                "one standard deviation above the mean is reached "
                "by one epoch in six; the best of 50 is further out"
            ),
            10: "50 · 0.2: the draws are not added, the largest is taken",
            1.414: "√50 · 0.2 is the scatter of a sum; the largest of the draws is taken",
            0.6: (
                "that is about three standard deviations; the best of "
                "50 does not get so far on average, the best of 500 does"
            ),
            2.25: "that is the number of standard deviations; one of them is 0.2 points",
        },
        otherwise=lambda guess: (
            "how many standard deviations above the mean is the "
            "largest of 50 normal draws? Try it with torch.randn"
        ),
        tolerance=0.05,
    ),
    # lesson 09
    "09.1": Question(
        (0.3, 9.6),
        (
            "78.4 - 78.1 and 78.4 - 68.8: almost all of it survives "
            "without the palettes, and much is lost without the stencils"
        ),
        {
            (9.6, 0.3): (
                "the other way round: that is what the name of the paper suggests, and not what its table says"
            ),
            (78.1, 68.8): "those are the accuracies that are left; the question asks how many points are lost",
            (68.8, 78.1): "those would be the accuracies that are left, and the other way round",
        },
        otherwise=lambda guess: (
            ("you expect the palettes to be worth more than the stencils; the paper's table says 0.3 and 9.6")
            if guess[0] > guess[1]
            else (
                "you expect the stencils to be worth more than the "
                "palettes, and so it is: the paper's table says 0.3 and 9.6"
            )
        ),
        tolerance=0.1,
    ),
    "09.3": Question(
        "a",
        "it loses nothing significant, and its mean is even a little higher",
        {
            "b": "one would think so, but the interval of the difference contains 0",
            "c": "a layer that looks at no other pixel should be lost, but other parts of the model look",
        },
        otherwise=choice_of("a", "b", "c"),
    ),
    "09.6": Question(
        1,
        "only k = 64, by a little more than its interval; and k = 4, the other way, is nearly as good",
        {
            0: "one of the five lies outside its interval, if only by a little",
            2: "the second best, k = 4, is still inside its interval",
            5: "that would be all of them; most intervals contain 0",
            6: "that is all six sizes, u = 4 among them; the question asks about the other five",
        },
        otherwise=lambda guess: "a whole number from 0 to 5: how many of the five intervals do not contain 0?",
    ),
    "09.6b": Question(
        "c",
        "a third of a point: the largest of six gains was a lucky one, or the layer only learned sooner",
        {
            "a": "it was the largest of six gains, and the largest is often a lucky one; less is left",
            "b": "on the validation images it was half a point, and after 48 epochs even less is left",
        },
        otherwise=choice_of("a", "b", "c"),
    ),
    "09.7": Question(
        "c",
        (
            "it loses about ten points: where nothing else lets distant pixels "
            "meet, the stencils carry the model, as they carry the paper's"
        ),
        {
            "a": (
                "that was with convolutions in front; here nothing else looks "
                "at distant pixels, and the stencils' work is left undone"
            ),
            "b": "more than that: a palette knows what is in the image, but not what lies beside what",
        },
        otherwise=choice_of("a", "b", "c"),
    ),
    "09.9": Question(
        "c",
        "without its palettes this model falls by far more than 20 points, as it does without its stencils",
        {
            "a": (
                "that is what the paper's ResNet lost when it was trained "
                "again without palettes; this model is not trained again"
            ),
            "b": "it loses far more: the model was trained with both halves, and is not trained again without one",
        },
        otherwise=choice_of("a", "b", "c"),
    ),
    "09b.3": Question(
        1.4,
        "28 pairs, and one in twenty of them lies outside by chance: 28 / 20",
        {
            0: "each interval misses in 5 of 100 cases, and there are 28 of them",
            1: "nearly; each of the 28 pairs misses in 5 of 100 cases",
            28: "that would be all pairs; an interval misses in 5 of 100 cases only",
            0.4: "8 / 20 counts layers; 8 layers make 28 pairs",
            3.2: "8 · 8 / 20 counts each pair twice, and each layer against itself",
            2.8: "8 · 7 / 20 counts each pair twice",
        },
        otherwise=lambda guess: "how many pairs do 8 layers make, and how often does a 95 % interval miss?",
        tolerance=0.05,
    ),
    "09b.E4": Question(
        250_000,
        "the error falls with the root of the number of images: five times narrower needs 25 times as many",
        {
            50_000: "five times the images make the interval √5 = 2.2 times narrower",
            22_361: "√5 times the images; it is the other way round, 5² times",
            2_000: "fewer images make the interval wider",
            1_250_000: "125 times is too many; the error falls with the root, so 5² times",
        },
        otherwise=lambda guess: "the standard error has the number of images under a root",
    ),
    "09.E6": Question(
        0.558,
        "ln 4 / ln 12: factors multiply, so their logarithms add",
        {
            0.333: "4 / 12: factors multiply, so compare their logarithms",
            0.571: "4 / 7 adds the factors; 3 · 4 is 12, so add logarithms",
            0.442: "that is the share of the first change, ln 3 / ln 12",
            0.75: "3 / 4 compares the two factors; the share is one of the logarithm of 12",
        },
        otherwise=lambda guess: "the logarithm of 4, divided by the logarithm of 12",
        tolerance=5e-3,
    ),
    "09.E1": Question(
        (0.255, 0.361),
        "√(0.93 · 0.07 / 10,000) = 0.00255, and √2 times as much for a difference",
        {
            (2.55, 3.61): (
                "ten times too much: the root is of p (1 - p) / n with p = 0.93 and n = 10,000, and then times 100"
            ),
            (0.00255, 0.00361): "right as shares; in points they are 100 times as large",
            (0.114, 0.161): "that is with 50,000 images; CIFAR-10 has 10,000 to test on",
            (0.255, 0.51): (
                "the error of the one is right; errors of independent numbers "
                "add as squares, so the difference has √2 times as much"
            ),
            (0.255, 0.255): "the error of the one is right; a difference has the chance of both numbers in it",
            (0.255, 0): "the error of the one is right; a difference has the chance of both numbers in it",
            (1.14, 1.61): "that is on 500 images",
        },
        otherwise=lambda guess: (
            "100 · √(p (1 - p) / n) points with p = 0.93 and "
            "n = 10,000; a difference has the squares of both in it"
        ),
        tolerance=2e-2,
    ),
    "09.E2": Question(
        (4.24, 1.26),
        "30 / √50 and 30 / √570: the same 30 images, among few flips and among many",
        {
            (1.26, 4.24): "the other way round: (a) has 50 flips in all, (b) has 570",
            (0.83, 0.83): (
                "the same gap is not the same evidence: count the flips, not the images on which both models agree"
            ),
            (0.6, 0.0526): "the root is missing: (40 - 10) / √(40 + 10)",
            (18, 1.58): "those are the squares, the chi-squares of the books; the question asks for z",
            (30, 30): "those are the differences; divide each by its standard deviation",
        },
        otherwise=lambda guess: "z = (a - b) / √(a + b), once with 40 and 10, once with 300 and 270",
        tolerance=4e-2,
    ),
    "09.E4": Question(
        "b",
        (
            "convolutions before and between the content layers see neighbours, "
            "so shape reaches the layer inside each pixel's features"
        ),
        {
            "a": (
                "a content layer cannot tell an image from its confetti, but "
                "the model is more than that layer: what has made its features?"
            ),
            "c": (
                "a softmax over positions weighs pixels by what they hold; "
                "shuffle them, and the weights are shuffled with them"
            ),
            "d": "a norm treats all positions alike; it knows nothing of where they are",
        },
        otherwise=choice_of("a", "b", "c", "d"),
    ),
    "09.E5": Question(
        (4, 676),
        "one kernel of 13 × 13 = 169 taps for each of 4 heads; the 32 value channels share it",
        {
            (128, 21632): (
                "a kernel for each channel would be a full depthwise "
                "convolution; here the channels of a head share one"
            ),
            (16, 2704): (
                "those are the k = 16 stencils; with fixed queries "
                "they are mixed once, into one kernel for each head"
            ),
            (4, 36): (
                "the heads are right; but these stencils cover the "
                "whole map: every offset from -6 to 6 in both directions"
            ),
            (4, 196): (
                "the heads are right; offsets on a map of 7 × 7 go from -6 to 6, so a kernel has 13 × 13 taps"
            ),
            (1, 169): "each head has a query of its own, and so a kernel of its own",
            (4, 2768): "those are the numbers that are learned, 16 · 169 + 4 · 16; once trained, fewer will do",
            (4, 169): "169 taps for each of them",
        },
        otherwise=lambda guess: (
            "κ_h = Σ_k q_hk T_k: how many values has h, and how many "
            "offsets are there between two pixels of a 7 × 7 map?"
        ),
    ),
}
