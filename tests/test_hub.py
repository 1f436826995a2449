"""torch.hub's entry points, loaded from the project's own folder."""

from pathlib import Path

import pytest
import torch

from lambdalib.models import list_models
from lambdalib.training.checkpoint import load_pretrained

ROOT = str(Path(__file__).resolve().parent.parent)


def load(name, **options):
    return torch.hub.load(ROOT, name, source="local", **options)


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_every_net_is_an_entry_point():
    assert sorted(set(vars(hub_module())["dependencies"])) == ["einops", "safetensors", "torch", "torchvision"]
    listed = [name for name, value in vars(hub_module()).items() if callable(value) and not name.startswith("_")]
    assert sorted(listed) == sorted(list_models())


def hub_module():
    """hubconf.py as torch.hub imports it."""
    return torch.hub._import_module("hubconf", f"{ROOT}/hubconf.py")


def test_help_names_the_options():
    for name in ("tiny", "lambda_resnet50"):
        text = getattr(hub_module(), name).__doc__
        assert text.startswith(f"create_model({name!r})") and "pretrained" in text and "num_classes" in text


def test_a_net_with_options():
    model = load("lambda_resnet26", num_classes=7, layout="CCCL", scope=5)
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 7)
    assert count(load("tiny", num_classes=7)) != count(load("small", num_classes=7))


def test_the_trained_net():
    model, expected = load("small", pretrained=True), load_pretrained("small")
    images = torch.randn(2, 3, 32, 32)
    assert not model.training and torch.equal(model(images), expected(images))
    assert not torch.equal(load("small").eval()(images), expected(images))


@pytest.mark.parametrize(
    "name, options, message",
    [
        (
            "resnet18",
            dict(pretrained=True),
            r"^pretrained must be False for resnet18: only small and tiny come with weights$",
        ),
        ("small", dict(pretrained=True, num_classes=7), r"^num_classes cannot be chosen with pretrained=True"),
        ("small", dict(layout="X"), r"^layout must have 3 letters"),
    ],
    ids=str,
)
def test_what_is_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        load(name, **options)
