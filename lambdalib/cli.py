"""The command `lambdalib`: train, evaluate, params, doctor.

Bad arguments end with one line that names the argument, its value and what is allowed, and exit code 2.
Taught in notebooks/07_train_on_cifar10.
"""

import argparse
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

import lambdalib
from lambdalib import cost, data, resnet, sources, train
from lambdalib.checkpoint import list_pretrained, load_net, load_pretrained, load_state

__all__ = ["main"]

OVERRIDES = ("model", "epochs", "batch_size", "lr", "seed", "max_steps")  # options of `train` that change its preset


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


def a_device(text: str) -> torch.device:
    """A converter for argparse: a device that is there."""
    try:
        device = torch.device(text)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise argparse.ArgumentTypeError(f"must be a device of this machine (cpu, cuda, cuda:1, ...), got {text!r}") from error
    return device


count = number(int, "a whole number, at least 1", lambda value: value >= 1)
positive = number(float, "a number above 0", lambda value: 0 < value < float("inf"))
whole = number(int, "a whole number from 0 to 2^31 - 1", lambda value: 0 <= value < 2**31)


def build_parser() -> Parser:
    """The whole command line."""
    parser = Parser(prog="lambdalib", description="LambdaNetworks, from self-attention to a LambdaResNet.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"lambdalib {lambdalib.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)

    def add(name: str, function: Callable, text: str) -> Parser:
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.set_defaults(function=function, parser=command)
        return command

    def add_machine_and_data(command: Parser) -> None:
        command.add_argument("--data", metavar="ROOT",
                             help="folder of the data (default: $LAMBDALIB_DATA, else ~/.cache/lambdalib)")
        command.add_argument("--source", type=one_of(data.SOURCES), help=f"where CIFAR-10 comes from: {', '.join(data.SOURCES)}")
        command.add_argument("--device", type=a_device, help="cpu, cuda, ... (default: the GPU where there is one)")
        command.add_argument("--threads", type=count, help="CPU threads")

    command = add("train", run_train, "train a net on CIFAR-10 by a preset recipe")
    presets = ", ".join(train.RECIPES)
    command.add_argument("--preset", type=one_of(list(train.RECIPES)), default="cpu", help=f"{presets} (default: cpu)")
    command.add_argument("--model", type=one_of(resnet.list_models()), help="instead of the preset's")
    command.add_argument("--epochs", type=positive, help="passes over the training set; need not be whole")
    command.add_argument("--batch-size", type=count, help="pictures per step")
    command.add_argument("--lr", type=positive, help="peak learning rate")
    command.add_argument("--seed", type=whole, help="of the first weights, the order and the augmentation")
    command.add_argument("--max-steps", type=count, help="end the run early; the schedule shrinks to fit")
    command.add_argument("--out", metavar="DIR", type=Path,
                         help="folder for state, log, curve and weights (default: runs/PRESET-seedSEED)")
    command.add_argument("--resume", action="store_true", help="go on with the run in --out")
    command.add_argument("--quiet", action="store_true", help="no bar")
    add_machine_and_data(command)

    command = add("evaluate", run_evaluate, "accuracy of trained weights on the test set, plain and with flip augmentation")
    command.add_argument("weights", metavar="WEIGHTS", help=f"a file weights.safetensors, or a net of the package: {shipped()}")
    add_machine_and_data(command)

    add("params", run_params, "parameters, multiply-adds and bytes, beside the paper's")

    command = add("doctor", run_doctor, "what is installed, what this machine has, where the data are")
    command.add_argument("--data", metavar="ROOT", help="folder of the data")
    return parser


def shipped() -> str:
    """The names of the nets that come with the package, for messages."""
    return ", ".join(list_pretrained()) or "none yet"


def load_data(options: argparse.Namespace, usual: str) -> data.CIFAR10:
    """CIFAR-10 as --data and --source say."""
    return data.load_cifar10(options.data, options.source or usual)


def run_train(options: argparse.Namespace) -> None:
    """Train by a preset, or go on with a run."""
    changes = {name: getattr(options, name) for name in OVERRIDES if getattr(options, name) is not None}
    if options.resume:
        if options.out is None:
            raise ValueError("argument --out: must be the folder of the run to resume, got nothing")
        recipe = train.Recipe(**load_state(options.out / "state.pt")["recipe"])
    else:
        recipe = train.RECIPES[options.preset]
        if "model" in changes:
            recipe = replace(recipe, model_kwargs={})  # they belong to the preset's model
    recipe = replace(recipe, **changes)
    out = options.out or Path("runs") / f"{options.preset}-seed{recipe.seed}"
    pictures = load_data(options, usual="sample" if options.preset == "demo" else "auto")
    run = train.fit(recipe, pictures, out, resume=options.resume, device=options.device, progress=not options.quiet)
    result = run.records[-1]
    print(f"test accuracy {result['test_accuracy']:.2%}, last epoch, no test-time augmentation\n"
          f"              {result['test_accuracy_flip_tta']:.2%} with flip test-time augmentation\n"
          f"{result['seconds']:.0f} s; weights: {out / 'weights.safetensors'}")


def run_evaluate(options: argparse.Namespace) -> None:
    """Test a net that was trained before."""
    if options.weights not in list_pretrained() and not Path(options.weights).is_file():
        raise ValueError(f"argument WEIGHTS: must be a file or one of the package's nets ({shipped()}), got {options.weights!r}")
    model = load_pretrained(options.weights) if options.weights in list_pretrained() else load_net(options.weights)
    pictures = load_data(options, usual="auto")
    device = train.pick_device(options.device)
    images, labels = data.normalize(pictures.test_images.to(device)), pictures.test_labels.to(device)
    print(f"{options.weights} on {len(labels):,} test pictures ({pictures.source})")
    for tta, words in (("none", "no test-time augmentation"), ("flip", "with flip test-time augmentation")):
        print(f"{train.evaluate(model.to(device), images, labels, tta):8.2%}  {words}", flush=True)


def run_params(options: argparse.Namespace) -> None:
    """Print cost.params_report()."""
    print(cost.params_report())


def gflops(dtype: torch.dtype, device: torch.device, side: int = 1024, seconds: float = 0.3) -> float:
    """Matrix products per second, in 10⁹ floating-point operations: a glance, no benchmark."""
    a = torch.ones(side, side, dtype=dtype, device=device)
    product, began, rounds = a @ a, time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        product, rounds = a @ a, rounds + 1
        product[0, 0].item()  # wait for the GPU
    return 2 * side**3 * rounds / (time.perf_counter() - began) / 1e9


def run_doctor(options: argparse.Namespace) -> int:
    """Look at everything that a run depends on. Returns 1 if the package is damaged, else 0."""
    device, root, healthy = train.pick_device(), data.data_root(options.data), True
    facts = {
        "lambdalib": f"{lambdalib.__version__}, commit {train.commit() or 'unknown'}",
        "python": f"{platform.python_version()} on {platform.platform()}",
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads",
        "device": f"{device} ({train.hardware(device)})",
    }
    names = [name for name in train.DTYPES if name != "float16" or device.type == "cuda"]  # float16 crawls on a CPU
    facts["speed"] = ", ".join(f"{gflops(train.DTYPES[name], device):,.0f} GFLOP/s in {name}" for name in names)
    facts["recipes"] = f"bfloat16 runs as {str(train.pick_dtype('bfloat16', device)).removeprefix('torch.')} here"
    copies = [str(path) for path, _ in sources.copies_on_disk(root)]
    facts["CIFAR-10"] = ", ".join(copies) or f"no copy below {root}; `--source mirror` fetches one"
    try:
        sample = data.load_sample()
        facts["sample"] = f"{len(sample.train_labels):,} + {len(sample.test_labels):,} pictures, hash right"
    except (data.DataError, OSError) as error:
        facts["sample"], healthy = f"DAMAGED: {error}", False
    facts["weights"] = []
    for name in list_pretrained():
        try:
            load_pretrained(name)
            facts["weights"].append(f"{name}, hash right")
        except (ValueError, OSError, KeyError, RuntimeError) as error:
            facts["weights"].append(f"{name} DAMAGED: {error}")
            healthy = False
    facts["weights"] = "; ".join(facts["weights"]) or "none"
    for name, words in facts.items():
        print(f"{name:<10} {words}")
    return 0 if healthy else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line. Taught in notebooks/07_train_on_cifar10.

    Args:
        arguments: the words after `lambdalib`. Default: those that the program was called with.
    Returns:
        0 if all went well, 1 if the run failed, 2 if an argument was wrong, 130 after Ctrl-C.
    """
    try:
        options, unknown = build_parser().parse_known_args(arguments)
        if unknown:
            options.parser.error(f"unknown: {' '.join(unknown)}; {options.parser.prog} --help lists what is allowed")
    except SystemExit as end:  # --help, or an argument that the parser refused
        return end.code
    if getattr(options, "threads", None):
        torch.set_num_threads(options.threads)
    try:
        return options.function(options) or 0
    except ValueError as error:
        return complain(options, error, 2)
    except (FileNotFoundError, FloatingPointError, data.DataError) as error:
        return complain(options, error, 2 if isinstance(error, FileNotFoundError) else 1)
    except KeyboardInterrupt as error:
        return complain(options, error or "interrupted", 130)


def complain(options: argparse.Namespace, problem, code: int) -> int:
    """One line about what went wrong. Returns the exit code."""
    print(f"{options.parser.prog}: error: {' '.join(str(problem).split())}", file=sys.stderr)
    return code
