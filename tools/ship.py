"""Ship a finished run with the package: `python tools/ship.py runs/tiny-seed0 tiny`. Needs CIFAR-10.

Rounds the weights to float16, tests the rounded model on the whole test set, and writes to lambdalib/assets:
NAME.safetensors, NAME.json with all numbers, and the model card NAME.md with the same numbers for people.
`--only-round FOLDER` only rounds, and writes FOLDER/NAME.safetensors and FOLDER/NAME.json.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

from lambdalib import LambdaLayer, create_model
from lambdalib.training.checkpoint import ASSETS, load_model, read_card, save_weights
from lambdalib.training.data import CLASSES, load_cifar10, normalize
from lambdalib.training.train import predict

# How a model's recipe came about, for its card.
TUNED = """Its recipe was tuned on training images, but by people who
know CIFAR-10's test accuracies, and had read those of two earlier recipes (RESULTS.md)."""
SWEPT = """Its learning rate was chosen by a short sweep on
training images, after a first recipe had fallen short on the test images (RESULTS.md)."""


def confusion(answers, labels) -> list[list[int]]:
    """Confusion matrix as lists: row, the true class; column, the predicted one."""
    pairs = torch.stack([labels, answers])
    counts = torch.zeros(len(CLASSES), len(CLASSES), dtype=torch.long)
    return counts.index_put_(tuple(pairs), torch.tensor(1), accumulate=True).tolist()


def round_weights(run: Path, path: Path) -> dict:
    """Write the run's weights in float16, with their card beside them, and return the card."""
    weights = run / "weights.safetensors"
    card = read_card(weights)
    save_weights(load_model(weights), path, card, torch.float16)
    return card


def ship(run: Path, name: str, root: str | None = None) -> dict:
    """Write the three files, and return the card."""
    path, full = ASSETS / f"{name}.safetensors", load_cifar10(root, "disk")
    card = round_weights(run, path)
    rounded, images = load_model(path), normalize(full.test_images, memory_format=torch.channels_last)
    logits = predict(rounded, images)
    answers, flipped = logits.argmax(1), (logits + predict(rounded, images.flip(-1))).argmax(1)
    card["after_rounding"] = {
        "dtype": "float16",
        "test_accuracy": (answers == full.test_labels).double().mean().item(),
        "test_accuracy_flip_tta": (flipped == full.test_labels).double().mean().item(),
        "confusion": confusion(answers, full.test_labels),
    }
    save_weights(
        rounded, path, card, torch.float16
    )  # rounded already: the same bits, with the numbers on the card
    log = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    path.with_suffix(".md").write_text(model_card(name, card, log), encoding="utf-8")
    return card


def model_card(name: str, card: dict, log: list[dict]) -> str:
    """The card for people, in Markdown."""
    stops = ", interrupted and resumed" if any(line["kind"] == "resume" for line in log) else ""
    run, result, rounded = card["run"], card["result"], card["after_rounding"]
    seed, torch_version = run["recipe"]["seed"], run["versions"]["torch"]
    model = create_model(card["model"], **card["model_kwargs"])
    layers = sum(isinstance(module, LambdaLayer) for module in model.modules())
    arguments = "".join(f", {key}={value!r}" for key, value in card["model_kwargs"].items())
    recipe = ", ".join(f"{key} {value}" for key, value in run["recipe"].items() if value not in (None, {}))
    counts = rounded["confusion"]
    rows = []
    for label, (of, row) in enumerate(zip(CLASSES, counts)):
        most = max(count for other, count in enumerate(row) if other != label)
        taken_for = ", ".join(
            CLASSES[other] for other, count in enumerate(row) if other != label and count == most
        )
        rows.append(f"| {of} | {100 * row[label] / sum(row):.1f} | {taken_for} ({most} of {sum(row):,}) |")
    return f"""# {name}

A residual network with {layers} lambda layers for images of 32 × 32 pixels: {run["parameters"]:,} parameters.
Lesson 06 builds it (`create_model("{card["model"]}"{arguments})`), lesson 07 trains it.

    from lambdalib import load_pretrained, normalize
    model = load_pretrained("{name}")      # in eval mode
    logits = model(normalize(images))      # (b, 3, 32, 32) uint8 -> (b, 10)

**Data.** CIFAR-10: {run["data"]["train"]:,} photographs to train on, {run["data"]["test"]:,} to test on.
[CIFAR10.md](CIFAR10.md) says who made them.

**Run.** `{run["command"]}`, seed {seed}, commit {run["commit"][:7]}, torch {torch_version},
{run["hardware"]}, {run["threads"]} threads, {result["seconds"] / 60:.1f} minutes{stops}.
Seed 0 ships, whatever it reached; RESULTS.md has all seeds. The whole log is in
[runs.jsonl](runs.jsonl): group main, row {name.replace("_", "-")}, seed {seed}.

**Recipe.** {recipe}.

**Accuracy** on the test set, in percent, at the last epoch:

| | as trained | shipped, rounded to {rounded["dtype"]} |
|---|---|---|
| no test-time augmentation | {100 * result["test_accuracy"]:.2f} | {100 * rounded["test_accuracy"]:.2f} |
| mean over an image and its mirror image | {flip(result)} | {flip(rounded)} |

| class | right, % | most often taken for |
|---|---|---|
{chr(10).join(rows)}

**Limits.** It knows ten classes, and calls everything else one of them. It was trained with label smoothing, so
its softmax is not the probability that it is right. {TUNED if card["model"] in ("tiny", "small") else SWEPT}
About 3 % of the test images have a near copy among the training images (Barz and Denzler 2020), here as
everywhere.
"""


def flip(result: dict) -> str:
    """The accuracy with flip test-time augmentation, in percent."""
    return f"{100 * result['test_accuracy_flip_tta']:.2f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder that lambdalib train has written")
    parser.add_argument("name", metavar="NAME", help="what load_pretrained will call it")
    parser.add_argument("--data", metavar="ROOT", help="folder of CIFAR-10")
    parser.add_argument(
        "--only-round", type=Path, metavar="FOLDER", help="only write the rounded weights, to there"
    )
    options = parser.parse_args()
    if options.only_round is not None:
        round_weights(options.run, options.only_round / f"{options.name}.safetensors")
        sys.exit()
    shipped = ship(options.run, options.name, options.data)["after_rounding"]
    plain, flipped = shipped["test_accuracy"], shipped["test_accuracy_flip_tta"]
    print(f"{options.name}: {plain:.2%}, {flipped:.2%} with flip test-time augmentation")
