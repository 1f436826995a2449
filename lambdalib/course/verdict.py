"""What every check has to say, and how it takes in a learner's value. Used by `checks` and `questions`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from html import escape

import torch
from torch import Tensor

__all__ = [
    "NOT_ATTEMPTED",
    "Refused",
    "Verdict",
    "Verdicts",
    "never_raises",
    "numbers",
    "right",
    "unanswered",
    "words_of",
    "wrong",
]

LOOKS = {  # icon, word, and the red, green and blue of the edge (Okabe and Ito's colours, safe for all eyes)
    True: ("✓", "Right", "0, 158, 115"),
    False: ("✗", "Not yet", "213, 94, 0"),
    None: ("·", "Open", "140, 140, 140"),
}


@dataclass(frozen=True)
class Verdict:
    """What a check has to say. A notebook shows it as a coloured box, `print` as plain text.

    Args:
        ok: True, False, or None for an exercise that was not tried yet.
        message: a sentence.
        detail: lines of text in columns, such as numbers side by side; they are never wrapped.
    """

    ok: bool | None
    message: str
    detail: str = ""

    def __repr__(self) -> str:
        detail = f"\n{self.detail}" if self.detail else ""
        return f"{LOOKS[self.ok][0]} {self.message}{detail}"

    def _repr_html_(self) -> str:
        """The box. The theme chooses the text's colour; the tint is thin, so it fits light and dark pages."""
        icon, word, colour = LOOKS[self.ok]
        box = f"border-left: 4px solid rgb({colour}); background: rgba({colour}, 0.1); color: inherit"
        text = "padding: 0.4em 0.8em; margin: 0.3em 0; max-width: 50em; line-height: 1.5; overflow-wrap: anywhere"
        columns = "margin: 0.4em 0 0; padding: 0; background: none; color: inherit; overflow: auto"
        columns += "; font-family: monospace; white-space: pre"
        detail = f'<pre style="{columns}">{escape(self.detail)}</pre>' if self.detail else ""
        return f'<div style="{box}; {text}"><b>{icon} {word}</b>&ensp;{escape(self.message)}{detail}</div>'


class Verdicts(tuple):
    """Several verdicts, shown one below the other: `Verdicts(check_close(a, b), check_answer("01.E2", guess))`.

    `ok` is True if all are right, False if one is wrong, else None.
    """

    def __new__(cls, *verdicts: Verdict):
        return super().__new__(cls, verdicts)

    @property
    def ok(self) -> bool | None:
        each = [verdict.ok for verdict in self]
        return False if False in each else None if None in each else True

    def __repr__(self) -> str:
        return "\n".join(map(repr, self))

    def _repr_html_(self) -> str:
        return "".join(verdict._repr_html_() for verdict in self)


def right(message: str) -> Verdict:
    """The verdict on a right answer."""
    return Verdict(True, message)


def wrong(message: str, detail: str = "") -> Verdict:
    """The verdict on a wrong answer."""
    return Verdict(False, message, detail)


NOT_ATTEMPTED = Verdict(None, "no answer yet: write yours in this cell, then run it again")


def unanswered(value) -> bool:
    """Whether a value is the None that an exercise starts with, or a list or tuple in which one is left."""
    return value is None or isinstance(value, (list, tuple)) and any(map(unanswered, value))


class Refused(Exception):
    """Raised within a check by a value that ends it; `never_raises` hands out the verdict."""

    def __init__(self, verdict: Verdict):
        super().__init__(verdict.message)
        self.verdict = verdict


def never_raises(check: Callable[..., Verdict]) -> Callable[..., Verdict]:
    """The same check with a verdict on every value, also on one that breaks it: the lesson goes on."""

    @wraps(check)
    def checked(*arguments, **options) -> Verdict:
        try:
            return check(*arguments, **options)
        except Refused as refusal:
            return refusal.verdict
        except (Exception, SystemExit) as error:  # Ctrl-C still stops a check  # noqa: BLE001
            return wrong(f"this answer cannot be checked: {words_of(error)}")

    return checked


def words_of(error: BaseException) -> str:
    """The kind of an error and what it says, if it can say anything."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001
        return type(error).__name__


def numbers(value) -> Tensor:
    """A learner's value as a dense float64 tensor in main memory.

    Args:
        value: a tensor on any device, sparse or dense, a number, an array, or lists of numbers.
    Raises:
        Refused: it holds no real numbers.
    """
    try:
        tensor = value.detach() if isinstance(value, Tensor) else torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        kind = type(value).__name__
        raise Refused(wrong(f"expected a tensor, or lists of numbers of equal length, got {kind}")) from None
    if tensor.is_meta:
        raise Refused(wrong("expected numbers, got a tensor on the device meta, which has a shape and no numbers"))
    if tensor.is_complex():
        raise Refused(wrong("expected real numbers, got complex ones"))
    return (tensor if tensor.layout is torch.strided else tensor.to_dense()).cpu().double()
