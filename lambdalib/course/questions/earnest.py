"""The questions of lesson 07b. Used by `check_answer`."""

from lambdalib.course.questions.question import Question, choice_of

__all__ = ["EARNEST_QUESTIONS"]


EARNEST_QUESTIONS = {
    "07b.2": Question(
        47,
        "27 steps before the disconnect, then steps 21 to 40: seven of them for the second time",
        {
            40: "so it would be if the state had been saved after step 27; nobody saved it there",
            67: "that is a run that starts at the beginning again: 27 + 40",
            27: "that is how many were done before the disconnect; the second part comes on top",
            20: "that is the part after the disconnect; count the steps before it, too",
            60: "seven steps after the saved one were also done before the disconnect",
            33: "7 is what is lost; it is done again, so it is added",
        },
        otherwise=lambda guess: "the state was saved after step 20: what is done before and after the disconnect?",
    ),
    "07b.6": Question(
        "norm",
        "a batch norm uses the mean and the variance of its batch, and here of half of it",
        {
            "convolution": "a convolution treats every image alone",
            "lambda": "a lambda summarises the pixels of one image, never those of another",
            "loss": "the loss is a mean over the images, and the mean of two equal halves is the mean of all",
        },
        otherwise=choice_of("convolution", "lambda", "norm", "loss"),
    ),
    "07b.8": Question(
        "whole",
        "all layers move a little from where CIFAR-10 left them, and that is much better than a fresh start",
        {
            "last": "many expect this with few images; the features of photographs are not enough for outlines",
            "scratch": "sixty steps are too few to learn all features from nothing",
        },
        otherwise=choice_of("scratch", "last", "whole"),
    ),
    "07b.E1": Question(
        220,
        "the end of epoch 2, step 780, was saved; 60 s later it would be step 1080, and that never came",
        {
            100: "the clock starts again at each save, also at the end of an epoch: it does not tick at step 900",
            300: "that is the most between two saves; the end of an epoch comes in between",
            1000: "a state was saved several times before; which save was the last?",
            780: "that is where the run goes on; how many steps after it are lost?",
            610: "390 was saved, but 780 too: 1000 − 780",
            310: "there was a save at about step 690, and a later one at 780",
        },
        otherwise=lambda guess: "find the last save before step 1000: the ends of epochs are at 390, 780, 1170",
    ),
    "07b.E2": Question(
        (0.6, 0.4),
        "the mean over 50 images is 30/50 of one mean plus 20/50 of the other",
        {
            (0.5, 0.5): "right for equal parts; here an image of the smaller part would count more",
            (0.4, 0.6): "the other way round: the larger part holds more images",
            (1, 1): "that is the gradient of the sum of two means, about twice as large",
            (30, 20): "the proportion is right; the two must sum to 1",
        },
        otherwise=lambda guess: "each image must count 1/50: a mean over 30 images gives each of them 1/30",
        tolerance=1e-3,
    ),
}
