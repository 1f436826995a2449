"""Every question knows its answer and the usual wrong ones, each with words of its own; each guess a verdict."""

import numpy as np
import pytest
import torch

from lambdalib.course.questions import LESSONS, QUESTIONS, check_answer, revealed


@pytest.mark.parametrize("number", QUESTIONS)
def test_questions(number):
    question = QUESTIONS[number]
    assert check_answer(number, None).ok is None
    verdict = check_answer(number, question.answer)
    assert verdict.ok is True and verdict.message == question.because
    for mistake, message in question.mistakes.items():
        verdict = check_answer(number, mistake)
        assert verdict.ok is False and verdict.message == message
    assert check_answer(number, "no such answer").ok is False
    assert check_answer(number, -987.25).ok is False


def test_answers_in_other_clothes():
    assert check_answer("03.E1", [8.0, -8.0, 0.0]).ok and check_answer("03.E1", torch.tensor([8, -8, 0])).ok
    assert check_answer("03.3b", [11, 0, 1]).ok and check_answer("03.3b", {0, 1, 11}).ok
    assert check_answer("03.3c", "(B)").ok and check_answer("03.E4c", "Impossible").ok
    assert check_answer("03.E2", "392").ok, "a number in quotes is the number"
    assert "1 column(s) missing, 1 too many" in check_answer("03.3b", (0, 2, 11)).message
    assert "kernel (-0.5, 2, 0.5)" in check_answer("03.E4b", (2, 0.5)).message
    assert "not of the form" in check_answer("03.E4b", (1, 2, 3)).message
    assert "no question" in check_answer("99.9", 1).message


@pytest.mark.parametrize(
    "number, guess, message",
    [
        ("01.3", (0, 0, 4), "it is no blend"),
        ("01.3", (0, 8, 8), "it is no blend"),
        ("01.3", (2, 2, 4), "is 11; there is a nearer blend"),
        ("01.3", (8, 8, 0), "there is a nearer blend"),
        ("02.E2", (1, -1), "gets (-2, -2, 1)"),
        ("02.E5", 0.43, "three decimals"),
    ],
)
def test_an_unusual_guess_is_told_what_it_is(number, guess, message):
    verdict = check_answer(number, guess)
    assert verdict.ok is False and message in verdict.message, verdict


def test_no_question_is_asked_twice():
    assert len(QUESTIONS) == sum(map(len, LESSONS))


ODD = {
    "too large a number": 10**400,
    "too large a number to be written": 10**5000,
    "a word": "sixteen",
    "a dict": {"n": 16},
    "a function": len,
    "lists of unequal length": [[1, 2], [3]],
    "a set": {1, 2},
    "not a number": float("nan"),
    "a tensor without numbers": torch.ones(3, device="meta"),
    "tensors without numbers": [torch.ones((), device="meta")] * 3,
    "complex numbers": torch.ones(3, dtype=torch.complex64),
    "an array of words": np.array(["a", "b"]),
}


@pytest.mark.parametrize("number", ["00.1", "01.1", "03.3b", "03.3c", "05.E3"])
@pytest.mark.parametrize("guess", ODD.values(), ids=ODD)
def test_no_guess_raises(number, guess):
    verdict = check_answer(number, guess)
    assert verdict.ok is False and verdict.message


def test_a_number_that_is_too_large_is_not_it():
    assert "is not it" in check_answer("00.1", 10**400).message


def test_tensors_and_arrays_are_guesses_too():
    assert check_answer("01.1", np.array([6, 6, 1])).ok and check_answer("00.1", np.float32(16)).ok
    assert check_answer("01.1", torch.tensor([6.0, 6.0, 1.0]).to_sparse()).ok
    assert check_answer("01.1", torch.tensor([6.0, 6.0, 1.0], requires_grad=True)).ok
    assert "device meta" in check_answer("01.1", torch.ones(3, device="meta")).message
    assert "real numbers" in check_answer("01.1", torch.ones(3, dtype=torch.complex64)).message


def test_a_choice_names_what_can_be_chosen():
    assert check_answer("01.4", "e").message == '\'e\' is not it: the answer is one of "a", "b" and "c"'


def test_an_answer_is_revealed_once_there_is_a_guess(capsys):
    for open_guess in (None, (None, 1), (None, None)):
        assert revealed(open_guess) is False and capsys.readouterr().out == "Guess first.\n"
        assert check_answer("00.2", open_guess).ok is None
    for guess in (0, False, "", (6, 6, 1), torch.zeros(2), np.zeros(2), float("nan")):
        assert revealed(guess) is True and capsys.readouterr().out == ""
