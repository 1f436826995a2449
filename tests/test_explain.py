"""Models without their steering, against the layer's formula in einsum, convolutions, and statistics by hand."""

import copy

import pytest
import torch
import torch.nn.functional as F
from loops import loop_norm
from torch import einsum, nn
from torch.testing import assert_close

from lambdalib.explain import (
    ablations,
    centre_taps,
    lambda_layers,
    mean_queries,
    replace_queries,
    replace_stencils,
)
from lambdalib.lambdas import relative_embeddings
from lambdalib.layer import LambdaLayer
from lambdalib.models import create_model
from lambdalib.twins import Twin

DIM, HEADS, K, V, HEIGHT, WIDTH, BATCH = 21, 3, 5, 7, 5, 7, 6
SIZE = (HEIGHT, WIDTH)
FORMS = [{"dim_u": 1, "scope": 3}, {"dim_u": 2, "scope": 5}, {"dim_u": 2, "scope": None, "feat_size": SIZE}]
NAMES = [
    "as_trained",
    "mean_query",
    "mean_query_new_statistics",
    "image_mean_query_new_statistics",
    "no_stencils_new_statistics",
    "centre_taps_new_statistics",
]


def random_norms(model):
    """A double model in eval mode whose norms' scales, biases and statistics are no ones and zeros."""
    for module in model.double().modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_var, module.weight.data):
                tensor.uniform_(0.5, 1.5)
            for tensor in (module.running_mean, module.bias.data):
                tensor.normal_()
    return model.eval()


def one_layer(**form):
    return random_norms(LambdaLayer(DIM, dim_k=K, heads=HEADS, **form)), features()


def features(images=BATCH):
    return torch.randn(images, DIM, HEIGHT, WIDTH, dtype=torch.float64)


@pytest.fixture
def net():
    """Two lambda layers in a row, the second with intra-depth, stride and a bias, and norms between them."""
    return random_norms(
        nn.Sequential(
            nn.Conv2d(3, DIM, 1),
            nn.BatchNorm2d(DIM, momentum=0.03),
            LambdaLayer(DIM, dim_k=K, heads=HEADS, scope=3),
            nn.BatchNorm2d(DIM),
            nn.Sequential(LambdaLayer(DIM, dim_k=2, heads=7, dim_u=2, scope=5, stride=2, position_bias=True)),
            nn.BatchNorm2d(DIM),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
    )


@pytest.fixture
def images():
    return torch.randn(BATCH, 3, HEIGHT, WIDTH, dtype=torch.float64)


def parts(layer, maps):
    """Queries (b, h, n, k), softmax of the keys (b, m, k, u) and values (b, m, v, u), by hand."""

    def project(conv):
        return einsum("od,bdyx->boyx", conv.weight[:, :, 0, 0], maps)

    queries = loop_norm(layer.norm_queries, project(layer.to_queries))
    values = loop_norm(layer.norm_values, project(layer.to_values))
    queries = queries.flatten(2).unflatten(1, (layer.heads, layer.dim_k)).transpose(2, 3)
    keys = project(layer.to_keys).flatten(2).unflatten(1, (layer.dim_k, layer.dim_u)).permute(0, 3, 1, 2)
    values = values.flatten(2).unflatten(1, (layer.dim_v, layer.dim_u)).permute(0, 3, 1, 2)
    return queries, keys.softmax(1), values


@pytest.mark.parametrize("form", FORMS)
def test_mean_queries_in_the_formula(form):
    layer, maps = one_layer(**form)
    queries, keys, values = parts(layer, maps)
    means = mean_queries(nn.Sequential(layer), maps, batch_size=4)  # the last batch is smaller
    assert list(means) == ["0"] and means["0"].shape == (HEADS, K)
    assert_close(means["0"], queries.mean((0, 2)))
    changed = replace_queries(nn.Sequential(layer), lambda name, queries: means[name].reshape(-1, 1, 1))
    lambdas = einsum("bmku,bmvu->bkv", keys, values)[:, None]
    lambdas = lambdas + einsum("nmku,bmvu->bnkv", relative_embeddings(layer.table, *SIZE), values)
    expected = einsum("hk,bnkv->bhvn", queries.mean((0, 2)), lambdas)
    assert_close(changed(maps), expected.reshape(maps.shape))
    assert not torch.allclose(changed(maps), layer(maps))


@pytest.mark.parametrize("form", FORMS)
def test_a_query_for_each_image_makes_a_convolution_and_one_palette_per_head(form):
    layer, maps = one_layer(**form)
    queries, keys, values = parts(layer, maps)
    changed = replace_queries(layer, lambda name, queries: queries.mean((2, 3), keepdim=True))(maps)
    pads = [side // 2 for side in layer.table.shape[2:]]
    for image in range(BATCH):
        query = queries[image].mean(1)  # (h, k)
        kernels = einsum("hk,kuyx->huyx", query, layer.table)
        channels = values[image].permute(1, 2, 0).unflatten(2, SIZE)  # (v, u, H, W)
        convolved = F.conv2d(channels, kernels, padding=pads).transpose(0, 1)  # (h, v, H, W)
        palette = einsum("hk,mku,mvu->hv", query, keys[image], values[image])
        assert_close(changed[image], (convolved + palette[:, :, None, None]).flatten(0, 1))


def content_twin(layer):
    """The twin that has a palette only, with the layer's weights."""
    twin = Twin(DIM, "content", SIZE, dim_k=K, heads=HEADS, dim_u=layer.dim_u).double().eval()
    twin.to_queries = nn.Sequential(layer.to_queries, layer.norm_queries)
    twin.to_values = nn.Sequential(layer.to_values, layer.norm_values)
    twin.to_keys = layer.to_keys
    return twin


@pytest.mark.parametrize("form", FORMS)
def test_zero_stencils_leave_the_content_twin(form):
    layer, maps = one_layer(**form)
    assert_close(replace_stencils(layer, torch.zeros_like)(maps), content_twin(layer)(maps))


@pytest.mark.parametrize("form", FORMS)
def test_centre_taps_add_a_product_at_each_pixel(form):
    layer, maps = one_layer(**form)
    queries, _, values = parts(layer, maps)
    tap = layer.table[:, :, layer.table.shape[2] // 2, layer.table.shape[3] // 2]
    own = einsum("bhnk,ku,bnvu->bhvn", queries, tap, values).reshape(maps.shape)
    assert_close(replace_stencils(layer, centre_taps)(maps), content_twin(layer)(maps) + own)


def test_means_are_those_of_the_model_as_it_is(net, images):
    first, second = net[2], net[4][0]
    means = mean_queries(net.train(), images, batch_size=2)
    assert list(means) == list(lambda_layers(net)) == ["2", "4.0"]
    net.eval()
    before_first = net[:2](images)
    assert_close(means["2"], parts(first, before_first)[0].mean((0, 2)))
    assert_close(means["4.0"], parts(second, net[:4](images))[0].mean((0, 2)))


def test_each_layer_gets_its_own_name(net, images):
    only = {"2": 0.0, "4.0": 1.0}  # the first loses its queries, the second keeps them
    changed = replace_queries(net, lambda name, queries: only[name] * queries)
    expected = copy.deepcopy(net)
    expected[2].norm_queries.weight.data.zero_()
    expected[2].norm_queries.bias.data.zero_()
    assert_close(changed(images), expected(images))
    assert not torch.allclose(changed(images), net(images))


def test_the_ablations_are_what_their_names_say(net, images):
    def changed(name, model):  # the same changes, by the functions tested above
        means = mean_queries(model, images)
        if name.startswith("mean_query"):
            return replace_queries(model, lambda layer, queries: means[layer].reshape(-1, 1, 1))
        if name.startswith("image_mean_query"):
            return replace_queries(model, lambda layer, queries: queries.mean((2, 3), keepdim=True))
        return replace_stencils(model, torch.zeros_like if name.startswith("no_") else centre_taps)

    found = dict(ablations(net, images, batch_size=3))
    assert list(found) == NAMES
    assert_close(found["as_trained"](images), net(images))
    assert_close(found["mean_query"](images), changed("mean_query", net)(images))
    statistics = {name: torch.cat([t.flatten() for t in model.buffers()]) for name, model in found.items()}
    assert_close(statistics["mean_query"], statistics["as_trained"])
    for name in NAMES[2:]:
        model = changed(name, net)
        norms = {path: module for path, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
        seen = {path: [] for path in norms}
        for path, norm in norms.items():
            norm.register_forward_pre_hook(lambda norm, inputs, path=path: seen[path].append(inputs[0]))
        with torch.no_grad():
            for batch in images.split(3):
                model.train()(batch)
        buffers = dict(found[name].named_buffers())
        for path in norms:
            whole = torch.cat(seen[path])
            variance = torch.stack([batch.var((0, 2, 3)) for batch in seen[path]]).mean(0)
            assert_close(buffers[f"{path}.running_mean"], whole.mean((0, 2, 3)))
            assert_close(buffers[f"{path}.running_var"], variance)
        for path, buffer in buffers.items():
            if "num_batches" not in path:
                model.get_buffer(path).copy_(buffer)
        assert_close(found[name](images), model.eval()(images))
        assert all(parameter.grad is None for parameter in found[name].parameters())
        assert [m.momentum for m in found[name].modules() if isinstance(m, nn.BatchNorm2d)] == [
            m.momentum for m in net.modules() if isinstance(m, nn.BatchNorm2d)
        ]
        assert not any(module.training for module in found[name].modules())
        tables = [f"{path}.table" for path in lambda_layers(net)] if "quer" not in name else []
        for path, parameter in found[name].named_parameters():
            assert torch.equal(parameter, net.get_parameter(path)) == (path not in tables), (name, path)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_stays_as_it_is(net, images, training):
    net.train(training)
    before, expected = copy.deepcopy(net.state_dict()), copy.deepcopy(net)(images)
    for _ in ablations(net, images, batch_size=3):
        pass
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert {module.training for module in net.modules()} == {training}
    assert_close(net(images), expected)


@pytest.mark.parametrize(
    "name, side, options", [("tiny", 32, {}), ("lambda_resnet18", 16, {"dim_u": 4, "scope": 7, "recompute": True})]
)
def test_every_kind_of_model(name, side, options):
    model = create_model(name, **options).eval()
    for norm in model.modules():  # blocks of a fresh ResNet are their shortcuts
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.ones_(norm.weight)
    images = torch.randn(8, 3, side, side)
    with torch.no_grad():
        logits = [changed(images) for _, changed in ablations(model, images, batch_size=8)]
    assert len(logits) == len(NAMES) and all(out.isfinite().all() for out in logits)
    assert not any(torch.allclose(logits[0], out) for out in logits[1:])


def test_a_model_without_lambda_layers_is_refused():
    with pytest.raises(ValueError, match="must have a LambdaLayer, got a SmallResNet without one"):
        next(ablations(create_model("tiny", layout="CCC"), torch.zeros(2, 3, 32, 32)))
