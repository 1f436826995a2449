"""What things cost: the paper's numbers, formulas against measurements, measurements against hand counts."""

import time
from dataclasses import replace

import pytest
import torch
from torch import nn

from lambdalib import contractions, cost
from lambdalib.experiments import paper_tables
from lambdalib.guards import activation_checkpointed
from lambdalib.layer import LambdaLayer
from lambdalib.models import create_model
from lambdalib.resnet import ResNet
from lambdalib.training.recipes import Recipe

NUMBERS = dict(
    argvalues=[
        (dict(layout="CCCC"), 25.56),
        (dict(layout="LCCC"), 25.49),
        (dict(layout="LLCC"), 24.99),
        (dict(layout="LLLC"), 21.73),
        (dict(layout="LLLL"), 15.00),
        (dict(layout="CLLL"), 15.06),
        (dict(layout="CCLL"), 15.56),
        (dict(layout="CCCL"), 18.83),
        (dict(dim_k=8, heads=2), 15.03),
        (dict(dim_k=8, heads=16), 14.90),
        (dict(dim_k=2), 14.61),
        (dict(dim_k=4), 14.67),
        (dict(dim_k=8), 14.78),
        (dict(dim_k=16), 15.00),
        (dict(dim_k=32), 15.44),
        (dict(dim_k=2, heads=8), 14.48),
        (dict(dim_k=4, heads=8), 14.57),
        (dict(dim_k=8, heads=8), 14.74),
        (dict(dim_k=16, heads=8), 15.08),
        (dict(dim_k=32, heads=8), 15.76),
        (dict(dim_k=8, heads=8, dim_u=4), 15.26),
        (dict(dim_k=8, heads=8, dim_u=8), 16.04),
        (dict(dim_u=4), 16.04),
        (dict(name="lambda_resnet152"), 32.81),
        (dict(name="lambda_resnet200"), 35.30),
        (dict(name="lambda_resnet270"), 48.08),
        (dict(name="lambda_resnet350"), 60.06),
        (dict(name="lambda_resnet420"), 69.89),
    ]
)


@pytest.mark.parametrize("arguments, millions", **NUMBERS)
def test_parameters_on_imagenet(arguments, millions):
    with torch.device("meta"):
        model = create_model(**{"name": "lambda_resnet50", "num_classes": 1000, "stem": "imagenet"} | arguments)
    assert round(cost.count_parameters(model) / 1e6, 2) == millions


@pytest.mark.parametrize(
    "arguments, millions",
    [
        (dict(dim_u=4), 8.66),
        (dict(dim_u=1), 8.03),
        (dict(layout="CCCC"), 13.96),
        (dict(name="resnet26"), 13.96),
    ],
)
def test_parameters_on_cifar(arguments, millions):
    with torch.device("meta"):
        model = create_model(**{"name": "lambda_resnet18", "scope": 7} | arguments)
    assert round(cost.count_parameters(model) / 1e6, 2) == millions


@pytest.mark.parametrize(
    "name, arguments, parameters",
    [
        ("resnet18", {}, 11_173_962),
        ("resnet18", dict(num_classes=1000, stem="imagenet"), 11_689_512),
        ("resnet50", dict(num_classes=1000, stem="imagenet"), 25_557_032),
        ("resnet101", dict(num_classes=1000, stem="imagenet"), 44_549_160),
    ],
)
def test_parameters_that_the_field_knows(name, arguments, parameters):
    with torch.device("meta"):
        assert cost.count_parameters(create_model(name, **arguments)) == parameters


@pytest.mark.parametrize(
    "d_in, d_out, k, h, u, r", [(13, 14, 5, 2, 3, 7), (11, 21, 3, 7, 2, 5), (512, 512, 16, 4, 1, 23)]
)
def test_the_parameter_formula_counts_the_layer(d_in, d_out, k, h, u, r):
    layer = LambdaLayer(d_in, d_out, dim_k=k, heads=h, dim_u=u, scope=r)
    assert cost.lambda_layer_parameters(d_in, d_out, k, h, u, r) == cost.count_parameters(layer)


def test_the_parameter_formula_counts_the_global_layer():
    layer = LambdaLayer(13, 14, dim_k=5, heads=2, dim_u=3, scope=None, feat_size=(7, 7))
    assert cost.lambda_layer_parameters(13, 14, 5, 2, 3, r=13) == cost.count_parameters(layer)


def test_shared_parameters_count_once():
    layer = nn.Linear(3, 5)
    assert cost.count_parameters(nn.ModuleList([layer, layer])) == 20


@pytest.mark.parametrize("d, parameters", [(64, 14_768), (512, 115_344)])
def test_the_swap_saves_more_where_the_net_is_wide(d, parameters):
    assert cost.lambda_layer_parameters(d, d, 16, 4, 1, 23) == parameters  # in place of 9·d²: 36,864 and 2,359,296


# Multiply-adds


def test_multiply_adds_of_a_lambda_resnet50():
    with torch.device("meta"):
        model = create_model("lambda_resnet50", 1000, stem="imagenet")
    with cost.contraction_order(model, "convolution"):
        by_convolution = cost.multiply_adds(model, (1, 3, 224, 224))
    assert round(by_convolution / 1e9, 2) == 6.58
    assert cost.multiply_adds(model, (1, 3, 224, 224)) < by_convolution


def test_multiply_adds_of_what_can_be_counted_by_hand():
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(5 * 4 * 6, 7)
    )
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert cost.multiply_adds(net, (2, 3, 7, 11)) == 2 * (4 * 6 * 5 * 27 + 120 * 7)
    assert net.training and all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_multiply_adds_of_a_single_pixel_whose_norm_has_no_batch_to_learn_from():
    assert cost.multiply_adds(nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)), (1, 3, 3, 3)) == 5 * 27


@pytest.mark.parametrize("order", contractions.ORDERS)
def test_formulas_add_up_to_the_layer(order):
    (b, h, k, u, r), size, (d_in, d_out) = (2, 2, 5, 3, 7), (11, 13), (17, 14)
    n, v = size[0] * size[1], d_out // h
    layer = LambdaLayer(d_in, d_out, dim_k=k, heads=h, dim_u=u, scope=r)
    projections = b * n * d_in * (h * k + k * u + v * u)
    content = cost.content_multiply_adds(b, h, n, n, k, v, u)
    position = contractions.position_costs(b, h, size, k, v, u, (r, r))[order]
    with cost.contraction_order(layer, order):
        assert cost.multiply_adds(layer, (b, d_in, *size)) == projections + content + position


def test_the_strip_of_four_pixels():
    strip = dict(b=1, h=1, n=4, m=4, k=2, v=3)
    assert cost.attention_multiply_adds(**strip) == 80
    assert cost.content_multiply_adds(**strip) == 48
    assert contractions.position_costs(1, 1, (1, 4), 2, 3, 1, (1, 7))["lambda"] == 120


def test_a_small_map_for_the_lesson():
    sizes = dict(b=1, h=4, n=1024, m=1024, k=16, v=16)
    attention = cost.attention_multiply_adds(**sizes)
    assert attention / cost.content_multiply_adds(**sizes) == pytest.approx(102.4)
    position = contractions.position_costs(1, 4, (32, 32), 16, 16, 1, (63, 63))["lambda"]
    assert position / attention == pytest.approx(2.0, abs=0.01)


def test_the_order_is_fixed_inside_the_context_only():
    model = nn.Sequential(LambdaLayer(8), nn.Sequential(LambdaLayer(8, order="tiles"), nn.ReLU()), LambdaLayer(8))

    def orders():
        return [module.order for module in model.modules() if isinstance(module, LambdaLayer)]

    for order in contractions.ORDERS:
        with cost.contraction_order(model, order):
            assert orders() == [order, "tiles", order], "an order that was asked for stays"
        assert orders() == ["auto", "tiles", "auto"]
    with pytest.raises(RuntimeError), cost.contraction_order(model, "lambda"):
        raise RuntimeError
    assert orders() == ["auto", "tiles", "auto"]
    with pytest.raises(ValueError, match="order must be one of .*convolution.*got 'sideways'"):
        cost.contraction_order(model, "sideways").__enter__()


# Bytes


def test_bytes_held_of_what_can_be_counted_by_hand():
    features = torch.randn(2, 3)
    assert (
        cost.saved_activation_bytes(nn.Linear(3, 5), features) == 2 * 3 * 4
    )  # its input, for the weight's gradient
    assert cost.saved_activation_bytes(nn.Sequential(nn.Linear(3, 5), nn.ReLU()), features) == (2 * 3 + 2 * 5) * 4
    assert cost.saved_activation_bytes(torch.exp, torch.randn(11, requires_grad=True)) == 11 * 4, "a function"
    assert (
        cost.saved_activation_bytes(nn.Linear(3, 5), features.double().float()[:1].expand(7, 3)) == 2 * 3 * 4
    )  # one storage


def test_one_storage_counts_once_and_the_models_own_not_at_all():
    class Squares(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(11))
            self.register_buffer("scale", torch.randn(11))

        def forward(self, x):
            y = x * self.weight * self.scale
            return y * y + y.view(1, 11) * 2 * y.detach()

    # x (for the weight), y and its views: twice 11 numbers; the products y·2 and y·y are not needed again
    assert cost.saved_activation_bytes(Squares(), torch.randn(11)) == 2 * 11 * 4


def test_bytes_held_grow_with_the_batch_but_for_the_embeddings():
    layer = LambdaLayer(17, 14, dim_k=5, heads=2, dim_u=3, scope=7)
    with cost.contraction_order(layer, "lambda"):
        one, two, three = (cost.saved_activation_bytes(layer, torch.randn(b, 17, 5, 7)) for b in (1, 2, 3))
    assert three - two == two - one
    assert one - (two - one) >= 35 * 35 * 5 * 3 * 4  # what has no batch in it: at least the dense embeddings
    model_runs_in_its_mode = layer.eval()
    assert cost.saved_activation_bytes(model_runs_in_its_mode, torch.randn(1, 17, 5, 7)) > 0


def two_layers():
    """For pictures of 5×5: 75 -> 7 -> 3; 533 + 24 trained numbers, and one of another type that is not trained."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(75, 7), nn.ReLU(), nn.Linear(7, 3))
    net.register_buffer("count", torch.zeros(2, dtype=torch.int64))
    return net


@pytest.mark.parametrize("batch", [1, 2, 31])
@pytest.mark.parametrize(
    "dtype, held",
    [
        (torch.float32, lambda b: 4 * b * (75 + 7)),
        (
            torch.bfloat16,
            lambda b: 2 * (b * (75 + 7) + 7 * 3),
        ),  # in two bytes, and the rounded weights of the second layer
    ],
)
def test_training_memory_by_hand(batch, dtype, held):
    memory = cost.training_memory(two_layers(), batch, side=5, dtype=dtype, states=2, average=True)
    numbers = (75 + 1) * 7 + (7 + 1) * 3
    assert memory[:4] == (4 * numbers + 16, 4 * numbers, 2 * 4 * numbers, 4 * numbers + 16)
    assert memory.activations == held(batch) and memory.total == sum(memory[:4]) + held(batch)


def test_frozen_weights_have_neither_gradient_nor_momentum():
    net = two_layers()
    net[1].requires_grad_(False)
    memory = cost.training_memory(net, 31, side=5)
    assert memory == (4 * 556 + 16, 4 * 24, 4 * 24, 0, 4 * 31 * 7)


def test_training_memory_is_what_a_batch_holds_and_leaves_the_net_alone():
    net = create_model("tiny").eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    memory = cost.training_memory(net, 11)
    assert not net.training and all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert memory.activations == cost.saved_activation_bytes(net.train(), torch.randn(11, 3, 32, 32))


def test_a_part_that_is_recomputed_needs_its_room():
    class Part(torch.nn.Sequential):
        forward = activation_checkpointed(torch.nn.Sequential.forward)

    def part(hidden, recompute):
        made = Part(
            torch.nn.Conv2d(3, hidden, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(hidden, 3, 3, padding=1)
        )
        made.recompute = recompute
        return made

    n = 4 * 11 * 5 * 5  # bytes of a channel
    plain, checkpointed, third = part(7, False), part(7, True), part(5, True)
    net = torch.nn.Sequential(plain, checkpointed, third)
    assert cost.saved_activation_bytes(net, torch.randn(11, 3, 5, 5)) == n * (3 + 7 + 3 + 3)
    assert cost.training_memory(net, 11, side=5).activations == n * (3 + 7 + 3 + 3) + n * 7
    assert checkpointed.recompute and third.recompute


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_sum_is_about_the_peak_of_a_gpu_and_says_which_limit_is_too_low():
    net, images = create_model("small").cuda(), torch.randn(512, 3, 32, 32, device="cuda")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    expected, card = cost.training_memory(net, 512).total, torch.cuda.get_device_properties(0).total_memory

    def two_steps(limit):
        torch.cuda.empty_cache()  # what earlier tests have reserved
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / card))
        for _ in range(2):
            optimizer.zero_grad()
            net(images).sum().backward()
            optimizer.step()

    try:
        with pytest.raises(torch.cuda.OutOfMemoryError):
            two_steps(0.7 * expected)
        torch.cuda.reset_peak_memory_stats()
        two_steps(2 * expected)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert 0.9 <= torch.cuda.max_memory_allocated() / expected <= 1.6


def test_the_report_on_memory_follows_the_recipe():
    plain = Recipe(model="tiny", epochs=1, batch_size=50, optimizer="sgd", momentum=0.9)
    changes = {
        "plain": {},
        "still": {"momentum": 0},
        "adam": {"optimizer": "adam", "ema": 0.9},
        "lambda": {"model_kwargs": {"layout": "LLL"}},
        "large": {"image_size": 64},
    }
    recipes = {name: replace(plain, **change) for name, change in changes.items()}
    rows = {
        line.split()[0]: line.split()[1:]
        for line in paper_tables.memory_report(recipes).splitlines()
        if line.split()[0] in recipes
    }
    assert list(rows) == list(recipes) and rows["plain"][:6] == ["tiny", "50", "0.9", "0.9", "0.9", "0.0"]
    assert rows["still"][4] == "0.0" and rows["adam"][4:6] == ["1.8", "0.9"]
    held, total, held_full, total_full = map(int, rows["plain"][6:])
    memory = cost.training_memory(create_model("tiny"), 50)
    assert (held_full, total_full) == (round(memory.activations / 2**20), round(memory.total / 2**20))
    assert 0.5 * held_full < held < 0.6 * held_full and abs(total - held - (total_full - held_full)) <= 1
    assert int(rows["large"][6]) > 3.5 * held and rows["lambda"][8] != rows["plain"][8]
    doubled = paper_tables.memory_report({"plain": plain}, batch=100).splitlines()[3].split()
    assert doubled[2] == "100" and abs(int(doubled[9]) - 2 * held_full) <= 2


def test_the_memory_column_of_table_4():
    rows = paper_tables.memory_table()
    assert [printed for _, _, printed in rows] == [120, 4.8, 1.9, 0.95, 0.63]
    for layer, ours, printed in rows:
        assert abs(ours / printed - 1) <= 0.03, layer


def test_attention_maps_count_every_layer():
    assert paper_tables.attention_memory() == sum(
        4 * 128 * 8 * n**2 for n in [3136] * 3 + [784] * 4 + [196] * 6 + [49] * 3
    )


# The report


@pytest.fixture(scope="module")
def rows():
    return paper_tables.params_table()


def test_the_table_has_the_papers_rows(rows):
    assert [row.layout for row in rows[:8]] == ["CCCC", "LCCC", "LLCC", "LLLC", "LLLL", "CLLL", "CCLL", "CCCL"]
    assert [(row.k, row.h, row.u, row.printed) for row in rows[8:11]] == [
        (8, 2, 1, 14.8),
        (8, 16, 1, 15.6),
        (2, 4, 1, 14.7),
    ]
    assert [row.printed is None for row in rows] == [False] * (8 + 15) + [True] * 9
    counted = [round(row.parameters / 1e6, 2) for row in rows]
    assert counted == [millions for _, millions in NUMBERS["argvalues"]] + [8.03, 8.66, 13.96, 11.17]


def test_the_report_prints_every_claim(rows, monkeypatch):
    monkeypatch.setattr(paper_tables, "params_table", lambda: rows)
    lines = paper_tables.params_report().splitlines()
    claims = [
        ["lambda_resnet50", "CCLL", "15.56", "15.4 *"],
        ["16   4  4   7", "16.04", "16.0"],
        ["lambda_resnet200", "35.30"],
        ["resnet18", "11.17"],
        ["lambda_resnet350_hybrid", "100.60", "103.09", "105.8 *"],
        ["* open:", "gates"],
        ["made by a convolution", "6.58"],
        ["global self-attention", "122.83", "120"],
    ]
    assert [words for words in claims if not any(all(word in line for word in words) for line in lines)] == []
    assert sum("*" in line for line in lines) == 5 + 1 + 3 + 1  # rows, and the lines that explain them


@pytest.mark.parametrize(
    "layout, k, h, u, r, side",
    [
        ("LCLL", 8, 8, 2, 15, 32),
        ("LLLL", 4, 2, 4, 3, 29),
        ("CLCC", 32, 1, 1, 7, 21),
        ("CCCC", 16, 4, 1, 23, 32),
    ],
)
def test_the_bill_of_the_stages_is_that_of_the_model(layout, k, h, u, r, side):
    with torch.device("meta"):
        model = ResNet((2, 1, 3, 1), layout, dim_k=k, heads=h, dim_u=u, scope=r)
    bill = cost.stage_costs((2, 1, 3, 1), layout, side, k, h, u, r)
    assert [cost.count_parameters(stage) for stage in model.stages] == bill[:, 2].tolist()
    assert [sum(cost.count_parameters(block.mix) for block in stage) for stage in model.stages] == [
        row[0] + depth * 2 * 64 * 2**i for i, (row, depth) in enumerate(zip(bill, (2, 1, 3, 1)))
    ]  # the norm after the mixing
    head_and_stem = 2048 * 10 + side**2 * 64 * 27
    assert cost.multiply_adds(model, (1, 3, side, side)) == bill[:, 3].sum() + head_and_stem


def test_the_bill_of_the_stages_builds_no_model():
    start = time.process_time()
    cost.stage_costs((3, 4, 6, 3), "LLLL", 56)
    assert time.process_time() - start < 0.05, "a formula, not a model"
