"""Files that hold something else than they should: cards, weights, training states, logs, records, loss curves."""

import json
import tempfile
from functools import cache, partial
from io import BytesIO
from pathlib import Path

import torch
from bad_input.case import Case
from bad_input.training import fit
from PIL import Image

from lambdalib.experiments import bench, compare, results, steering
from lambdalib.training import checkpoint, folders

START = {"kind": "start", "recipe": {"model": "tiny"}, "data": {"train": 50_000, "test": 10_000}}
START |= {"parameters": 7, "dtype": "float32", "commit": "6561f21"}
END = {"kind": "end", "test_accuracy": 0.5, "test_accuracy_flip_tta": 0.5, "seconds": 1.0}
RECORD = {"group": "main", "row": "tiny", "seed": 0, "lines": [START, END]}
CARD = {"model": "tiny", "model_kwargs": {}, "sha256": "0"}
ENTRY = {"tiny": {"accuracies": dict.fromkeys(steering.ABLATIONS, 0.5)}}


@cache
def finished() -> dict:
    """The state of a run of one step."""
    with tempfile.TemporaryDirectory() as folder:
        fit(out_dir=folder)
        return checkpoint.load_state(Path(folder) / "state.pt")


def resume(folder: Path, **fields) -> None:
    """Go on with a run whose state has other fields; a field that is None is gone."""
    state = finished() | fields
    torch.save({name: value for name, value in state.items() if value is not None}, folder / "state.pt")
    fit(out_dir=folder, resume=True)


def other_moments(folder: Path) -> None:
    """Go on with an optimizer whose momentum has another shape."""
    optimizer = finished()["optimizer"]
    moments = {place: {"momentum_buffer": torch.zeros(7)} for place in optimizer["state"]}
    resume(folder, optimizer=optimizer | {"state": moments})


def read(function, name: str, content, folder: Path) -> None:
    """Hand over the path of a file of this content: bytes, text, or what JSON can hold; None is a folder."""
    path = folder / name
    if content is None:
        path.mkdir()
    else:
        text = content if isinstance(content, (str, bytes)) else json.dumps(content)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    function(path)


def log(*lines) -> str:
    """Lines as fit writes them."""
    return "".join(json.dumps(line) + "\n" for line in lines)


def without(values: dict, *names: str) -> dict:
    """A dict without some of its fields."""
    return {name: value for name, value in values.items() if name not in names}


def case(name: str, call, *words: str) -> Case:
    """A case whose call gets an empty folder."""

    def in_folder():
        with tempfile.TemporaryDirectory() as folder:
            call(Path(folder))

    return Case(name, in_folder, words)


def card(path: Path) -> None:
    """Load the model that a card describes."""
    checkpoint.load_model(path.with_suffix(".safetensors"))


def record(path: Path) -> None:
    """Read a file of records."""
    results.read_results(None, path)


def one_run(path: Path) -> None:
    """Add the run whose log this is."""
    results.add_run(path.parent, path=path.parent / "runs.jsonl")


def measured(path: Path) -> None:
    """Measure into this file."""
    bench.bench(["growth"], path, True)


def image(folder: Path, content: bytes) -> None:
    """Load a folder with this image."""
    for part in ("train", "test"):
        (folder / part / "a").mkdir(parents=True)
        (folder / part / "a" / "1.png").write_bytes(content)
    folders.load_folder(folder)


def written(mode: str, kind: str, size=(1, 1), number=0) -> bytes:
    """An image whose every pixel is this number."""
    file = BytesIO()
    Image.new(mode, size, number).save(file, kind)
    return file.getvalue()


def huge() -> bytes:
    """An image with more pixels than Pillow reads."""
    return written("1", "PNG", (20_000, 10_000))


BINARY = b"\x80\xff\x00\x93" * 9
# reader, file, then for each content: what is wrong, the content, words
FILES = [
    (card, "net.json", [
        ("is empty", "", ["net.json", "JSON"]),
        ("is cut off", '{"model": "ti', ["net.json", "JSON"]),
        ("is not UTF-8", BINARY, ["net.json", "UTF-8"]),
        ("is a list", [CARD], ["net.json", "a dict"]),
        ("is a number", 5, ["net.json", "a dict", "5"]),
        ("is nested without end", "[" * 100_000, ["net.json", "JSON"]),
        ("names no model", without(CARD, "model"), ["net.json", "must have", "no model"]),
        ("has no hash", without(CARD, "sha256"), ["net.json", "must have", "no sha256"]),
        ("has a number as model", CARD | {"model": 5}, ["net.json", "model", "a string", "5"]),
        ("has a list of options", CARD | {"model_kwargs": []}, ["net.json", "model_kwargs", "a dict", "[]"]),
        ("names no such model", CARD | {"model": "mega"}, ["net.json", "tiny", "'mega'"]),
        ("has options of no model", CARD | {"model_kwargs": {"a": 1}}, ["net.json", "unexpected", "'a'"]),
        ("has a run that is a list", CARD | {"run": [1]}, ["net.json", "run", "a dict", "[1]"]),
        ("has a run without a recipe", CARD | {"run": without(START, "recipe")}, ["net.json", "no recipe"]),
        ("has a run of no recipe", CARD | {"run": START | {"recipe": {"lr": -1}}}, ["net.json", "lr", "-1"]),
    ]),
    (checkpoint.load_weights, "net.safetensors", [
        ("is empty", "", ["net.safetensors", "safetensors file"]),
        ("is text", "weights", ["net.safetensors", "safetensors file"]),
        ("is binary", BINARY, ["net.safetensors", "safetensors file"]),
    ]),
    (checkpoint.load_state, "state.pt", [
        ("is empty", "", ["state.pt", "not a training state"]),
        ("is text", "state", ["state.pt", "not a training state"]),
        ("is binary", BINARY, ["state.pt", "not a training state"]),
    ]),
    (record, "runs.jsonl", [
        ("is empty", "", ["runs.jsonl", "must hold records", "none"]),
        ("is cut off", log(RECORD)[:-9], ["runs.jsonl", "JSON"]),
        ("is not UTF-8", BINARY, ["runs.jsonl", "UTF-8"]),
        ("has a list", log([RECORD]), ["runs.jsonl", "line 1", "a dict"]),
        ("has a number below a record", log(RECORD, 5), ["runs.jsonl", "line 2", "a dict", "5"]),
        ("has one record twice", log(RECORD, RECORD), ["different seeds", "'tiny'"]),
        ("has no group", log(without(RECORD, "group")), ["runs.jsonl, line 1", "no group"]),
        ("has an unknown group", log(RECORD | {"group": "ladder"}), ["line 1", "group", "main", "'ladder'"]),
        ("has a seed in words", log(RECORD | {"seed": "0"}), ["line 1", "seed", "a whole number", "'0'"]),
        ("has lines in a dict", log(RECORD | {"lines": {}}), ["line 1", "lines", "a list", "{}"]),
        ("has no lines", log(RECORD | {"lines": []}), ["line 1", "ended", "'nothing'"]),
        ("has lines of numbers", log(RECORD | {"lines": [1, 2]}), ["runs.jsonl", "line 1", "a dict", "1"]),
        ("begins with its end", log(RECORD | {"lines": [END, START]}), ["start", "'end'"]),
        ("has an unknown line", log(RECORD | {"lines": [START, {"kind": "pause"}, END]}), ["line 2", "'pause'"]),
        ("has no recipe", log(RECORD | {"lines": [without(START, "recipe"), END]}), ["line 1", "no recipe"]),
        ("has a recipe in a list", log(RECORD | {"lines": [START | {"recipe": []}, END]}), ["a dict", "[]"]),
        ("has no data", log(RECORD | {"lines": [without(START, "data"), END]}), ["line 1", "no data"]),
        ("counts images in words", log(RECORD | {"lines": [START | {"data": {"train": "all"}}, END]}),
         ["data", "train", "a whole number", "'all'"]),
        ("has no accuracy", log(RECORD | {"lines": [START, without(END, "test_accuracy")]}), ["no test_accuracy"]),
        ("has an accuracy in words", log(RECORD | {"lines": [START, END | {"test_accuracy": "good"}]}),
         ["test_accuracy", "a number", "'good'"]),
    ]),
    (one_run, "log.jsonl", [
        ("is empty", "", ["log.jsonl", "ended", "'nothing'"]),
        ("is cut off", log(START, END)[:-9], ["log.jsonl", "JSON"]),
        ("is not UTF-8", BINARY, ["log.jsonl", "UTF-8"]),
        ("has not ended", log(START), ["log.jsonl", "ended", "'start'"]),
        ("has no kind", log(without(START, "kind"), END), ["log.jsonl, line 1", "no kind"]),
        ("has two starts", log(START, START, END), ["log.jsonl, line 2", "'start'"]),
        ("has no type", log(without(START, "dtype"), END), ["log.jsonl, line 1", "no dtype"]),
        ("has parameters of None", log(START | {"parameters": None}, END), ["parameters", "number", "None"]),
    ]),
    (compare.read_curve, "losses.jsonl", [
        ("is not UTF-8", BINARY, ["losses.jsonl", "UTF-8"]),
        ("is cut off", '{"loss": 1', ["losses.jsonl", "JSON"]),
        ("has numbers without names", "[1, 2]\n", ["losses.jsonl", "line 1", "a dict"]),
        ("begins a run without a recipe", log({"kind": "start"}), ["losses.jsonl", "line 1", "no recipe"]),
        ("begins a listed recipe", log({"kind": "start", "recipe": [1]}), ["losses.jsonl", "a dict", "[1]"]),
        ("has a loss of None", log({"loss": None}), ["losses.jsonl", "row 1", "no loss"]),
        ("has a loss of 10^400", log({"loss": 10**400}), ["losses.jsonl", "row 1", "no loss"]),
        ("has a step of infinity", '{"loss": 1, "step": 1e999}\n', ["losses.jsonl", "no whole step"]),
        ("has a step of 2^63", log({"loss": 1, "step": 2**63}), ["losses.jsonl", "no whole step"]),
        ("has a step of -1", log({"loss": 1, "step": -1}), ["losses.jsonl", "no whole step"]),
    ]),
    (compare.read_curve, "losses.csv", [
        ("is not UTF-8", BINARY, ["losses.csv", "UTF-8"]),
        ("lacks a column", "step,loss\n1\n", ["losses.csv", "2 columns", "['1']"]),
        ("has words", "loss\nlow\n", ["losses.csv", "row 1", "no loss"]),
        ("falls back", "1,2.5\n1,2.0\n", ["losses.csv", "steps must rise"]),
        ("has a loss of nan", "1\nnan\n", ["losses.csv", "step 2", "nan"]),
    ]),
    (compare.read_curve, "losses.png", [("is a picture", BINARY, ["run", ".csv", "losses.png"])]),
    (measured, "bench.json", [
        ("is cut off", '{"layer": ', ["bench.json", "JSON"]),
        ("is a list", [1], ["bench.json", "a dict", "[1]"]),
        ("is not UTF-8", BINARY, ["bench.json", "UTF-8"]),
    ]),
    (steering.read_steering, "steering.json", [
        ("is a list", [1], ["steering.json", "a dict", "[1]"]),
        ("has an entry of 5", {"tiny": 5}, ["steering.json", "tiny", "a dict", "5"]),
        ("has no accuracies", {"tiny": {}}, ["steering.json", "tiny", "no accuracies"]),
        ("lacks an accuracy", {"tiny": {"accuracies": {}}}, ["steering.json", "no as_trained"]),
        ("has words", {"tiny": {"accuracies": ENTRY["tiny"]["accuracies"] | {"mean_query": "a"}}},
         ["mean_query", "a number", "'a'"]),
    ]),
]  # fmt: skip
STATES = [  # what is wrong, the fields, words
    ("is of step -1", {"step": -1}, ["losses", "at least -1"]),
    ("is of step 10^6", {"step": 10**6}, ["losses", "at least 1000000"]),
    ("is of step True", {"step": True}, ["step", "a whole number", "True"]),
    ("is of step 1.0", {"step": 1.0}, ["step", "a whole number", "1.0"]),
    ("has no step", {"step": None}, ["must have", "no step"]),
    ("has no model", {"model": None}, ["must have", "no model"]),
    ("has no random state", {"random": None}, ["must have", "no random"]),
    ("has an empty random state", {"random": {}}, ["random", "must have", "no cpu"]),
    ("has a model in a list", {"model": [1]}, ["model", "a dict", "[1]"]),
    ("has an empty model", {"model": {}}, ["model", "of this recipe"]),
    ("has an empty optimizer", {"optimizer": {}}, ["optimizer", "of this recipe"]),
    ("has an empty schedule", {"scheduler": {}}, ["scheduler", "of this recipe"]),
    ("has losses in a list", {"losses": [1.0]}, ["losses", "a tensor", "[1.0]"]),
    ("has losses in a square", {"losses": torch.zeros(2, 2)}, ["losses", "(2, 2)"]),
    ("has whole losses", {"losses": torch.zeros(1, dtype=torch.int64)}, ["losses", "floats"]),
    ("has a loss too many", {"losses": torch.zeros(2)}, ["losses", "must be 1", "2"]),
    ("has seconds in words", {"seconds": "long"}, ["seconds", "a number", "'long'"]),
    ("has records in a dict", {"records": {}}, ["records", "a list", "{}"]),
    ("has records of numbers", {"records": [1]}, ["records, line 1", "a dict", "1"]),
    (
        "has data of None",
        {"data": {"source": None, "train": 8, "test": 8}},
        ["data", "source", "a string", "None"],
    ),
    ("has a recipe in a list", {"recipe": [1]}, ["recipe", "a dict", "[1]"]),
    ("has an unknown field", {"recipe": {"emma": 1}}, ["recipe", "fields of Recipe", "'emma'"]),
]


def rows():
    for reader, name, contents in FILES:
        for what, content, words in contents:
            yield case(f"{name} {what}", partial(read, reader, name, content), *words)
    for what, fields, words in STATES:
        yield case(f"state {what}", partial(resume, **fields), "state.pt", *words)
    yield case("state has moments of another shape", other_moments, "state.pt", "momentum_buffer", "(7,)")
    yield case("an image is text", partial(image, content=b"an image"), "1.png", "no image")
    yield case("an image is cut off", partial(image, content=b"\x89PNG\r\n\x1a\n"), "1.png", "no image")
    yield case("an image is empty", partial(image, content=b""), "1.png", "no image")
    yield case("an image of 200 megapixels", partial(image, content=huge()), "1.png", "178,956,970", "smaller")
    yield case("an image of floats", partial(image, content=written("F", "TIFF")), "1.png", "no image", "16 bits")
    yield case(
        "an image of 32 bits",
        partial(image, content=written("I", "TIFF", number=10**6)),
        "1.png",
        "no image",
        "16 bits",
    )


ROWS = list(rows())
