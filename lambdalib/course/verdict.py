"""What every check has to say, and how it takes in a learner's value. Used by `checks` and `questions`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps

import torch
from torch import Tensor

__all__ = ["NOT_ATTEMPTED", "Refused", "Verdict", "never_raises", "numbers", "right", "wrong"]


@dataclass(frozen=True)
class Verdict:
    """What a check has to say: ok is True, False, or None for an exercise that was not tried yet."""

    ok: bool | None
    message: str

    def __repr__(self) -> str:
        return {True: "✓ ", False: "✗ ", None: "· "}[self.ok] + self.message


def right(message: str) -> Verdict:
    """The verdict on a right answer."""
    return Verdict(True, message)


def wrong(message: str) -> Verdict:
    """The verdict on a wrong answer."""
    return Verdict(False, message)


NOT_ATTEMPTED = Verdict(None, "not attempted yet: replace the stub, then run this cell again")


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
            return wrong(f"this answer cannot be checked: {type(error).__name__}: {error}")

    return checked


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
