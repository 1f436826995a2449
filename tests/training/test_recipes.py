"""Recipes, old and new, and what they make: the optimizer and its schedule."""

import json
import math
from dataclasses import FrozenInstanceError, asdict, replace

import pytest
import torch
from torch import nn
from toy import RECIPE, Toy, fresh_run, train_quietly

from lambdalib import models
from lambdalib.training import recipes
from lambdalib.training.checkpoint import ASSETS, read_card
from lambdalib.training.recipes import Recipe, create_optimizer, image_side, lr_factor, parse_setting


@pytest.mark.parametrize("name, value", [
    ("epochs", 0), ("epochs", -1.5), ("epochs", math.nan), ("epochs", math.inf), ("batch_size", 0),
    ("lr", 0.0), ("lr", math.nan),
    ("bias_lr_multiplier", 0.0), ("bias_lr_multiplier", math.inf),
    ("momentum", 1.0), ("weight_decay", -1e-4), ("label_smoothing", 1.0), ("warmup", 1.0),
    ("schedule", "step"), ("ema", 1.0),
    ("optimizer", "lion"), ("min_lr", -1e-9), ("min_lr", 0.2), ("restart_period", 0),
    ("restart_period", math.inf), ("image_size", 0),
    ("flip", "vertical"), ("padding", -1), ("cutout", -3), ("dtype", "float8"), ("evaluate_every", 0),
    ("max_steps", 0),
    ("batch_size", 2.5), ("max_steps", 2.5), ("padding", 0.5), ("batch_size", True), ("lr", None),
    ("lr", "0.1"), ("whiten", 1),
    ("seed", -1), ("weight_decay", math.inf), ("model", None), ("model_kwargs", None), ("ema", "none"),
    ("validation_images", -1), ("progressive_resizing", None), ("progressive_resizing", 16),
])  # fmt: skip
def test_recipe_names_the_bad_field(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be .*got {value!r}"):
        Recipe(**{name: value})


@pytest.mark.parametrize("schedule", [
    {24: 1, 16: 1}, {"24": 1, "16": 1}, {32: 1}, {16: 1, 40: 1}, {0: 1}, {-8: 1}, {"x": 1}, {"-8": 1}, {"": 1},
    {16.0: 1}, {True: 1}, {None: 1}, {16: 24}, {16: 12, 24: 12}, {16: 0}, {16: -1}, {16: math.nan},
    {16: math.inf}, {16: "1"}, {16: True}, {16: None}, {16: [1]},
])  # fmt: skip
def test_a_bad_schedule_of_sizes_is_named(schedule):
    words = (
        r"^progressive_resizing must be \{side: epochs\} with rising sides below image_size, 32, and fewer than "
    )
    with pytest.raises(ValueError, match=words + "24 epochs in all, got {"):
        Recipe(progressive_resizing=schedule)


def test_small_images_come_first():
    """Half an epoch at 8 pixels, 1.25 at 12, the rest at 16; an epoch has 8 steps, so 4 and 10 and 6."""
    recipe = Recipe(epochs=2.5, image_size=16, progressive_resizing={8: 0.5, 12: 1.25})
    assert [image_side(step, recipe, 20) for step in range(20)] == [8] * 4 + [12] * 10 + [16] * 6
    assert [image_side(step, recipe, 5) for step in range(5)] == [8] + [12] * 3 + [16]  # 1, 3.5 steps
    assert {image_side(step, Recipe(), 20) for step in range(20)} == {32}
    recipe = recipes.RECIPES["resnet"]  # 9, 4 and 1 of 14 epochs
    sides = [image_side(step, recipe, 14 * 390) for step in range(14 * 390)]
    assert sides == [16] * 9 * 390 + [24] * 4 * 390 + [32] * 390


def test_sizes_survive_json():
    recipe = Recipe(progressive_resizing={16: 6, 24: 4.5})
    record = json.loads(json.dumps(asdict(recipe)))
    assert record["progressive_resizing"] == {"16": 6, "24": 4.5}
    assert Recipe.from_record(record) == recipe == Recipe(progressive_resizing={"16": 6, "24": 4.5})
    name, value = parse_setting('progressive_resizing={"16": 6, "24": 4.5}')
    assert replace(Recipe(), **{name: value}) == recipe


def test_recipe_is_frozen_and_presets_exist():
    assert list(recipes.RECIPES) == ["demo", "quick", "cpu", "resnet", "gpu", "restarts", "adam", "imagenet"]
    with pytest.raises(FrozenInstanceError):
        recipes.RECIPES["cpu"].lr = 1.0


def test_preset_models_can_be_built():
    for recipe in recipes.RECIPES.values():
        with torch.device("meta"):
            models.create_model(recipe.model, **recipe.model_kwargs)


def test_schedule_by_hand():
    # 10 steps, 4 of them up: 1/4, 2/4, 3/4, 1; then 6 down from 1 in sixths
    linear = [lr_factor(step, 10, 0.4, "linear") for step in range(10)]
    assert linear == pytest.approx([0.25, 0.5, 0.75, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])
    cosine = [lr_factor(step, 10, 0.4, "cosine") for step in range(4, 10)]
    assert cosine == pytest.approx([1, (2 + 3**0.5) / 4, 0.75, 0.5, 0.25, (2 - 3**0.5) / 4])
    assert lr_factor(0, 1, 0.0, "linear") == 1 and lr_factor(10, 10, 0.4, "linear") == 0
    assert min(lr_factor(step, 7, 0.9, "linear") for step in range(7)) > 0


def test_restarts_are_those_of_a_published_log():
    """The rates that github.com/yhgon/LambdaNetworks printed after epochs 1, 2, 3, 9, 10, 11 and 306 of its
    310."""
    recipe, per_epoch = recipes.RECIPES["restarts"], 390
    weight = nn.Parameter(torch.zeros(1))
    scheduler = recipes.create_scheduler(
        torch.optim.SGD([weight], lr=recipe.lr), recipe, 310 * per_epoch, per_epoch
    )
    printed = {
        0: 0.1,
        1: 0.09755307053217621,
        2: 0.0904518046337755,
        3: 0.0793913236883622,
        9: 0.0024569294678237993,
        10: 0.1,
        11: 0.09938447858805392,
        306: 0.00016411790001226746,
    }
    for epoch, rate in printed.items():
        assert recipe.lr * scheduler.lr_lambdas[0](epoch * per_epoch) == pytest.approx(rate, rel=1e-9), epoch
    every = [recipe.lr * scheduler.lr_lambdas[0](step) for step in range(310 * per_epoch)]
    assert min(every) > recipe.min_lr and max(every) == recipe.lr
    assert [step // per_epoch for step in range(1, len(every)) if every[step] > every[step - 1]] == [
        10,
        30,
        70,
        150,
    ]


def test_restarts_are_torchs_own():
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=3, T_mult=2, eta_min=0.02)
    for step in range(25):
        assert 0.3 * lr_factor(step, 25, 0.0, "cosine", 0.02 / 0.3, 3) == pytest.approx(
            optimizer.param_groups[0]["lr"]
        )
        optimizer.step()
        theirs.step()
    # after a climb, and with cycles that end between two steps: 2.5 and 5 steps
    rates = [lr_factor(step, 9, 2 / 9, "linear", 0.0, 2.5) for step in range(9)]
    assert rates == pytest.approx(
        [1 / 2, 1, 1, 1 - 1 / 2.5, 1 - 2 / 2.5, 1 - 0.5 / 5, 1 - 1.5 / 5, 1 - 2.5 / 5, 1 - 3.5 / 5]
    )


def test_a_floor_lifts_the_fall_and_leaves_the_climb():
    plain = [lr_factor(step, 10, 0.4, "linear") for step in range(10)]
    lifted = [lr_factor(step, 10, 0.4, "linear", 0.1) for step in range(10)]
    assert lifted[:4] == plain[:4] and lifted[4:] == pytest.approx([0.1 + 0.9 * share for share in plain[4:]])


def test_only_what_multiplies_features_is_decayed():
    toy = Toy()
    toy[9].bias.requires_grad_(False)  # frozen: not for the optimizer
    decayed, scales, biases = create_optimizer(toy, replace(RECIPE, bias_lr_multiplier=7.0)).param_groups
    assert decayed["weight_decay"] == RECIPE.weight_decay and decayed["nesterov"]
    assert scales["weight_decay"] == biases["weight_decay"] == 0
    assert decayed["lr"] == scales["lr"] == RECIPE.lr and biases["lr"] == pytest.approx(7 * RECIPE.lr)
    names = {parameter: name for name, parameter in toy.named_parameters()}
    projections = {"3.to_queries.weight", "3.to_keys.weight", "3.to_values.weight"}
    assert {names[p] for p in decayed["params"]} == {"0.weight", *projections, "3.table", "9.weight"}
    assert all(names[p].endswith("weight") for p in scales["params"]) and all(
        names[p].endswith("bias") for p in biases["params"]
    )
    assert len(decayed["params"]) + len(scales["params"]) + len(biases["params"]) == len(names) - 1


def test_biases_keep_their_own_rate_through_the_schedule(images16):
    run = fresh_run(replace(RECIPE, max_steps=10, warmup=0.4, bias_lr_multiplier=7.0), images16)
    run.optimizer.step()
    run.scheduler.step()
    assert [group["lr"] for group in run.optimizer.param_groups] == pytest.approx([0.05, 0.05, 0.35])


def test_adam_is_an_optimizer_too(images16, monkeypatch):
    decayed, *free = create_optimizer(Toy(), replace(RECIPE, optimizer="adam", momentum=0.7)).param_groups
    assert decayed["betas"] == (0.7, 0.999) and decayed["weight_decay"] == RECIPE.weight_decay
    assert [group["weight_decay"] for group in free] == [0, 0]
    run = train_quietly(
        replace(RECIPE, optimizer="adam", lr=5e-4, warmup=0, max_steps=1, weight_decay=0), images16
    )
    fresh = fresh_run(replace(RECIPE, max_steps=1), images16).model
    moved = (run.model[9].weight - fresh[9].weight).abs()
    assert isinstance(run.optimizer, torch.optim.Adam) and moved.max() <= 5.01e-4
    assert moved.median() > 4.9e-4  # whatever the gradient


# The first edition's records


def test_records_of_the_first_edition_are_read():
    old = {
        "model": "tiny",
        "floor": 0.05,
        "restart": 2,
        "bias_lr": 64,
        "crop": 3,
        "freeze_body": True,
        "hold_out": 500,
        "lr": 0.7,
    }
    new = Recipe(model="tiny", min_lr=0.05, restart_period=2, bias_lr_multiplier=64, padding=3,
                 freeze_backbone=True, validation_images=500, lr=0.7)  # fmt: skip
    assert Recipe.from_record(old) == new == Recipe.from_record(asdict(new))
    assert set(recipes.ALIASES.values()) <= asdict(new).keys() and not set(recipes.ALIASES) & asdict(new).keys()


def test_the_card_that_ships_holds_a_preset():
    recipe = Recipe.from_record(read_card(ASSETS / "small.safetensors")["run"]["recipe"])
    assert replace(recipe, seed=0) == recipes.RECIPES["cpu"]


@pytest.mark.parametrize("record, words", [
    (None, "must be a dict, got None"), ([1], r"must be a dict, got \[1\]"),
    ({"colour": 1}, "fields of Recipe only, got 'colour'"),
    ({"floor": 1.0}, "^min_lr must be at least 0 and below lr, 0.2, got 1.0"),
])  # fmt: skip
def test_what_is_no_record_is_refused(record, words):
    with pytest.raises(ValueError, match=words):
        Recipe.from_record(record)


# Settings of the command line


@pytest.mark.parametrize("text, name, value", [
    ("ema=0.98", "ema", 0.98), ("ema=none", "ema", None), ("ema=None", "ema", None),
    ("max_steps=null", "max_steps", None),
    ("max_steps=7", "max_steps", 7), ("epochs=3", "epochs", 3.0), ("whiten=true", "whiten", True),
    ("compile=False", "compile", False),
    ("flip=random", "flip", "random"), ("model=tiny", "model", "tiny"), ("min_lr=1e-5", "min_lr", 1e-5),
    ("floor=0.5", "min_lr", 0.5),
    ('model_kwargs={"scope": 7}', "model_kwargs", {"scope": 7}), ("seed=3", "seed", 3),
])  # fmt: skip
def test_settings_have_the_type_of_their_field(text, name, value):
    read, parsed = parse_setting(text)
    assert (read, parsed, type(parsed)) == (name, value, type(value))
    assert getattr(Recipe(**{"lr": 0.9, read: parsed}), name) == value


@pytest.mark.parametrize("text, words", [
    ("ema=much", "ema must be a number or None, got 'much'"),
    ("whiten=1", "whiten must be true or false, got '1'"),
    ("batch_size=2.5", "batch_size must be a whole number, got '2.5'"),
    ("batch_size=none", "batch_size must be a whole number, got 'none'"),
    ("model_kwargs=[1]", r"model_kwargs must be a dict, got '\[1\]'"),
    ("model_kwargs=scope", "model_kwargs must be a dict, got 'scope'"),
    ("min_rl=1", r"got 'min_rl=1' \(did you mean min_lr\?\); fields: model, model_kwargs, epochs"),
    ("colour=red", "must be name=value with a field of the recipe, got 'colour=red'; fields: model"),
    ("ema", "must be name=value with a field of the recipe, got 'ema'; fields: model"),
])  # fmt: skip
def test_bad_settings_are_named(text, words):
    with pytest.raises(ValueError, match=words):
        parse_setting(text)


def test_every_field_can_be_set():
    for name, value in asdict(replace(Recipe(), ema=0.9, max_steps=3, restart_period=2.5)).items():
        written = json.dumps(value) if isinstance(value, dict) else str(value)
        assert parse_setting(f"{name}={written}") == (name, value)
