"""Wrong calls of what lessons share, and of what their tables are made of. The checks themselves never raise."""

from math import nan

import ipywidgets as ipw
import torch
from bad_input.case import Case

from lambdalib.course import figures, widgets
from lambdalib.course.progress import progress
from lambdalib.experiments import bench, report, results, steering

SWITCH = ipw.Checkbox(description="on")

ROWS = [
    Case("progress of a number", lambda: progress({"1 Left": 5}), ("exercises['1 Left']", "a verdict", "5")),
    Case("progress of a name for 7", lambda: progress({"1 Left": "a"}, {"a": 7}), ("'1 Left'", "a verdict", "7")),
    Case("no caption", lambda: figures.show(None, "", "alt"), ("caption", "figure", "''")),
    Case("no words for who cannot see", lambda: figures.show(None, "a caption", None), ("alt", "figure", "None")),
    Case("no such part of the picture", lambda: figures.one_picture("sky"), ("lit", "None or one of", "'sky'")),
    Case("no controls", lambda: widgets.explore(lambda: None, "alt"), ("controls", "widgets", "at least one")),
    Case("a control of 5", lambda: widgets.explore(lambda a: None, "alt", a=5), ("controls", "widgets", "5")),
    Case("a slider that ends before it begins", lambda: widgets.slider("x", 10, 0, 5), ("low", "high", "10")),
    Case("a slider out of its range", lambda: widgets.slider("x", 0, 10, 20), ("value", "high", "20")),
    Case("a slider at nan", lambda: widgets.slider("x", 0, 1, nan), ("value", "low", "nan")),
    Case("a slider that stands", lambda: widgets.slider("x", 0, 10, 5, 0), ("step", "above 0", "0")),
    Case("no accuracies", lambda: results.format_mean([]), ("accuracies", "at least one", "[]")),
    Case("an accuracy in words", lambda: results.mean_interval(["0.9"]), ("accuracies", "numbers", "'0.9'")),
    Case("an accuracy of None", lambda: results.mean_difference([0.5], [None]), ("accuracies", "numbers", "None")),
    Case(
        "an accuracy of True", lambda: results.format_difference([True], [0.5]), ("accuracies", "numbers", "True")
    ),
    Case("no such group", lambda: results.read_records("ladder"), ("group", "main", "'ladder'")),
    Case("a list of groups", lambda: results.read_records(["main"]), ("unhashable", "list")),
    Case("no such run", lambda: results.find_record("tiny", 99), ("row and seed", "main", "99")),
    Case("no such reference", lambda: report.compare_rows({}, [], "tiny"), ("reference", "the rows", "'tiny'")),
    Case("no such part", lambda: bench.bench(["foo"]), ("parts", "growth", "'foo'")),
    Case("one part is no list", lambda: bench.bench("layer"), ("parts", "a list of", "'layer'")),
    Case("no parts", lambda: bench.bench([]), ("parts", "a list of", "[]")),
    Case(
        "nothing to steer",
        lambda: steering.steering_report(torch.nn.ReLU(), torch.zeros(2, 3, 9, 9), None, None),
        ("LambdaLayer", "ReLU"),
    ),
]
