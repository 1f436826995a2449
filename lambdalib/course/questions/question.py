"""What a question knows: its answer, and the wrong answers that readers give most. Used by the files beside it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Question", "choice_of", "matches"]


@dataclass(frozen=True)
class Question:
    """An answer, the words for a right guess, and the words for the wrong guesses that name their own mistake.

    Args:
        answer: a number, a word, a tuple of numbers or words, or a frozenset for which order does not count.
        because: what a right guess is told.
        mistakes: wrong guess -> what it is told.
        otherwise: guess -> what any other wrong guess is told.
        tolerance: relative and absolute, for every number.
    """

    answer: Any
    because: str
    mistakes: dict
    otherwise: Callable[[Any], str] = lambda guess: (
        "it is not one of the usual slips: work the smallest case by hand"
    )
    tolerance: float = 1e-6


def choice_of(*words: str) -> Callable[[Any], str]:
    """The hint that names the words to choose from, as the `otherwise` of a question."""
    *first, last = (f'"{word}"' for word in words)
    return lambda guess: f"the answer is one of {', '.join(first)} and {last}"


def matches(guess, answer, tolerance: float) -> bool:
    """Equal within the tolerance, number by number; a set is compared as a set, words without regard to case.

    Args:
        guess: what the learner wrote.
        answer: a number, a word, a tuple, or a set, as in a question.
        tolerance: relative and absolute.
    """
    if isinstance(answer, (set, frozenset)):
        return isinstance(guess, (set, frozenset, tuple, list)) and set(guess) == answer
    if isinstance(answer, (tuple, list)) or isinstance(guess, (tuple, list)):
        if not (
            isinstance(guess, (tuple, list)) and isinstance(answer, (tuple, list)) and len(guess) == len(answer)
        ):
            return False
        return all(matches(g, a, tolerance) for g, a in zip(guess, answer))
    if isinstance(answer, str) and isinstance(guess, str):
        return guess.strip(" ()").lower() == answer
    if isinstance(answer, (bool, str)) or isinstance(guess, bool):
        return type(guess) is type(answer) and guess == answer
    try:
        return math.isclose(float(guess), float(answer), rel_tol=tolerance, abs_tol=tolerance)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # no number, or one like 10**400
        return False
