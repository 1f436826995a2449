"""Recipes: all that decides a training run, apart from the data and the machine.

Taught in notebooks/07_train_on_cifar10. Used by `lambdalib train`.
"""

import difflib
import inspect
import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import get_args

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lambdalib.arguments import check_module, check_numbers, check_sizes, describe
from lambdalib.models import create_model

__all__ = [
    "Recipe", "RECIPES", "ALIASES", "image_side", "lr_factor", "create_optimizer", "create_scheduler",
    "parse_setting",
]  # fmt: skip

SCHEDULES = ("linear", "cosine")
FLIPS = ("none", "random", "alternating")
MODEL_OPTIONS = list(inspect.signature(create_model).parameters)[1:]  # all but the name
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# What a field was called in the first edition: its records and states are read under the old names.
ALIASES = {
    "floor": "min_lr",
    "restart": "restart_period",
    "bias_lr": "bias_lr_multiplier",
    "crop": "padding",
    "freeze_body": "freeze_backbone",
    "hold_out": "validation_images",
}

WORDS = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a dict",
    list: "a list",
    Tensor: "a tensor",
    type(None): "None",
}


@dataclass(frozen=True)
class Recipe:
    """All that decides a run, apart from the data and the machine. Taught in notebooks/07_train_on_cifar10.

    Raises:
        ValueError: a field has a value that is not allowed; the message names it.
    """

    # fmt: off
    model: str = "lambda_resnet18"                    # a name that create_model knows
    model_kwargs: dict = field(default_factory=dict)  # further arguments of create_model
    epochs: float = 24                                # passes over the training set; may be a fraction
    batch_size: int = 512                             # images per step
    optimizer: str = "sgd"                            # or "adam", which scales the step of every weight separately
    lr: float = 0.2                                   # peak learning rate; the schedule scales it
    bias_lr_multiplier: float = 1.0                   # biases get this times lr: each moves a whole channel
    momentum: float = 0.9                             # Nesterov's, which looks one step ahead; for Adam: β₁
    weight_decay: float = 5e-4                        # of filters, tables and matrices, not of norms and biases
    whiten: bool = False                              # compute the stem's filters from images (small, tiny)
    label_smoothing: float = 0.2                      # no reward for certainty above 80 %: helps short runs
    warmup: float = 0.2                               # share of the steps in which the learning rate rises
    schedule: str = "linear"                          # how it falls afterwards to min_lr, "linear" or "cosine"
    min_lr: float = 0.0                               # learning rate at the end
    restart_period: float | None = None               # epochs of the first fall; each later fall is twice as long
    ema: float | None = None                          # decay per step of the averaged weights, the result
    flip: str = "alternating"                         # "none", "random", or "alternating": every second epoch
    image_size: int = 32                              # side of the images in pixels; 32 for CIFAR-10
    progressive_resizing: dict = field(default_factory=dict)  # {side: epochs}: first train on images this small
    padding: int = 2                                  # random crops move an image by at most this many pixels
    cutout: int = 0                                   # side of a blanked square in pixels; helps long runs
    dtype: str = "bfloat16"                           # of the products; weights and sums stay float32
    freeze_backbone: bool = False                     # train the last layer only; norms still follow the images
    channels_last: bool = True                        # memory layout with the channels innermost, for speed
    compile: bool = False                             # torch.compile: minutes at the start, then faster steps
    evaluate_every: int = 1                           # epochs; the last epoch is always evaluated
    max_steps: int | None = None                      # ends a run early; the schedule shrinks to fit
    validation_images: int = 0                        # evaluate on so many training images instead of the test set
    seed: int = 0                                     # of the first weights, the order and the augmentation
    # fmt: on

    def __post_init__(self):
        for name, kinds in KINDS.items():
            value = getattr(self, name)
            if not any(is_a(value, kind) for kind in kinds):
                raise ValueError(f"{name} must be {kind_words(kinds)}, got {value!r}")
            if is_a(value, int) and abs(value) >= 2**63:  # tensors end there, and floats at 2^1024
                raise ValueError(f"{name} must be below 2^63, got {value!r}")
        # JSON knows no whole numbers as keys: a record has {"16": 6}.
        sides = self.progressive_resizing
        schedule = {as_side(side): epochs for side, epochs in sides.items()}
        object.__setattr__(self, "progressive_resizing", schedule)
        # fmt: off
        allowed = {
            "model_kwargs":       (set(self.model_kwargs) <= {*MODEL_OPTIONS},
                                   f"a dict of options of create_model, {', '.join(MODEL_OPTIONS)}"),
            "epochs":             (0 < self.epochs <= 1e6, "positive, at most 10^6"),
            "batch_size":         (self.batch_size >= 1, "at least 1"),
            "optimizer":          (self.optimizer in ("sgd", "adam"), "'sgd' or 'adam'"),
            "lr":                 (0 < self.lr < math.inf, "positive"),
            "bias_lr_multiplier": (0 < self.bias_lr_multiplier < math.inf, "positive"),
            "momentum":           (0 <= self.momentum < 1, "at least 0 and below 1"),
            "weight_decay":       (0 <= self.weight_decay < math.inf, "at least 0 and finite"),
            "label_smoothing":    (0 <= self.label_smoothing < 1, "at least 0 and below 1"),
            "warmup":             (0 <= self.warmup < 1, "a share of the steps, at least 0 and below 1"),
            "schedule":           (self.schedule in SCHEDULES, "'linear' or 'cosine'"),
            "min_lr":             (0 <= self.min_lr < self.lr, f"at least 0 and below lr, {self.lr}"),
            "restart_period":     (self.restart_period is None or 0 < self.restart_period < math.inf, "positive"),
            "ema":                (self.ema is None or 0 < self.ema < 1, "between 0 and 1, or None"),
            "flip":               (self.flip in FLIPS, f"one of {', '.join(map(repr, FLIPS))}"),
            "image_size":         (self.image_size >= 1, "at least 1 pixel"),
            "progressive_resizing": (len(schedule) == len(sides)
                                     and fits_resizing(schedule, self.image_size, self.epochs),
                                     f"{{side: epochs}} with rising sides below image_size, {self.image_size}, "
                                     f"and fewer than {self.epochs:g} epochs in all"),
            "padding":            (0 <= self.padding < self.image_size,
                                   f"at least 0 pixels and below image_size, {self.image_size}"),
            "cutout":             (self.cutout >= 0, "at least 0 pixels"),
            "dtype":              (self.dtype in DTYPES, f"one of {', '.join(map(repr, DTYPES))}"),
            "evaluate_every":     (self.evaluate_every >= 1, "at least 1 epoch"),
            "validation_images":  (self.validation_images >= 0, "at least 0"),
            "max_steps":          (self.max_steps is None or self.max_steps >= 1, "at least 1, or None"),
            "seed":               (0 <= self.seed < 2**31, "from 0 to 2^31 - 1"),
        }
        # fmt: on
        for name, (fits, words) in allowed.items():
            if not fits:
                raise ValueError(f"{name} must be {words}, got {getattr(self, name)!r}")

    @classmethod
    def from_record(cls, record: dict) -> "Recipe":
        """The recipe in a log, a card or a training state of this edition or the first.

        Old field names are translated by ALIASES. A field that is younger than the record gets its default.

        Raises:
            ValueError: the record is no dict, or has a field or a value that no recipe has.
        """
        if not isinstance(record, dict):
            raise ValueError(f"a recorded recipe must be a dict, got {record!r}")
        settings = {ALIASES.get(name, name): value for name, value in record.items()}
        for name in settings.keys() - KINDS.keys():
            raise ValueError(f"a recorded recipe must have the fields of Recipe only, got {name!r}")
        return cls(**settings)


KINDS = {
    place.name: get_args(place.type) if len(get_args(place.type)) else (place.type,) for place in fields(Recipe)
}


def is_a(value, kind: type) -> bool:
    """Whether a value has a type, where a whole number is a number too and a bool is none."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def check_recipes(recipes: Mapping[str, Recipe]) -> None:
    """Refuse what is no dict from names to recipes, and name the one that is none. Raises ValueError."""
    if not isinstance(recipes, Mapping):
        raise ValueError(f"recipes must be a dict from names to recipes, got {describe(recipes)}")
    for name, recipe in recipes.items():
        if not isinstance(recipe, Recipe):
            raise ValueError(f"{name} must be a Recipe, got {recipe!r}")


def check_fields(value, form: dict, where: str) -> None:
    """Refuse what was read from a file unless it is a dict of this form. Further fields are allowed.

    Args:
        form: name of a field -> its type, Recipe for a recorded recipe, or the form of a dict.
        where: the file, and the place in it, for the message.
    Raises:
        ValueError: a field is missing, or has another type.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be a dict, got {reprlib.repr(value)}")
    for name, kind in form.items():
        if name not in value:
            raise ValueError(f"{where} must have {', '.join(form)}, but has no {name}")
        if isinstance(kind, dict):
            check_fields(value[name], kind, f"{where}: {name}")
        elif kind is Recipe:
            try:
                Recipe.from_record(value[name])
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
        elif not is_a(value[name], kind):
            raise ValueError(f"{where}: {name} must be {WORDS[kind]}, got {reprlib.repr(value[name])}")


def as_side(key) -> object:
    """The whole number that a key of progressive_resizing stands for; other keys stay as they are."""
    return int(key) if isinstance(key, str) and key.isdecimal() else key


def fits_resizing(schedule: dict, image_size: int, epochs: float) -> bool:
    """Whether a run of so many epochs can begin with these sides and end at image_size."""
    sides = list(schedule)
    return (
        all(is_a(side, int) and 1 <= side < image_size for side in sides)
        and sides == sorted(sides)
        and all(is_a(length, float) and length > 0 for length in schedule.values())
        and sum(schedule.values()) < epochs
    )


def kind_words(kinds: tuple[type, ...]) -> str:
    """The types of a field, for messages: "a number or None"."""
    return " or ".join(WORDS[kind] for kind in kinds)


def parse_setting(text: str) -> tuple[str, object]:
    """Read "name=value" as a field of Recipe, the value in the field's type. Used by `lambdalib train --set`.

    Args:
        text: such as "ema=0.98", "ema=none", "whiten=true", "flip=random" or 'model_kwargs={"scope": 7}' (JSON).
    Returns:
        The field's name and its value; the range of the value is checked by Recipe.
    Raises:
        ValueError: no such field, or a value of another type.
    """
    name, equals, value = str(text).partition("=")
    name = ALIASES.get(name, name)
    if not equals or name not in KINDS:
        near = difflib.get_close_matches(name, KINDS, n=1)
        hint = f" (did you mean {near[0]}?)" if near and equals else ""
        raise ValueError(
            f"must be name=value with a field of the recipe, got {text!r}{hint}; fields: {', '.join(KINDS)}"
        )
    for kind in KINDS[name]:
        try:
            return name, CONVERTERS[kind](value)
        except (ValueError, KeyError):
            pass
    raise ValueError(f"{name} must be {kind_words(KINDS[name])}, got {value!r}")


def json_dict(text: str) -> dict:
    """A dict written as JSON. Raises ValueError where the text is something else."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"{text} is no dict")
    return value


# Each raises ValueError or KeyError for a text that is no value of its type.
CONVERTERS = {
    str: str,
    int: int,
    float: float,
    bool: lambda text: {"true": True, "false": False}[text.lower()],
    type(None): lambda text: {"none": None, "null": None}[text.lower()],
    dict: json_dict,
}


# fmt: off
# How small and tiny are trained on a CPU, whatever the number of epochs.
ON_CPU = dict(batch_size=512, lr=0.75, bias_lr_multiplier=64, momentum=0.85, weight_decay=1.3e-3, min_lr=0.05,
              whiten=True, ema=0.98)
RECIPES = {
    # The sample, in well under a minute on a laptop: small batches, so that 2,000 images make 600 steps.
    "demo": Recipe(model="tiny", epochs=15, batch_size=50, lr=0.2, weight_decay=1e-3, evaluate_every=3),
    # All of CIFAR-10, for newcomers: 90.9 % in 25 minutes on two CPU cores without bfloat16.
    "quick": Recipe(model="tiny", epochs=30, progressive_resizing={16: 12, 24: 10}, evaluate_every=5, **ON_CPU),
    # All of CIFAR-10, 93 %: 27 minutes on two CPU cores with bfloat16, two hours without.
    "cpu": Recipe(model="small", epochs=32, evaluate_every=2, **ON_CPU),
    # A LambdaResNet, 88 %: 2 h 14 min on two CPU cores with bfloat16. Without, an epoch at full size took 52
    # minutes with u = 1, and u = 4 takes longer: do not try. Adam, since SGD left the late blocks untrained; the
    # learning rate by a short sweep.
    "resnet": Recipe(model="lambda_resnet18", model_kwargs={"dim_u": 4, "scope": 7}, epochs=14, batch_size=128,
                     optimizer="adam", lr=4e-3, weight_decay=0.0, label_smoothing=0.1, ema=0.99,
                     progressive_resizing={16: 9, 24: 4}, evaluate_every=5),
    # A LambdaResNet on a GPU of 8 GB: 4.3 GiB a step in bfloat16 by `lambdalib params --memory`, 8.4 in float32.
    # Not yet measured, its progressive resizing neither: a proposal from common settings.
    "gpu": Recipe(model="lambda_resnet18", model_kwargs={"dim_u": 4, "scope": 7}, epochs=60, batch_size=256,
                  lr=0.2, label_smoothing=0.1, warmup=0.05, schedule="cosine", ema=0.999, padding=4, cutout=8,
                  progressive_resizing={16: 20, 24: 20}),
    # Published recipes, with our model and our Nesterov momentum; none of the three was measured here.
    # github.com/leaderj1001/LambdaNetworks and yhgon/LambdaNetworks: falls of 10, 20, 40, 80 and 160 epochs.
    "restarts": Recipe(model="lambda_resnet18", model_kwargs={"dim_u": 4, "scope": 7}, epochs=310, batch_size=128,
                       lr=0.1, weight_decay=1e-4, label_smoothing=0, warmup=0, schedule="cosine", min_lr=1e-5,
                       restart_period=10, flip="random", padding=4),
    # github.com/joigalcar3/LambdaNetworks: Adam, with a warm-up of 5 of its 90 epochs.
    "adam": Recipe(model="lambda_resnet50", epochs=90, batch_size=128, optimizer="adam", lr=5e-4,
                   weight_decay=1e-4, label_smoothing=0.1, warmup=5 / 90, schedule="cosine", flip="random",
                   padding=4),
    # github.com/d-li14/lambda.pytorch, on a folder of images; our crops keep the scale of the image.
    "imagenet": Recipe(model="lambda_resnet50", model_kwargs={"stem": "imagenet"}, epochs=130, batch_size=256,
                       lr=0.1, weight_decay=1e-4, label_smoothing=0.1, warmup=0, schedule="cosine", flip="random",
                       image_size=224, padding=28),
}
# fmt: on


def image_side(step: int, recipe: Recipe, total: int) -> int:
    """The side of the images of a training step, in pixels: small first, image_size last (progressive resizing).

    A quarter of the pixels takes a quarter of the time, and a lambda layer with a local scope works on any size.
    A run that max_steps cuts short has every size for the same share of its steps. Howard 2018, "Training Imagenet
    in 3 hours for USD 25", https://www.fast.ai/posts/2018-04-30-dawnbench-fastai.html. Used by `lambdalib train`.

    Args:
        step: counted from 0.
        total: steps of the whole run.
    Raises:
        ValueError: step or total is no number of steps, or recipe no Recipe.
    """
    check_recipes({"recipe": recipe})
    check_sizes(lowest=0, step=step)
    check_sizes(total=total)
    end = 0.0
    for side, epochs in recipe.progressive_resizing.items():
        end += epochs
        if step < round(end / recipe.epochs * total):
            return side
    return recipe.image_size


def lr_factor(
    step: int, total: int, warmup: float, schedule: str, min_factor: float = 0.0, cycle: float | None = None
) -> float:
    """The share of the peak learning rate that a step gets.

    up: (step + 1)/w for the first w = round(warmup·total) steps. Down, with t = (step - w)/(total - w): f = 1 - t
    ("linear") or (1 + cos πt)/2 ("cosine"), lifted to min_factor + (1 - min_factor)·f. No step has a rate of 0.
    With cycles, t rises from 0 to 1 over `cycle` steps, then over twice as many, and so on (Loshchilov and Hutter
    2017, "SGDR: Stochastic Gradient Descent with Warm Restarts"). Taught in notebooks/07_train_on_cifar10.

    Args:
        step: counted from 0.
        total: steps of the whole run.
        min_factor: the share at the end of a fall.
        cycle: steps of the first fall. None: one fall over the whole run.
    Raises:
        ValueError: an argument is none of these; the message names it.
    """
    check_sizes(lowest=0, step=step)
    check_sizes(total=total)
    check_numbers(1, warmup=warmup, min_factor=min_factor)
    check_numbers(cycle=1 if cycle is None else cycle)
    if cycle == 0:
        raise ValueError(f"cycle must be above 0, or None for one fall, got {cycle!r}")
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {SCHEDULES}, got {schedule!r}")
    climb = round(warmup * total)
    if step < climb:
        return (step + 1) / climb
    done, length = step - climb, cycle or max(total - climb, 1)
    while cycle and done >= length:
        done, length = done - length, 2 * length
    t = done / length
    return min_factor + (1 - min_factor) * (1 - t if schedule == "linear" else (1 + math.cos(math.pi * t)) / 2)


def create_optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    """SGD with Nesterov momentum, or Adam, with weight decay on filters, matrices and tables only.

    A filter before a norm may shrink: only the relative size of its step changes. Decay of a norm's scale or of a
    bias would pull the output towards 0 for no reason. Used by `lambdalib train`.

    Raises:
        ValueError: model is no module, or recipe no Recipe.
    """
    check_module(model=model)
    check_recipes({"recipe": recipe})
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    weights = [parameter for parameter in trained.values() if parameter.ndim > 1]
    scales = [
        parameter for name, parameter in trained.items() if parameter.ndim <= 1 and not name.endswith("bias")
    ]
    biases = [parameter for name, parameter in trained.items() if parameter.ndim <= 1 and name.endswith("bias")]
    groups = [
        {"params": weights, "weight_decay": recipe.weight_decay},
        {"params": scales, "weight_decay": 0.0},
        {"params": biases, "weight_decay": 0.0, "lr": recipe.bias_lr_multiplier * recipe.lr},
    ]
    if recipe.optimizer == "adam":
        return Adam(groups, lr=recipe.lr, betas=(recipe.momentum, 0.999))
    return SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.momentum > 0)


def create_scheduler(optimizer: Optimizer, recipe: Recipe, total: int, per_epoch: int) -> LambdaLR:
    """The schedule that gives every step the learning rate of lr_factor. Used by `lambdalib train`.

    Args:
        total, per_epoch: steps of the whole run and of one epoch.
    Raises:
        ValueError: recipe is no Recipe, or total or per_epoch no positive integer.
    """
    check_recipes({"recipe": recipe})
    check_sizes(total=total, per_epoch=per_epoch)
    min_factor = recipe.min_lr / recipe.lr
    cycle = None if recipe.restart_period is None else recipe.restart_period * per_epoch
    return LambdaLR(
        optimizer, lambda step: lr_factor(step, total, recipe.warmup, recipe.schedule, min_factor, cycle)
    )
