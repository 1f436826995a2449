"""Which exercises of a lesson are solved, and which are open. Used by the last cell of a lesson."""

from lambdalib.course.verdict import Verdict, Verdicts

__all__ = ["progress"]


def progress(exercises: dict[str, Verdict | Verdicts | None]) -> Verdicts:
    """The list of a lesson's exercises, each with its state, under a line that counts them.

    An exercise is solved if its check ran and said "Right". Nothing is remembered here: the lesson keeps each
    verdict under a name, and hands it over: `progress({"1 Left minus right": exercise_1, ...})`.

    Args:
        exercises: title -> what its check returned; None is an open exercise.
    Raises:
        ValueError: something else than a verdict.
    """
    for title, verdict in exercises.items():
        if not isinstance(verdict, (Verdict, Verdicts, type(None))):
            raise ValueError(f"exercises[{title!r}] must be a verdict, as a check returns it, got {verdict!r}")
    states = {title: None if verdict is None else verdict.ok for title, verdict in exercises.items()}
    solved = sum(ok is True for ok in states.values())
    head = Verdict(True if solved == len(states) else None, f"{solved} of {len(states)} exercises solved")
    return Verdicts(head, *(Verdict(ok, title) for title, ok in states.items()))
