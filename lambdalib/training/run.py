"""A training run between two steps: its state and its log. Taught in notebooks/07_train_on_cifar10."""

import sys
import time
from dataclasses import asdict

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lambdalib.arguments import check_labels, describe
from lambdalib.models import create_model
from lambdalib.training.cifar10 import ImageSplits, content_hash
from lambdalib.training.data import normalize
from lambdalib.training.evidence import evidence, pick_device, pick_dtype
from lambdalib.training.recipes import Recipe, check_recipes, create_optimizer, create_scheduler

__all__ = ["Run"]


class Run:
    """A training run between two steps: what a checkpoint holds, and what a recipe rebuilds.

    The first weights are drawn from PyTorch's global generator: call torch.manual_seed(recipe.seed) before, as fit
    does. Taught in notebooks/07_train_on_cifar10.

    Attributes:
        model, ema: the model in training, and the running average of its weights (None without).
        optimizer, scheduler, scaler: what train_steps takes besides.
        step, total, per_epoch: steps done, of the whole run, of one epoch.
        losses: (total,), one per step; 0 where not yet trained.
        records: the lines of the log, as dicts.
        device, dtype, memory_format: of the products and images.
    Raises:
        ValueError: recipe and data do not fit; the message names the field of the recipe.
    """

    def __init__(self, recipe: Recipe, data: ImageSplits, device: torch.device):
        check_recipes({"recipe": recipe})
        device = pick_device(device)
        self.recipe, self.device, self.dtype = recipe, device, pick_dtype(recipe.dtype, device)
        self.memory_format = torch.channels_last if recipe.channels_last else torch.contiguous_format
        check_splits(data)
        self.per_epoch = steps_per_epoch(recipe, data)
        self.total = min(max(round(recipe.epochs * self.per_epoch), 1), recipe.max_steps or sys.maxsize)
        self.model = first_model(recipe, data).to(device=device, memory_format=self.memory_format)
        self.ema = None
        if recipe.ema is not None:
            self.ema = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
        self.optimizer = create_optimizer(self.model, recipe)
        self.scheduler = create_scheduler(self.optimizer, recipe, self.total, self.per_epoch)
        self.scaler = GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.step, self.losses = 0, torch.zeros(self.total, device=device)
        self.seconds_before, self.began = 0.0, time.monotonic()
        self.records = [self.first_record(data)]

    @property
    def eval_model(self) -> nn.Module:
        """The model that is evaluated and saved: the averaged one if there is one."""
        return self.model if self.ema is None else self.ema.module

    @property
    def accuracy(self) -> float:
        """Test accuracy of the last evaluation, without test-time augmentation."""
        return [record["test_accuracy"] for record in self.records if "test_accuracy" in record][-1]

    @property
    def seconds(self) -> float:
        """Seconds of training and evaluation, over all sessions."""
        return round(self.seconds_before + time.monotonic() - self.began, 2)

    @property
    def epoch(self) -> int:
        """The number of the current epoch, from 1; an epoch begins with its first step."""
        return -(-self.step // self.per_epoch)

    @property
    def at_epoch_end(self) -> bool:
        """Whether the last step ended an epoch or the run."""
        return self.step == self.total or self.step % self.per_epoch == 0

    @property
    def ended(self) -> bool:
        """Whether the log has its last line."""
        return self.records[-1]["kind"] == "end"

    def first_record(self, data: ImageSplits) -> dict:
        """The log's first line: all that decides the run, and the evidence."""
        sizes = {"train": len(data.train_labels), "test": len(data.test_labels)}
        return {
            "kind": "start",
            "recipe": asdict(self.recipe),
            "data": {"source": data.source, **sizes, "sha256": content_hash(data)[:16]},
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "dtype": str(self.dtype).removeprefix("torch."),
            **evidence(self.device),
        }

    def log_step(self, loss: Tensor) -> None:
        """Write down a step: its loss, (), stays on the device."""
        self.losses[self.step] = loss
        self.step += 1

    def log_epoch(self, test_accuracy: float | None = None) -> None:
        """Write the epoch's line of the log. None: the epoch was not evaluated."""
        loss = self.losses[(self.epoch - 1) * self.per_epoch : self.step].mean().item()
        record = {"kind": "epoch", "epoch": self.step / self.per_epoch, "step": self.step, "loss": loss}
        if test_accuracy is not None:
            record["test_accuracy"] = test_accuracy
        self.records.append({**record, "seconds": self.seconds})

    def log_end(self, test_accuracy_flip_tta: float) -> None:
        """Write the log's last line: the accuracy of the last epoch, and with flip test-time augmentation."""
        accuracies = {"test_accuracy": self.accuracy, "test_accuracy_flip_tta": test_accuracy_flip_tta}
        self.records.append({"kind": "end", **accuracies, "seconds": self.seconds})

    def parts(self) -> dict:
        """The objects that have a state of their own, by name."""
        names = ("model", "ema", "optimizer", "scheduler", "scaler")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def state(self) -> dict:
        """All that the next steps depend on. Order and augmentation follow from the recipe's seed and the step."""
        random = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self.device)
        return {
            "recipe": asdict(self.recipe),
            "data": self.records[0]["data"],
            "step": self.step,
            "seconds": self.seconds,
            "records": self.records,
            "losses": self.losses,
            "random": random,
            **{name: part.state_dict() for name, part in self.parts().items()},
        }

    def load(self, state: dict) -> None:
        """Continue from a state, of this edition or the first.

        Args:
            state: from load_state, which has checked its form.
        Raises:
            ValueError: recipe or data are not those of the state, or a part of the state does not fit.
        """
        self.check_unchanged(state)
        if state["losses"].shape != self.losses.shape:
            raise ValueError(f"losses must be {self.total}, one for each step, got {len(state['losses'])}")
        for name, part in self.parts().items():
            try:
                part.load_state_dict(state[name])
            except Exception as error:  # whatever another dict makes of torch
                problem = " ".join(str(error).split())
                raise ValueError(f"{name} must be that of a run of this recipe, got another: {problem}") from error
        for parameter, moments in self.optimizer.state.items():  # torch does not look at their shapes
            for name, value in moments.items():
                if isinstance(value, Tensor) and value.shape not in ((), parameter.shape):
                    raise ValueError(
                        f"optimizer must have a {name} of shape {tuple(parameter.shape)}, got {tuple(value.shape)}"
                    )
        if self.scheduler.last_epoch != state["step"]:
            raise ValueError(f"scheduler must be at step {state['step']}, got {self.scheduler.last_epoch!r}")
        self.losses.copy_(state["losses"])
        self.step, self.seconds_before, self.records = state["step"], state["seconds"], state["records"]
        if self.step < self.total:
            self.records.append({"kind": "resume", "step": self.step, **evidence(self.device)})
        torch.set_rng_state(state["random"]["cpu"])
        if self.device.type == "cuda" and "cuda" in state["random"]:
            torch.cuda.set_rng_state(state["random"]["cuda"], self.device)

    def check_unchanged(self, state: dict) -> None:
        """Raise ValueError where the state is one of another recipe or other data."""
        recipes = asdict(Recipe.from_record(state["recipe"])), asdict(self.recipe)
        began, ours = state["data"], self.records[0]["data"]
        known = {*began} & {*ours} - {"source"}  # the same images may come from elsewhere: a download is cached
        images = [{key: side[key] for key in known} for side in (began, ours)]
        for name, (began, ours) in {"recipe": recipes, "data": images}.items():
            changed = [key for key in ours if ours[key] != began[key]]
            if changed:
                was, now = (", ".join(f"{key}={side[key]!r}" for key in changed) for side in (began, ours))
                raise ValueError(f"{name} must be what the run began with ({was}), got {now}")


def check_splits(data: ImageSplits) -> None:
    """Raise ValueError unless both parts are images of one size with a label each, at least one."""
    if not isinstance(data, ImageSplits):
        raise ValueError(f"data must be ImageSplits, from load_cifar10 or load_folder, got {describe(data)}")
    parts = {"train": data[:2], "test": data[2:4]}
    for name, (images, labels) in parts.items():
        fits = isinstance(images, Tensor) and images.dtype == torch.uint8 and images.ndim == 4 and len(images)
        if not fits or images.shape[1:] != (3, *data.train_images.shape[2:]):
            words = "uint8 (n, 3, H, W), at least one, and of one size with the others"
            raise ValueError(f"{name}_images must be {words}, got {describe(images)}")
        check_labels(len(images), **{f"{name}_labels": labels})


def steps_per_epoch(recipe: Recipe, data: ImageSplits) -> int:
    """Whole batches of the training images. Raises ValueError where recipe and images do not fit."""
    train_size, side = len(data.train_labels), recipe.image_size
    if tuple(data.train_images.shape[2:]) != (side, side):
        raise ValueError(
            f"image_size must be that of the images, {tuple(data.train_images.shape[2:])}, got {side}"
        )
    if recipe.batch_size > train_size:
        raise ValueError(
            f"batch_size must be at most {train_size}, the number of training images, got {recipe.batch_size}"
        )
    return train_size // recipe.batch_size


def first_model(recipe: Recipe, data: ImageSplits) -> nn.Module:
    """The model before its first step, on the CPU: random weights, a whitened stem if the recipe asks for it."""
    model = create_model(recipe.model, **recipe.model_kwargs)
    if recipe.whiten:
        if not hasattr(model, "whiten"):
            raise ValueError(f"whiten must be False for {recipe.model}, whose stem is learnt, got True")
        model.whiten(normalize(data.train_images[:5000]).cpu())
    if recipe.freeze_backbone:
        model.requires_grad_(False).head.requires_grad_(True)
    check_model(model, recipe, data)
    return model


def check_model(model: nn.Module, recipe: Recipe, data: ImageSplits) -> None:
    """Raise ValueError where the model cannot take the smallest images, or has too few outputs for the labels."""
    side = min([recipe.image_size, *recipe.progressive_resizing])
    try:
        with torch.no_grad():
            outputs = model.eval()(torch.zeros(1, 3, side, side)).shape[1]
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"image_size and progressive_resizing must be sides that {recipe.model} can take, got {side}: {error}"
        ) from error
    check_labels(len(data.train_labels), outputs, train_labels=data.train_labels.cpu())
    check_labels(len(data.test_labels), outputs, test_labels=data.test_labels.cpu())
    model.train()
