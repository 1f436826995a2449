"""The command line: happy paths, and one line with exit code 2 for every bad argument."""

import json
import re
import subprocess
import sys
from dataclasses import asdict, replace

import pytest
import torch
from toy import Toy, change_losses, interrupt_at

from lambdalib import cli, models
from lambdalib.experiments import paper_tables
from lambdalib.training import checkpoint, data
from lambdalib.training.cifar10 import ImageSplits
from lambdalib.training.data import load_cifar10
from lambdalib.training.recipes import ALIASES, RECIPES, Recipe


@pytest.fixture(autouse=True)
def small_world(monkeypatch, tmp_path):
    """A toy net under the demo preset, a handful of pictures, an empty folder to work in."""
    sample = load_cifar10(source="sample")
    pictures = ImageSplits(
        *(part[:64] for part in sample[:2]),
        *(part[:30] for part in sample[2:4]),
        sample.train_index[:64],
        sample.test_index[:30],
        "sample",
    )
    asked = []
    monkeypatch.setattr(
        data, "load_cifar10", lambda root=None, source="auto": (asked.append((root, source)), pictures)[1]
    )
    monkeypatch.setitem(models.MODELS, "toy", Toy)
    monkeypatch.setitem(RECIPES, "demo", Recipe(model="toy", epochs=2, batch_size=16, lr=0.1, dtype="float32"))
    monkeypatch.setattr(checkpoint, "ASSETS", tmp_path / "assets")
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield asked
    torch.set_num_threads(threads)


def fails(capsys, words, *parts):
    """Run a command that must end with code 2 and one line that holds all parts."""
    assert cli.main(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1, out + err
    for part in parts:
        assert part in err, err


@pytest.mark.parametrize("words, argument, value, allowed", [
    ("train --preset gigantic", "--preset", "'gigantic'", "demo, quick, cpu, resnet, gpu"),
    ("train --epochs ten", "--epochs", "'ten'", "a positive number"),
    ("train --epochs 0", "--epochs", "'0'", "a positive number"),
    ("train --epochs inf", "--epochs", "'inf'", "a positive number"),
    ("train --epochs nan", "--epochs", "'nan'", "a positive number"),
    ("train --batch-size 0", "--batch-size", "'0'", "at least 1"),
    ("train --batch-size 12.5", "--batch-size", "'12.5'", "a whole number"),
    ("train --batch-size 65 --preset demo", "batch_size", "got 65", "at most 64"),
    ("train --lr -0.1", "--lr", "'-0.1'", "a positive number"),
    ("train --lr=-0.1", "--lr", "'-0.1'", "a positive number"),
    ("train --seed -1", "--seed", "'-1'", "from 0 to 2^31 - 1"),
    ("train --minutes 0", "--minutes", "'0'", "a positive number"),
    ("train --max-steps none", "--max-steps", "'none'", "at least 1"),
    ("train --model lambda_resnet19", "--model", "'lambda_resnet19'", "lambda_resnet18"),
    ("train --set ema=much", "--set", "'much'", "ema must be a number or None"),
    ("train --set ema=2", "ema", "2.0", "between 0 and 1, or None"),
    ("train --set emma=0.9", "--set", "'emma=0.9'", "did you mean ema?"),
    ("train --set colour=red", "--set", "'colour=red'", "fields: model, model_kwargs, epochs"),
    ("train --preset demo --set model=lambda_resnet19", "lambda_resnet19", "got", "lambda_resnet18"),
    ("train --source torrent", "--source", "'torrent'", "mirror"),
    ("train --threads 0", "--threads", "'0'", "at least 1"),
    ("train --device abacus", "--device", "'abacus'", "cpu, cuda"),
    ("train --device meta", "--device", "'meta'", "cpu, cuda"),
    ("train --resume", "--out", "nothing", "the folder of the run"),
    ("train --resume --out nowhere", "no training state", "nowhere", "state.pt"),
    ("train --colour red", "--colour", "red", "train --help"),
    ("train --epoch 3", "--epoch", "3", "train --help"),
    ("evaluate", "WEIGHTS", "evaluate", "required"),
    ("evaluate no_such_net", "WEIGHTS", "'no_such_net'", "a file or one of the package's models"),
    ("dance", "COMMAND", "'dance'", "train"),
    ("", "COMMAND", "required", "lambdalib"),
])  # fmt: skip
def test_bad_arguments(capsys, words, argument, value, allowed):
    fails(capsys, words, "error:", argument, value, allowed)


def test_train_then_resume_then_evaluate(capsys, tmp_path, small_world):
    options = "--seed 5 --epochs 1.5 --lr 0.05 --batch-size 8 --data here --threads 1 --quiet --device cpu"
    assert cli.main(f"train --preset demo {options}".split()) == 0
    out = capsys.readouterr().out
    assert small_world == [("here", "sample")]
    folder = tmp_path / "runs" / "demo-seed5"
    *_, end = log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    recipe = log[0]["recipe"]
    assert (recipe["seed"], recipe["epochs"], recipe["lr"], recipe["batch_size"], recipe["model"]) == (
        5,
        1.5,
        0.05,
        8,
        "toy",
    )
    assert log[-2]["step"] == 12
    assert f"{end['test_accuracy']:.2%}, last epoch, no test-time augmentation" in out
    assert f"{end['test_accuracy_flip_tta']:.2%} with flip test-time augmentation" in out

    assert cli.main(f"train --resume --out {folder} --quiet".split()) == 0
    assert f"{end['test_accuracy']:.2%}, last epoch" in capsys.readouterr().out

    assert cli.main(f"evaluate {folder / 'weights.safetensors'} --source sample".split()) == 0
    out = capsys.readouterr().out
    assert small_world[-1] == (None, "sample") and "30 test images" in out
    plain, flip = f"{end['test_accuracy']:.2%}", f"{end['test_accuracy_flip_tta']:.2%}"
    assert re.findall(r"(\S+%)  (no|with flip)", out) == [(plain, "no"), (flip, "with flip")]


def test_max_steps_and_model(tmp_path, small_world):
    assert (
        cli.main(
            "train --preset gpu --model toy --batch-size 16 --max-steps 3 --out o --quiet --device cpu".split()
        )
        == 0
    )
    log = [json.loads(line) for line in (tmp_path / "o" / "log.jsonl").read_text().splitlines()]
    assert log[-2]["step"] == 3 and log[0]["recipe"]["model_kwargs"] == {} and small_world == [(None, "auto")]


def test_every_field_of_the_recipe_can_be_set(capsys, tmp_path):
    words = (
        "--set ema=0.9 --set min_lr=0.01 --set channels_last=false --set flip=none --set max_steps=2 --set crop=1"
    )
    options = "--lr 0.3 --quiet --device cpu --out"
    assert cli.main(f"train --preset demo {words} {options} o".split()) == 0
    changed = {
        "ema": 0.9,
        "min_lr": 0.01,
        "channels_last": False,
        "flip": "none",
        "max_steps": 2,
        "padding": 1,
        "lr": 0.3,
    }
    recipe = json.loads((tmp_path / "o" / "log.jsonl").read_text().splitlines()[0])["recipe"]
    assert recipe == asdict(replace(RECIPES["demo"], **changed))
    command = ["train", "--preset", "gpu", "--set", "model=toy", "--set", 'model_kwargs={"stem": "own"}']
    small = ["--set", "max_steps=1", "--set", "batch_size=8", *options.split()]
    assert cli.main([*command, *small, "p"]) == 0 and cli.main([*command[:-2], *small, "q"]) == 0
    for folder, own in (("p", {"stem": "own"}), ("q", {})):  # the preset's belong to the preset's model
        recipe = json.loads((tmp_path / folder / "log.jsonl").read_text().splitlines()[0])["recipe"]
        assert (recipe["model"], recipe["model_kwargs"]) == ("toy", own)


def test_the_old_names_of_options_stay(capsys, tmp_path):
    old = "train --preset demo --model tiny --hold-out 10 --freeze-body --max-steps 1 --quiet --device cpu --out o"
    assert cli.main(old.split()) == 0
    start = json.loads((tmp_path / "o" / "log.jsonl").read_text().splitlines()[0])
    assert (start["recipe"]["validation_images"], start["recipe"]["freeze_backbone"]) == (10, True)
    assert (start["data"]["train"], start["data"]["test"]) == (54, 10)
    assert capsys.readouterr().out.startswith("validation accuracy ")


def test_a_run_of_the_first_edition_is_resumed(monkeypatch):
    interrupt_at(monkeypatch, 1)
    command = "train --preset demo --out o --quiet --device cpu"
    assert cli.main(command.split()) == 130
    state = checkpoint.load_state("o/state.pt")
    for old, new in ALIASES.items():
        state["recipe"][old] = state["recipe"].pop(new)
    checkpoint.save_state(state, "o/state.pt")
    assert cli.main("train --resume --out o --quiet --device cpu".split()) == 0
    assert checkpoint.load_state("o/state.pt")["recipe"] == asdict(RECIPES["demo"])


def test_a_run_on_the_sample_goes_on_with_the_sample(monkeypatch, small_world):
    interrupt_at(monkeypatch, 1)
    assert cli.main("train --preset demo --out o --quiet --device cpu".split()) == 130
    assert cli.main("train --resume --out o --quiet --device cpu".split()) == 0
    assert [source for _, source in small_world] == ["sample", "sample"]


def test_a_run_stops_in_time_and_goes_on(capsys, tmp_path):
    """A nanosecond is over after the first step, so each command does one step of eight."""
    command = "train --preset demo --minutes 1e-11 --out o --quiet --device cpu"
    words = "stopped after step {} of 8; continue with: lambdalib train --resume --out o\n"
    assert cli.main(command.split()) == 0
    assert capsys.readouterr() == (words.format(1), "")
    assert not (tmp_path / "o" / "weights.safetensors").exists()
    assert cli.main(f"{command} --resume --data here".split()) == 0
    assert capsys.readouterr().out == words.format(2).replace("\n", " --data here\n")
    assert cli.main("train --minutes 60 --resume --out o --quiet --device cpu".split()) == 0
    assert "last epoch, no test-time augmentation" in capsys.readouterr().out
    log = [json.loads(line) for line in (tmp_path / "o" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log if line["kind"] == "resume"] == [1, 2] and log[-1]["kind"] == "end"


@pytest.mark.parametrize("gpu, preset", [(False, "quick"), (True, "gpu")])
def test_the_preset_is_that_of_the_machine(monkeypatch, tmp_path, gpu, preset):
    """Nobody trains on the imitated GPU: fit gets its recipe and device, and stops."""
    seen = []

    def fit(recipe, images, out, *, device, **options):
        seen.append((recipe, str(out), device.type))
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.train, "fit", fit)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert cli.main(["train"]) == cli.main(["train", "--preset", "demo"]) == 130
    device = "cuda" if gpu else "cpu"
    assert seen == [
        (RECIPES[preset], f"runs/{preset}-seed0", device), (RECIPES["demo"], "runs/demo-seed0", device)
    ]  # fmt: skip


def test_small_images_keep_their_share_of_the_epochs(monkeypatch):
    seen = []

    def fit(recipe, *others, **options):
        seen.append(recipe)
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.train, "fit", fit)
    shorter = "train --preset quick --device cpu --epochs 5".split()
    for words in (shorter, [*shorter, "--set", 'progressive_resizing={"8": 1}']):
        assert cli.main(words) == 130
    assert seen[0] == replace(RECIPES["quick"], epochs=5, progressive_resizing={16: 2, 24: 5 / 3})
    assert seen[1] == replace(RECIPES["quick"], epochs=5, progressive_resizing={8: 1})


def test_a_net_for_other_classes_is_not_evaluated(capsys):
    checkpoint.save_weights(Toy(7), "toy.safetensors", {"model": "toy", "model_kwargs": {"num_classes": 7}})
    fails(capsys, "evaluate toy.safetensors --device cpu", "WEIGHTS", "10 classes", "got one for 7")


def test_a_folder_with_a_run_is_not_overwritten(capsys):
    command = "train --preset demo --max-steps 1 --out o --quiet --device cpu".split()
    assert cli.main(command) == 0
    before = open("o/state.pt", "rb").read()
    capsys.readouterr()
    assert cli.main(command) == 2
    assert "o holds a run already" in capsys.readouterr().err and open("o/state.pt", "rb").read() == before


def test_ctrl_c_tells_how_to_go_on(capsys, monkeypatch):
    interrupt_at(monkeypatch, 1)
    assert cli.main("train --preset demo --out o --quiet --device cpu".split()) == 130
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "stopped after step 1 of 8" in err and "--resume" in err


def test_a_broken_run_ends_with_code_1(capsys, monkeypatch):
    change_losses(monkeypatch, lambda number, loss: loss * float("nan"))
    assert cli.main("train --preset demo --out o --quiet --device cpu".split()) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "the loss became nan at step 0 of 8" in err


def test_params(capsys, monkeypatch):
    monkeypatch.setattr(paper_tables, "params_report", lambda: "the report that test_cost.py tests")
    assert cli.main(["params"]) == 0
    assert capsys.readouterr().out == paper_tables.params_report() + "\n"


def test_params_memory(capsys, monkeypatch):
    monkeypatch.setattr(paper_tables, "memory_report", lambda recipes, batch: f"{list(recipes)} {batch}")
    assert (
        cli.main(["params", "--memory"]) == 0 and cli.main("params --memory --batch 7 --preset cpu".split()) == 0
    )
    assert capsys.readouterr().out == f"{list(RECIPES)} None\n['cpu'] 7\n"
    assert cli.main("params --batch 7".split()) == cli.main("params --memory --preset x".split()) == 2
    assert (
        "--batch: must go with --memory, got 7" in (errors := capsys.readouterr().err)
        and "--preset: must be one of" in errors
    )


@pytest.mark.parametrize("undamaged, code", [(True, 0), (False, 1)])
def test_doctor(capsys, monkeypatch, undamaged, code):
    monkeypatch.setattr(cli.doctor, "look_around", lambda root: ({"sample": f"below {root}"}, undamaged))
    assert cli.main(["doctor", "--data", "here"]) == code
    assert capsys.readouterr().out == "sample     below here\n"


def test_help_and_version(capsys):
    for words in ("--help", "train --help", "evaluate --help", "--version"):
        assert cli.main(words.split()) == 0
    assert "lambdalib 0." in capsys.readouterr().out


def test_as_a_program(tmp_path):
    """python -m lambdalib hands its exit code on."""
    result = subprocess.run(
        [sys.executable, "-m", "lambdalib", "train", "--lr", "much"], capture_output=True, text=True
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "lambdalib train: error: argument --lr: must be a positive number, got 'much'\n"
