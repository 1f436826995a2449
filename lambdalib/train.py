"""Training: a recipe, one step, the loop around it, and the evidence that it leaves behind.

Taught in notebooks/07_train_on_cifar10.
"""

import json
import math
import os
import platform
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from io import BytesIO
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm

from lambdalib import __version__, parallel
from lambdalib.checkpoint import load_body, load_state, save_state, save_weights, whole_file
from lambdalib.data import CIFAR10, Augment, batches, hold_out, normalize
from lambdalib.resnet import create_model
from lambdalib.sources import content_hash

__all__ = ["Recipe", "RECIPES", "train_step", "predict", "evaluate", "fit", "Run", "lr_factor", "create_optimizer",
           "create_scheduler", "evidence"]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
TTA = ("none", "flip")


# ---------------------------------------------------------------------------------------------------------------------
# The recipe


@dataclass(frozen=True)
class Recipe:
    """All that decides a training run, the data and the machine aside. Taught in notebooks/07_train_on_cifar10.

    Raises:
        ValueError: a field has a value that is not allowed; the message names it.
    """

    model: str = "lambda_resnet18"                     # a name that create_model knows
    model_kwargs: dict = field(default_factory=dict)   # what create_model takes besides
    epochs: float = 24                                 # passes over the training set; need not be whole
    batch_size: int = 512                              # large batches keep the cores busy, small ones take more steps
    optimizer: str = "sgd"                             # or "adam": every weight has a step of its own size
    lr: float = 0.2                                    # at its peak; the schedule scales it
    bias_lr: float = 1.0                               # times lr, for biases: each moves a whole channel, and may move fast
    momentum: float = 0.9                              # Nesterov's: one look ahead, no extra cost; Adam's β₁
    weight_decay: float = 5e-4                         # for filters, tables and matrices; norms and biases go free
    whiten: bool = False                               # the stem's filters come from the pictures and stay (small and tiny)
    label_smoothing: float = 0.2                       # no reward for certainty beyond 80 %: short runs end better
    warmup: float = 0.2                                # share of the steps in which lr climbs: fresh norms dislike big steps
    schedule: str = "linear"                           # how lr falls after that, "linear" or "cosine", down to floor
    floor: float = 0.0                                 # the rate that the schedule falls to
    restart: float | None = None                       # epochs of a first fall; after it the next, twice as long, and so on
    ema: float | None = None                           # decay per step of the weights' running mean; if set, that is the result
    flip: str = "alternating"                          # "none", "random", or every second epoch the mirror image
    image_size: int = 32                               # side of the pictures; other than CIFAR-10's for a folder of your own
    crop: int = 2                                      # pixels by which a picture may be shifted
    cutout: int = 0                                    # side of a square that is blanked, in pixels; helps long runs
    dtype: str = "bfloat16"                            # of the products; weights and sums stay float32
    freeze_body: bool = False                          # train the last layer only; the norms still follow the pictures
    channels_last: bool = True                         # colours innermost in memory: convolutions like it
    compile: bool = False                              # torch.compile: minutes at the start, faster afterwards
    evaluate_every: int = 1                            # epochs; the last one is always evaluated
    max_steps: int | None = None                       # ends a run early; the schedule shrinks to fit
    hold_out: int = 0                                  # training pictures that judge in the test set's place, to tune by
    seed: int = 0                                      # of the first weights, the order and the augmentation

    def __post_init__(self):
        def whole(number, least: int) -> bool:
            return isinstance(number, int) and number >= least

        allowed = {
            "epochs": (0 < self.epochs < math.inf, "above 0"),
            "batch_size": (whole(self.batch_size, 1), "a whole number, at least 1"),
            "optimizer": (self.optimizer in ("sgd", "adam"), "'sgd' or 'adam'"),
            "lr": (0 < self.lr < math.inf, "above 0"),
            "bias_lr": (0 < self.bias_lr < math.inf, "above 0"),
            "momentum": (0 <= self.momentum < 1, "at least 0 and below 1"),
            "weight_decay": (self.weight_decay >= 0, "at least 0"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "at least 0 and below 1"),
            "warmup": (0 <= self.warmup < 1, "a share of the steps, at least 0 and below 1"),
            "schedule": (self.schedule in ("linear", "cosine"), "'linear' or 'cosine'"),
            "floor": (0 <= self.floor < self.lr, f"at least 0 and below lr, {self.lr}"),
            "restart": (self.restart is None or 0 < self.restart < math.inf, "above 0 epochs, or None"),
            "ema": (self.ema is None or 0 < self.ema < 1, "between 0 and 1, or None"),
            "flip": (self.flip in ("none", "random", "alternating"), "'none', 'random' or 'alternating'"),
            "image_size": (whole(self.image_size, 1), "whole pixels, at least 1"),
            "crop": (whole(self.crop, 0), "whole pixels, at least 0"),
            "cutout": (whole(self.cutout, 0), "whole pixels, at least 0"),
            "dtype": (self.dtype in DTYPES, f"one of {', '.join(map(repr, DTYPES))}"),
            "evaluate_every": (whole(self.evaluate_every, 1), "whole epochs, at least 1"),
            "hold_out": (whole(self.hold_out, 0), "a whole number, at least 0"),
            "max_steps": (self.max_steps is None or whole(self.max_steps, 1), "a whole number, at least 1, or None"),
        }
        for name, (fine, words) in allowed.items():
            if not fine:
                raise ValueError(f"{name} must be {words}, got {getattr(self, name)!r}")


RECIPES = {
    # The sample, in well under a minute on a laptop: small batches, so that 2,000 pictures make 600 steps.
    "demo": Recipe(model="tiny", epochs=15, batch_size=50, lr=0.2, weight_decay=1e-3, evaluate_every=3),
    # All of CIFAR-10 on two CPU cores.
    "cpu": Recipe(model="small", epochs=32, batch_size=512, lr=0.75, bias_lr=64, momentum=0.85, weight_decay=1.3e-3, floor=0.05,
                  whiten=True, ema=0.98, evaluate_every=2),
    # All of CIFAR-10 on a GPU. Not yet measured: by common sense, waiting for one.
    "gpu": Recipe(model="lambda_resnet18", model_kwargs={"dim_u": 4, "scope": 7}, epochs=100, batch_size=512, lr=0.2,
                  label_smoothing=0.1, warmup=0.05, schedule="cosine", ema=0.999, crop=4, cutout=8),
    # What others published, with our net and our Nesterov momentum; none of the three was measured here.
    # github.com/leaderj1001/LambdaNetworks and yhgon/LambdaNetworks: falls of 10, 20, 40, 80 and 160 epochs.
    "restarts": Recipe(model="lambda_resnet18", model_kwargs={"dim_u": 4, "scope": 7}, epochs=310, batch_size=128, lr=0.1,
                       weight_decay=1e-4, label_smoothing=0, warmup=0, schedule="cosine", floor=1e-5, restart=10, flip="random",
                       crop=4),
    # github.com/joigalcar3/LambdaNetworks: Adam, which climbs for 5 of its 90 epochs.
    "adam": Recipe(model="lambda_resnet50", epochs=90, batch_size=128, optimizer="adam", lr=5e-4, weight_decay=1e-4,
                   label_smoothing=0.1, warmup=5 / 90, schedule="cosine", flip="random", crop=4),
    # github.com/d-li14/lambda.pytorch, on a folder of pictures; its random crops of any size are plain shifts here.
    "imagenet": Recipe(model="lambda_resnet50", model_kwargs={"stem": "imagenet"}, epochs=130, batch_size=256, lr=0.1,
                       weight_decay=1e-4, label_smoothing=0.1, warmup=0, schedule="cosine", flip="random", image_size=224,
                       crop=28),
}


def lr_factor(step: int, total: int, warmup: float, schedule: str, floor: float = 0.0, cycle: float | None = None) -> float:
    """The share of the peak learning rate that a step gets.

    up: (step + 1)/w for the first w = round(warmup·total) steps; down, with t = (step - w)/(total - w): f = 1 - t ("linear")
    or (1 + cos πt)/2 ("cosine"), lifted to floor + (1 - floor)·f. No step has a rate of 0. With cycles, t goes from 0 to 1
    over `cycle` steps, then over twice as many, and so on (Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent
    with Warm Restarts"). Taught in notebooks/07_train_on_cifar10.

    Args:
        step: counted from 0.
        total: steps of the whole run.
        floor: the share that it falls to.
        cycle: steps of the first fall; None: one fall over the whole run.
    """
    climb = round(warmup * total)
    if step < climb:
        return (step + 1) / climb
    done, length = step - climb, cycle or max(total - climb, 1)
    while cycle and done >= length:
        done, length = done - length, 2 * length
    t = done / length
    return floor + (1 - floor) * (1 - t if schedule == "linear" else (1 + math.cos(math.pi * t)) / 2)


def create_optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    """SGD with Nesterov momentum, or Adam; only what multiplies features is decayed. Taught in notebooks/07_train_on_cifar10.

    Shrinking a filter before a norm changes nothing but the step's relative size; shrinking the norm's own scale, or a bias,
    pulls the net's output towards 0 for no reason.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    weights = [parameter for parameter in trained.values() if parameter.ndim > 1]
    scales = [parameter for name, parameter in trained.items() if parameter.ndim <= 1 and not name.endswith("bias")]
    biases = [parameter for name, parameter in trained.items() if parameter.ndim <= 1 and name.endswith("bias")]
    groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": scales, "weight_decay": 0.0},
              {"params": biases, "weight_decay": 0.0, "lr": recipe.bias_lr * recipe.lr}]
    if recipe.optimizer == "adam":
        return Adam(groups, lr=recipe.lr, betas=(recipe.momentum, 0.999))
    return SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.momentum > 0)


def create_scheduler(optimizer: Optimizer, recipe: Recipe, total: int, per_epoch: int) -> LambdaLR:
    """What gives every step the learning rate that lr_factor says. Taught in notebooks/07_train_on_cifar10.

    Args:
        total, per_epoch: steps of the whole run and of one epoch.
    """
    floor, cycle = recipe.floor / recipe.lr, None if recipe.restart is None else recipe.restart * per_epoch
    return LambdaLR(optimizer, lambda step: lr_factor(step, total, recipe.warmup, recipe.schedule, floor, cycle))


# ---------------------------------------------------------------------------------------------------------------------
# One step, one evaluation


def train_step(model: nn.Module, images: Tensor, labels: Tensor, optimizer: Optimizer, scheduler: LRScheduler | None = None,
               scaler: GradScaler | None = None, *, label_smoothing: float = 0.0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Look at one batch, and move the weights a little downhill. Taught in notebooks/07_train_on_cifar10.

    Args:
        images: (b, 3, H, W), normalised.
        labels: (b,) int64.
        scheduler: told about the step, so that the next one gets its learning rate.
        scaler: multiplies the loss so that small gradients survive float16; other types need none.
        label_smoothing: share of the target spread over all classes.
        dtype: what products are computed in; weights stay as they are.
    Returns:
        () the loss before the step, on the device: reading it makes a GPU wait, so do it seldom.
    """
    model.train()
    with torch.autocast(images.device.type, dtype, enabled=dtype != torch.float32):
        loss = F.cross_entropy(model(images), labels, label_smoothing=label_smoothing)
    scaler = scaler or GradScaler(enabled=False)
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    if scheduler is not None:
        scheduler.step()
    return loss.detach()


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, tta: str = "none", batch_size: int = 500) -> Tensor:
    """Logits for many images. Leaves the model in eval mode. Taught in notebooks/07_train_on_cifar10.

    Args:
        images: (n, 3, H, W), normalised.
        tta: test-time augmentation; "none", or "flip": the mean over the image and its mirror image.
    Returns:
        (n, classes).
    Raises:
        ValueError: tta is neither.
    """
    if tta not in TTA:
        raise ValueError(f"tta must be one of {TTA}, got {tta!r}")
    model.eval()
    logits = torch.cat([model(batch) for batch in images.split(batch_size)])
    return logits if tta == "none" else (logits + predict(model, images.flip(-1), "none", batch_size)) / 2


def evaluate(model: nn.Module, images: Tensor, labels: Tensor, tta: str = "none", batch_size: int = 500) -> float:
    """The share of images that get their own label. Taught in notebooks/07_train_on_cifar10.

    Args:
        images, labels: (n, 3, H, W), normalised, and (n,).
        tta: as in predict. An accuracy with test-time augmentation is another number than one without: name it.
    Returns:
        Between 0 and 1.
    """
    right = predict(model, images, tta, batch_size).argmax(1) == labels
    return right.sum().item() / len(labels)


# ---------------------------------------------------------------------------------------------------------------------
# The run


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The type for products: what the recipe asks for, or the nearest that this device has in hardware.

    bfloat16 becomes float16 on GPUs before Ampere (2020), float32 on CPUs without bfloat16 instructions.
    A CPU is asked last: ATEN_CPU_CAPABILITY may have forbidden PyTorch its AVX-512.
    Taught in notebooks/07_train_on_cifar10.
    """
    if name == "bfloat16" and device.type == "cuda" and torch.cuda.get_device_capability(device)[0] < 8:
        return torch.float16
    if name == "bfloat16" and device.type == "cpu":
        probes = [getattr(torch.cpu, probe, None) for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
        allowed = torch.backends.cpu.get_cpu_capability() not in ("DEFAULT", "AVX2")
        return torch.bfloat16 if allowed and any(probe() for probe in probes if probe) else torch.float32
    return DTYPES[name]


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for, by default the GPU where there is one. Taught in notebooks/07_train_on_cifar10."""
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def hardware(device: torch.device) -> str:
    """What the device is called. Taught in notebooks/07_train_on_cifar10."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit() -> str | None:
    """The commit that this code is from, "+changes" if it was edited since; None outside its repository."""
    def git(*words: str) -> str:
        folder = Path(__file__).parent
        return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()
    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # a site-packages inside another repository is not ours
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def evidence(device: torch.device) -> dict:
    """What a number needs beside it to be believed: command, code, versions, machine. Taught in notebooks/07_train_on_cifar10."""
    program = Path(sys.argv[0])
    words = ["python", "-m", program.parent.name] if program.name == "__main__.py" else [program.name]
    return {
        "command": "notebook" if in_notebook() else shlex.join([*words, *sys.argv[1:]]),
        "commit": commit(),
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__), "lambdalib": __version__},
        "hardware": hardware(device),
        "threads": torch.get_num_threads(),
        "processes": parallel.size(),
        "environment": {name: os.environ[name] for name in sorted(os.environ) if name.startswith(("MALLOC_", "OMP_"))},
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


class Run:
    """A training run between two steps: what a checkpoint holds, and what a recipe rebuilds.

    Taught in notebooks/07_train_on_cifar10.

    Attributes:
        model, ema: the net in training, and the running mean of its weights (None without).
        losses: (total,), one per step; 0 where not yet trained.
        records: the lines of the log, as dicts.
        step, total, per_epoch: steps done, of the whole run, of one epoch.
    """

    def __init__(self, recipe: Recipe, data: CIFAR10, device: torch.device):
        train_size, side = len(data.train_labels), recipe.image_size
        if tuple(data.train_images.shape[2:]) != (side, side):
            raise ValueError(f"image_size must be that of the pictures, {tuple(data.train_images.shape[2:])}, got {side}")
        if recipe.batch_size > train_size:
            raise ValueError(f"batch_size must be at most {train_size}, the number of training pictures, got {recipe.batch_size}")
        self.recipe, self.device, self.dtype = recipe, device, pick_dtype(recipe.dtype, device)
        self.per_epoch = train_size // recipe.batch_size
        self.total = min(max(round(recipe.epochs * self.per_epoch), 1), recipe.max_steps or sys.maxsize)
        self.step, self.seconds_before, self.began = 0, 0.0, time.monotonic()
        self.losses = torch.zeros(self.total, device=device)

        torch.manual_seed(recipe.seed)
        self.memory_format = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self.model = create_model(recipe.model, **recipe.model_kwargs)
        if recipe.whiten:
            if not hasattr(self.model, "whiten"):
                raise ValueError(f"whiten must be False for {recipe.model}, whose stem is learnt, got True")
            self.model.whiten(normalize(data.train_images[:5000]).cpu())
        self.model.to(device=device, memory_format=self.memory_format)
        if recipe.freeze_body:
            self.model.requires_grad_(False).head.requires_grad_(True)
        self.ema = None
        if recipe.ema is not None:
            self.ema = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
        self.optimizer = create_optimizer(self.model, recipe)
        self.scheduler = create_scheduler(self.optimizer, recipe, self.total, self.per_epoch)
        self.scaler = GradScaler(device.type, enabled=self.dtype == torch.float16)

        self.test_images = normalize(data.test_images.to(device)).contiguous(memory_format=self.memory_format)
        self.test_labels = data.test_labels.to(device)
        pictures = {"source": data.source, "train": train_size, "test": len(data.test_labels), "sha256": content_hash(data)[:16]}
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self.records = [{"kind": "start", "recipe": asdict(recipe), "data": pictures, "parameters": parameters,
                         "dtype": str(self.dtype).removeprefix("torch."), **evidence(device)}]

    @property
    def net(self) -> nn.Module:
        """The net that counts: the running mean where there is one."""
        return self.model if self.ema is None else self.ema.module

    @property
    def accuracy(self) -> float:
        """Test accuracy of the last evaluation, without test-time augmentation; after fit, that of the last epoch."""
        return [record["test_accuracy"] for record in self.records if "test_accuracy" in record][-1]

    @property
    def seconds(self) -> float:
        """Seconds of training and evaluation, over all resumptions."""
        return round(self.seconds_before + time.monotonic() - self.began, 2)

    def advance(self, loss: Tensor) -> None:
        """Book one step: its loss, and the running mean of the weights."""
        self.losses[self.step] = loss
        if self.ema is not None:
            self.ema.update_parameters(self.model)
        self.step += 1

    def end_epoch(self) -> dict:
        """Write the epoch's line of the log. The last epoch is evaluated in float32, as its weights will be used."""
        epoch, last = -(-self.step // self.per_epoch), self.step == self.total
        loss = self.losses[(epoch - 1) * self.per_epoch:self.step].mean().item()
        record = {"kind": "epoch", "epoch": self.step / self.per_epoch, "step": self.step, "loss": loss}
        if last or epoch % self.recipe.evaluate_every == 0:
            with torch.autocast(self.device.type, self.dtype, enabled=not last and self.dtype != torch.float32):
                record["test_accuracy"] = evaluate(self.net, self.test_images, self.test_labels)
        self.records.append({**record, "seconds": self.seconds})
        return record

    def finish(self, out_dir: Path | None) -> None:
        """Write the log's last line, the weights with their card, and the loss curve; once."""
        if self.records[-1]["kind"] == "end":
            return
        flip = evaluate(self.net, self.test_images, self.test_labels, tta="flip")
        self.records.append({"kind": "end", "test_accuracy": self.accuracy, "test_accuracy_flip_tta": flip,
                             "seconds": self.seconds})
        if out_dir is None:
            return
        card = {"model": self.recipe.model, "model_kwargs": self.recipe.model_kwargs,
                "result": self.records[-1], "run": self.records[0]}
        save_weights(self.net, out_dir / "weights.safetensors", card)
        with whole_file(out_dir / "curve.png") as part:
            self.curve().savefig(part, format="png", dpi=120)
        self.save(out_dir)

    def parts(self) -> dict:
        """The objects that have a state of their own."""
        names = ("model", "ema", "optimizer", "scheduler", "scaler")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def state(self) -> dict:
        """All that the next step depends on; order and augmentation follow from the recipe's seed and the step."""
        random = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self.device)
        return {"recipe": asdict(self.recipe), "data": self.records[0]["data"], "step": self.step, "seconds": self.seconds,
                "records": self.records, "losses": self.losses, "random": random,
                **{name: part.state_dict() for name, part in self.parts().items()}}

    def load(self, state: dict) -> None:
        """Go on from a state. Raises ValueError where recipe or data are not those that the run began with."""
        recipes = asdict(Recipe(**state["recipe"])), asdict(self.recipe)  # a field that is younger than the state has its default
        known = state["data"].keys() - {"source"}  # the same pictures may come from elsewhere: a download is on the disk afterwards
        pictures = [{key: side[key] for key in known} for side in (state["data"], self.records[0]["data"])]
        for name, (began, ours) in {"recipe": recipes, "data": pictures}.items():
            changed = [key for key in ours if key not in began or ours[key] != began[key]]
            if changed:
                was, now = (", ".join(f"{key}={side.get(key)!r}" for key in changed) for side in (began, ours))
                raise ValueError(f"{name} must be what the run began with ({was}), got {now}")
        for name, part in self.parts().items():
            part.load_state_dict(state[name])
        self.losses.copy_(state["losses"])
        self.step, self.seconds_before, self.records = state["step"], state["seconds"], state["records"]
        if self.step < self.total:
            self.records.append({"kind": "resume", "step": self.step, **evidence(self.device)})
        torch.set_rng_state(state["random"]["cpu"])
        if self.device.type == "cuda" and "cuda" in state["random"]:
            torch.cuda.set_rng_state(state["random"]["cuda"], self.device)

    def check(self, out_dir: Path | None) -> None:
        """Raise FloatingPointError if a loss was NaN or infinite: no later step mends the weights."""
        broken = (~self.losses[:self.step].isfinite()).nonzero()
        if len(broken):
            step = broken[0].item()
            saved = out_dir is not None and (out_dir / "state.pt").exists()
            good = f"the last good state is {out_dir / 'state.pt'}" if saved else "no state was saved before"
            raise FloatingPointError(f"the loss became {self.losses[step].item()} at step {step} of {self.total}, "
                                     f"epoch {step / self.per_epoch:.2f}; {good}. A smaller lr or a longer warmup may help")

    def save(self, out_dir: Path | None) -> None:
        """Write state.pt and log.jsonl, each whole or not at all."""
        if out_dir is None:
            return
        self.check(out_dir)
        save_state(self.state(), out_dir / "state.pt")
        with whole_file(out_dir / "log.jsonl") as part:
            part.write_text("".join(json.dumps(record) + "\n" for record in self.records))

    def curve(self) -> Figure:
        """Over epochs: the loss of every step, its running mean, and the test accuracy."""
        figure = Figure(figsize=(7, 3.2), layout="constrained")
        left = figure.add_subplot(xlabel="epoch", ylabel="training loss", xlim=(0, self.total / self.per_epoch))
        right = left.twinx()
        losses, window = self.losses[:self.step].cpu(), max(1, min(self.per_epoch // 4, self.step))
        epochs = torch.arange(1, self.step + 1) / self.per_epoch
        left.plot(epochs, losses, color="#c9ced6", linewidth=0.8)
        if self.step:
            left.plot(epochs[window - 1:], losses.unfold(0, window, 1).mean(1), color="#2b2f36", linewidth=1.5)
        tested = [record for record in self.records if record["kind"] == "epoch" and "test_accuracy" in record]
        right.plot([r["epoch"] for r in tested], [100 * r["test_accuracy"] for r in tested], ".-", color="#e8730c")
        right.set_ylabel("test accuracy, %", color="#e8730c")
        right.set_ylim(0, 100)
        return figure


def fit(recipe: Recipe, data: CIFAR10, out_dir: str | Path | None = None, *, resume: bool = False, save_every: float = 60.0,
        device: str | torch.device | None = None, progress: bool = True, live: bool | None = None,
        init_from: str | Path | None = None, watch: Callable[[Run], None] | None = None) -> Run:
    """Train a net by a recipe. Taught in notebooks/07_train_on_cifar10.

    With the same recipe, data, machine, versions and number of threads, a CPU run repeats to the bit, however often it was
    interrupted.

    Args:
        data: from load_cifar10.
        out_dir: folder for the training state (state.pt), the log (log.jsonl, one line per epoch) and, at the end, the loss
            curve (curve.png) and the weights with their card (weights.safetensors, weights.json). None: nothing is written.
        resume: go on from the state in out_dir.
        save_every: seconds between two saves within an epoch; the end of an epoch is always saved.
        device: default: the GPU where there is one.
        progress: show a bar.
        live: show the loss curve while it grows. Default: in a notebook, where progress is shown.
        init_from: weights.safetensors of a net like the recipe's, to start from; for another number of classes the last layer
            starts anew. Default: fresh weights.
        watch: called with the run after every epoch.
    Returns:
        The finished run: run.net is the trained net, run.accuracy its test accuracy, run.losses and run.records its story.
    Raises:
        ValueError: out_dir holds a run already (resume is False), or one of another recipe or other data.
        FileNotFoundError: resume is True and out_dir holds no run.
        FloatingPointError: the loss became NaN or infinite.
        KeyboardInterrupt: Ctrl-C; the step was finished and the state saved.
    """
    if recipe.batch_size % parallel.size():
        raise ValueError(f"batch_size must be a multiple of {parallel.size()}, the number of processes, got {recipe.batch_size}")
    data, folder = hold_out(data, recipe.hold_out), None if out_dir is None else Path(out_dir)
    run = open_run(recipe, data, folder, resume, pick_device(device), init_from)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)  # a name that cannot be a folder is told before the first step
    train_images, train_labels = data.train_images.to(run.device), data.train_labels.to(run.device)
    augment = Augment(padding=recipe.crop, flip=recipe.flip, cutout=recipe.cutout)
    model = parallel.spread(torch.compile(run.model) if recipe.compile else run.model, run.device)
    out_dir, progress = (folder, progress) if parallel.rank() == 0 else (None, False)  # of several processes the first writes
    picture = LiveCurve(run, shown=progress and in_notebook() if live is None else live)
    saved = time.monotonic()

    bar = tqdm(desc=recipe.model, total=run.total, initial=run.step, unit="step", disable=not progress)

    with ctrl_c() as stop, bar:
        while run.step < run.total:
            epoch, done = divmod(run.step, run.per_epoch)
            for images, labels in batches(train_images, train_labels, recipe.batch_size, seed=recipe.seed,
                                          epoch=epoch, start=done, augment=augment):
                images, labels = parallel.share(images), parallel.share(labels)
                images = normalize(images).contiguous(memory_format=run.memory_format)
                loss = train_step(model, images, labels, run.optimizer, run.scheduler, run.scaler,
                                  label_smoothing=recipe.label_smoothing, dtype=run.dtype)
                run.advance(parallel.mean(loss))
                bar.update()
                stopping = parallel.any_of_us(bool(stop))
                ended = run.step == run.total or run.step % run.per_epoch == 0
                if ended or run.step % 10 == 0:  # now and then, since a GPU has to stop for it
                    run.check(out_dir)
                    picture.update()
                if ended:
                    record = run.end_epoch()
                    if watch:
                        watch(run)
                    bar.set_postfix({name: f"{record[name]:.3f}" for name in ("loss", "test_accuracy") if name in record})
                if ended or stopping or time.monotonic() - saved > save_every:
                    run.save(out_dir)
                    saved = time.monotonic()
                if stopping:
                    raise KeyboardInterrupt(farewell(run, folder))
                if run.step == run.total:
                    break
    run.finish(out_dir)
    picture.update(now=True)
    return run


def open_run(recipe: Recipe, data: CIFAR10, out_dir: Path | None, resume: bool, device: torch.device,
             init_from: str | Path | None = None) -> Run:
    """A new run, or the one that out_dir holds."""
    if resume and init_from is not None:
        raise ValueError(f"init_from must be None for a run that goes on with its own weights, got {str(init_from)!r}")
    if resume and out_dir is None:
        raise ValueError("out_dir must be the folder of the run to resume, got None")
    if not resume and out_dir is not None and (out_dir / "state.pt").exists():
        raise ValueError(f"out_dir must be a new folder, or resume must be True: {out_dir} holds a run already")
    state = load_state(out_dir / "state.pt") if resume else None
    run = Run(recipe, data, device)
    if state is not None:
        run.load(state)
    if init_from is not None:
        run.records[0]["init_from"] = {"file": Path(init_from).name, "sha256": load_body(run.model, init_from)}
    return run


def farewell(run: Run, out_dir: Path | None) -> str:
    """What to tell after Ctrl-C."""
    if out_dir is None:
        return f"stopped after step {run.step} of {run.total}; nothing was saved, since there is no out_dir"
    return f"stopped after step {run.step} of {run.total}; {out_dir / 'state.pt'} holds it: go on with resume=True (--resume)"


@contextmanager
def ctrl_c() -> Iterator[list]:
    """Let the step finish: the first Ctrl-C only leaves a mark in the list, the second interrupts as usual."""
    asked = []

    def note(signum, frame):
        if asked:
            raise KeyboardInterrupt
        asked.append(signum)

    try:
        usual = signal.signal(signal.SIGINT, note)
    except ValueError:  # not in the main thread, where alone Ctrl-C arrives
        yield asked
        return
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, usual)


def in_notebook() -> bool:
    """Whether this Python is a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    return hasattr(ipython.get_ipython() if ipython else None, "kernel")


class LiveCurve:
    """Shows a run's loss curve in the notebook and redraws it in place, spending at most a twentieth of the time on it."""

    def __init__(self, run: Run, shown: bool):
        self.run, self.shown, self.handle, self.due = run, shown, None, 0.0

    def update(self, now: bool = False) -> None:
        """Draw if it is time, or now."""
        began = time.monotonic()
        if not self.shown or (began < self.due and not now):
            return
        from IPython.display import Image, display

        png = BytesIO()
        self.run.curve().savefig(png, format="png", dpi=80)
        picture = Image(png.getvalue())
        if self.handle is None:
            self.handle = display(picture, display_id=True)
        else:
            self.handle.update(picture)
        now = time.monotonic()
        self.due = now + max(2.0, 20 * (now - began))
