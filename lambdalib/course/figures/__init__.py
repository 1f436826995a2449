"""Every figure of the lessons and of README: functions from arrays to a matplotlib Figure.

Each stands in the file of the lesson that shows it first, and can be called from here: `figures.brackets(...)`.
Taught in notebooks/00_start_here.
"""

from lambdalib.course.figures import attention, cost, lambdas, layer, nets, results
from lambdalib.course.figures.attention import *  # noqa: F403
from lambdalib.course.figures.cost import *  # noqa: F403
from lambdalib.course.figures.lambdas import *  # noqa: F403
from lambdalib.course.figures.layer import *  # noqa: F403
from lambdalib.course.figures.nets import *  # noqa: F403
from lambdalib.course.figures.results import *  # noqa: F403

__all__ = [name for module in (attention, cost, lambdas, layer, nets, results) for name in module.__all__]
