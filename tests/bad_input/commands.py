"""Wrong command lines of `lambdalib`."""

import json

from bad_input.case import Command
from bad_input.files import CARD, START, huge, log

WHOLE = "at least 1"
OPTIONS = [  # command, option, value, a word of what is allowed
    ("train", "--preset", "gigantic", "demo"),
    ("train", "--row", "nothing", "tiny"),
    ("train", "--model", "lambda_resnet19", "lambda_resnet18"),
    ("train", "--epochs", "ten", "positive"),
    ("train", "--epochs", "-1", "positive"),
    ("train", "--epochs", "nan", "positive"),
    ("train", "--batch-size", "0", WHOLE),
    ("train", "--batch-size", "1.5", WHOLE),
    ("train", "--lr", "0", "positive"),
    ("train", "--lr", "inf", "positive"),
    ("train", "--seed", "-1", "from 0 to 2^31 - 1"),
    ("train", "--seed", "2147483648", "from 0 to 2^31 - 1"),
    ("train", "--max-steps", "0", WHOLE),
    ("train", "--validation-images", "-1", "from 0"),
    ("train", "--image-size", "0", WHOLE),
    ("train", "--image-size", "big", WHOLE),
    ("train", "--devices", "0", WHOLE),
    ("train", "--minutes", "-5", "positive"),
    ("train", "--minutes", "soon", "positive"),
    ("train", "--threads", "0", WHOLE),
    ("train", "--workers", "-1", WHOLE),
    ("train", "--device", "abacus", "cpu, cuda"),
    ("train", "--device", "meta", "of this machine"),
    ("train", "--source", "torrent", "mirror"),
    ("train", "--set", "lr", "name=value"),
    ("train", "--set", "emma=0.9", "did you mean ema?"),
    ("train", "--set", "ema=much", "a number or None"),
    ("train", "--set", "whiten=1", "true or false"),
    ("train", "--set", "progressive_resizing=[1]", "a dict"),
    ("train", "--init-from", "nowhere", "tiny"),
    ("evaluate tiny", "--threads", "two", WHOLE),
    ("evaluate tiny", "--device", "cuda:99", "of this machine"),
    ("evaluate tiny", "--source", "web", "npm"),
    ("evaluate tiny", "--workers", "0.5", WHOLE),
    ("results", "--group", "ladder", "main"),
    ("params --memory", "--batch", "0", WHOLE),
    ("params --memory", "--preset", "huge", "demo"),
    ("bench", "--part", "foo", "growth"),
    ("bench", "--threads", "-2", WHOLE),
]
SETTINGS = [  # a value of the right type that is out of its range
    ("ema=2", "between 0 and 1"),
    ("flip=up", "'alternating'"),
    ("dtype=int8", "'bfloat16'"),
    ("optimizer=rmsprop", "'adam'"),
    ("schedule=square", "'cosine'"),
    ("weight_decay=inf", "finite"),
    ("epochs=1e300", "at most 10^6"),
    ("padding=32", "below image_size"),
    ("cutout=-8", "at least 0"),
    ('progressive_resizing={{"40":1}}', "below image_size"),
    ('model_kwargs={{"colour":1}}', "options of create_model"),
]


def write(name: str, content) -> None:
    """A function that writes one file: text, bytes, or what JSON can hold."""

    def prepare(folder):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, (str, bytes)) else json.dumps(content)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    return prepare


def weights(card) -> None:
    """A function that writes weights that are none, with this card."""

    def prepare(folder):
        write("net.safetensors", "weights")(folder)
        write("net.json", card)(folder)

    return prepare


def classes(*names: str) -> None:
    """A function that makes folders of classes without images."""

    def prepare(folder):
        for name in names:
            (folder / "mine" / name).mkdir(parents=True)

    return prepare


def images(content: bytes) -> None:
    """A function that makes a folder of images whose only image holds these bytes."""

    def prepare(folder):
        for part in ("train", "val"):
            write(f"mine/{part}/a/1.png", content)(folder)

    return prepare


ROWS = [
    *(
        Command(f"{line} {name} {value}", f"{line} {name} {value}", (name, value.rpartition("=")[2], word))
        for line, name, value, word in OPTIONS
    ),
    *(
        Command(f"--set {text}", f"train --preset demo --set {text}", (text.partition("=")[0], word))
        for text, word in SETTINGS
    ),
    Command("no command", "", ("COMMAND", "required")),
    Command("an unknown command", "dance", ("COMMAND", "'dance'", "train")),
    Command("an unknown option", "train --colour red", ("--colour", "train --help")),
    Command("an option cut short", "train --epoch 3", ("--epoch", "train --help")),
    Command("an option without its value", "train --lr", ("--lr", "expected one argument")),
    Command("an unknown option of doctor", "doctor --fast", ("--fast", "doctor --help")),
    # train
    Command("a row and a preset", "train --row tiny --preset demo", ("--row", "--preset", "'tiny'", "'demo'")),
    Command("three devices in one process", "train --devices 3", ("--devices", "torchrun", "3")),
    Command(
        "a batch larger than the sample", "train --preset demo --batch-size 2001", ("batch_size", "2000", "2001")
    ),
    Command("all images set apart", "train --preset demo --hold-out 2000", ("validation_images", "1999", "2000")),
    Command("no model of that name", "train --preset demo --set model=mega", ("tiny", "'mega'")),
    Command(
        "data in a file",
        "train --data {folder}/data.txt",
        ("--data", "a folder", "data.txt"),
        write("data.txt", ""),
    ),
    Command(
        "images of 64 pixels from nowhere", "train --preset demo --image-size 64", ("--data", "64", "'nothing'")
    ),
    Command(
        "classes without images",
        "train --preset demo --data mine",
        ("mine", "no valid file"),
        classes("train/a", "val/b"),
    ),
    Command(
        "a folder without classes",
        "train --preset demo --data mine",
        ("mine", "no images"),
        classes("train", "val"),
    ),
    Command(
        "a photograph of 200 megapixels",
        "train --preset demo --data mine",
        ("mine", "1.png", "178,956,970", "smaller"),
        images(huge()),
    ),
    Command("a text called .png", "train --preset demo --data mine", ("1.png", "no image"), images(b"an image")),
    Command("an image of no bytes", "train --preset demo --data mine", ("1.png", "no image"), images(b"")),
    Command("resume without a folder", "train --resume", ("--out", "the folder of the run", "nothing")),
    Command("resume what is not there", "train --resume --out nowhere", ("no training state", "state.pt")),
    Command("resume a file", "train --resume --out file", ("no training state", "file"), write("file", "")),
    Command(
        "resume a state of text",
        "train --resume --out o",
        ("state.pt", "not a training state"),
        write("o/state.pt", "text"),
    ),
    Command(
        "a run is there",
        "train --preset demo --out o",
        ("out_dir", "a new folder", "o holds"),
        write("o/state.pt", "text"),
    ),
    Command("out is a file", "train --preset demo --out file", ("file",), write("file", "")),
    Command("out lies below a file", "train --preset demo --out file/o", ("file",), write("file", "")),
    Command("init from a folder", "train --init-from mine", ("--init-from", "a file", "'mine'"), classes("a")),
    Command(
        "init without a card", "train --init-from a.safetensors", ("no card", "a.json"), write("a.safetensors", "")
    ),
    Command("init by a card in a list", "train --init-from net.safetensors", ("net.json", "a dict"), weights([1])),
    # evaluate
    Command("evaluate nothing", "evaluate", ("WEIGHTS", "required")),
    Command("evaluate what is not there", "evaluate nowhere", ("WEIGHTS", "a file", "'nowhere'", "tiny")),
    Command("evaluate a folder", "evaluate mine", ("WEIGHTS", "a file", "'mine'"), classes("a")),
    Command(
        "evaluate without a card", "evaluate a.safetensors", ("no card", "a.json"), write("a.safetensors", "")
    ),
    Command("evaluate by an empty card", "evaluate net.safetensors", ("net.json", "JSON"), weights("")),
    Command(
        "evaluate by a card of bytes", "evaluate net.safetensors", ("net.json", "UTF-8"), weights(b"\xff\xfe")
    ),
    Command("evaluate by another hash", "evaluate net.safetensors", ("SHA-256", "expected 0"), weights(CARD)),
    Command(
        "evaluate no such model",
        "evaluate net.safetensors",
        ("net.json", "'mega'"),
        weights(CARD | {"model": "mega"}),
    ),
    Command(
        "evaluate with data in a file",
        "evaluate tiny --data file",
        ("--data", "a folder", "'file'"),
        write("file", ""),
    ),
    # compare
    Command("compare one run", "compare a", ("RUN", "required")),
    Command("compare three runs", "compare a b c", ("unknown", "c")),
    Command("compare what is not there", "compare a.csv b.csv", ("no run", "a.csv")),
    Command("compare an empty folder", "compare mine mine", ("no run", "state.pt"), classes("a")),
    Command("compare a picture", "compare a.png a.png", (".csv", "'a.png'"), write("a.png", "")),
    Command("compare two empty files", "compare a.txt a.txt", ("no step in common",), write("a.txt", "")),
    Command("compare words", "compare a.txt a.txt", ("a.txt", "row 1", "no loss"), write("a.txt", "low\n")),
    Command("compare bytes", "compare a.csv a.csv", ("a.csv", "UTF-8"), write("a.csv", b"\xff\xfe1\n")),
    Command(
        "compare a log cut off", "compare a.jsonl a.jsonl", ("a.jsonl", "JSON"), write("a.jsonl", '{"loss": ')
    ),
    Command(
        "compare a state of text", "compare o o", ("state.pt", "not a training state"), write("o/state.pt", "text")
    ),
    Command(
        "a figure in a folder's place",
        "compare a.txt a.txt --figure {folder}",
        ("irectory",),
        write("a.txt", "1\n2\n"),
    ),
    # results
    Command("results of nowhere", "results nowhere", ("nowhere",)),
    Command("results of an empty folder", "results mine", ("path", "records", "'mine'"), classes("a")),
    Command("results of bytes", "results a.jsonl", ("a.jsonl", "UTF-8"), write("a.jsonl", b"\xff\xfe")),
    Command("results of a list", "results a.jsonl", ("a.jsonl", "line 1", "a dict"), write("a.jsonl", "[1]\n")),
    Command(
        "results of a run that goes on",
        "results o",
        ("log.jsonl", "ended", "'start'"),
        write("o/log.jsonl", log(START)),
    ),
    Command("a row without --add", "results --row tiny", ("--row", "--add", "'tiny'")),
    Command("add what is not there", "results a.jsonl --add nowhere", ("nowhere",)),
    Command("add a file", "results a.jsonl --add file", ("file",), write("file", "")),
    # params, bench, doctor
    Command("a batch without --memory", "params --batch 7", ("--batch", "--memory", "7")),
    Command("a preset without --memory", "params --preset demo", ("--preset", "--memory", "'demo'")),
    Command("bench into a folder", "bench --part growth --out mine", ("irectory", "mine"), classes("a")),
    Command("bench below a file", "bench --part growth --out file/b.json", ("file",), write("file", "")),
    Command("bench into a text", "bench --part growth --out b.json", ("b.json", "JSON"), write("b.json", "text")),
    Command(
        "doctor with data in a file", "doctor --data file", ("--data", "a folder", "'file'"), write("file", "")
    ),
]
