"""Weights and training states on disk: written whole or not at all, and checked by hash or checksum when read.

Weights are safetensors, with a card (JSON: which model, how trained, SHA-256) beside them. A training state is a
file of plain tensors and dicts that torch loads without running code. Taught in notebooks/07_train_on_cifar10.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import safetensors.torch
import torch
from filelock import FileLock
from torch import Tensor, nn

from lambdalib.arguments import check_module
from lambdalib.models import create_model
from lambdalib.training.recipes import Recipe, check_fields

__all__ = [
    "save_weights",
    "load_weights",
    "save_state",
    "load_state",
    "load_model",
    "load_backbone",
    "load_pretrained",
    "list_pretrained",
]

ASSETS = Path(__file__).parents[1] / "assets"
FILES = ("state.pt", "log.jsonl", "curve.png", "weights.safetensors", "weights.json")  # of a run

# What a file must hold, for check_fields.
DATA = {"train": int, "test": int}
LINES = {  # a log's, by their kind
    "start": {"recipe": Recipe, "data": DATA, "parameters": int, "dtype": str},
    "epoch": {"epoch": float, "step": int, "seconds": float},
    "resume": {"step": int},
    "end": {"test_accuracy": float, "test_accuracy_flip_tta": float, "seconds": float},
}
STATE = {
    "recipe": Recipe, "data": DATA | {"source": str}, "step": int, "seconds": float, "records": list,
    "losses": Tensor, "random": {"cpu": Tensor},
    "model": dict, "optimizer": dict, "scheduler": dict, "scaler": dict,
}  # fmt: skip
CARD = {"model": str, "model_kwargs": dict, "sha256": str}


def read_text(path: str | os.PathLike) -> str:
    """A text file. Raises ValueError where it is none."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be text in UTF-8: {error}") from error


def read_json(path: str | os.PathLike, lines: bool = False) -> list[dict]:
    """The one dict in a JSON file or, with `lines`, the dict on each line that is not blank.

    Raises:
        ValueError: the file holds something else.
    """
    text = read_text(path)
    try:
        found = (
            [json.loads(part) for part in filter(str.strip, text.splitlines())] if lines else [json.loads(text)]
        )
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON{' line by line' if lines else ''}: {error}") from error
    for number, value in enumerate(found, start=1):
        check_fields(value, {}, f"{path}, line {number}," if lines else str(path))
    return found


def check_log(lines: list, where: str) -> None:
    """Refuse what is no log of a run, finished or not. Raises ValueError, which says where."""
    for number, line in enumerate(lines, start=1):
        check_fields(line, {"kind": str}, place := f"{where}, line {number},")
        if line["kind"] not in LINES or (line["kind"] == "start") != (number == 1):
            raise ValueError(f"{place} must be of kind start, then epoch, resume or end, got {line['kind']!r}")
        check_fields(line, LINES[line["kind"]], place)


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a name to write to, then rename it to `path`: a crash leaves the old file or the new, never half.

    Raises:
        OSError: the file could not be written, for example because the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())  # on the disk before it takes the old one's name
        os.replace(part, path)
    except (FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError):
        raise  # these say themselves what is wrong with the name
    except OSError as error:
        raise OSError(
            f"{path} could not be written, is the disk full? What it held before is still there "
            f"({str(error).splitlines()[0]})"
        ) from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def sole_process(folder: Path, *names: str) -> Iterator[None]:
    """Lock a folder against other processes, and remove what killed ones left half written of the named files.

    The system releases the lock when the process dies.

    Raises:
        Timeout: another process has locked the folder.
        OSError: the folder cannot be written to, or its file system has no locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except NotImplementedError as error:
        raise OSError("its file system has no locks") from error
    try:
        for name in names:
            for part in folder.glob(f"{name}.*.part"):
                part.unlink()
        yield
    finally:
        lock.release()


def save_weights(
    model: nn.Module, path: str | os.PathLike, card: dict | None = None, dtype: torch.dtype | None = None
) -> str:
    """Write a model's weights and buffers as safetensors, and its card beside them. Used by `fit`.

    Args:
        path: NAME.safetensors; the card becomes NAME.json.
        card: "model" and "model_kwargs" for create_model, which load_model needs, and what else a reader should
            know.
        dtype: round floating-point tensors to this type, torch.float16 to halve the file. Default: as they are.
    Returns:
        SHA-256 of the file, in hex; it stands in the card too.
    Raises:
        ValueError: model is no module.
    """
    check_module(model=model)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if dtype is not None:
        tensors = {
            name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()
        }
    content = safetensors.torch.save(tensors)
    sha256 = hashlib.sha256(content).hexdigest()
    with whole_file(path) as part:
        part.write_bytes(content)
    with whole_file(Path(path).with_suffix(".json")) as part:
        part.write_text(json.dumps({**(card or {}), "sha256": sha256}, indent=2) + "\n")
    return sha256


def load_weights(path: str | os.PathLike, sha256: str | None = None) -> dict[str, Tensor]:
    """Read a safetensors file. Used by load_model and load_backbone.

    Args:
        sha256: what the file's hash must be, in hex. Default: not checked.
    Returns:
        A state dict, on the CPU.
    Raises:
        ValueError: the file is not the one that the hash belongs to, or no safetensors file.
    """
    content = Path(path).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise ValueError(
            f"{path} has SHA-256 {found}, expected {sha256}: the file is damaged or of another version"
        )
    try:
        return safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error


def save_state(state: dict, path: str | os.PathLike) -> None:
    """Write a training state, whole or not at all. Taught in notebooks/07_train_on_cifar10.

    Args:
        state: tensors, numbers, strings, and dicts and lists of them; nothing else could be read back.
    Raises:
        OSError: the file could not be written, for example because the disk is full.
    """
    with whole_file(path) as part:
        try:
            torch.save(state, part)
        except RuntimeError as error:  # torch's own words for a full disk
            raise OSError(str(error)) from error


def load_state(path: str | os.PathLike) -> dict:
    """Read a training state to the CPU without running code from it. Taught in notebooks/07_train_on_cifar10.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file holds something else, is cut short or damaged, or has a field of another type.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no training state at {path}")
    try:
        with zipfile.ZipFile(
            path
        ) as archive:  # which torch.save writes, with a checksum for each part, and does not read
            damaged = archive.testzip()
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # whatever another file makes of torch.load
        raise ValueError(
            f"{path} is not a training state of lambdalib: {' '.join(str(error).splitlines()[:1])}"
        ) from error
    if damaged or not isinstance(state, dict):
        raise ValueError(
            f"{path} is not a training state of lambdalib: {f'{damaged} is damaged' if damaged else 'no dict'}"
        )
    check_fields(state, STATE, str(path))
    step, losses = state["step"], state["losses"]
    if losses.ndim != 1 or not losses.is_floating_point() or not 0 <= step <= len(losses):
        raise ValueError(f"{path}: losses must be floats, at least {step} (step), got {tuple(losses.shape)}")
    check_log(state["records"], f"{path}: records")
    return state


def read_card(path: str | os.PathLike) -> dict:
    """The card beside a weights file: NAME.json for NAME.safetensors.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it does not say which model the weights belong to, or which recipe trained it.
    """
    card = Path(path).with_suffix(".json")
    if not card.is_file():
        raise FileNotFoundError(f"no card at {card}: it names the model that {Path(path).name} belongs to")
    (written,) = read_json(card)
    check_fields(written, CARD, str(card))
    if "run" in written:  # fit's
        check_fields(written["run"], LINES["start"], f"{card}: run")
    return written


def load_model(path: str | os.PathLike) -> nn.Module:
    """Rebuild a model from its weights and the card beside them. Taught in notebooks/07b_train_in_earnest.

    Args:
        path: a file that save_weights or fit has written, NAME.safetensors.
    Returns:
        The model on the CPU, in float32 and eval mode. It takes images from data.normalize, (b, 3, 32, 32) for
        CIFAR-10.
    Raises:
        FileNotFoundError: no such weights, or no card beside them.
        ValueError: the weights are not those that the card describes.
    """
    card = read_card(path)
    try:
        model = create_model(card["model"], **card["model_kwargs"])
    except (ValueError, TypeError) as error:
        raise ValueError(f"{Path(path).with_suffix('.json')} must name a model: {error}") from error
    try:
        model.load_state_dict(load_weights(path, card["sha256"]))  # float16 is widened on the way
    except RuntimeError as error:
        raise ValueError(f"{path} does not hold the weights of the model on its card: {error}") from error
    return model.eval()


def load_backbone(model: nn.Module, path: str | os.PathLike) -> str:
    """Start a model from the weights of another of its kind. Taught in notebooks/07b_train_in_earnest.

    A last layer for another number of classes stays as it is.

    Args:
        path: a file that save_weights or fit has written, NAME.safetensors, with its card.
    Returns:
        SHA-256 of the file, in hex.
    Raises:
        FileNotFoundError: no such weights, or no card beside them.
        ValueError: the weights are not those that the card describes, or of another kind of model; or model is no
            module.
    """
    check_module(model=model)
    card, ours = read_card(path), model.state_dict()
    theirs = load_weights(path, card["sha256"])
    misfits = [
        name
        for name in sorted(ours.keys() | theirs.keys())
        if name not in ours or name not in theirs or ours[name].shape != theirs[name].shape
    ]
    if any(not name.startswith("head.") for name in misfits):
        raise ValueError(
            f"init_from must be the weights of a model like the one to train, got {card['model']!r}; "
            f"{', '.join(misfits[:3])} and so on do not fit"
        )
    model.load_state_dict({name: ours[name] if name in misfits else theirs[name] for name in ours})
    return card["sha256"]


def list_pretrained() -> list[str]:
    """Names that load_pretrained knows. Used by `lambdalib evaluate` and `lambdalib doctor`."""
    return sorted(path.stem for path in ASSETS.glob("*.safetensors") if path.with_suffix(".json").is_file())


def load_pretrained(name: str) -> nn.Module:
    """Load a trained model that comes with the package, no download. Taught in notebooks/07_train_on_cifar10.

    Args:
        name: one of list_pretrained().
    Returns:
        The model in eval mode, (b, 3, 32, 32) -> (b, 10): images from data.normalize to logits.
    Raises:
        ValueError: no such name, or the file's SHA-256 is not the one on its card.
    """
    if name not in list_pretrained():
        raise ValueError(f"name must be one of {list_pretrained()}, got {name!r}")
    return load_model(ASSETS / f"{name}.safetensors")
