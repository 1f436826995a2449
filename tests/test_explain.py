"""A layer's matrix and what is read from it, against loops; models without their steering, against the layer's
formula in einsum, convolutions, and statistics by hand."""

import copy

import pytest
import torch
import torch.nn.functional as F
from loops import loop_apply, loop_content_lambda, loop_embeddings, loop_norm, loop_position_lambdas
from torch import einsum, nn
from torch.testing import assert_close

from lambdalib.course.examples import strip
from lambdalib.explain import (
    LayerParts,
    ablations,
    centre_taps,
    effective_receptive_field,
    effective_writers,
    equivalent_matrices,
    lambda_layers,
    layer_inputs,
    layer_parts,
    mean_queries,
    output_energies,
    pixel_kernels,
    replace_queries,
    replace_stencils,
    unseen_directions,
    within_image_share,
    without_palettes,
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
    "no_palettes_new_statistics",
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


@pytest.mark.parametrize("form", [*FORMS, {"dim_u": 1, "scope": 3, "stride": 2, "position_bias": True}])
def test_without_palettes_the_content_twin_is_missing(form):
    layer, maps = one_layer(**form)
    assert_close(without_palettes(layer)(maps), layer(maps) - layer.pool(content_twin(layer)(maps)))


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
        if name.startswith("no_palettes"):
            return without_palettes(model)
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
        zeroed = name.startswith(("no_stencils", "centre_taps"))
        tables = [f"{path}.table" for path in lambda_layers(net)] if zeroed else []
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


PRIMES = {"b": 2, "h": 3, "k": 5, "v": 11, "u": 2}  # and maps of 5 × 7: d_out = 33 is not d = 21


def prime_layer(scope=3, dim_u=PRIMES["u"], **form):
    """A layer, a map for it, and its parts by loops; distinct sizes, more channels out than in."""
    layer = LambdaLayer(DIM, 33, dim_k=PRIMES["k"], heads=PRIMES["h"], dim_u=dim_u, scope=scope, **form)
    layer, maps = random_norms(layer), features(PRIMES["b"])
    with torch.no_grad():
        queries, soft_keys, values = parts(layer, maps)
        embeddings = loop_embeddings(layer.table, *SIZE)
    return layer, maps, LayerParts(queries, soft_keys, values, embeddings)


PRIME_FORMS = [{}, {"dim_u": 1, "scope": 5}, {"scope": None, "feat_size": SIZE}]


@pytest.mark.parametrize("form", PRIME_FORMS)
def test_the_parts_of_a_layer(form):
    layer, maps, expected = prime_layer(**form)
    for part, by_hand in zip(layer_parts(layer, maps), expected):
        assert_close(part, by_hand)


@pytest.mark.parametrize("form", PRIME_FORMS)
def test_the_matrix_in_loops_and_the_output_of_the_layer(form):
    layer, maps, (queries, soft_keys, values, embeddings) = prime_layer(**form)
    content, position = equivalent_matrices(queries, soft_keys, embeddings)
    (b, h, n, _), u = queries.shape, values.shape[3]
    assert content.shape == position.shape == (b, h, n, n, u)
    for image, head, row, column, pair in [
        (0, 0, 0, 0, 0),
        (1, 2, 8, 3, u - 1),
        (1, 1, 34, 33, 0),
        (0, 2, 17, 25, 0),
    ]:
        query = queries[image, head, row]
        at = (image, head, row, column, pair)
        assert_close(content[at], sum(query[i] * soft_keys[image, column, i, pair] for i in range(PRIMES["k"])))
        assert_close(position[at], sum(query[i] * embeddings[row, column, i, pair] for i in range(PRIMES["k"])))
    matrix = content + position
    for image in range(b):
        output = sum(
            matrix[image, :, :, m, pair, None] * values[image, m, :, pair] for m in range(n) for pair in range(u)
        )
        assert_close(output.transpose(1, 2).reshape(1, -1, *SIZE), layer(maps)[image : image + 1])


def test_the_matrix_of_the_strip():
    queries, keys, values, table = strip()
    soft_keys, embeddings = keys.softmax(1), loop_embeddings(table, 1, 4)
    content, position = equivalent_matrices(queries, soft_keys, embeddings)
    whole = (content + position)[0, 0, :, :, 0]
    eighths = [[10, 2, 2, 2], [-7, 1, 9, 5], [1, 9, 9, -11], [3, 3, -5, 15]]
    assert_close(8 * whole, torch.tensor(eighths, dtype=torch.float64))
    assert_close(content.sum(3).flatten(), torch.tensor([1, 1, 0, 2], dtype=torch.float64))
    ranks = [
        int(torch.linalg.matrix_rank(matrix)) for matrix in (content[0, 0, ..., 0], position[0, 0, ..., 0], whole)
    ]
    assert ranks == [2, 4, 4]
    assert output_energies(LayerParts(queries, soft_keys, values, embeddings)) == pytest.approx((327, 512))
    (unseen,) = unseen_directions(values[0])[:, :, 0]
    assert_close(unseen / unseen[3], torch.tensor([-1, -1, 0, 1], dtype=torch.float64))


@pytest.mark.parametrize("v, u, count", [(3, 1, 4), (3, 2, 11), (11, 1, 0), (0, 2, 14)])
def test_unseen_directions_are_all_there_are(v, u, count):
    values = torch.randn(7, v, u, dtype=torch.float64)
    unseen = unseen_directions(values)
    assert unseen.shape == (count, 7, u)
    assert_close(einsum("zmu,ymu->zy", unseen, unseen), torch.eye(count, dtype=torch.float64))
    for direction in unseen:
        assert_close(
            sum(direction[m, i] * values[m, :, i] for m in range(7) for i in range(u)), values.new_zeros(v)
        )


def test_unseen_directions_of_equal_values():
    values = torch.randn(7, 1, 2, dtype=torch.float64).expand(7, 3, 2)  # rank 1
    unseen = unseen_directions(values)
    assert unseen.shape == (13, 7, 2)
    assert_close(einsum("zmu,mvu->zv", unseen, values), torch.zeros(13, 3, dtype=torch.float64))


def test_the_kernel_of_a_pixel_reads_what_its_matrix_reads():
    layer, _, (queries, soft_keys, _, embeddings) = prime_layer(scope=5)
    kernels = pixel_kernels(queries, layer.table)
    assert kernels.shape == (2, 3, 35, 2, 5, 5)
    _, position = equivalent_matrices(queries, soft_keys, embeddings)
    for row, column in (0, 0), (2, 3), (4, 5):
        for i in range(5):
            for j in range(5):
                y, x = row + i - 2, column + j - 2
                if 0 <= y < HEIGHT and 0 <= x < WIDTH:
                    n, m = row * WIDTH + column, y * WIDTH + x
                    assert_close(kernels[:, :, n, :, i, j], position[:, :, n, m])


def test_effective_writers():
    weights = torch.randn(2, 7, 5, 3, dtype=torch.float64).softmax(1)
    writers = effective_writers(weights)
    assert writers.shape == (2, 5, 3)
    entropy = -sum(weights[1, m, 4, 2] * weights[1, m, 4, 2].log() for m in range(7))
    assert_close(writers[1, 4, 2], entropy.exp())
    same = torch.full((1, 7, 1, 1), 1 / 7, dtype=torch.float64)
    alone = torch.eye(7, dtype=torch.float64)[:, :1, None][None]
    assert_close(
        effective_writers(torch.cat([same, alone], 2)), torch.tensor([[[7.0], [1.0]]], dtype=torch.float64)
    )


@pytest.mark.parametrize("form", PRIME_FORMS)
def test_energies_of_both_halves_in_loops(form):
    layer, maps, expected = prime_layer(**form)
    keys = expected.soft_keys.log()
    content = loop_apply(expected.queries, loop_content_lambda(keys, expected.values))
    position = loop_apply(expected.queries, loop_position_lambdas(layer.table, expected.values, *SIZE))
    energies = [sum(value**2 for value in half.detach().flatten().tolist()) for half in (content, position)]
    assert output_energies(layer_parts(layer, maps)) == pytest.approx(tuple(energies))


def test_the_share_of_variance_within_an_image_in_loops():
    queries = torch.randn(2, 3, 7, 5, dtype=torch.float64) + torch.randn(2, 3, 1, 5, dtype=torch.float64)
    within = overall = 0.0
    for h in range(3):
        for k in range(5):
            everywhere = queries[:, h, :, k].mean()
            for b in range(2):
                in_image = queries[b, h, :, k].mean()
                within += sum((queries[b, h, n, k] - in_image) ** 2 for n in range(7))
                overall += sum((queries[b, h, n, k] - everywhere) ** 2 for n in range(7))
    assert within_image_share(queries) == pytest.approx((within / overall).item())
    assert within_image_share(queries[:, :, :1].expand(-1, -1, 7, -1)) == pytest.approx(0, abs=1e-12)
    assert within_image_share(queries[:1]) == pytest.approx(1)


@pytest.mark.parametrize("count", [1, 3])
def test_the_effective_receptive_field_is_measured_by_small_steps(net, images, count):
    body, images, step = net[:4], images[:count], 1e-6
    found = effective_receptive_field(body.train(), images)
    body.eval()
    slopes = torch.zeros(count, 3, *SIZE, dtype=torch.float64)
    with torch.no_grad():
        for at in range(slopes.numel()):
            moved = images.clone()
            moved.view(-1)[at] += step
            centre = (body(moved) - body(images))[:, :, HEIGHT // 2, WIDTH // 2].sum()
            slopes.view(-1)[at] = centre / step
    expected = slopes.abs().sum((0, 1))
    assert_close(found, expected / expected.sum(), atol=1e-5, rtol=1e-4)


def test_the_effective_receptive_field_ends_where_the_kernels_end():
    body = nn.Sequential(nn.Conv2d(3, 7, 3, padding=1), nn.Conv2d(7, 5, (3, 1), padding=(1, 0)))
    field = effective_receptive_field(body, torch.randn(2, 3, 11, 13))
    assert (field > 0).nonzero().amin(0).tolist() == [3, 5] and (field > 0).nonzero().amax(0).tolist() == [7, 7]
    assert field.sum().item() == pytest.approx(1)


def test_inputs_are_those_of_the_model_as_it_is(net, images):
    found = layer_inputs(net.train(), images)
    assert net.training and list(found) == ["2", "4.0"]
    net.eval()
    assert_close(found["2"], net[:2](images))
    assert_close(found["4.0"], net[:4](images))


def test_features_that_do_not_fit_are_refused():
    layer, maps, _ = prime_layer()
    with pytest.raises(ValueError, match=r"features must be floats \(b, 21, H, W\)"):
        layer_parts(layer, maps[:, :20])
    with pytest.raises(ValueError, match="must have a LambdaLayer"):
        layer_inputs(nn.Sequential(nn.Conv2d(3, 3, 1)), maps)
