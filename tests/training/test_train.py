"""Recipes, the step, the loop, resuming, and what lands on the disk."""

import json
import math
import os
import signal
from dataclasses import FrozenInstanceError, asdict, replace

import pytest
import torch
import torch.nn.functional as F
from toy import Toy, interrupt_at
from torch import nn
from torch.testing import assert_close

from lambdalib import resnet
from lambdalib.training import checkpoint, train
from lambdalib.training.checkpoint import load_net, load_state, load_weights, save_state, save_weights
from lambdalib.training.data import CIFAR10, Augment, batches, load_cifar10, normalize
from lambdalib.layer import LambdaLayer
from lambdalib.resnet import SmallResNet
from lambdalib.training.cifar10 import content_hash
from lambdalib.training.train import Recipe, create_optimizer, evaluate, fit, lr_factor, predict, train_step


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    """A net called toy, and one thread: faster for so small a net."""
    monkeypatch.setitem(resnet.MODELS, "toy", Toy)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pictures():
    """Some of the sample, 16×16 pixels: 45 for training (5 batches of 8, and 5 left over), 40 for testing."""
    sample = load_cifar10(source="sample")
    return CIFAR10(sample.train_images[:45, :, ::2, ::2].contiguous(), sample.train_labels[:45],
                   sample.test_images[:40, :, ::2, ::2].contiguous(), sample.test_labels[:40],
                   sample.train_index[:45], sample.test_index[:40], "sample")


@pytest.fixture(scope="module")
def sample32():
    """48 + 20 pictures of the sample in their full size."""
    sample = load_cifar10(source="sample")
    return CIFAR10(*(part[:48] for part in sample[:2]), *(part[:20] for part in sample[2:4]), sample.train_index[:48],
                   sample.test_index[:20], "sample")


# 12 steps, 5 an epoch
RECIPE = Recipe(model="toy", epochs=2.4, batch_size=8, lr=0.1, ema=0.9, cutout=4, flip="random", image_size=16, dtype="float32")


def train_quietly(recipe, data, out_dir=None, **options):
    return fit(recipe, data, out_dir, progress=False, device="cpu", **options)


def read_log(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def without_times(records):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records if record["kind"] != "resume"]


# The recipe


@pytest.mark.parametrize("name, value", [
    ("epochs", 0), ("epochs", -1.5), ("epochs", math.nan), ("epochs", math.inf), ("batch_size", 0), ("lr", 0.0), ("lr", math.nan),
    ("bias_lr", 0.0), ("bias_lr", math.inf),
    ("momentum", 1.0), ("weight_decay", -1e-4), ("label_smoothing", 1.0), ("warmup", 1.0), ("schedule", "step"), ("ema", 1.0),
    ("optimizer", "lion"), ("floor", -1e-9), ("floor", 0.2), ("restart", 0), ("restart", math.inf), ("image_size", 0),
    ("flip", "vertical"), ("crop", -1), ("cutout", -3), ("dtype", "float8"), ("evaluate_every", 0), ("max_steps", 0),
    ("batch_size", 2.5), ("max_steps", 2.5), ("crop", 0.5),
])  # fmt: skip
def test_recipe_names_the_bad_field(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be .*got {value!r}"):
        Recipe(**{name: value})


def test_recipe_is_frozen_and_presets_exist():
    assert set(train.RECIPES) == {"demo", "cpu", "gpu", "restarts", "adam", "imagenet"}
    with pytest.raises(FrozenInstanceError):
        train.RECIPES["cpu"].lr = 1.0


def test_preset_models_can_be_built():
    for recipe in train.RECIPES.values():
        with torch.device("meta"):
            resnet.create_model(recipe.model, **recipe.model_kwargs)


def test_schedule_by_hand():
    # 10 steps, 4 of them up: 1/4, 2/4, 3/4, 1; then 6 down from 1 in sixths
    linear = [lr_factor(step, 10, 0.4, "linear") for step in range(10)]
    assert linear == pytest.approx([0.25, 0.5, 0.75, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])
    cosine = [lr_factor(step, 10, 0.4, "cosine") for step in range(4, 10)]
    assert cosine == pytest.approx([1, (2 + 3**0.5) / 4, 0.75, 0.5, 0.25, (2 - 3**0.5) / 4])
    assert lr_factor(0, 1, 0.0, "linear") == 1 and lr_factor(10, 10, 0.4, "linear") == 0
    assert min(lr_factor(step, 7, 0.9, "linear") for step in range(7)) > 0


def test_restarts_are_those_of_a_published_log():
    """The rates that github.com/yhgon/LambdaNetworks printed after epochs 1, 2, 3, 9, 10, 11 and 306 of its 310."""
    recipe, per_epoch = train.RECIPES["restarts"], 390
    weight = nn.Parameter(torch.zeros(1))
    scheduler = train.create_scheduler(torch.optim.SGD([weight], lr=recipe.lr), recipe, 310 * per_epoch, per_epoch)
    printed = {0: 0.1, 1: 0.09755307053217621, 2: 0.0904518046337755, 3: 0.0793913236883622, 9: 0.0024569294678237993, 10: 0.1,
               11: 0.09938447858805392, 306: 0.00016411790001226746}
    for epoch, rate in printed.items():
        assert recipe.lr * scheduler.lr_lambdas[0](epoch * per_epoch) == pytest.approx(rate, rel=1e-9), epoch
    every = [recipe.lr * scheduler.lr_lambdas[0](step) for step in range(310 * per_epoch)]
    assert min(every) > recipe.floor and max(every) == recipe.lr
    assert [step // per_epoch for step in range(1, len(every)) if every[step] > every[step - 1]] == [10, 30, 70, 150]


def test_restarts_are_torchs_own():
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=3, T_mult=2, eta_min=0.02)
    for step in range(25):
        assert 0.3 * lr_factor(step, 25, 0.0, "cosine", 0.02 / 0.3, 3) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    # after a climb, and with cycles that end between two steps: 2.5 and 5 steps
    rates = [lr_factor(step, 9, 2 / 9, "linear", 0.0, 2.5) for step in range(9)]
    assert rates == pytest.approx([1 / 2, 1, 1, 1 - 1 / 2.5, 1 - 2 / 2.5, 1 - 0.5 / 5, 1 - 1.5 / 5, 1 - 2.5 / 5, 1 - 3.5 / 5])


def test_a_floor_lifts_the_fall_and_leaves_the_climb():
    plain = [lr_factor(step, 10, 0.4, "linear") for step in range(10)]
    lifted = [lr_factor(step, 10, 0.4, "linear", 0.1) for step in range(10)]
    assert lifted[:4] == plain[:4] and lifted[4:] == pytest.approx([0.1 + 0.9 * share for share in plain[4:]])


def test_the_optimizer_gets_the_schedule(pictures, monkeypatch):
    rates, real = [], train.train_step
    monkeypatch.setattr(train, "train_step", lambda model, images, labels, optimizer, *args, **kwargs: (
        rates.append(optimizer.param_groups[0]["lr"]), real(model, images, labels, optimizer, *args, **kwargs))[1])
    train_quietly(replace(RECIPE, max_steps=10, warmup=0.4), pictures)
    assert rates == pytest.approx([0.1 * x for x in (0.25, 0.5, 0.75, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6)])


def test_only_what_multiplies_features_is_decayed():
    toy = Toy()
    toy[9].bias.requires_grad_(False)  # frozen: not for the optimizer
    decayed, scales, biases = create_optimizer(toy, replace(RECIPE, bias_lr=7.0)).param_groups
    assert decayed["weight_decay"] == RECIPE.weight_decay and decayed["nesterov"]
    assert scales["weight_decay"] == biases["weight_decay"] == 0
    assert decayed["lr"] == scales["lr"] == RECIPE.lr and biases["lr"] == pytest.approx(7 * RECIPE.lr)
    names = {parameter: name for name, parameter in toy.named_parameters()}
    projections = {"3.to_queries.weight", "3.to_keys.weight", "3.to_values.weight"}
    assert {names[p] for p in decayed["params"]} == {"0.weight", *projections, "3.table", "9.weight"}
    assert all(names[p].endswith("weight") for p in scales["params"]) and all(names[p].endswith("bias") for p in biases["params"])
    assert len(decayed["params"]) + len(scales["params"]) + len(biases["params"]) == len(names) - 1


def test_biases_keep_their_own_rate_through_the_schedule(pictures):
    run = train.Run(replace(RECIPE, max_steps=10, warmup=0.4, bias_lr=7.0), pictures, torch.device("cpu"))
    run.optimizer.step()
    run.scheduler.step()
    assert [group["lr"] for group in run.optimizer.param_groups] == pytest.approx([0.05, 0.05, 0.35])


def test_a_whitened_stem_is_white_on_the_pictures_and_stays(sample32):
    recipe = replace(RECIPE, model="tiny", image_size=32, max_steps=2, whiten=True)
    net = train.Run(recipe, sample32, torch.device("cpu")).model
    images = normalize(sample32.train_images)
    seen = F.conv2d(images, net.stem[0].weight)[:, :12].transpose(0, 1).flatten(1)  # the positive half
    covariance = seen @ seen.T / seen.shape[1]
    variances = covariance.diagonal()
    assert_close(covariance, variances.diag(), atol=1e-3, rtol=0)
    assert variances.max() == pytest.approx(1, abs=1e-3) and variances.min() > 0.5  # ε keeps the faintest below 1
    assert torch.equal(net.stem[0].weight[12:], -net.stem[0].weight[:12]) and not net.stem[0].bias.any()
    run = train_quietly(recipe, sample32)
    assert torch.equal(run.model.stem[0].weight, net.stem[0].weight)
    assert run.model.stem[0].bias.any()


def test_a_stem_that_cannot_be_whitened_is_refused(pictures):
    with pytest.raises(ValueError, match="whiten must be False for lambda_resnet18, whose stem is learnt, got True"):
        train.Run(replace(RECIPE, model="lambda_resnet18", model_kwargs={}, whiten=True), pictures, torch.device("cpu"))
    with pytest.raises(ValueError, match="widths must begin with 24 for a whitened stem, .* got 23"):
        SmallResNet((23, 32, 32, 32)).whiten(torch.zeros(1, 3, 32, 32))


def test_adam_is_an_optimizer_too(pictures, monkeypatch):
    decayed, *free = create_optimizer(Toy(), replace(RECIPE, optimizer="adam", momentum=0.7)).param_groups
    assert decayed["betas"] == (0.7, 0.999) and decayed["weight_decay"] == RECIPE.weight_decay
    assert [group["weight_decay"] for group in free] == [0, 0]
    run = train_quietly(replace(RECIPE, optimizer="adam", lr=5e-4, warmup=0, max_steps=1, weight_decay=0), pictures)
    fresh = train.Run(replace(RECIPE, max_steps=1), pictures, torch.device("cpu")).model
    moved = (run.model[9].weight - fresh[9].weight).abs()
    assert isinstance(run.optimizer, torch.optim.Adam) and moved.max() <= 5.01e-4
    assert moved.median() > 4.9e-4  # whatever the gradient


# One step


def test_label_smoothing_by_its_formula():
    torch.manual_seed(0)
    model, images, labels = nn.Sequential(nn.Flatten(), nn.Linear(27, 7)), torch.randn(5, 3, 3, 3), torch.tensor([0, 6, 2, 3, 3])
    target = torch.full((5, 7), 0.3 / 7)
    target[range(5), labels] += 0.7
    by_hand = -(target * model(images).log_softmax(1)).sum(1).mean()
    loss = train_step(model, images, labels, torch.optim.SGD(model.parameters(), lr=0.1), label_smoothing=0.3)
    assert not loss.requires_grad and loss.item() == pytest.approx(by_hand.item(), abs=1e-6)


def test_a_step_is_sgd_by_hand():
    torch.manual_seed(0)
    model, images, labels = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), torch.randn(4, 3, 2, 2), torch.tensor([0, 1, 2, 2])
    model.eval()
    weight, flat = model[1].weight.detach().clone(), images.flatten(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1e3)  # what an earlier step left behind
    gradient = ((flat @ weight.T + model[1].bias).softmax(1) - nn.functional.one_hot(labels, 3)).T @ flat / 4
    train_step(model, images, labels, optimizer)
    assert model.training
    torch.testing.assert_close(model[1].weight, weight - 0.5 * gradient)


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_half_precision_steps(name):
    torch.manual_seed(0)
    model, images, labels = Toy(), torch.randn(6, 3, 16, 16), torch.arange(6)
    seen = []
    model[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0, enabled=name == "float16")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = [train_step(model, images, labels, optimizer, None, scaler, dtype=train.DTYPES[name]).item() for _ in range(8)]
    assert seen[0] == train.DTYPES[name] and all(p.dtype == torch.float32 for p in model.parameters())
    assert all(math.isfinite(loss) for loss in losses) and min(losses) < losses[0]


def test_the_scaler_skips_a_step_that_overflows():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
    before = model[1].weight.detach().clone()
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    images = torch.full((2, 3, 1, 1), math.inf)
    train_step(model, images, torch.tensor([0, 1]), torch.optim.SGD(model.parameters(), lr=1.0), None, scaler)
    assert torch.equal(model[1].weight, before) and scaler.get_scale() == 4.0


def test_float16_runs_have_a_scaler_and_resume_it(pictures, tmp_path, monkeypatch):
    recipe = replace(RECIPE, dtype="float16", max_steps=4)
    interrupt_at(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        train_quietly(recipe, pictures, tmp_path)
    state = load_state(tmp_path / "state.pt")
    assert state["scaler"]["scale"] > 1 and state["scaler"]["_growth_tracker"] + (state["scaler"]["scale"] < 65536) > 0
    assert train_quietly(recipe, pictures, tmp_path, resume=True).records[0]["dtype"] == "float16"


def test_dtype_falls_back_where_the_hardware_has_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (7, 5))
    assert train.pick_dtype("bfloat16", torch.device("cuda")) == torch.float16
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (8, 0))
    assert train.pick_dtype("bfloat16", torch.device("cuda")) == torch.bfloat16
    assert train.pick_dtype("float16", torch.device("cpu")) == torch.float16


@pytest.mark.parametrize("has", ["_is_avx512_bf16_supported", "_is_amx_tile_supported", None])
@pytest.mark.parametrize("capability, allowed", [("AVX512", True), ("AVX2", False), ("DEFAULT", False)])
def test_bfloat16_needs_a_cpu_that_has_it_and_a_torch_that_may_use_it(monkeypatch, capability, allowed, has):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, probe, lambda probe=probe: probe == has, raising=False)
    expected = torch.bfloat16 if allowed and has else torch.float32
    assert train.pick_dtype("bfloat16", torch.device("cpu")) == expected


# Evaluation


class LeftEdge(nn.Module):
    """Logits (0, value of the upper left pixel): not the same for a mirrored picture; tells whether it is in eval mode."""

    def forward(self, images):
        assert not self.training
        value = images[:, 0, 0, 0]
        return torch.stack([torch.zeros_like(value), value], 1)


def test_evaluate_and_flip_by_hand():
    images = torch.zeros(5, 3, 2, 3)
    images[:, 0, 0, 0] = torch.tensor([1.0, -1.0, 1.0, -1.0, 2.0])   # left says 1 0 1 0 1
    images[:, 0, 0, 2] = torch.tensor([-3.0, 3.0, 3.0, -3.0, -1.0])  # the mean with the right says 0 1 1 0 1
    labels = torch.tensor([1, 0, 1, 1, 1])
    model = LeftEdge().train()
    assert evaluate(model, images, labels) == 4 / 5
    assert evaluate(model, images, labels, tta="flip") == 2 / 5
    torch.testing.assert_close(predict(model, images, "flip")[:, 1], torch.tensor([-1.0, 1.0, 2.0, -2.0, 0.5]))
    assert torch.equal(predict(model, images, batch_size=2), predict(model, images))
    assert not predict(Toy(), torch.randn(2, 3, 8, 8)).requires_grad
    with pytest.raises(ValueError, match="tta must be .*got 'vertical'"):
        evaluate(model, images, labels, tta="vertical")


# The run


def test_resuming_is_exact(pictures, tmp_path, monkeypatch):
    """Stopped in the middle of two epochs and once at an epoch's end: the same bits as never stopped."""
    torch.set_num_threads(2)
    whole = train_quietly(RECIPE, pictures, tmp_path / "whole")
    interrupt_at(monkeypatch, 3, 5, 8)
    options = {}
    for step in (3, 5, 8):
        torch.manual_seed(step)  # whatever happened to the process meanwhile
        with pytest.raises(KeyboardInterrupt, match=f"stopped after step {step} of 12.*state.pt.*resume"):
            train_quietly(RECIPE, pictures, tmp_path / "parts", **options)
        options = {"resume": True}
    torch.manual_seed(99)
    parts = train_quietly(RECIPE, pictures, tmp_path / "parts", resume=True)

    for name, part in whole.parts().items():
        torch.testing.assert_close(parts.parts()[name].state_dict(), part.state_dict(), rtol=0, atol=0)
    assert torch.equal(parts.losses, whole.losses) and len(whole.losses) == 12
    assert not torch.equal(whole.model[0].weight, whole.net[0].weight)  # the average is something else than the last weights
    one, other = (read_log(tmp_path / name / "log.jsonl") for name in ("whole", "parts"))
    volatile = ("started", "command")
    one[0], other[0] = ({key: value for key, value in log[0].items() if key not in volatile} for log in (one, other))
    assert without_times(one) == without_times(other)
    assert [record["step"] for record in other if record["kind"] == "resume"] == [3, 5, 8]
    assert (tmp_path / "whole" / "weights.safetensors").read_bytes() == (tmp_path / "parts" / "weights.safetensors").read_bytes()


def test_runs_repeat_and_seeds_differ(pictures):
    recipe = replace(RECIPE, max_steps=3)
    first, again, other = (train_quietly(r, pictures).losses for r in (recipe, recipe, replace(recipe, seed=1)))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_every_epoch_has_its_own_order_and_augmentation(pictures, monkeypatch):
    seen, real = [], train.train_step
    monkeypatch.setattr(train, "train_step", lambda model, images, labels, *args, **kwargs: (
        seen.append((images, labels)), real(model, images, labels, *args, **kwargs))[1])
    train_quietly(replace(RECIPE, epochs=2), pictures)
    expected = [batch for epoch in (0, 1) for batch in batches(pictures.train_images, pictures.train_labels, 8, seed=0, epoch=epoch,
                                                               augment=Augment(padding=2, flip="random", cutout=4))]
    assert len(seen) == len(expected) == 10
    for (images, labels), (raw, right) in zip(seen, expected):
        assert torch.equal(images, normalize(raw)) and torch.equal(labels, right)


def test_average_by_hand(pictures, monkeypatch):
    history, real = [], train.Run.advance
    monkeypatch.setattr(train.Run, "advance", lambda run, loss: (
        history.append({name: value.clone() for name, value in run.model.state_dict().items()}), real(run, loss))[1])
    run = train_quietly(replace(RECIPE, max_steps=4), pictures)
    for name in ("0.weight", "1.running_mean", "3.table", "4.running_var", "9.bias"):
        average = history[0][name]
        for weights in history[1:]:
            average = 0.9 * average + 0.1 * weights[name]
        torch.testing.assert_close(run.net.state_dict()[name], average)
    assert run.net is run.ema.module
    plain = train_quietly(replace(RECIPE, max_steps=4, ema=None), pictures)
    assert plain.net is plain.model and torch.equal(plain.model[0].weight, history[-1]["0.weight"])


def test_log_and_files(pictures, tmp_path, monkeypatch):
    asked, real = [], train.evaluate
    monkeypatch.setattr(train, "evaluate", lambda *args, tta="none": (asked.append(tta), real(*args, tta=tta))[1])
    run = train_quietly(replace(RECIPE, evaluate_every=2), pictures, tmp_path)
    files = [".lock", "curve.png", "log.jsonl", "state.pt", "weights.json", "weights.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    start, *epochs, end = log = read_log(tmp_path / "log.jsonl")
    assert log == run.records
    assert start["recipe"] == asdict(run.recipe) and start["data"] == {"source": "sample", "train": 45, "test": 40, "sha256": content_hash(pictures)[:16]}
    assert start["threads"] == 1 and start["hardware"] and start["command"] and start["versions"]["torch"] == torch.__version__
    assert start["parameters"] == sum(p.numel() for p in Toy().parameters())
    assert [(record["epoch"], record["step"]) for record in epochs] == [(1, 5), (2, 10), (12 / 5, 12)]
    assert ["test_accuracy" in record for record in epochs] == [False, True, True]
    for record, (a, b) in zip(epochs, [(0, 5), (5, 10), (10, 12)]):
        assert record["loss"] == pytest.approx(run.losses[a:b].mean().item())
    images, labels = normalize(pictures.test_images), pictures.test_labels
    assert end["test_accuracy"] == epochs[-1]["test_accuracy"] == run.accuracy == evaluate(run.net, images, labels)
    assert asked == ["none", "none", "flip"]
    assert end["test_accuracy_flip_tta"] == evaluate(run.net, images, labels, tta="flip")
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"
    torch.testing.assert_close(predict(load_net(tmp_path / "weights.safetensors"), images), predict(run.net, images))


def test_a_finished_run_is_not_trained_again(pictures, tmp_path, monkeypatch):
    recipe = replace(RECIPE, max_steps=2)
    first = train_quietly(recipe, pictures, tmp_path)
    interrupt_at(monkeypatch, 1)
    again = train_quietly(recipe, pictures, tmp_path, resume=True)
    assert again.records == first.records == read_log(tmp_path / "log.jsonl")
    assert again.accuracy == first.accuracy and torch.equal(again.model[0].weight, first.model[0].weight)
    with pytest.raises(ValueError, match="out_dir must be a new folder.*holds a run already"):
        train_quietly(recipe, pictures, tmp_path)


def test_two_runs_do_not_write_into_one_folder(pictures, tmp_path):
    recipe, asked = replace(RECIPE, max_steps=6), []

    def second_run(run):
        for resume in (False, True):
            with pytest.raises(ValueError, match="out_dir must be a folder of its own .* another process is training into"):
                train_quietly(recipe, pictures, tmp_path, resume=resume)
            asked.append(resume)

    first = train_quietly(recipe, pictures, tmp_path, watch=second_run)
    assert asked == [False, True] * 2 and read_log(tmp_path / "log.jsonl") == first.records
    assert train_quietly(recipe, pictures, tmp_path, resume=True).records == first.records  # the lock went with the run


def test_resume_refuses_what_does_not_fit(pictures, tmp_path):
    train_quietly(replace(RECIPE, max_steps=2), pictures, tmp_path)
    with pytest.raises(ValueError, match=r"^recipe must be .*\(lr=0.1\), got lr=0.3"):
        train_quietly(replace(RECIPE, max_steps=2, lr=0.3), pictures, tmp_path, resume=True)
    fewer = pictures._replace(train_images=pictures.train_images[:30], train_labels=pictures.train_labels[:30])
    with pytest.raises(ValueError, match=r"^data must be .*train=45.* got .*train=30"):
        train_quietly(replace(RECIPE, max_steps=2), fewer, tmp_path, resume=True)
    turned = pictures._replace(test_labels=pictures.test_labels.flip(0))
    with pytest.raises(ValueError, match=r"^data must be .*\(sha256='\w{16}'\), got sha256='\w{16}'$"):
        train_quietly(replace(RECIPE, max_steps=2), turned, tmp_path, resume=True)
    elsewhere = pictures._replace(source="disk")  # as after a download
    assert train_quietly(replace(RECIPE, max_steps=2), elsewhere, tmp_path, resume=True).step == 2
    with pytest.raises(ValueError, match=r"^image_size must be that of the pictures, \(16, 16\), got 17$"):
        train_quietly(replace(RECIPE, image_size=17), pictures)
    with pytest.raises(FileNotFoundError, match="no training state at .*nowhere"):
        train_quietly(RECIPE, pictures, tmp_path / "nowhere", resume=True)
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(ValueError, match="out_dir must be .*got None"):
        train_quietly(RECIPE, pictures, resume=True)
    with pytest.raises(ValueError, match="batch_size must be at most 45.*got 46"):
        train_quietly(replace(RECIPE, batch_size=46), pictures)


def test_saves_within_an_epoch(pictures, tmp_path, monkeypatch):
    steps, real = [], train.Run.save
    monkeypatch.setattr(train.Run, "save", lambda run, out: (steps.append(run.step), real(run, out)))
    train_quietly(replace(RECIPE, epochs=1), pictures, tmp_path, save_every=0)
    assert steps == [*range(1, 6), 5]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_broken_loss_stops_the_run(pictures, tmp_path, monkeypatch, value):
    done, real = [], train.train_step

    def step(*args, **kwargs):
        done.append(1)
        return real(*args, **kwargs) + (value if len(done) == 8 else 0)  # step 7, counted from 0, in the second epoch

    monkeypatch.setattr(train, "train_step", step)
    words = rf"the loss became {value} at step 7 of 12, epoch 1.40; the last good state is .*state.pt"
    with pytest.raises(FloatingPointError, match=words):
        train_quietly(RECIPE, pictures, tmp_path, save_every=0)
    assert load_state(tmp_path / "state.pt")["step"] == 7  # the eighth step was not saved
    done.clear()
    with pytest.raises(FloatingPointError, match="no state was saved"):
        train_quietly(RECIPE, pictures)


def test_a_second_ctrl_c_stops_at_once_and_the_usual_handler_comes_back(pictures, monkeypatch):
    usual = signal.getsignal(signal.SIGINT)
    with train.ctrl_c() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is usual
    interrupt_at(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt, match="stopped after step 3 of 12; nothing was saved"):
        train_quietly(RECIPE, pictures)


def test_channels_last_reaches_the_net(pictures, monkeypatch):
    seen, real = [], train.train_step
    monkeypatch.setattr(train, "train_step", lambda model, images, *args, **kwargs: (
        seen.append(images.is_contiguous(memory_format=torch.channels_last)), real(model, images, *args, **kwargs))[1])
    for channels_last in (True, False):
        train_quietly(replace(RECIPE, max_steps=1, channels_last=channels_last), pictures)
    assert seen == [True, False]


def test_evidence_names_the_commit_only_of_its_own_repository(monkeypatch):
    def git(command, **options):
        if command[1] == "ls-files":
            raise train.subprocess.CalledProcessError(1, command)
        return pytest.fail("asked for a commit that is not ours")

    monkeypatch.setattr(train.subprocess, "run", git)
    assert train.commit() is None
    json.dumps(train.evidence(torch.device("cpu")))


def test_a_state_from_before_a_field_existed_goes_on(pictures, tmp_path, monkeypatch):
    interrupt_at(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        train_quietly(RECIPE, pictures, tmp_path)
    state = load_state(tmp_path / "state.pt")
    for name in ("optimizer", "floor", "restart", "freeze_body"):
        del state["recipe"][name]
    del state["data"]["sha256"]
    save_state(state, tmp_path / "state.pt")
    with pytest.raises(ValueError, match=r"recipe must be .*\(floor=0.0\), got floor=0.01"):
        train_quietly(replace(RECIPE, floor=0.01), pictures, tmp_path, resume=True)
    assert train_quietly(RECIPE, pictures, tmp_path, resume=True).step == 12


def test_a_run_is_judged_by_the_pictures_it_holds_out(pictures):
    run = train_quietly(replace(RECIPE, hold_out=5), pictures)
    assert (run.records[0]["data"]["train"], run.records[0]["data"]["test"]) == (40, 5)
    judges = normalize(pictures.train_images[40:])
    assert run.accuracy == evaluate(run.net, judges, pictures.train_labels[40:])
    assert torch.equal(run.test_labels, pictures.train_labels[40:])


def test_watch_sees_every_epoch(pictures):
    seen = []
    train_quietly(RECIPE, pictures, watch=lambda run: seen.append((run.step, run.records[-1]["kind"])))
    assert seen == [(5, "epoch"), (10, "epoch"), (12, "epoch")]


# Starting from trained weights


def tiny_weights(folder, **options):
    """A tiny net as if it had been trained, and its file."""
    torch.manual_seed(7)
    net = resnet.create_model("tiny", **options)
    save_weights(net, folder / "trained.safetensors", {"model": "tiny", "model_kwargs": options})
    return net, folder / "trained.safetensors"


TUNE = replace(RECIPE, model="tiny", image_size=32, max_steps=2, warmup=0, ema=None)


def test_a_run_starts_from_trained_weights(sample32, tmp_path):
    net, path = tiny_weights(tmp_path)
    images, labels = next(batches(sample32.train_images, sample32.train_labels, 8, seed=0, epoch=0))
    starts = []
    run = train_quietly(replace(TUNE, crop=0, flip="none", cutout=0), sample32, tmp_path / "run", init_from=path,
                        watch=lambda run: starts.append(run.losses[0].item()))
    loss = nn.functional.cross_entropy(net.train()(normalize(images)), labels, label_smoothing=0.2)
    assert starts[0] == pytest.approx(loss.item(), abs=1e-5)
    record = run.records[0]["init_from"]
    assert record == {"file": "trained.safetensors", "sha256": json.loads(path.with_suffix(".json").read_text())["sha256"]}
    assert read_log(tmp_path / "run" / "log.jsonl")[0]["init_from"] == record
    with pytest.raises(ValueError, match="init_from must be None for a run that goes on"):
        train_quietly(TUNE, sample32, tmp_path / "run", resume=True, init_from=path)


def test_other_classes_get_a_new_last_layer_and_the_body_may_be_frozen(sample32, tmp_path, monkeypatch):
    net, path = tiny_weights(tmp_path, num_classes=7)
    recipe = replace(TUNE, freeze_body=True, max_steps=8)
    interrupt_at(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        train_quietly(recipe, sample32, tmp_path / "run", init_from=path)
    run = train_quietly(recipe, sample32, tmp_path / "run", resume=True)
    fresh = train.Run(recipe, sample32, torch.device("cpu")).model
    assert run.model.head.weight.shape[0] == 10 and not torch.equal(run.model.head.weight, fresh.head.weight)
    trained = dict(run.model.named_parameters())
    for name, parameter in net.named_parameters():
        if not name.startswith("head."):
            assert torch.equal(trained[name], parameter), name
    assert not torch.equal(run.model.blocks[0].widen[2].running_mean, net.blocks[0].widen[2].running_mean)


def test_weights_of_another_net_are_refused(sample32, tmp_path):
    _, path = tiny_weights(tmp_path, layout="CCC")
    with pytest.raises(ValueError, match="init_from must be the weights of a net like the one to train, got 'tiny'; blocks.1"):
        train_quietly(TUNE, sample32, init_from=path)
    with pytest.raises(ValueError, match="SHA-256"):
        path.write_bytes(path.read_bytes()[:-1] + b"!")
        train_quietly(TUNE, sample32, init_from=path)


# Files


def test_a_crash_while_writing_leaves_the_old_state(tmp_path, monkeypatch):
    path = tmp_path / "state.pt"
    save_state({"step": 1}, path)

    def killed(*args):
        raise SystemExit("killed")

    monkeypatch.setattr(checkpoint.os, "replace", killed)  # written, not yet renamed
    with pytest.raises(SystemExit):
        save_state({"step": 2}, path)
    assert load_state(path) == {"step": 1} and os.listdir(tmp_path) == ["state.pt"]
    monkeypatch.undo()

    def cut_short(state, part):
        part.write_bytes(b"half a sta")
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", cut_short)
    with pytest.raises(OSError, match="no space"):
        save_state({"step": 3}, path)
    assert load_state(path) == {"step": 1} and os.listdir(tmp_path) == ["state.pt"]


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


def test_a_damaged_state_is_refused(tmp_path):
    path = tmp_path / "state.pt"
    save_state({"weights": torch.ones(1000)}, path)
    whole = path.read_bytes()
    place = whole.index(torch.ones(8).numpy().tobytes()) + 2
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 64]) + whole[place + 1:])
    assert torch.load(path, weights_only=True)["weights"].ne(1).any(), "one bit is another one, and torch does not see it"
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
    with pytest.raises(ValueError, match="net.json must name model, model_kwargs and sha256, but has no model, model_kwargs"):
        load_net(path)
    save_weights(Toy(), path, {"model": "tiny", "model_kwargs": {}})
    with pytest.raises(ValueError, match="net.safetensors does not hold the weights of the net on its card"):
        load_net(path)


def test_a_name_that_cannot_be_a_folder_is_told_before_the_first_step(pictures, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(train, "train_step", lambda *args, **options: 1 / 0)
    with pytest.raises(NotADirectoryError):
        train_quietly(RECIPE, pictures, tmp_path / "file" / "run")


def shipped_toy(folder, **changes):
    """Put a net called "toy" among the package's."""
    torch.manual_seed(3)
    net = Toy()
    sha256 = save_weights(net, folder / "toy.safetensors", {"model": "toy", "model_kwargs": {}, **changes}, dtype=torch.float16)
    return net, sha256


def test_load_pretrained(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "ASSETS", tmp_path)
    net, sha256 = shipped_toy(tmp_path)
    loaded = checkpoint.load_pretrained("toy")
    assert not loaded.training and all(p.dtype == torch.float32 for p in loaded.parameters())
    images = torch.randn(3, 3, 16, 16)
    torch.testing.assert_close(predict(loaded, images), predict(net, images), rtol=0, atol=2e-3)  # rounded to float16
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
        load_net(tmp_path / "text.safetensors")


def test_channels_last_weights_are_saved_right(tmp_path):
    net = Toy().to(memory_format=torch.channels_last)
    save_weights(net, tmp_path / "toy.safetensors", {"model": "toy", "model_kwargs": {}})
    torch.testing.assert_close(load_net(tmp_path / "toy.safetensors").state_dict(), net.state_dict(), rtol=0, atol=0)


def test_what_ships_is_sound():
    for name in checkpoint.list_pretrained():
        net = checkpoint.load_pretrained(name)
        assert predict(net, torch.zeros(1, 3, 32, 32)).shape == (1, 10)
