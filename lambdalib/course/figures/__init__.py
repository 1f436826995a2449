"""Every figure of the lessons and of README: functions from arrays to a matplotlib Figure; `show` shows one.

Each stands in the file of the lesson that shows it first, and can be called from here: `figures.brackets(...)`.
Taught in notebooks/00_start_here.
"""

# ruff: noqa: F403, RUF100
from lambdalib.course.figures import (
    attention,
    beyond,
    cost,
    inside,
    lambdas,
    layer,
    nets,
    output,
    picture,
    results,
)
from lambdalib.course.figures.attention import *
from lambdalib.course.figures.beyond import *
from lambdalib.course.figures.cost import *
from lambdalib.course.figures.inside import *
from lambdalib.course.figures.lambdas import *
from lambdalib.course.figures.layer import *
from lambdalib.course.figures.nets import *
from lambdalib.course.figures.output import *
from lambdalib.course.figures.picture import *
from lambdalib.course.figures.results import *

MODULES = (attention, beyond, cost, inside, lambdas, layer, nets, output, picture, results)
__all__ = [name for module in MODULES for name in module.__all__]
