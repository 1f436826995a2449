"""Training: the steps, an honest evaluation, and the run around them. Taught in notebooks/07_train_on_cifar10."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

import torch
import torch.nn.functional as F
from filelock import Timeout
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from lambdalib.arguments import check_flags, check_labels, check_module, check_sizes, describe
from lambdalib.training import distributed
from lambdalib.training.callbacks import (
    Checkpoint,
    LiveCurve,
    ProgressBar,
    StopSignal,
    StopTraining,
    TimeEstimate,
    TimeLimit,
    call,
    say_beside_the_bar,
)
from lambdalib.training.checkpoint import FILES, load_backbone, load_state, sole_process
from lambdalib.training.cifar10 import ImageSplits
from lambdalib.training.data import Augment, batches, normalize, split_validation
from lambdalib.training.evidence import in_notebook, memory_kept, pick_device
from lambdalib.training.recipes import Recipe, check_recipes, image_side, is_a
from lambdalib.training.run import Run

__all__ = ["train_steps", "predict", "evaluate", "fit"]

TTA = ("none", "flip")


def train_steps(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    optimizer: Optimizer,
    scheduler: LRScheduler | None = None,
    scaler: GradScaler | None = None,
    ema: AveragedModel | None = None,
    *,
    label_smoothing: float = 0.0,
    dtype: torch.dtype = torch.float32,
) -> Iterator[Tensor]:
    """Train on the batches, one step for each. Taught in notebooks/07_train_on_cifar10.

    Args:
        batches: images (b, 3, H, W), normalized, and labels (b,) int64, on the model's device.
        scheduler: gives the next step its learning rate.
        scaler: multiplies the loss so that small gradients survive float16; other types need none.
        ema: gets the running average of the weights.
        label_smoothing: share of the target that is spread over all classes.
        dtype: of the products; weights stay as they are.
    Yields:
        () the loss of each step, before its update. It stays on the device: reading it makes a GPU wait.
    Raises:
        ValueError: labels are not (b,) int64, or none of the model's classes. On a GPU their numbers are not read.
    """
    scaler = scaler or GradScaler(enabled=False)
    for images, labels in batches:
        model.train()
        with torch.autocast(images.device.type, dtype, enabled=dtype != torch.float32):
            logits = model(images)
            check_labels(len(logits), logits.shape[-1], labels=labels)
            loss = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if scheduler is not None:
            scheduler.step()
        if ema is not None:
            ema.update_parameters(model)
        yield loss.detach()


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, tta: str = "none", batch_size: int = 500) -> Tensor:
    """Logits for many images. Leaves the model in eval mode. Taught in notebooks/07_train_on_cifar10.

    Args:
        images: (n, 3, H, W), normalized.
        tta: test-time augmentation; "none", or "flip": the mean over the image and its mirror image.
    Returns:
        (n, classes).
    Raises:
        ValueError: tta is neither, batch_size is not positive, model is no module, or there are no such images.
    """
    if not (isinstance(images, Tensor) and images.is_floating_point() and images.ndim == 4 and len(images)):
        raise ValueError(f"images must be normalized (n, 3, H, W), at least one, got {describe(images)}")
    check_sizes(batch_size=batch_size)
    if tta not in TTA:
        raise ValueError(f"tta must be one of {TTA}, got {tta!r}")
    check_module(model=model)
    model.eval()
    logits = torch.cat([model(batch) for batch in images.split(batch_size)])
    return logits if tta == "none" else (logits + predict(model, images.flip(-1), "none", batch_size)) / 2


def evaluate(model: nn.Module, images: Tensor, labels: Tensor, tta: str = "none", batch_size: int = 500) -> float:
    """The share of images that get their own label. Taught in notebooks/07_train_on_cifar10.

    Args:
        images, labels: (n, 3, H, W), normalized, and (n,) int64.
        tta: as in predict. An accuracy with test-time augmentation is another number than one without: name it.
    Returns:
        Between 0 and 1.
    Raises:
        ValueError: as in predict and train_steps.
    """
    logits = predict(model, images, tta, batch_size)
    check_labels(len(logits), logits.shape[-1], labels=labels)
    right = logits.argmax(1) == labels
    return right.sum().item() / len(labels)


def fit(
    recipe: Recipe,
    data: ImageSplits,
    out_dir: str | Path | None = None,
    *,
    resume: bool = False,
    save_every: float = 60.0,
    minutes: float | None = None,
    device: str | torch.device | None = None,
    progress: bool = True,
    live: bool | None = None,
    init_from: str | Path | None = None,
    callbacks: Iterable = (),
) -> Run:
    """Train a model by a recipe. Taught in notebooks/07_train_on_cifar10.

    With the same recipe, data, machine, versions and number of threads, a CPU run repeats to the bit, however
    often it was interrupted. fit seeds PyTorch's global generator with recipe.seed.

    Args:
        data: from load_cifar10 or load_folder.
        out_dir: folder for the training state (state.pt), the log (log.jsonl, one line per epoch) and, at the end,
            the loss curve (curve.png) and the weights with their card (weights.safetensors, weights.json). None:
            nothing is written.
        resume: continue the run in out_dir.
        save_every: seconds between two saves within an epoch; the end of an epoch is always saved.
        minutes: stop after so many, with the state saved; `resume` goes on later. Default: train to the end.
        device: default: the GPU where there is one.
        progress: show a bar and an estimate of the time.
        live: show the loss curve while it grows. Default: in a notebook, where progress is shown.
        init_from: weights.safetensors of a model like the recipe's, to start from; for another number of classes
            the last layer starts with fresh weights. Default: fresh weights.
        callbacks: objects with methods on_step(run), on_epoch_end(run) or on_end(run); see callbacks.py.
    Returns:
        The run, finished unless its minutes were too few (see run.ended). run.eval_model is the trained model,
            run.accuracy its test accuracy; run.losses and run.records tell its story.
    Raises:
        ValueError: out_dir holds a run already (resume is False), one of another recipe or other data, or one that
            another process is training, or cannot be written to; or minutes are not positive, or come without
            out_dir; or save_every is negative; or recipe and data do not fit; or a switch is no bool.
        FileNotFoundError: resume is True and out_dir holds no run.
        FloatingPointError: a loss or a weight became NaN or infinite; the message names the step and the layer.
        OSError: a file could not be written, for example because the disk is full.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the step was finished and the state saved.
    """
    check_recipes({"recipe": recipe})
    if recipe.batch_size % distributed.size():
        raise ValueError(
            f"batch_size must be divisible by {distributed.size()} processes, got {recipe.batch_size}"
        )
    if minutes is not None and not (out_dir is not None and is_a(minutes, float) and 0 < minutes < float("inf")):
        raise ValueError(f"minutes must be positive and go with out_dir, got {minutes!r} and out_dir {out_dir!r}")
    if not is_a(save_every, float) or not save_every >= 0:
        raise ValueError(f"save_every must be seconds, at least 0, got {save_every!r}")
    check_flags(resume=resume, progress=progress, live=False if live is None else live)
    data, folder = split_validation(data, recipe.validation_images), None if out_dir is None else Path(out_dir)
    shown = progress and distributed.rank() == 0
    with sole_writer(folder, resume), memory_kept():
        run, checkpoint = open_run(recipe, data, folder, resume, device, init_from), Checkpoint(folder, save_every)
        curve = LiveCurve(shown and in_notebook() if live is None else live)
        try:
            with ProgressBar(run, shown) as bar, StopSignal(checkpoint) as signals, suppress(StopTraining):
                stops = [TimeLimit(checkpoint, minutes), signals]
                train(run, data, [checkpoint, bar, TimeEstimate(shown), curve, *callbacks, *stops])
        except FloatingPointError as error:
            too_long = folder is None and run.step > run.per_epoch  # to begin again
            if too_long or run.losses[: run.step].isfinite().all():
                raise
            if shown:
                say_beside_the_bar("The loss is no number. Repeating the last steps to find the layer ...")
            resume = folder is not None and (folder / "state.pt").exists()
            again = open_run(recipe, data, folder, resume, device, None if resume else init_from)
            layer = broken_layer(again, data, run.step)
            found = f"{layer!r} was the first layer whose output was" if layer else "No layer's output was"
            raise FloatingPointError(f"{error}. {found} NaN or infinite when the steps were repeated") from error
    return run


def train(run: Run, data: ImageSplits, callbacks: Iterable) -> None:
    """Do the steps that are left, evaluate, and call the callbacks by name."""
    test_images = normalize(data.test_images.to(run.device), memory_format=run.memory_format)
    test_labels = data.test_labels.to(run.device)
    for loss in steps_left(run, data):
        run.log_step(distributed.all_reduce_mean(loss))
        if run.at_epoch_end:
            run.log_epoch(accuracy_if_due(run, test_images, test_labels))
            call(callbacks, "on_epoch_end", run)
        call(callbacks, "on_step", run)
    if not run.ended:
        run.log_end(evaluate(run.eval_model, test_images, test_labels, tta="flip"))
    call(callbacks, "on_end", run)


def steps_left(run: Run, data: ImageSplits) -> Iterator[Tensor]:
    """Train the steps that are left, and yield the loss of each."""
    model = distributed.wrap_ddp(torch.compile(run.model) if run.recipe.compile else run.model, run.device)
    return train_steps(
        model,
        training_batches(run, data),
        run.optimizer,
        run.scheduler,
        run.scaler,
        run.ema,
        label_smoothing=run.recipe.label_smoothing,
        dtype=run.dtype,
    )


def broken_layer(run: Run, data: ImageSplits, last: int) -> str | None:
    """Train until step `last`, and name the first layer whose output is NaN or infinite in any process."""
    found, names = [], {module: name or "model" for name, module in run.model.named_modules()}

    def look(module, inputs, output) -> None:
        if not output.isfinite().all():
            found.append(names[module])

    for module in names:
        module.register_forward_hook(look)
    for loss in steps_left(run, data):
        run.log_step(loss)
        if distributed.all_reduce_any(bool(found)) or run.step == last:
            break
    return next((name for name in names.values() if distributed.all_reduce_any(found[:1] == [name])), None)


def training_batches(run: Run, data: ImageSplits) -> Iterator[tuple[Tensor, Tensor]]:
    """The finished batches of the steps that are left."""
    recipe = run.recipe
    return batches(
        data.train_images.to(run.device),
        data.train_labels.to(run.device),
        recipe.batch_size,
        seed=recipe.seed,
        start=run.step,
        stop=run.total,
        augment=Augment(recipe.padding, recipe.flip, recipe.cutout),
        side=lambda step: image_side(step, recipe, run.total),
        memory_format=run.memory_format,
    )


def accuracy_if_due(run: Run, images: Tensor, labels: Tensor) -> float | None:
    """The test accuracy after an epoch that is to be evaluated, else None.

    The last epoch is evaluated in float32, as its weights will be used.
    """
    last = run.step == run.total
    if not last and run.epoch % run.recipe.evaluate_every:
        return None
    with torch.autocast(run.device.type, run.dtype, enabled=not last and run.dtype != torch.float32):
        return evaluate(run.eval_model, images, labels)


def open_run(
    recipe: Recipe,
    data: ImageSplits,
    folder: Path | None,
    resume: bool,
    device: str | torch.device | None,
    init_from: str | Path | None,
) -> Run:
    """A new run, or the one in the folder. Seeds PyTorch's global generator."""
    if resume and init_from is not None:
        raise ValueError(
            f"init_from must be None for a run that continues with its own weights, got {str(init_from)!r}"
        )
    if resume and folder is None:
        raise ValueError("out_dir must be the folder of the run to resume, got None")
    if not resume and folder is not None and (folder / "state.pt").exists():
        raise ValueError(f"out_dir must be a new folder, or resume must be True: {folder} holds a run already")
    state = load_state(folder / "state.pt") if resume else None
    torch.manual_seed(recipe.seed)
    run = Run(recipe, data, pick_device(device))
    if state is not None:
        try:
            run.load(state)
        except ValueError as error:
            raise ValueError(f"{folder / 'state.pt'}: {error}") from error
    if init_from is not None:
        run.records[0]["init_from"] = {"file": Path(init_from).name, "sha256": load_backbone(run.model, init_from)}
    return run


@contextmanager
def sole_writer(folder: Path | None, resume: bool) -> Iterator[None]:
    """Lock the folder against other runs. The system releases the lock when the process dies.

    Raises:
        ValueError: another process is training into the folder, or it cannot be written to.
    """
    if (
        folder is None or distributed.rank() > 0 or (resume and not folder.is_dir())
    ):  # no folder for a mistyped name
        yield
        return
    with ExitStack() as stack:
        try:  # before the first step
            folder.mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=folder).close()
            stack.enter_context(sole_process(folder, *FILES))
        except Timeout:
            raise ValueError(
                f"out_dir must be a folder of its own for each run: another process is training into {folder}"
            ) from None
        except OSError as error:
            raise ValueError(
                f"out_dir must be a folder that can be written to, got {str(folder)!r} ({error})"
            ) from error
        yield
