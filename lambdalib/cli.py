"""The command `lambdalib`: train, evaluate, compare, results, params, bench, doctor.

Bad arguments end with one line that names the argument, its value and what is allowed, and exit code 2.
Used by `lambdalib` and `python -m lambdalib`.
"""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

import lambdalib
from lambdalib import models
from lambdalib.experiments import bench, compare, doctor, paper_tables, report, results, rows
from lambdalib.training import callbacks, checkpoint, cifar10, data, distributed, evidence, folders, recipes, train
from lambdalib.training.checkpoint import list_pretrained, load_model, load_state, read_card, whole_file
from lambdalib.training.downloads import DataError
from lambdalib.training.recipes import RECIPES, Recipe
from lambdalib.training.tensorboard import TensorBoard

__all__ = ["main"]

# Options of `train` for single fields of its preset; --set reaches them all.
OVERRIDES = (
    "model", "epochs", "batch_size", "lr", "seed", "max_steps", "validation_images", "image_size",
    "freeze_backbone",
)  # fmt: skip
PRESETS = """demo: the sample, in under a minute. quick: tiny on all of CIFAR-10, 90.9 % in 25 minutes on two CPU
    cores without bfloat16. cpu: small, 93 % in 27 minutes on two cores with bfloat16, two hours without.
    resnet: LambdaResNet-18, 88 % in 2 h 14 min on two cores with bfloat16; do not try it without.
    gpu: LambdaResNet-18 on a GPU of 8 GB, not yet measured. restarts, adam, imagenet: published recipes, not yet
    measured. Default: gpu where there is a GPU, else quick"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: error: {message}\n")


def number(kind: type, allowed: str, fits: Callable[[float], bool]) -> Callable[[str], float]:
    """A converter for argparse that says what is allowed."""

    def convert(text: str):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not fits(value):
            raise argparse.ArgumentTypeError(f"must be {allowed}, got {text!r}")
        return value

    return convert


def one_of(names: Sequence[str]) -> Callable[[str], str]:
    """A converter for argparse that knows the names."""

    def convert(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(f"must be one of {', '.join(names)}, got {text!r}")
        return text

    return convert


def a_setting(text: str) -> tuple[str, object]:
    """A converter for argparse: name=value as a field of the recipe and its value."""
    try:
        return recipes.parse_setting(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def a_device(text: str) -> torch.device:
    """A converter for argparse: a device that is there."""
    try:
        return evidence.pick_device(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def a_folder(text: str) -> str:
    """A converter for argparse: a folder, or a name for a new one."""
    if Path(text).exists() and not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"must be a folder, got the file {text!r}")
    return text


count = number(int, "a whole number, at least 1", lambda value: value >= 1)
positive = number(float, "a positive number", lambda value: 0 < value < float("inf"))
whole = number(int, "a whole number from 0 to 2^31 - 1", lambda value: 0 <= value < 2**31)


def build_parser() -> Parser:
    """The whole command line."""
    parser = Parser(
        prog="lambdalib", description="LambdaNetworks, from self-attention to a LambdaResNet.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"lambdalib {lambdalib.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)

    def add(name: str, function: Callable, text: str) -> Parser:
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.set_defaults(function=function, parser=command)
        return command

    def add_machine_and_data(command: Parser) -> None:
        command.add_argument(
            "--data",
            metavar="ROOT",
            type=a_folder,
            help="folder of CIFAR-10 (default: $LAMBDALIB_DATA, else ~/.cache/lambdalib), or of your own "
            "images: train/CLASS/*.jpg and val/CLASS/*.jpg (or test)",
        )
        command.add_argument(
            "--source", type=one_of(data.SOURCES), help=f"where CIFAR-10 comes from: {', '.join(data.SOURCES)}"
        )
        command.add_argument(
            "--device", type=a_device, help="cpu, cuda, ... (default: the GPU where there is one)"
        )
        command.add_argument("--threads", type=count, help="CPU threads")
        command.add_argument(
            "--workers", type=count, help="threads that decode a folder of images; CIFAR-10 needs none"
        )

    command = add("train", run_train, "train a model on CIFAR-10 by a preset recipe")
    presets = ", ".join(RECIPES)
    command.add_argument("--preset", type=one_of(list(RECIPES)), help=PRESETS.replace("%", "%%"))
    command.add_argument(
        "--row",
        type=one_of([*rows.EVERY_ROW, *rows.ROW_ALIASES]),
        help=f"an experiment instead of a preset: {', '.join(rows.EVERY_ROW)}",
    )
    command.add_argument("--model", type=one_of(models.list_models()), help="instead of the preset's")
    command.add_argument(
        "--epochs",
        type=positive,
        help="passes over the training set; need not be whole; those on small images change in proportion",
    )
    command.add_argument("--batch-size", type=count, help="images per step")
    command.add_argument("--lr", type=positive, help="peak learning rate")
    command.add_argument("--seed", type=whole, help="of the first weights, the order and the augmentation")
    command.add_argument("--max-steps", type=count, help="end the run early; the schedule shrinks to fit")
    command.add_argument(
        "--validation-images",
        "--hold-out",
        type=whole,
        metavar="N",
        help="evaluate on N training images instead of the test set, to compare settings",
    )
    command.add_argument("--image-size", type=count, help="pixels to which a folder's images are scaled")
    command.add_argument(
        "--init-from",
        metavar="WEIGHTS",
        help="start from trained weights, a file or a model of the package, "
        "and from their model if --model names no other; other classes get a fresh last layer",
    )
    command.add_argument(
        "--freeze-backbone", "--freeze-body", action="store_true", default=None, help="train the last layer only"
    )
    command.add_argument(
        "--set",
        metavar="NAME=VALUE",
        type=a_setting,
        action="append",
        default=[],
        dest="settings",
        help="any field of the recipe, such as --set ema=0.98 --set min_lr=0.05 --set whiten=true; repeatable",
    )
    command.add_argument(
        "--devices",
        type=count,
        metavar="N",
        help="how many GPUs, or processes on a CPU; N > 1 is "
        "started by `torchrun --nproc-per-node N -m lambdalib train ...`",
    )
    command.add_argument(
        "--tensorboard", metavar="DIR", type=Path, help="write curves for TensorBoard, which must be installed"
    )
    command.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="folder for state, log, curve and weights (default: runs/PRESET-seedSEED)",
    )
    command.add_argument("--resume", action="store_true", help="go on with the run in --out")
    command.add_argument(
        "--minutes", type=positive, help="stop after so many minutes, with the state saved for --resume"
    )
    command.add_argument("--quiet", action="store_true", help="no bar and no estimate of the time")
    add_machine_and_data(command)

    command = add(
        "evaluate", run_evaluate, "accuracy of trained weights on the test set, plain and with flip augmentation"
    )
    command.add_argument(
        "weights", metavar="WEIGHTS", help=f"a file weights.safetensors, or a model of the package: {shipped()}"
    )
    add_machine_and_data(command)

    command = add(
        "compare", run_compare, "are two runs' loss curves the same, by the rule of model zoos? Exit code 0 or 1"
    )
    command.add_argument(
        "runs",
        metavar="RUN",
        nargs=2,
        help="a folder of train, its state.pt or log.jsonl, or a "
        ".jsonl, .csv or .txt of losses; the first is the one to reproduce",
    )
    command.add_argument(
        "--figure", metavar="FILE", type=Path, default=Path("compare.png"), help="default: compare.png"
    )

    command = add(
        "results", run_results, "what RESULTS.md holds, from the records of runs; or add a run to the records"
    )
    command.add_argument(
        "records",
        metavar="RECORDS",
        type=Path,
        nargs="?",
        default=results.RUNS,
        help="a file like runs.jsonl, or a folder of runs of train (default: the package's records)",
    )
    command.add_argument("--add", metavar="RUN", type=Path, help="append this run, a folder that train wrote")
    command.add_argument(
        "--group",
        type=one_of(list(results.GROUPS)),
        help=f"{', '.join(results.GROUPS)} (default: main; with --add: by the run's recipe)",
    )
    command.add_argument("--row", metavar="NAME", help="with --add (default: by the run's command or recipe)")

    command = add(
        "params", run_params, "parameters, multiply-adds and bytes, beside the paper's; or: will training fit?"
    )
    command.add_argument(
        "--memory", action="store_true", help="what a training step of each preset keeps in memory, instead"
    )
    command.add_argument("--batch", type=count, help="with --memory: images per step (default: the preset's)")
    command.add_argument("--preset", type=one_of(list(RECIPES)), help=f"with --memory: only {presets}")

    command = add(
        "bench",
        run_bench,
        "how fast and how hungry, beside other packages' layers; needs timm and lambda-networks",
    )
    command.add_argument(
        "--part",
        dest="parts",
        action="append",
        type=one_of(list(bench.PARTS)),
        help=f"{', '.join(bench.PARTS)}; may be repeated (default: all)",
    )
    command.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        default=Path("bench.json"),
        help="JSON with the numbers and their evidence; parts not measured now stay in it (default: bench.json)",
    )
    command.add_argument("--threads", type=count, help="CPU threads")
    command.add_argument("--quick", action="store_true", help="few shapes and turns, to see that it runs")

    command = add("doctor", run_doctor, "what is installed, what this machine has, where the data are")
    command.add_argument("--data", metavar="ROOT", type=a_folder, help="folder of the data")
    return parser


def shipped() -> str:
    """The names of the models that come with the package, for messages."""
    return ", ".join(list_pretrained()) or "none yet"


def load_data(options: argparse.Namespace, usual: str, image_size: int) -> cifar10.ImageSplits:
    """The images that --data and --source name."""
    if options.data and options.source is None and folders.is_image_folder(options.data):
        return folders.load_folder(options.data, image_size, options.workers)
    if image_size != 32:
        raise ValueError(
            f"argument --data: must be a folder with train and val (or test) for images of {image_size} pixels, "
            f"got {options.data or 'nothing'!r}"
        )
    return data.load_cifar10(options.data, options.source or usual)


def weights_file(argument: str, name: str) -> Path:
    """The file of trained weights: its path, or the name of a model of the package."""
    path = checkpoint.ASSETS / f"{name}.safetensors" if name in list_pretrained() else Path(name)
    if not path.is_file():
        raise ValueError(
            f"argument {argument}: must be a file or one of the package's models ({shipped()}), got {name!r}"
        )
    return path


def chosen_recipe(options: argparse.Namespace, init_from: Path | None) -> Recipe:
    """The preset or row, or the recipe of the run to resume, with what the options change."""
    changes = {name: getattr(options, name) for name in OVERRIDES if getattr(options, name) is not None}
    changes |= dict(options.settings)
    if options.resume:
        return replace(Recipe.from_record(load_state(options.out / "state.pt")["recipe"]), **changes)
    if "model" in changes:
        changes = {"model_kwargs": {}, **changes}  # the preset's belong to the preset's model
    elif init_from:
        card = read_card(init_from)
        changes = {"model": card["model"], "model_kwargs": {**card["model_kwargs"]}, **changes}
    row = rows.ROW_ALIASES.get(options.row, options.row)
    recipe = rows.EVERY_ROW[row] if row else RECIPES[options.preset]
    if "epochs" in changes:
        resizing = {
            side: epochs * changes["epochs"] / recipe.epochs
            for side, epochs in recipe.progressive_resizing.items()
        }
        changes = {"progressive_resizing": resizing, **changes}
    return replace(recipe, **changes)


def with_classes(recipe: Recipe, classes: int) -> Recipe:
    """The recipe with as many outputs as the images have classes; 10 need no mention."""
    others = {name: value for name, value in recipe.model_kwargs.items() if name != "num_classes"}
    return replace(recipe, model_kwargs=others if classes == 10 else {**others, "num_classes": classes})


@distributed.process_group()
def run_train(options: argparse.Namespace) -> None:
    """Train by a preset, or continue a run."""
    if options.devices not in (None, distributed.size()):
        raise ValueError(
            f"argument --devices: must be the number of processes, {distributed.size()}, got {options.devices}; "
            f"start them with: torchrun --nproc-per-node {options.devices} -m lambdalib train ..."
        )
    if options.row and options.preset:
        raise ValueError(
            f"argument --row: must stand without --preset, got {options.row!r} and --preset {options.preset!r}"
        )
    if options.resume and options.out is None:
        raise ValueError("argument --out: must be the folder of the run to resume, got nothing")
    init_from = None if options.init_from is None else weights_file("--init-from", options.init_from)
    device = evidence.pick_device(options.device or distributed.local_device())
    options.preset = options.preset or ("gpu" if device.type == "cuda" else "quick")
    recipe = chosen_recipe(options, init_from)
    boards = [] if options.tensorboard is None or distributed.rank() > 0 else [TensorBoard(options.tensorboard)]
    out = options.out or Path("runs") / f"{options.row or options.preset}-seed{recipe.seed}"
    if options.resume:  # what the run began with, where that was the sample
        sample = load_state(out / "state.pt")["data"]["source"] == "sample"
    else:
        sample = options.preset == "demo" and options.row is None
    images = load_data(options, "sample" if sample else "auto", recipe.image_size)
    recipe = with_classes(recipe, int(images.train_labels.max()) + 1)
    run = train.fit(
        recipe,
        images,
        out,
        resume=options.resume,
        minutes=options.minutes,
        device=device,
        progress=not options.quiet,
        init_from=init_from,
        callbacks=boards,
    )
    if distributed.rank() > 0:
        return
    if not run.ended:
        places = ["--out", str(out), *(["--data", options.data] if options.data else [])]
        command = shlex.join(["lambdalib", "train", "--resume", *places])
        return print(f"stopped after step {run.step:,} of {run.total:,}; continue with: {command}")
    result = run.records[-1]
    name = "validation accuracy" if recipe.validation_images else "test accuracy"
    print(
        f"{name} {result['test_accuracy']:.2%}, last epoch, no test-time augmentation\n"
        f"{'':{len(name)}} {result['test_accuracy_flip_tta']:.2%} with flip test-time augmentation\n"
        f"{result['seconds']:.0f} s; weights: {out / 'weights.safetensors'}"
    )


def run_evaluate(options: argparse.Namespace) -> None:
    """Evaluate a trained model."""
    path = weights_file("WEIGHTS", options.weights)
    model, recipe = load_model(path), read_card(path).get("run", {}).get("recipe", {})
    splits = load_data(options, "auto", recipe.get("image_size", 32))
    device = evidence.pick_device(options.device)
    images, labels = data.normalize(splits.test_images.to(device)), splits.test_labels.to(device)
    outputs, classes = train.predict(model.to(device), images[:1]).shape[1], int(splits.train_labels.max()) + 1
    if outputs != classes:
        raise ValueError(
            f"argument WEIGHTS: must be of a model for {classes} classes, as many as the images have, "
            f"got one for {outputs}"
        )
    print(f"{options.weights} on {len(labels):,} test images ({splits.source})")
    for tta, words in (("none", "no test-time augmentation"), ("flip", "with flip test-time augmentation")):
        print(f"{train.evaluate(model, images, labels, tta):8.2%}  {words}", flush=True)


def run_compare(options: argparse.Namespace) -> int:
    """Set two loss curves side by side. Returns 0 if they pass for one, else 1."""
    curves = [compare.read_curve(run) for run in options.runs]
    result = compare.compare(*curves)
    for run, curve in zip(options.runs, curves):
        print(f"{run}: {len(curve.steps):,} losses, steps {curve.steps[0]:,} to {curve.steps[-1]:,}")
    print(f"compared at {len(result.steps):,} steps, {result.steps[0]:,} to {result.steps[-1]:,}")
    print(f"mean relative error {result.relative:.6f}, allowed {compare.RELATIVE}")
    print(f"mean absolute error {result.absolute:.6f}, allowed {compare.ABSOLUTE}")
    with whole_file(options.figure) as part:
        compare.plot_comparison(result, options.runs).savefig(part, format="png", dpi=120)
    print(f"{'pass' if result.passed else 'FAIL'}; figure: {options.figure}")
    return 0 if result.passed else 1


def run_params(options: argparse.Namespace) -> None:
    """Print paper_tables.params_report(), or with --memory paper_tables.memory_report()."""
    for name in ("batch", "preset"):
        if getattr(options, name) is not None and not options.memory:
            raise ValueError(
                f"argument --{name}: must go with --memory, got {getattr(options, name)!r} without it"
            )
    chosen = RECIPES if options.preset is None else {options.preset: RECIPES[options.preset]}
    print(paper_tables.memory_report(chosen, options.batch) if options.memory else paper_tables.params_report())


def run_results(options: argparse.Namespace) -> None:
    """Print RESULTS.md, or the table of one group or of other records. Or add a run, and print its row."""
    if options.add is not None:
        record = results.add_run(options.add, options.group, options.row, options.records)
        print(f"{options.records}: added {record.row}, seed {record.seed}, to group {record.group}\n")
        added = [row for row in results.read_results(record.group, options.records) if row.name == record.row]
        return print(results.results_table(added))
    if options.row is not None:
        raise ValueError(f"argument --row: must go with --add, got {options.row!r} without it")
    if options.group is None and options.records == results.RUNS:
        return print(report.results_report(), end="")
    group = options.group or (None if options.records.is_dir() else "main")
    print(results.results_table(results.read_results(group, options.records)))


def run_bench(options: argparse.Namespace) -> None:
    """Measure, print, and write the JSON."""
    options.out.parent.mkdir(parents=True, exist_ok=True)  # a wrong name is told before the first minute
    bench.bench(options.parts, options.out, options.quick, say=lambda text: print(text, flush=True))
    print(f"numbers and evidence: {options.out}")


def run_doctor(options: argparse.Namespace) -> int:
    """Print what a run depends on. Returns 1 if the package is damaged, else 0."""
    found, undamaged = doctor.look_around(options.data)
    for name, words in found.items():
        print(f"{name:<10} {words}")
    return 0 if undamaged else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: the words after `lambdalib`. Default: those that the program was called with.
    Returns:
        0 if all went well, 1 if the run failed, 2 if an argument was wrong, 130 after Ctrl-C, 143 after SIGTERM.
    """
    try:
        options, unknown = build_parser().parse_known_args(arguments)
        if unknown:
            options.parser.error(
                f"unknown: {' '.join(unknown)}; {options.parser.prog} --help lists what is allowed"
            )
    except SystemExit as end:  # --help, or an argument that the parser refused
        return end.code
    try:
        if getattr(options, "threads", None):
            torch.set_num_threads(options.threads)
        return options.function(options) or 0
    except ValueError as error:
        return complain(options, error, 2)
    except (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        return complain(options, error, 2)  # a name that cannot be read or written
    except (OSError, FloatingPointError, DataError) as error:
        return complain(options, error, 1)
    except KeyboardInterrupt as error:
        return complain(
            options, str(error) or "interrupted", 143 if isinstance(error, callbacks.Terminated) else 130
        )


def complain(options: argparse.Namespace, problem, code: int) -> int:
    """One line about what went wrong. Returns the exit code."""
    print(f"{options.parser.prog}: error: {' '.join(str(problem).split())}", file=sys.stderr)
    return code
