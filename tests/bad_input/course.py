"""Wrong calls of what lessons share, and of what their tables are made of. The checks themselves never raise."""

from math import inf, nan

import ipywidgets as ipw
import torch
from bad_input.case import Case

from lambdalib.course import figures, widgets
from lambdalib.course.progress import progress
from lambdalib.course.puzzles import puzzles, train_on_puzzles
from lambdalib.experiments import bench, compare, durations, paper_tables, report, results, steering
from lambdalib.training.recipes import RECIPES

SWITCH = ipw.Checkbox(description="on")
RANDOM, DEMO, TIMED = torch.Generator(), RECIPES["demo"], {"a": len}
CURVE = compare.Curve(torch.arange(3), torch.zeros(3))
TABLES = [  # function of the paper's tables, argument, value, a word of what is allowed
    (paper_tables.attention_memory, "batch", 0, "positive"),
    (paper_tables.attention_memory, "batch", None, "positive"),
    (paper_tables.attention_memory, "heads", nan, "positive"),
    (paper_tables.attention_memory, "heads", [], "positive"),
    (paper_tables.attention_memory, "axial", 1, "True or False"),
    (paper_tables.attention_memory, "axial", None, "True or False"),
    (paper_tables.embedding_memory, "k", -1, "positive"),
    (paper_tables.embedding_memory, "k", inf, "positive"),
    (paper_tables.embedding_memory, "k", "16", "positive"),
    (paper_tables.embedding_memory, "shared", "no", "True or False"),
]

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
    Case("a list of groups", lambda: results.read_records(["main"]), ("group", "main", "['main']")),
    Case("a slider from a word", lambda: widgets.slider("x", "0", 10, 5), ("low", "value", "'0'")),
    Case("a slider to None", lambda: widgets.slider("x", 0, None, 5), ("high", "value", "None")),
    Case("a switch of 1", lambda: widgets.switch("x", 1), ("value", "True or False", "1")),
    Case("compare two names", lambda: compare.compare("a", "b"), ("first", "a Curve", "'a'")),
    Case("align with None", lambda: compare.align(CURVE, None), ("second", "a Curve", "None")),
    Case("no such run", lambda: results.find_record("tiny", 99), ("row and seed", "main", "99")),
    Case("no such reference", lambda: report.compare_rows({}, [], "tiny"), ("reference", "the rows", "'tiny'")),
    Case("no such part", lambda: bench.bench(["foo"]), ("parts", "growth", "'foo'")),
    Case("one part is no list", lambda: bench.bench("layer"), ("parts", "a list of", "'layer'")),
    Case("no parts", lambda: bench.bench([]), ("parts", "a list of", "[]")),
    # puzzles
    Case("no puzzles", lambda: puzzles(0, RANDOM), ("count", "positive", "0")),
    Case("half a puzzle", lambda: puzzles(0.5, RANDOM), ("count", "positive", "0.5")),
    Case("puzzles of True", lambda: puzzles(True, RANDOM), ("count", "positive", "True")),
    Case("puzzles by a seed", lambda: puzzles(4, 0), ("generator", "torch.Generator", "int")),
    Case("puzzles by None", lambda: puzzles(4, None), ("generator", "torch.Generator", "NoneType")),
    Case("no one to puzzle", lambda: train_on_puzzles(None), ("model", "Module", "NoneType")),
    Case("no steps", lambda: train_on_puzzles(torch.nn.Identity(), 0), ("steps", "positive", "0")),
    Case("steps of infinity", lambda: train_on_puzzles(torch.nn.Identity(), inf), ("steps", "positive", "inf")),
    # the paper's tables
    *(
        Case(
            f"{function.__name__}: {name} = {value}",
            lambda function=function, name=name, value=value: function(**{name: value}),
            (name, repr(value), word),
        )
        for function, name, value, word in TABLES
    ),
    Case("memory of nothing", lambda: paper_tables.memory_report(None), ("recipes", "a dict", "NoneType")),
    Case("memory of a list", lambda: paper_tables.memory_report(["demo"]), ("recipes", "a dict", "list")),
    Case("memory of a name", lambda: paper_tables.memory_report({"demo": "demo"}), ("demo", "a Recipe", "'demo'")),
    Case("memory of no images", lambda: paper_tables.memory_report(RECIPES, 0), ("batch", "positive", "0")),
    # durations
    Case("operations of a name", lambda: durations.training_operations("demo"), ("recipe", "a Recipe", "'demo'")),
    Case("operations of -1 images", lambda: durations.training_operations(DEMO, -1), ("images", "positive", "-1")),
    Case(
        "operations of nan images", lambda: durations.training_operations(DEMO, nan), ("images", "positive", "nan")
    ),
    Case("durations of None", lambda: durations.duration_table(None, {}), ("recipes", "a dict", "NoneType")),
    Case(
        "durations of recipes in a list",
        lambda: durations.duration_table([DEMO], {}),
        ("recipes", "a dict", "list"),
    ),
    Case("durations by None", lambda: durations.duration_table({"a": DEMO}, None), ("recorded", "a dict", "None")),
    Case(
        "a duration by a word",
        lambda: durations.duration_table({"a": DEMO}, {"a": "5"}),
        ("seconds", "number", "'5'"),
    ),
    # the benchmark's shapes and its stopwatch
    Case("a layer without channels", lambda: bench.Shape(0, 8, 7), ("d must", "positive", "0")),
    Case("channels for four heads", lambda: bench.Shape(66, 8, 7), ("d must", "multiple of 4", "66")),
    Case("a map of half a pixel", lambda: bench.Shape(64, 0.5, 7), ("side", "positive", "0.5")),
    Case("an even window", lambda: bench.Shape(64, 8, 6), ("r must", "odd", "6")),
    Case("an intra-depth of None", lambda: bench.Shape(64, 8, 7, None), ("u must", "positive", "None")),
    Case("nothing to time", lambda: bench.stopwatch({}), ("functions", "at least one", "{}")),
    Case("a function without a name", lambda: bench.stopwatch(len), ("functions", "a dict", "len")),
    Case("a number to time", lambda: bench.stopwatch({"a": 5}), ("functions", "functions", "5")),
    Case("a budget of nan", lambda: bench.stopwatch(TIMED, nan), ("budget", "finite", "nan")),
    Case("a budget without end", lambda: bench.stopwatch(TIMED, inf), ("budget", "finite", "inf")),
    Case("a budget of None", lambda: bench.stopwatch(TIMED, None), ("budget", "a number", "None")),
    Case("no turns", lambda: bench.stopwatch(TIMED, 0, 0), ("turns", "positive", "0")),
    Case("turns of 1.5", lambda: bench.stopwatch(TIMED, 0, 1.5), ("turns", "positive", "1.5")),
    Case("quick is a word", lambda: bench.bench(["growth"], quick="no"), ("quick", "True or False", "'no'")),
    Case(
        "nothing to steer",
        lambda: steering.steering_report(torch.nn.ReLU(), torch.zeros(2, 3, 9, 9), None, None),
        ("LambdaLayer", "ReLU"),
    ),
]
