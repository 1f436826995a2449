"""One wrong call or command line, and what its message must say. The tables beside this file are made of them."""

from collections.abc import Callable
from typing import NamedTuple


class Case(NamedTuple):
    """A wrong call: it must raise ValueError or TypeError, whose message holds every one of `words`.

    name: what is wrong, unique in its table, such as "dim_k is a bool".
    call: a function without arguments that makes the call.
    words: the argument's name, its value as it is printed, and a word of what is allowed.
    """

    name: str
    call: Callable[[], object]
    words: tuple[str, ...]


class Command(NamedTuple):
    """A wrong command line: exit code 2, one line on stderr that holds every one of `words`, nothing else.

    line: what follows `lambdalib`, split at spaces; {folder} is an empty folder.
    prepare: a function of that folder that makes the files it needs.
    """

    name: str
    line: str
    words: tuple[str, ...]
    prepare: Callable = lambda folder: None
