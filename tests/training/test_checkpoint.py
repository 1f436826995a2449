"""Weights and training states on disk: whole, checked, and run no code."""

import hashlib
import json
import os
import resource

import pytest
import torch
from toy import Toy

from lambdalib.training import checkpoint
from lambdalib.training.checkpoint import (
    load_backbone,
    load_model,
    load_state,
    load_weights,
    save_state,
    save_weights,
)
from lambdalib.training.train import predict


def test_a_crash_while_writing_leaves_the_old_state(tmp_path, monkeypatch):
    path = tmp_path / "state.pt"
    save_state({"step": 1}, path)

    def killed(*args):
        raise SystemExit("killed")

    monkeypatch.setattr(checkpoint.os, "replace", killed)  # written, not yet renamed
    with pytest.raises(SystemExit):
        save_state({"step": 2}, path)
    assert torch.load(path) == {"step": 1} and os.listdir(tmp_path) == ["state.pt"]
    monkeypatch.undo()

    def cut_short(state, part):
        part.write_bytes(b"half a sta")
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", cut_short)
    with pytest.raises(OSError, match="no space"):
        save_state({"step": 3}, path)
    assert torch.load(path) == {"step": 1} and os.listdir(tmp_path) == ["state.pt"]


class Trap:
    """Would run code when unpickled."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


def test_a_state_that_would_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"trap": Trap()}, "trap.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "trap.pt").read_bytes()[:50])
    for name in ("trap.pt", "cut.pt"):
        with pytest.raises(ValueError, match=f"{name} is not a training state"):
            load_state(name)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_that_would_run_code_are_refused(zipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"0.weight": Trap()}, "trap.pt", _use_new_zipfile_serialization=zipped)
    sha256 = hashlib.sha256((tmp_path / "trap.pt").read_bytes()).hexdigest()
    (tmp_path / "trap.json").write_text(json.dumps({"model": "toy", "model_kwargs": {}, "sha256": sha256}))
    for read in (load_weights, load_model, lambda path: load_backbone(Toy(), path)):
        with pytest.raises(ValueError, match="trap.pt is not a safetensors file"):
            read("trap.pt")
    with pytest.raises(ValueError, match="trap.pt is not a training state"):
        load_state("trap.pt")
    assert not (tmp_path / "sprung").exists()
    torch.load("trap.pt", weights_only=False)  # the trap is live
    assert (tmp_path / "sprung").exists()


def test_a_damaged_state_is_refused(tmp_path):
    path = tmp_path / "state.pt"
    save_state({"weights": torch.ones(1000)}, path)
    whole = path.read_bytes()
    place = whole.index(torch.ones(8).numpy().tobytes()) + 2
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 64]) + whole[place + 1 :])
    assert torch.load(path, weights_only=True)["weights"].ne(1).any(), (
        "one bit is another one, and torch does not see it"
    )
    with pytest.raises(ValueError, match="is not a training state of lambdalib: .* is damaged"):
        load_state(path)
    for content, words in ((b"", "not a zip"), (whole[:-30], "not a zip")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"is not a training state of lambdalib: .*{words}"):
            load_state(path)
    save_state([1, 2], path)
    with pytest.raises(ValueError, match="is not a training state of lambdalib: no dict"):
        load_state(path)


def test_weights_that_do_not_go_with_their_card_are_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    save_weights(Toy(), path)
    with pytest.raises(ValueError, match="net.json must have model, model_kwargs, sha256, but has no model"):
        load_model(path)
    save_weights(Toy(), path, {"model": "tiny", "model_kwargs": {}})
    with pytest.raises(ValueError, match="net.safetensors does not hold the weights of the model on its card"):
        load_model(path)


def shipped_toy(folder, **changes):
    """Put a net called "toy" among the package's."""
    torch.manual_seed(3)
    net = Toy()
    sha256 = save_weights(
        net, folder / "toy.safetensors", {"model": "toy", "model_kwargs": {}, **changes}, dtype=torch.float16
    )
    return net, sha256


def test_load_pretrained(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "ASSETS", tmp_path)
    net, sha256 = shipped_toy(tmp_path)
    loaded = checkpoint.load_pretrained("toy")
    assert not loaded.training and all(p.dtype == torch.float32 for p in loaded.parameters())
    images = torch.randn(3, 3, 16, 16)
    torch.testing.assert_close(
        predict(loaded, images), predict(net, images), rtol=0, atol=2e-3
    )  # rounded to float16
    assert json.loads((tmp_path / "toy.json").read_text())["sha256"] == sha256
    tensors = load_weights(tmp_path / "toy.safetensors")
    assert tensors["3.table"].dtype == torch.float16 and tensors["1.num_batches_tracked"].dtype == torch.int64
    with pytest.raises(ValueError, match=r"name must be one of \['toy'\], got 'tow'"):
        checkpoint.load_pretrained("tow")


def test_damaged_weights_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "ASSETS", tmp_path)
    shipped_toy(tmp_path)
    content = bytearray((tmp_path / "toy.safetensors").read_bytes())
    content[-5] ^= 1  # one bit
    (tmp_path / "toy.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="toy.safetensors has SHA-256 .*expected"):
        checkpoint.load_pretrained("toy")
    with pytest.raises(ValueError, match="not a safetensors file"):
        (tmp_path / "text.safetensors").write_text("hello")
        load_weights(tmp_path / "text.safetensors")
    with pytest.raises(FileNotFoundError, match="no card at .*text.json"):
        load_model(tmp_path / "text.safetensors")


def test_channels_last_weights_are_saved_right(tmp_path):
    net = Toy().to(memory_format=torch.channels_last)
    save_weights(net, tmp_path / "toy.safetensors", {"model": "toy", "model_kwargs": {}})
    torch.testing.assert_close(
        load_model(tmp_path / "toy.safetensors").state_dict(), net.state_dict(), rtol=0, atol=0
    )


def test_what_ships_is_sound():
    for name in checkpoint.list_pretrained():
        net = checkpoint.load_pretrained(name)
        assert predict(net, torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_a_full_disk_is_an_oserror_and_leaves_the_old_state(tmp_path):
    path = tmp_path / "state.pt"
    save_state({"step": 1}, path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # like a disk with so much room
    try:
        with pytest.raises(OSError, match="state.pt could not be written, is the disk full?"):
            save_state({"step": 2, "weights": torch.ones(1_000_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert torch.load(path) == {"step": 1} and os.listdir(tmp_path) == ["state.pt"]
