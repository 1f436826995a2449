"""The lessons' questions: a guess is compared with the answer, and with the wrong answers that readers give most.

Taught in notebooks/00_start_here.
"""

import numpy as np
from torch import Tensor

from lambdalib.course.questions.attention import ATTENTION_QUESTIONS
from lambdalib.course.questions.beyond import BEYOND_QUESTIONS
from lambdalib.course.questions.cost import COST_QUESTIONS
from lambdalib.course.questions.earnest import EARNEST_QUESTIONS
from lambdalib.course.questions.inside import INSIDE_QUESTIONS
from lambdalib.course.questions.lambdas import LAMBDA_QUESTIONS
from lambdalib.course.questions.layer import LAYER_QUESTIONS
from lambdalib.course.questions.nets import NET_QUESTIONS
from lambdalib.course.questions.question import matches
from lambdalib.course.questions.results import RESULT_QUESTIONS
from lambdalib.course.verdict import NOT_ATTEMPTED, Verdict, never_raises, numbers, right, unanswered, wrong

__all__ = ["check_answer", "revealed"]

LESSONS = (
    ATTENTION_QUESTIONS,
    LAMBDA_QUESTIONS,
    LAYER_QUESTIONS,
    COST_QUESTIONS,
    NET_QUESTIONS,
    EARNEST_QUESTIONS,
    INSIDE_QUESTIONS,
    RESULT_QUESTIONS,
    BEYOND_QUESTIONS,
)
QUESTIONS = {number: question for lesson in LESSONS for number, question in lesson.items()}


@never_raises
def check_answer(question: str, guess) -> Verdict:
    """Compare a guess with the answer to a question of the lessons; a None in it is no guess yet.

    Taught in notebooks/00_start_here.

    Args:
        question: its number, such as "03.2".
        guess: a number, a word, or a sequence of them.
    """
    if question not in QUESTIONS:
        return wrong(f"there is no question {question!r}; there are {', '.join(sorted(QUESTIONS))}")
    if unanswered(guess):
        return NOT_ATTEMPTED
    if isinstance(guess, (Tensor, np.ndarray)):
        guess = numbers(guess).tolist()
    known = QUESTIONS[question]
    if matches(guess, known.answer, known.tolerance):
        return right(known.because)
    for mistake, message in known.mistakes.items():
        if matches(guess, mistake, known.tolerance):
            return wrong(message)
    try:
        return wrong(f"{guess!r} is not it: {known.otherwise(guess)}")
    except Exception:  # the guess is of another kind than the hint expects  # noqa: BLE001
        return wrong(f"{guess!r} is not it, and not of the form that is asked for")


def revealed(guess) -> bool:
    """Whether an answer may be shown: True once there is a guess, else False, and "Guess first." is printed.

    Used by the cells titled "Reveal", which follow each guess: `if revealed(guess): print(...)`.
    """
    if unanswered(guess):
        print("Guess first.")
        return False
    return True
