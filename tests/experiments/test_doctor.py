"""What a run depends on: what is damaged is said, and told from what is well."""

import pytest
import torch
from toy import Toy

from lambdalib import models
from lambdalib.experiments import doctor
from lambdalib.training import checkpoint, data
from lambdalib.training.downloads import DataError


@pytest.fixture(autouse=True)
def own_assets(monkeypatch, tmp_path):
    """No weights yet, and a rate that need not be measured."""
    monkeypatch.setitem(models.MODELS, "toy", Toy)
    monkeypatch.setattr(checkpoint, "ASSETS", tmp_path)
    monkeypatch.setattr(doctor, "matrix_rate", lambda dtype, device, side, seconds: 61.5e9)


def test_what_it_finds(tmp_path):
    found, undamaged = doctor.look_around(tmp_path / "nowhere")
    assert undamaged and torch.__version__ in found["torch"] and f"no copy below {tmp_path}" in found["CIFAR-10"]
    assert found["sample"] == "2,000 + 500 images, hash right" and found["weights"] == "none"
    assert "123 GFLOP/s in bfloat16" in found["speed"] and "bfloat16 runs as " in found["recipes"]
    assert doctor.speed(torch.device("cpu")).count("GFLOP/s") == 2
    assert doctor.speed(torch.device("cuda")).endswith("123 GFLOP/s in float16")


def test_damaged_weights(tmp_path):
    for name in ("good", "toy"):
        checkpoint.save_weights(Toy(), tmp_path / f"{name}.safetensors", {"model": "toy", "model_kwargs": {}})
    assert doctor.check_weights() == ("good, hash right; toy, hash right", True)
    (tmp_path / "good.safetensors").write_bytes(b"nothing")
    words, right = doctor.check_weights()
    assert words.startswith("good DAMAGED: ") and words.endswith("; toy, hash right") and not right
    assert not doctor.look_around()[1]


def test_a_damaged_sample(monkeypatch):
    def damaged():
        raise DataError("not the pixels")

    monkeypatch.setattr(data, "load_sample", damaged)
    found, undamaged = doctor.look_around()
    assert (found["sample"], undamaged) == ("DAMAGED: not the pixels", False)
