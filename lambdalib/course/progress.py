"""Which exercises of a lesson are solved, and which are open. Used by the last cell of a lesson."""

from collections.abc import Mapping

from lambdalib.course.verdict import Verdict, Verdicts

__all__ = ["progress"]


def progress(
    exercises: Mapping[str, str | Verdict | Verdicts | None], names: Mapping[str, object] | None = None
) -> Verdicts:
    """The list of a lesson's exercises, each with its state, under a line that counts them.

    An exercise is solved if its check ran and said "Right". Nothing is remembered here: the lesson keeps each
    verdict under a name and says that name, so that a cell that was skipped is no error:
    `progress({"1 Left minus right": "exercise_1", ...}, globals())`.

    Args:
        exercises: title -> the name of what its check returned, or that verdict; None is an open exercise.
        names: where the names are looked up: a lesson hands over `globals()`. A name that is not there belongs to
            a cell that has not run yet.
    Raises:
        ValueError: something else than a verdict.
    """
    names, states = names or {}, {}
    for title, verdict in exercises.items():
        if isinstance(verdict, str):
            title, verdict = (title, names[verdict]) if verdict in names else (f"{title}: not run yet", None)
        if not isinstance(verdict, (Verdict, Verdicts, type(None))):
            raise ValueError(f"exercises[{title!r}] must be a verdict, as a check returns it, got {verdict!r}")
        states[title] = None if verdict is None else verdict.ok
    solved = sum(ok is True for ok in states.values())
    head = Verdict(True if solved == len(states) else None, f"{solved} of {len(states)} exercises solved")
    return Verdicts(head, *(Verdict(ok, title) for title, ok in states.items()))
