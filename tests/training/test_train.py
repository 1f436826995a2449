"""The steps, evaluation, and runs: by hand, repeated, resumed, started from trained weights."""

import json
import math
from dataclasses import asdict, replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.testing import assert_close
from toy import RECIPE, Toy, after_epochs, before_steps, fresh_run, interrupt_at, read_log, train_quietly

from lambdalib import models
from lambdalib.small import SmallResNet
from lambdalib.training import recipes, train
from lambdalib.training import run as run_module
from lambdalib.training.checkpoint import load_model, load_state, save_state, save_weights
from lambdalib.training.cifar10 import content_hash
from lambdalib.training.data import Augment, batches, epoch_order, normalize
from lambdalib.training.recipes import RECIPES
from lambdalib.training.run import Run
from lambdalib.training.train import evaluate, predict, train_steps


def test_the_optimizer_gets_the_schedule(images16, monkeypatch):
    rates = []
    before_steps(monkeypatch, lambda images, labels, optimizer: rates.append(optimizer.param_groups[0]["lr"]))
    train_quietly(replace(RECIPE, max_steps=10, warmup=0.4), images16)
    assert rates == pytest.approx([0.1 * x for x in (0.25, 0.5, 0.75, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6)])


def test_a_whitened_stem_is_white_on_the_images_and_stays(images32):
    recipe = replace(RECIPE, model="tiny", image_size=32, max_steps=2, whiten=True)
    net = fresh_run(recipe, images32).model
    images = normalize(images32.train_images)
    seen = F.conv2d(images, net.stem[0].weight)[:, :12].transpose(0, 1).flatten(1)  # the positive half
    covariance = seen @ seen.T / seen.shape[1]
    variances = covariance.diagonal()
    assert_close(covariance, variances.diag(), atol=1e-3, rtol=0)
    assert variances.max() == pytest.approx(1, abs=1e-3) and variances.min() > 0.5  # ε keeps the faintest below 1
    assert torch.equal(net.stem[0].weight[12:], -net.stem[0].weight[:12]) and not net.stem[0].bias.any()
    run = train_quietly(recipe, images32)
    assert torch.equal(run.model.stem[0].weight, net.stem[0].weight)
    assert run.model.stem[0].bias.any()


def test_a_stem_that_cannot_be_whitened_is_refused(images16):
    with pytest.raises(
        ValueError, match="whiten must be False for lambda_resnet18, whose stem is learnt, got True"
    ):
        fresh_run(replace(RECIPE, model="lambda_resnet18", model_kwargs={}, whiten=True), images16)
    with pytest.raises(ValueError, match="widths must begin with 24 for a whitened stem, .* got 23"):
        SmallResNet((23, 32, 32, 32)).whiten(torch.zeros(1, 3, 32, 32))


def test_label_smoothing_by_its_formula():
    torch.manual_seed(0)
    model, images, labels = (
        nn.Sequential(nn.Flatten(), nn.Linear(27, 7)),
        torch.randn(5, 3, 3, 3),
        torch.tensor([0, 6, 2, 3, 3]),
    )
    target = torch.full((5, 7), 0.3 / 7)
    target[range(5), labels] += 0.7
    by_hand = -(target * model(images).log_softmax(1)).sum(1).mean()
    loss = next(
        train_steps(model, [(images, labels)], torch.optim.SGD(model.parameters(), lr=0.1), label_smoothing=0.3)
    )
    assert not loss.requires_grad and loss.item() == pytest.approx(by_hand.item(), abs=1e-6)


def test_a_step_is_sgd_by_hand():
    torch.manual_seed(0)
    model, images, labels = (
        nn.Sequential(nn.Flatten(), nn.Linear(12, 3)),
        torch.randn(4, 3, 2, 2),
        torch.tensor([0, 1, 2, 2]),
    )
    model.eval()
    weight, flat = model[1].weight.detach().clone(), images.flatten(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1e3)  # what an earlier step left behind
    gradient = ((flat @ weight.T + model[1].bias).softmax(1) - nn.functional.one_hot(labels, 3)).T @ flat / 4
    next(train_steps(model, [(images, labels)], optimizer))
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
    steps = train_steps(model, [(images, labels)] * 8, optimizer, None, scaler, dtype=recipes.DTYPES[name])
    losses = [loss.item() for loss in steps]
    assert seen[0] == recipes.DTYPES[name] and all(p.dtype == torch.float32 for p in model.parameters())
    assert all(math.isfinite(loss) for loss in losses) and min(losses) < losses[0]


def test_the_scaler_skips_a_step_that_overflows():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
    before = model[1].weight.detach().clone()
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    images = torch.full((2, 3, 1, 1), math.inf)
    next(
        train_steps(
            model, [(images, torch.tensor([0, 1]))], torch.optim.SGD(model.parameters(), lr=1.0), None, scaler
        )
    )
    assert torch.equal(model[1].weight, before) and scaler.get_scale() == 4.0


def test_float16_runs_have_a_scaler_and_resume_it(images16, tmp_path, monkeypatch):
    recipe = replace(RECIPE, dtype="float16", max_steps=4)
    interrupt_at(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        train_quietly(recipe, images16, tmp_path)
    state = load_state(tmp_path / "state.pt")
    assert (
        state["scaler"]["scale"] > 1
        and state["scaler"]["_growth_tracker"] + (state["scaler"]["scale"] < 65536) > 0
    )
    assert train_quietly(recipe, images16, tmp_path, resume=True).records[0]["dtype"] == "float16"


class LeftEdge(nn.Module):
    """Logits (0, value of the upper left pixel): not the same for a mirrored picture; tells whether it is in
    eval mode."""

    def forward(self, images):
        assert not self.training
        value = images[:, 0, 0, 0]
        return torch.stack([torch.zeros_like(value), value], 1)


def test_evaluate_and_flip_by_hand():
    images = torch.zeros(5, 3, 2, 3)
    images[:, 0, 0, 0] = torch.tensor([1.0, -1.0, 1.0, -1.0, 2.0])  # left says 1 0 1 0 1
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


def without_times(records):
    return [
        {key: value for key, value in record.items() if key != "seconds"}
        for record in records
        if record["kind"] != "resume"
    ]


def test_resuming_is_exact(images16, tmp_path, monkeypatch):
    """Stopped in the middle of two epochs and once at an epoch's end: the same bits as never stopped."""
    torch.set_num_threads(2)
    whole = train_quietly(RECIPE, images16, tmp_path / "runs" / "whole")  # both folders are new
    interrupt_at(monkeypatch, 3, 5, 8)
    options = {}
    for step in (3, 5, 8):
        torch.manual_seed(step)  # whatever happened to the process meanwhile
        with pytest.raises(KeyboardInterrupt, match=f"stopped after step {step} of 12.*state.pt.*resume"):
            train_quietly(RECIPE, images16, tmp_path / "parts", **options)
        options = {"resume": True}
    torch.manual_seed(99)
    parts = train_quietly(RECIPE, images16, tmp_path / "parts", resume=True)

    for name, part in whole.parts().items():
        torch.testing.assert_close(parts.parts()[name].state_dict(), part.state_dict(), rtol=0, atol=0)
    assert torch.equal(parts.losses, whole.losses) and len(whole.losses) == 12
    assert not torch.equal(
        whole.model[0].weight, whole.eval_model[0].weight
    )  # the average is something else than the last weights
    one, other = (read_log(tmp_path / name / "log.jsonl") for name in ("runs/whole", "parts"))
    volatile = ("started", "command")
    one[0], other[0] = (
        {key: value for key, value in log[0].items() if key not in volatile} for log in (one, other)
    )
    assert without_times(one) == without_times(other)
    assert [record["step"] for record in other if record["kind"] == "resume"] == [3, 5, 8]
    assert (tmp_path / "runs" / "whole" / "weights.safetensors").read_bytes() == (
        tmp_path / "parts" / "weights.safetensors"
    ).read_bytes()


def test_small_images_first_and_resuming_is_exact(images16, tmp_path, monkeypatch):
    """A nanosecond stops a run after one step: in the middle of a size, at its end, and at an epoch's end."""
    recipe = replace(RECIPE, progressive_resizing={8: 0.8, 12: 0.6})  # 4, 3 and 5 steps
    sides = []
    before_steps(monkeypatch, lambda images, labels, optimizer: sides.append(tuple(images.shape)))
    whole = train_quietly(recipe, images16, tmp_path / "whole")
    expected = [(8, 3, side, side) for side in [8] * 4 + [12] * 3 + [16] * 5]
    assert sides == expected and whole.ended
    sides.clear()
    parts = train_quietly(recipe, images16, tmp_path / "parts", minutes=1e-11)
    assert (parts.step, parts.ended, parts.records[-1]["kind"]) == (1, False, "start")
    assert not (tmp_path / "parts" / "weights.safetensors").exists()
    for step in range(2, 12):
        torch.manual_seed(step)  # whatever happened to the process meanwhile
        parts = train_quietly(recipe, images16, tmp_path / "parts", minutes=1e-11, resume=True)
        assert parts.step == step and load_state(tmp_path / "parts" / "state.pt")["step"] == step
    parts = train_quietly(recipe, images16, tmp_path / "parts", minutes=1e-11, resume=True)  # the last step
    assert parts.ended and sides == expected
    assert torch.equal(parts.losses, whole.losses)
    for name, part in whole.parts().items():
        assert_close(parts.parts()[name].state_dict(), part.state_dict(), rtol=0, atol=0)
    one, other = (read_log(tmp_path / name / "log.jsonl") for name in ("whole", "parts"))
    assert without_times(one)[1:] == without_times(other)[1:]
    assert recipes.Recipe.from_record(one[0]["recipe"]) == recipe
    assert load_state(tmp_path / "parts" / "state.pt")["recipe"]["progressive_resizing"] == {8: 0.8, 12: 0.6}
    with pytest.raises(
        ValueError, match=r"state.pt: recipe must be .*\(progressive_resizing=\{8: 0.8, 12: 0.6\}\), got .*=\{\}"
    ):
        train_quietly(RECIPE, images16, tmp_path / "parts", resume=True)


@pytest.mark.parametrize("minutes", [0, -1, math.inf, math.nan, True, "5"])
def test_minutes_are_positive(images16, tmp_path, minutes):
    with pytest.raises(ValueError, match=f"^minutes must be positive and go with out_dir, got {minutes!r} and"):
        train_quietly(RECIPE, images16, tmp_path, minutes=minutes)
    assert not list(tmp_path.iterdir())


def test_minutes_need_a_folder(images16):
    with pytest.raises(ValueError, match="^minutes must be positive and go with out_dir, got 5 and out_dir None"):
        train_quietly(RECIPE, images16, minutes=5)


def test_runs_repeat_and_seeds_differ(images16):
    recipe = replace(RECIPE, max_steps=3)
    first, again, other = (train_quietly(r, images16).losses for r in (recipe, recipe, replace(recipe, seed=1)))
    assert torch.equal(first, again) and not torch.equal(first, other)


def first_edition(recipe, data):
    """The loop of the first edition, written out: all losses, and the model that is evaluated in the end."""
    torch.manual_seed(recipe.seed)
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    model = models.create_model(recipe.model, **recipe.model_kwargs)
    if recipe.whiten:
        model.whiten(normalize(data.train_images[:5000]))
    model.to(memory_format=layout)
    ema = None
    if recipe.ema is not None:
        ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
    per_epoch = len(data.train_labels) // recipe.batch_size
    total = min(round(recipe.epochs * per_epoch), recipe.max_steps or 10**9)
    optimizer = recipes.create_optimizer(model, recipe)
    scheduler = recipes.create_scheduler(optimizer, recipe, total, per_epoch)
    augment, dtype = Augment(recipe.padding, recipe.flip, recipe.cutout), recipes.DTYPES[recipe.dtype]
    losses = []
    for step in range(total):
        epoch, place = divmod(step, per_epoch)
        order = epoch_order(len(data.train_labels), recipe.seed, epoch)
        rows = order[place * recipe.batch_size : (place + 1) * recipe.batch_size]
        images = augment(data.train_images[rows], rows, recipe.seed, epoch, place)
        images, labels = normalize(images).contiguous(memory_format=layout), data.train_labels[rows]
        model.train()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            loss = F.cross_entropy(model(images), labels, label_smoothing=recipe.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.detach())
        if ema is not None:
            ema.update_parameters(model)
    return torch.stack(losses), model if ema is None else ema.module


@pytest.mark.parametrize("changes", [
    {}, {"ema": None}, {"channels_last": False}, {"flip": "alternating", "cutout": 0, "padding": 3, "seed": 4},
    {"max_steps": 7, "evaluate_every": 2, "optimizer": "adam", "lr": 1e-3, "restart_period": 0.5},
    {"dtype": "bfloat16"},
])  # fmt: skip
def test_the_losses_are_those_of_the_first_edition(images16, tmp_path, monkeypatch, changes):
    monkeypatch.setattr(
        run_module, "pick_dtype", lambda name, device: recipes.DTYPES[name]
    )  # bfloat16 on every CPU
    recipe = replace(RECIPE, **changes)
    losses, model = first_edition(recipe, images16)
    run = train_quietly(recipe, images16)
    interrupt_at(monkeypatch, 4)
    with pytest.raises(KeyboardInterrupt):
        train_quietly(recipe, images16, tmp_path)
    resumed = train_quietly(recipe, images16, tmp_path, resume=True)
    for ours in (run, resumed):
        assert torch.equal(ours.losses, losses)
        assert_close(ours.eval_model.state_dict(), model.state_dict(), rtol=0, atol=0)


def test_a_whitened_model_trains_as_in_the_first_edition(images32):
    recipe = replace(RECIPES["cpu"], model="tiny", batch_size=12, max_steps=3, dtype="float32")
    losses, model = first_edition(recipe, images32)
    run = train_quietly(recipe, images32)
    assert torch.equal(run.losses, losses)
    assert_close(run.eval_model.state_dict(), model.state_dict(), rtol=0, atol=0)


def test_average_by_hand(images16, monkeypatch):
    history, real = [], AveragedModel.update_parameters
    monkeypatch.setattr(
        AveragedModel,
        "update_parameters",
        lambda ema, model: (
            history.append({name: value.clone() for name, value in model.state_dict().items()}),
            real(ema, model),
        )[1],
    )
    run = train_quietly(replace(RECIPE, max_steps=4), images16)
    assert len(history) == 4
    for name in ("0.weight", "1.running_mean", "3.table", "4.running_var", "9.bias"):
        average = history[0][name]
        for weights in history[1:]:
            average = 0.9 * average + 0.1 * weights[name]
        torch.testing.assert_close(run.eval_model.state_dict()[name], average)
    assert run.eval_model is run.ema.module
    plain = train_quietly(replace(RECIPE, max_steps=4, ema=None), images16)
    assert plain.eval_model is plain.model and torch.equal(plain.model[0].weight, history[-1]["0.weight"])


def test_log_and_files(images16, tmp_path, monkeypatch):
    asked, real = [], train.evaluate
    monkeypatch.setattr(train, "evaluate", lambda *args, tta="none": (asked.append(tta), real(*args, tta=tta))[1])
    run = train_quietly(replace(RECIPE, evaluate_every=2), images16, tmp_path)
    files = [".lock", "curve.png", "log.jsonl", "state.pt", "weights.json", "weights.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    start, *epochs, end = log = read_log(tmp_path / "log.jsonl")
    assert log == run.records
    assert start["recipe"] == asdict(run.recipe) and start["data"] == {
        "source": "sample",
        "train": 45,
        "test": 40,
        "sha256": content_hash(images16)[:16],
    }
    assert (
        start["threads"] == 1
        and start["hardware"]
        and start["command"]
        and start["versions"]["torch"] == torch.__version__
    )
    assert start["parameters"] == sum(p.numel() for p in Toy().parameters())
    assert [(record["epoch"], record["step"]) for record in epochs] == [(1, 5), (2, 10), (12 / 5, 12)]
    assert ["test_accuracy" in record for record in epochs] == [False, True, True]
    for record, (a, b) in zip(epochs, [(0, 5), (5, 10), (10, 12)]):
        assert record["loss"] == pytest.approx(run.losses[a:b].mean().item())
    images, labels = normalize(images16.test_images), images16.test_labels
    assert (
        end["test_accuracy"]
        == epochs[-1]["test_accuracy"]
        == run.accuracy
        == evaluate(run.eval_model, images, labels)
    )
    assert asked == ["none", "none", "flip"]
    assert end["test_accuracy_flip_tta"] == evaluate(run.eval_model, images, labels, tta="flip")
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"
    torch.testing.assert_close(
        predict(load_model(tmp_path / "weights.safetensors"), images), predict(run.eval_model, images)
    )


def test_a_finished_run_is_not_trained_again(images16, tmp_path, monkeypatch):
    recipe = replace(RECIPE, max_steps=2)
    first = train_quietly(recipe, images16, tmp_path)
    interrupt_at(monkeypatch, 1)
    again = train_quietly(recipe, images16, tmp_path, resume=True)
    assert again.records == first.records == read_log(tmp_path / "log.jsonl")
    assert again.accuracy == first.accuracy and torch.equal(again.model[0].weight, first.model[0].weight)
    with pytest.raises(ValueError, match="out_dir must be a new folder.*holds a run already"):
        train_quietly(recipe, images16, tmp_path)


def test_resume_refuses_what_does_not_fit(images16, tmp_path):
    train_quietly(replace(RECIPE, max_steps=2), images16, tmp_path)
    with pytest.raises(ValueError, match=r"state.pt: recipe must be .*\(lr=0.1\), got lr=0.3"):
        train_quietly(replace(RECIPE, max_steps=2, lr=0.3), images16, tmp_path, resume=True)
    fewer = images16._replace(train_images=images16.train_images[:30], train_labels=images16.train_labels[:30])
    with pytest.raises(ValueError, match=r"state.pt: data must be .*train=45.* got .*train=30"):
        train_quietly(replace(RECIPE, max_steps=2), fewer, tmp_path, resume=True)
    turned = images16._replace(test_labels=images16.test_labels.flip(0))
    with pytest.raises(ValueError, match=r"state.pt: data must be .*\(sha256='\w{16}'\), got sha256='\w{16}'$"):
        train_quietly(replace(RECIPE, max_steps=2), turned, tmp_path, resume=True)
    elsewhere = images16._replace(source="disk")  # as after a download
    assert train_quietly(replace(RECIPE, max_steps=2), elsewhere, tmp_path, resume=True).step == 2
    with pytest.raises(ValueError, match=r"^image_size must be that of the images, \(16, 16\), got 17$"):
        train_quietly(replace(RECIPE, image_size=17), images16)
    with pytest.raises(FileNotFoundError, match="no training state at .*nowhere"):
        train_quietly(RECIPE, images16, tmp_path / "nowhere", resume=True)
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(ValueError, match="out_dir must be .*got None"):
        train_quietly(RECIPE, images16, resume=True)
    with pytest.raises(ValueError, match="batch_size must be at most 45.*got 46"):
        train_quietly(replace(RECIPE, batch_size=46), images16)


def test_a_batch_must_be_divided(images16, monkeypatch):
    monkeypatch.setattr(train.distributed, "size", lambda: 3)
    with pytest.raises(ValueError, match="batch_size must be divisible by 3 processes, got 8"):
        train_quietly(RECIPE, images16)


def test_a_run_is_on_the_device_that_is_asked_for(images16, monkeypatch):
    asked, wrapped = [], []
    monkeypatch.setattr(train, "pick_device", lambda device: asked.append(device) or torch.device("cpu"))
    monkeypatch.setattr(train.distributed, "wrap_ddp", lambda model, device: wrapped.append(device) or model)
    train.fit(replace(RECIPE, max_steps=2), images16, progress=False, device="cuda:7")
    assert asked == ["cuda:7"] and wrapped == [torch.device("cpu")]


def test_the_last_epoch_is_evaluated_in_float32(images16, monkeypatch):
    half, real = [], train.evaluate
    monkeypatch.setattr(
        train,
        "evaluate",
        lambda *args, **more: half.append(torch.is_autocast_enabled("cpu")) or real(*args, **more),
    )
    train_quietly(replace(RECIPE, epochs=2, dtype="float16"), images16)
    assert half == [True, False, False]  # after each epoch, and at the end with flip


def test_a_damaged_state_is_told(images16, tmp_path, monkeypatch):
    interrupt_at(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        train_quietly(RECIPE, images16, tmp_path)
    state = load_state(tmp_path / "state.pt")
    for name, value, words in [
        ("optimizer", None, "state.pt must have recipe, data, .*, but has no optimizer"),
        ("step", 10**6, "losses must be floats, at least 1000000"),
        ("step", -1, "losses must be floats, at least -1"),
        ("step", 2.0, "state.pt: step must be a whole number, got 2.0"),
        ("recipe", "demo", "state.pt: a recorded recipe must be a dict, got 'demo'"),
        ("losses", torch.zeros(13), "losses must be 12, one for each step, got 13"),
        ("scheduler", state["scheduler"] | {"last_epoch": 5}, "state.pt: scheduler must be at step 3, got 5"),
        ("model", {}, "state.pt: model must be that of a run of this recipe"),
    ]:
        damaged = {**state, name: value}
        if value is None:
            del damaged[name]
        save_state(damaged, tmp_path / "state.pt")
        with pytest.raises(ValueError, match=words):
            train_quietly(RECIPE, images16, tmp_path, resume=True)


def test_channels_last_reaches_the_model(images16, monkeypatch):
    seen = []
    before_steps(
        monkeypatch,
        lambda images, labels, optimizer: seen.append(images.is_contiguous(memory_format=torch.channels_last)),
    )
    for channels_last in (True, False):
        train_quietly(replace(RECIPE, max_steps=1, channels_last=channels_last), images16)
    assert seen == [True, False]


def test_a_run_draws_its_weights_from_the_generator_and_reseeds_nothing(images16):
    torch.manual_seed(5)
    first, after = Run(RECIPE, images16, torch.device("cpu")).model, torch.rand(3)
    torch.manual_seed(5)
    again, after_again = Run(RECIPE, images16, torch.device("cpu")).model, torch.rand(3)
    other = Run(RECIPE, images16, torch.device("cpu")).model
    assert torch.equal(first[0].weight, again[0].weight) and torch.equal(after, after_again)
    assert not torch.equal(first[0].weight, other[0].weight)


def test_a_state_from_before_a_field_existed_goes_on(images16, tmp_path, monkeypatch):
    interrupt_at(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        train_quietly(RECIPE, images16, tmp_path)
    state = load_state(tmp_path / "state.pt")
    for name in ("optimizer", "min_lr", "restart_period", "freeze_backbone"):
        del state["recipe"][name]
    del state["data"]["sha256"]
    save_state(state, tmp_path / "state.pt")
    with pytest.raises(ValueError, match=r"recipe must be .*\(min_lr=0.0\), got min_lr=0.01"):
        train_quietly(replace(RECIPE, min_lr=0.01), images16, tmp_path, resume=True)
    assert train_quietly(RECIPE, images16, tmp_path, resume=True).step == 12


def test_a_run_is_evaluated_on_its_validation_images(images16):
    run = train_quietly(replace(RECIPE, validation_images=5), images16)
    assert (run.records[0]["data"]["train"], run.records[0]["data"]["test"]) == (40, 5)
    validation = normalize(images16.train_images[40:])
    assert run.accuracy == evaluate(run.eval_model, validation, images16.train_labels[40:])


def tiny_weights(folder, **options):
    """A tiny net as if it had been trained, and its file."""
    torch.manual_seed(7)
    net = models.create_model("tiny", **options)
    save_weights(net, folder / "trained.safetensors", {"model": "tiny", "model_kwargs": options})
    return net, folder / "trained.safetensors"


TUNE = replace(RECIPE, model="tiny", image_size=32, max_steps=2, warmup=0, ema=None)


def test_a_run_starts_from_trained_weights(images32, tmp_path):
    net, path = tiny_weights(tmp_path)
    images, labels = next(batches(images32.train_images, images32.train_labels, 8))
    starts = []
    run = train_quietly(
        replace(TUNE, padding=0, flip="none", cutout=0),
        images32,
        tmp_path / "run",
        init_from=path,
        callbacks=after_epochs(lambda run: starts.append(run.losses[0].item())),
    )
    loss = nn.functional.cross_entropy(net.train()(images), labels, label_smoothing=0.2)
    assert starts[0] == pytest.approx(loss.item(), abs=1e-5)
    record = run.records[0]["init_from"]
    assert record == {
        "file": "trained.safetensors",
        "sha256": json.loads(path.with_suffix(".json").read_text())["sha256"],
    }
    assert read_log(tmp_path / "run" / "log.jsonl")[0]["init_from"] == record
    with pytest.raises(ValueError, match="init_from must be None for a run that continues"):
        train_quietly(TUNE, images32, tmp_path / "run", resume=True, init_from=path)


def test_other_classes_get_a_new_last_layer_and_the_backbone_may_be_frozen(images32, tmp_path, monkeypatch):
    net, path = tiny_weights(tmp_path, num_classes=7)
    recipe = replace(TUNE, freeze_backbone=True, max_steps=8)
    interrupt_at(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        train_quietly(recipe, images32, tmp_path / "run", init_from=path)
    run = train_quietly(recipe, images32, tmp_path / "run", resume=True)
    fresh = fresh_run(recipe, images32).model
    assert run.model.head.weight.shape[0] == 10 and not torch.equal(run.model.head.weight, fresh.head.weight)
    trained = dict(run.model.named_parameters())
    for name, parameter in net.named_parameters():
        if not name.startswith("head."):
            assert torch.equal(trained[name], parameter), name
    assert not torch.equal(run.model.blocks[0].widen[2].running_mean, net.blocks[0].widen[2].running_mean)


def test_weights_of_another_net_are_refused(images32, tmp_path):
    _, path = tiny_weights(tmp_path, layout="CCC")
    with pytest.raises(
        ValueError, match="init_from must be the weights of a model like the one to train, got 'tiny'; blocks.1"
    ):
        train_quietly(TUNE, images32, init_from=path)
    with pytest.raises(ValueError, match="SHA-256"):
        path.write_bytes(path.read_bytes()[:-1] + b"!")
        train_quietly(TUNE, images32, init_from=path)


def test_a_name_that_cannot_be_a_folder_is_told_before_the_first_step(images16, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(train, "train_steps", lambda *args, **options: 1 / 0)
    with pytest.raises(ValueError, match="out_dir must be a folder that can be written to, got '.*run'"):
        train_quietly(RECIPE, images16, tmp_path / "file" / "run")


def test_a_run_tells_how_long_it_takes_unless_it_is_quiet(images16, capsys):
    train.fit(replace(RECIPE, batch_size=4), images16, device="cpu", live=False)
    assert "This takes about" in "".join(capsys.readouterr())
    train_quietly(RECIPE, images16)
    assert "".join(capsys.readouterr()) == ""


def test_the_curve_is_live_in_a_notebook_or_as_told(images16, monkeypatch):
    asked = []
    monkeypatch.setattr(train, "LiveCurve", lambda shown: asked.append(shown))
    for notebook in (True, False):
        monkeypatch.setattr(train, "in_notebook", lambda answer=notebook: answer)
        for live in (None, True, False):
            train.fit(replace(RECIPE, max_steps=1), images16, device="cpu", live=live)
    assert asked == [True, True, False, False, True, False]
