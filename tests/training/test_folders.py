"""A folder of pictures as tensors, the options of train that go with it, and curves for TensorBoard."""

import json
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image
from toy import Toy

from lambdalib import cli, models
from lambdalib.training import checkpoint, folders, train
from lambdalib.training.cifar10 import content_hash
from lambdalib.training.recipes import RECIPES, Recipe

COLOURS = {"ant": (255, 0, 0), "bee": (0, 255, 0), "cat": (0, 0, 255)}


def write_images(root, test="val", classes=tuple(COLOURS), size=(23, 17)):
    """Pictures of one colour with a white left edge: 5 of each class to train on, 2 to test on. Returns the
    folder."""
    for part, count in (("train", 5), (test, 2)):
        for name in classes:
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                image = Image.new("RGB", size, COLOURS[name])
                image.paste((255, 255, 255), (0, 0, 5, size[1]))
                image.save(root / part / name / f"{number}.png")
    return root


@pytest.fixture(autouse=True)
def small_world(monkeypatch, tmp_path):
    monkeypatch.setitem(models.MODELS, "toy", Toy)
    monkeypatch.setitem(RECIPES, "demo", Recipe(model="toy", epochs=2, batch_size=5, lr=0.1, dtype="float32"))
    monkeypatch.chdir(tmp_path)


# The folder


@pytest.mark.parametrize("test, workers", [("val", None), ("test", 1), ("test", 3)])
def test_a_folder_becomes_tensors(tmp_path, test, workers):
    data = folders.load_folder(write_images(tmp_path / "mine", test), 13, workers)
    assert data.train_images.shape == (15, 3, 13, 13) and data.test_images.shape == (6, 3, 13, 13)
    assert data.train_images.dtype == torch.uint8 and data.source == "folder mine"
    assert sorted(data.train_labels.tolist()) == [0] * 5 + [1] * 5 + [2] * 5 and data.test_labels.tolist() == [
        0,
        0,
        1,
        1,
        2,
        2,
    ]
    for image, label, index in zip(data.train_images, data.train_labels, data.train_index):
        assert image[:, 6, 9].tolist() == list(list(COLOURS.values())[label]) and label == index // 5
    assert set(data.train_labels[-8:].tolist()) == {0, 1, 2}, (
        "any stretch has all classes: the last pictures may judge (hold_out)"
    )
    assert torch.equal(folders.load_folder(tmp_path / "mine", 13).train_index, data.train_index)


def test_the_middle_square_is_kept(tmp_path):
    # 23×17 pixels to side 17: from column 3 to column 20, so that 2 of the 5 white columns are left
    data = folders.load_folder(write_images(tmp_path / "mine"), 17)
    assert (data.train_images[0, 1] == 255).all(0).tolist() == [True] * 2 + [False] * 15


GREY = np.full((4, 4), 86 * 257, dtype=np.uint16)


@pytest.mark.parametrize(
    "image, kind, expected",
    [
        (Image.new("RGB", (1, 1), (1, 2, 3)), "PNG", (1, 2, 3)),
        (Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "TIFF", (255, 0, 0)),
        (Image.new("P", (4, 4), 0), "PNG", (0, 0, 0)),
        (Image.new("1", (10_000, 10_000), 1), "PNG", (255, 255, 255)),  # Pillow warns, and still reads it
        (Image.fromarray(GREY), "PNG", (86, 86, 86)),  # not white
        (Image.fromarray(GREY), "TIFF", (86, 86, 86)),
        (Image.fromarray(GREY.astype(np.int32)), "TIFF", (86, 86, 86)),
    ],
)
def test_images_of_every_kind_keep_their_colours(tmp_path, recwarn, image, kind, expected):
    image.save(tmp_path / "image", kind)
    (pixels,) = folders.decode([tmp_path / "image"], 1, 1)
    assert pixels.flatten().tolist() == pytest.approx(expected, abs=12) and not recwarn.list


def test_a_folder_needs_images_to_train_and_to_test_on(tmp_path):
    (tmp_path / "train").mkdir()
    assert not folders.is_image_folder(tmp_path)
    (tmp_path / "val").mkdir()
    assert folders.is_image_folder(tmp_path)
    (tmp_path / "train").rmdir()
    assert not folders.is_image_folder(tmp_path)


def test_test_comes_before_val(tmp_path):
    assert not folders.is_image_folder(write_images(tmp_path / "mine").parent)
    assert folders.val_folder(tmp_path / "mine").name == "val" and folders.is_image_folder(tmp_path / "mine")
    (tmp_path / "mine" / "test").mkdir()
    assert folders.val_folder(tmp_path / "mine").name == "test"


def test_what_is_no_folder_of_pictures_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no images in "):
        folders.load_folder(tmp_path / "nothing")
    root = write_images(tmp_path / "mine")
    (root / "val" / "bee").rename(root / "val" / "wasp")
    with pytest.raises(ValueError, match="must hold the same classes, not so bee, wasp"):
        folders.load_folder(root)
    root = write_images(tmp_path / "broken")
    (root / "train" / "bee" / "3.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(ValueError, match="3.png is no image"):
        folders.load_folder(root)
    monkeypatch.setattr(folders, "memory_of_machine", lambda: 21 * 3 * 224**2 - 1)
    with pytest.raises(ValueError, match="21 images of 224 pixels take 0 GB"):
        folders.load_folder(write_images(tmp_path / "large"), 224)


# The command line


def start_of(folder):
    return json.loads((folder / "log.jsonl").read_text().splitlines()[0])


def test_train_and_evaluate_on_a_folder(tmp_path, capsys, monkeypatch):
    write_images(tmp_path / "mine")
    command = (
        "train --preset demo --data mine --image-size 16 --workers 2 --devices 1 --out o --quiet --device cpu"
    )
    assert cli.main(command.split()) == 0
    start = start_of(tmp_path / "o")
    assert start["recipe"]["model_kwargs"] == {"num_classes": 3} and start["recipe"]["image_size"] == 16
    found = content_hash(folders.load_folder(tmp_path / "mine", 16))[:16]
    assert start["data"] == {"source": "folder mine", "train": 15, "test": 6, "sha256": found}
    capsys.readouterr()
    sizes, evaluate = set(), train.evaluate
    monkeypatch.setattr(
        train, "evaluate", lambda model, images, *more: sizes.add(images.shape) or evaluate(model, images, *more)
    )
    assert cli.main("evaluate o/weights.safetensors --data mine --device cpu".split()) == 0
    assert "on 6 test images (folder mine)" in capsys.readouterr().out
    assert sizes == {(6, 3, 16, 16)}, "the size that the net was trained on"
    assert cli.main("train --resume --out o --data mine --quiet --device cpu".split()) == 0


def test_fine_tuning_takes_the_model_of_the_weights(tmp_path):
    write_images(tmp_path / "mine")
    net = models.create_model("tiny", scope=5)
    checkpoint.save_weights(net, tmp_path / "old.safetensors", {"model": "tiny", "model_kwargs": {"scope": 5}})
    options = "--init-from old.safetensors --freeze-body --max-steps 2 --out o --quiet --device cpu"
    assert cli.main(f"train --preset demo --data mine {options}".split()) == 0
    recipe = start_of(tmp_path / "o")["recipe"]
    assert (recipe["model"], recipe["model_kwargs"], recipe["freeze_backbone"]) == (
        "tiny",
        {"scope": 5, "num_classes": 3},
        True,
    )
    tuned = checkpoint.load_model("o/weights.safetensors")
    assert (
        torch.equal(tuned.blocks[1].mix[0].table, net.blocks[1].mix[0].table) and tuned.head.weight.shape[0] == 3
    )


@pytest.mark.parametrize("words, parts", [
    ("train --preset imagenet", ("--data", "'nothing'", "images of 224 pixels")),
    ("train --preset demo --image-size 64 --data nowhere", ("--data", "'nowhere'", "images of 64 pixels")),
    ("train --image-size 0", ("--image-size", "'0'", "at least 1")),
    ("train --workers 0", ("--workers", "'0'", "at least 1")),
    ("train --devices 0", ("--devices", "'0'", "at least 1")),
    ("train --init-from nowhere", ("--init-from", "'nowhere'", "a file or one of the package's models")),
])  # fmt: skip
def test_bad_arguments(capsys, words, parts):
    assert cli.main(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and all(part in err for part in parts), err


# TensorBoard


class Writer:
    """Takes notes in place of TensorBoard's."""

    notes = []

    def __init__(self, folder, purge_step):
        self.notes.append((folder, purge_step))

    def add_scalar(self, name, value, step):
        self.notes.append((name, value, step))

    def flush(self):
        self.notes.append("flush")


def test_tensorboard_gets_every_loss_once(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=Writer))
    monkeypatch.setattr(Writer, "notes", [])
    write_images(tmp_path / "mine")
    assert (
        cli.main("train --preset demo --data mine --tensorboard board --out o --quiet --device cpu".split()) == 0
    )
    losses = checkpoint.load_state("o/state.pt")["losses"].tolist()
    log = [json.loads(line) for line in (tmp_path / "o" / "log.jsonl").read_text().splitlines()]
    epochs = [
        ("test_accuracy", record["test_accuracy"], record["step"]) for record in log if record["kind"] == "epoch"
    ]
    steps = [("loss", loss, step) for step, loss in enumerate(losses, start=1)]
    assert Writer.notes == [("board", 0), *steps[:3], epochs[0], "flush", *steps[3:], epochs[1], "flush"]


def test_without_tensorboard_one_line_says_so(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # as if it were not installed
    assert cli.main("train --preset demo --tensorboard board --quiet".split()) == 2
    assert (
        capsys.readouterr().err
        == "lambdalib train: error: tensorboard must be installed first: pip install tensorboard\n"
    )
