"""Does the test suite notice a wrong line? Break the source on purpose, one line at a time, and see.

    python tests/mutations.py                 every mutation
    python tests/mutations.py NAME [NAME...]  those whose name contains one of the words

Each mutation is made in a copy of the project, in a temporary folder, and tested by a fork of this process, which has
imported PyTorch already (so it needs Linux or macOS). The unbroken copy runs first and must pass; then each broken
one must fail. The exit code is 1 if a mutation survives. Every row is also checked by test_mutations.py,
so a row whose source line has changed is noticed at once.
"""

import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 600  # until a run is given up
PACKAGES = """torch torch._dynamo torch.export torch.utils.checkpoint torch.utils.flop_counter torchvision numpy PIL.Image
    matplotlib.pyplot hypothesis safetensors.torch tqdm.auto einops timm lambda_networks xdist.scheduler""".split()


class Mutation(NamedTuple):
    """One wrong line: in lambdalib/`file`, `old` (which occurs once) becomes `new`, and `tests` must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: str = ""  # pytest's arguments; by default the quick tests of the file, from TESTS


TESTS = {
    "hybrid.py": "tests/test_hybrid.py",
    "cost.py": "tests/test_cost.py",
    "experiments/paper_tables.py": "tests/test_cost.py tests/test_hybrid.py",
    "convert.py": "tests/test_convert.py",
    "sequences.py": "tests/test_sequences.py",
    "attention.py": "tests/test_attention.py",
    "lambdas.py": "tests/test_lambdas.py",
    "contractions.py": "tests/test_contractions.py",
    "layouts.py": "tests/test_layouts.py tests/test_contractions.py",
    "guards.py": "tests/test_layer.py",
    "layer.py": "tests/test_layer.py",
    "explain.py": "tests/test_explain.py",
    "training/data.py": "tests/training/test_data.py",
    "training/cifar10.py": "tests/training/test_cifar10.py",
    "experiments/compare.py": "tests/experiments/test_compare.py",
    "training/train.py": "tests/training/test_train.py",
    "training/run.py": "tests/training/test_train.py",
    "training/recipes.py": "tests/training/test_recipes.py",
    "training/callbacks.py": "tests/training/test_callbacks.py",
    "training/evidence.py": "tests/training/test_evidence.py",
    "training/checkpoint.py": "tests/training/test_checkpoint.py",
    "training/folders.py": "tests/training/test_folders.py",
    "training/tensorboard.py": "tests/training/test_folders.py",
    "training/distributed.py": "tests/training/test_distributed.py",
    "cli.py": "tests/training/test_folders.py",
    "experiments/bench.py": "tests/experiments/test_bench.py",
    "experiments/doctor.py": "tests/experiments/test_doctor.py",
    "experiments/rows.py": "tests/experiments/test_rows.py",
    "experiments/steering.py": "tests/experiments/test_steering.py",
    "experiments/results.py": "tests/experiments/test_records.py",
    "experiments/report.py": "tests/experiments/test_report.py",
    "resnet.py": "tests/test_resnet.py tests/test_hybrid.py",
    "small.py": "tests/test_resnet.py",
    "models.py": "tests/test_resnet.py",
    "twins.py": "tests/test_twins.py",
    "course/checks.py": "tests/course/test_checks.py",
    "course/probe.py": "tests/course/test_checks.py",
    "course/compare_arrays.py": "tests/course/test_compare_arrays.py",
    "course/verdict.py": "tests/course/test_verdict.py tests/course/test_checks.py",
    "course/progress.py": "tests/course/test_verdict.py",
    "course/questions/question.py": "tests/course/test_questions.py",
    "course/questions/__init__.py": "tests/course/test_questions.py",
    "course/figures/results.py": "tests/course/test_figures.py",
    "course/figures/style.py": "tests/course/test_figures.py",
    "course/figures/lambdas.py": "tests/course/test_figures.py",
    "course/figures/cost.py": "tests/course/test_figures.py",
    "course/figures/output.py": "tests/course/test_output.py",
    "course/widgets.py": "tests/course/test_widgets.py",
    "course/examples.py": "tests/course/test_examples.py",
}

MUTATIONS = [
    # attention.py
    Mutation("attention scaled twice", "attention.py", 'queries, keys)\n', 'queries, keys) * queries.shape[3] ** -0.5\n'),
    Mutation("attention softmax over the queries", "attention.py", "einsum(\"bhnm,bhmv->bhnv\", scores.softmax(dim=-1), values)\n\n\ndef relative", "einsum(\"bhnm,bhmv->bhnv\", scores.softmax(dim=-2), values)\n\n\ndef relative"),
    Mutation("relative positions dropped", "attention.py", " + einsum(\"bhnk,nmk->bhnm\", queries, embeddings)", ""),
    Mutation("relative positions asked by no query", "attention.py", 'einsum("bhnk,nmk->bhnm", queries, embeddings)', 'embeddings.sum(2)'),
    Mutation("linear attention over the depth", "attention.py", "keys.softmax(dim=2)", "keys.softmax(dim=3)"),
    Mutation("linear attention without softmax", "attention.py", "keys.softmax(dim=2)", "keys"),
    Mutation("attention heads interleaved", "attention.py", ".flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3)", ".flatten(2).unflatten(1, (-1, self.heads)).permute(0, 2, 3, 1)"),
    Mutation("attention output value-major", "attention.py", "output.transpose(2, 3).flatten(1, 2)", "output.permute(0, 3, 1, 2).flatten(1, 2)"),
    Mutation("attention output scrambled", "attention.py", "output.transpose(2, 3).flatten(1, 2)", "output.reshape(len(features), -1, output.shape[2])"),
    Mutation("attention map turned", "attention.py", "relative_embeddings(self.table, *self.feat_size)", "relative_embeddings(self.table.transpose(2, 3), *self.feat_size)"),
    Mutation("attention table too small", "attention.py", "2 * feat_size[0] - 1, 2 * feat_size[1] - 1", "feat_size[0] // 2 * 2 + 1, feat_size[1] // 2 * 2 + 1"),
    Mutation("attention queries start large", "attention.py", "(dim_k * dim) ** -0.5)", "dim ** -0.5)"),
    Mutation("attention table starts at one", "attention.py", " * dim_k**-0.5)\n", ")\n"),
    Mutation("attention takes uneven heads", "attention.py", "if heads < 1 or dim_out % heads:", "if heads < 1:"),
    Mutation("attention takes any map", "attention.py", "if tuple(features.shape[2:]) != self.feat_size:", "if False:"),
    # lambdas.py
    Mutation("softmax over the depth", "lambdas.py", "keys.softmax(dim=1)", "keys.softmax(dim=2)"),
    Mutation("no softmax", "lambdas.py", "soft_keys = keys.softmax(dim=1)", "soft_keys = keys"),
    Mutation("content mixes intra-depths", "lambdas.py", '"bmku,bmvu->bkv"', '"bmku,bmvw->bkv"'),
    Mutation("position mixes intra-depths", "lambdas.py", '"nmku,bmvu->bnkv"', '"nmku,bmvw->bnkv"'),
    Mutation("position reads the transpose", "lambdas.py", '"nmku,bmvu->bnkv"', '"mnku,bmvu->bnkv"'),
    Mutation("offset flipped", "lambdas.py", "windows.flip(2, 3)", "windows"),
    Mutation("offset flipped in x", "lambdas.py", "windows.flip(2, 3)", "windows.flip(2)"),
    Mutation("dy and dx swapped", "lambdas.py", "unfold(2, height, 1).unfold(3, width, 1)",
             "unfold(3, width, 1).unfold(2, height, 1)"),
    Mutation("query and context swapped", "lambdas.py", "permute(2, 3, 4, 5, 0, 1)", "permute(4, 5, 2, 3, 0, 1)"),
    Mutation("window off by one", "lambdas.py", "(pad_x, pad_x, pad_y, pad_y)", "(pad_x + 1, pad_x - 1, pad_y, pad_y)"),
    Mutation("pads swapped", "lambdas.py", "(pad_x, pad_x, pad_y, pad_y)", "(pad_y, pad_y, pad_x, pad_x)"),
    Mutation("heads and positions change places", "lambdas.py", '"bhnk,bnkv->bnhv", queries, lambdas).transpose(1, 2)',
             '"bhnk,bnkv->bnhv", queries, lambdas).reshape(*queries.shape[:3], -1)'),
    Mutation("content's heads and positions change places", "lambdas.py", '"bhnk,bkv->bnhv", queries, lambdas).transpose(1, 2)',
             '"bhnk,bkv->bnhv", queries, lambdas).reshape(*queries.shape[:3], -1)'),
    # contractions.py
    Mutation("a table that vmap cannot permute", "contractions.py", 'permute_contiguous(table, "k u y x -> k y x u")',
             'table.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)', "tests/test_layer.py -k ensemble"),
    Mutation("kernel flipped", "layouts.py", "F.conv2d(images, kernels,", "F.conv2d(images, kernels.flip(2, 3),"),
    Mutation("convolution pads swapped", "layouts.py", "padding=(r_y // 2, r_x // 2)", "padding=(r_x // 2, r_y // 2)"),
    Mutation("convolution takes u for v", "contractions.py", 'values, "b (y x) v u -> (b v) y x u", y=size[0])',
             'values.transpose(2, 3).reshape(values.shape), "b (y x) v u -> (b v) y x u", y=size[0])'),
    Mutation("convolution mixes the batch", "contractions.py", '"(b v) y x k -> b (y x) v k"', '"(v b) y x k -> b (y x) v k"'),
    Mutation("attention transposed", "layouts.py", "relative_embeddings(table, height, width)",
             "relative_embeddings(table, height, width).transpose(0, 1)"),
    Mutation("attention swaps batch and heads", "contractions.py", 'permute_contiguous(queries, "b h n k -> n b h k")',
             'permute_contiguous(queries.transpose(0, 1).reshape(queries.shape), "b h n k -> n b h k")'),
    Mutation("attention takes v for u", "contractions.py", 'rearrange(seen, "b m v u -> b (m u) v")', "seen.reshape(len(seen), m * u, -1)"),
    Mutation("a gather whose gradient does not repeat", "contractions.py",
             "apply_lambdas(queries, position_lambdas(relative_embeddings(table, *size), values))",
             "apply_lambdas(queries, position_lambdas(gather(table, *size), values))\n\n\n"
             "def gather(table, height, width):\n"
             "    y, x = torch.arange(height).repeat_interleave(width), torch.arange(width).repeat(height)\n"
             "    i, j = y - y[:, None] + table.shape[2] // 2, x - x[:, None] + table.shape[3] // 2\n"
             "    return table[:, :, i, j].permute(2, 3, 0, 1)",
             "tests/test_contractions.py -k repeat_bit_for_bit"),
    Mutation("convolution's cost without u", "contractions.py", "b * n * sides[0] * sides[1] * k * u * v",
             "b * n * sides[0] * sides[1] * k * v"),
    Mutation("lambda's cost without heads", "contractions.py", "b * n * m * k * u * v + b * h * n * k * v",
             "b * n * m * k * u * v + b * n * k * v"),
    Mutation("attention's cost as a product", "contractions.py", "b * h * n * m * u * (k + v)", "b * h * n * m * u * (k * v)"),
    Mutation("the dearest order", "contractions.py", "return min(ORDERS,", "return max(ORDERS,"),
    Mutation("a permutation's gradient is permuted again", "layouts.py", "gradient.permute(back)", "gradient.permute(ctx.axes)"),
    Mutation("a permutation's gradient lies elsewhere", "layouts.py", "gradient.new_empty_strided(ctx.shape, ctx.strides).copy_(gradient.permute(back))",
             "gradient.permute(back).contiguous()"),
    Mutation("a permutation's tangent is permuted back", "layouts.py", "return PermuteContiguous.forward(tangent, ctx.axes)",
             "return tangent.permute([ctx.axes.index(axis) for axis in range(len(ctx.axes))])", "tests/test_contractions.py -k gradcheck"),
    Mutation("windows' tangents of another tile", "layouts.py", "Windows.forward(tangent, ctx.context, ctx.tile)", "Windows.forward(2 * tangent, ctx.context, ctx.tile)",
             "tests/test_contractions.py -k gradcheck"),
    Mutation("a copy only where it must be", "layouts.py", "tensor.clone(memory_format=torch.contiguous_format)", "tensor.contiguous()",
             "tests/test_layouts.py"),
    Mutation("a compiler meets a function with a jvp", "layouts.py", "if torch.compiler.is_compiling():  # a compiler", "if False:  # a compiler",
             "tests/test_contractions.py -k graph_break"),
    Mutation("a compiler meets windows with a jvp", "layouts.py", "if torch.compiler.is_compiling():  # as in", "if False:  # as in",
             "tests/test_contractions.py -k graph_break"),
    Mutation("windows transposed", "layouts.py", '"b rows columns d y x -> b rows columns y x d"', '"b rows columns d x y -> b rows columns y x d"'),
    Mutation("windows' gradients overwrite one another", "layouts.py", ": part.shape[4]] += part", ": part.shape[4]] = part"),
    Mutation("windows' last rows have no gradient", "layouts.py", "for i in range(ceil(c_y / t_y))",
             "for i in range(c_y // t_y)"),
    Mutation("windows' gradients all go to their own row", "layouts.py", "sums[:, i : i + rows", "sums[:, :rows"),
    Mutation("windows' rows and columns swapped in the sum", "layouts.py", "gradient[:, :, :, i * t_y : (i + 1) * t_y, j * t_x : (j + 1) * t_x]",
             "gradient.transpose(3, 4)[:, :, :, i * t_y:(i + 1) * t_y, j * t_x:(j + 1) * t_x]"),
    Mutation("windows' gradient cut at the wrong end", "layouts.py", "[:, : ctx.shape[1], : ctx.shape[2]], None, None",
             "[:, -ctx.shape[1]:, -ctx.shape[2]:], None, None"),
    Mutation("tall windows' pads swapped", "layouts.py", "(r_x // 2, r_x // 2, r_y // 2, r_y // 2)", "(r_y // 2, r_y // 2, r_x // 2, r_x // 2)"),
    Mutation("convolution's map on its side", "contractions.py", '"b (y x) v u -> (b v) y x u", y=size[0])',
             '"b (y x) v u -> (b v) y x u", y=size[1])'),
    Mutation("lambda order's map turned", "contractions.py", "relative_embeddings(table, *size), values)",
             "relative_embeddings(table, *size[::-1]), values)"),
    Mutation("images' scores mixed with heads'", "contractions.py", '"n (b h) mu -> b (n h) mu"',
             '"n (h b) mu -> b (n h) mu"'),
    Mutation("heads for queries", "contractions.py", '"b (n h) v -> b n h v"', '"b (h n) v -> b n h v"'),
    Mutation("no image fits the cache", "contractions.py", "max(1, CHUNK_ELEMENTS // (n * h * m * u))", "CHUNK_ELEMENTS // (n * h * m * u)",
             "tests/test_contractions.py -k cache"),
    Mutation("the cache is endless", "contractions.py", "max(1, CHUNK_ELEMENTS // (n * h * m * u))", "len(values) or 1",
             "tests/test_contractions.py -k cache"),
    Mutation("chunks of images in another order", "contractions.py", "torch.cat(outputs) if", "torch.cat(outputs[::-1]) if",
             "tests/test_contractions.py -k cache"),
    Mutation("one chunk's values for all", "contractions.py", "for asked, seen in zip(queries.split(images, 1), values.split(images))",
             "for asked, seen in zip(queries.split(images, 1), [values[:images]] * len(values))",
             "tests/test_contractions.py -k cache"),
    Mutation("sheets by u, then m", "layouts.py", '"y x m k u -> (y x) k (m u)"', '"y x m k u -> (y x) k (u m)"'),
    Mutation("a tile off by one column", "layouts.py", "halo[1] : halo[1] + tile[1]]",
             "max(halo[1] - 1, 0):max(halo[1] - 1, 0) + tile[1]]"),
    Mutation("halo beyond the map", "contractions.py", "min(r // 2, side - 1)", "r // 2"),
    Mutation("halos swapped", "contractions.py", "zip(sides, size)]  # no", "zip(sides[::-1], size)]  # no"),
    Mutation("tiles one pixel wider", "contractions.py", "half + 1 for half in halo", "half + 2 for half in halo"),
    Mutation("the last tile forgotten", "contractions.py", "ceil(side / t) for side, t", "side // t for side, t"),
    Mutation("queries padded above", "layouts.py", "(0, 0, 0, columns * t_x - W, 0, rows * t_y - H)", "(0, 0, columns * t_x - W, 0, rows * t_y - H, 0)"),
    Mutation("tiles' images off the halo", "layouts.py", "(0, 0, halo_x, columns * t_x - W + halo_x, halo_y, rows * t_y - H + halo_y)",
             "(0, 0, columns * t_x - W + halo_x, halo_x, rows * t_y - H + halo_y, halo_y)"),
    Mutation("tiles' pixels column by column", "layouts.py", '"b h (rows y) (columns x) k -> (y x) (b rows columns) h k"',
             '"b h (rows y) (columns x) k -> (x y) (b rows columns) h k"'),
    Mutation("tiles column by column", "layouts.py", '"b h (rows y) (columns x) k -> (y x) (b rows columns) h k"',
             '"b h (rows y) (columns x) k -> (y x) (b columns rows) h k"'),
    Mutation("tiles mix u and v", "layouts.py", '"b (y x) v u -> b y x (u v)"', '"b (y x) v u -> b y x (v u)"'),
    Mutation("tiles put together column by column", "layouts.py", '"(b rows columns) (y x) h v -> b (rows y) (columns x) h v"',
             '"(b columns rows) (y x) h v -> b (rows y) (columns x) h v"'),
    Mutation("tiles' rows not woven", "layouts.py", '"(b rows columns) (y x) h v -> b (rows y) (columns x) h v"',
             '"(b rows columns) (y x) h v -> b (y rows) (columns x) h v"'),
    Mutation("tiles cropped at the wrong end", "layouts.py", "(0, 0, 0, 0, 0, W - columns * t_x, 0, H - rows * t_y)",
             "(0, 0, 0, 0, W - columns * t_x, 0, H - rows * t_y, 0)"),
    Mutation("output's positions before its heads", "layouts.py", 'rearrange(output, "b y x h v -> b h (y x) v")',
             "output.reshape(len(output), output.shape[3], H * W, -1)"),
    Mutation("tiles' cost without their halo", "contractions.py", "prod(context) * u * (k + v)", "prod(tile) * u * (k + v)"),
    Mutation("tiles' cost where they fill the map", "contractions.py", '"tiles": b * h * prod(tiles) * prod(tile) * prod(context)',
             '"tiles": b * h * n * prod(context)'),
    Mutation("attention's scores without u", "contractions.py", '"attention": b * h * n * m * u,', '"attention": b * h * n * m,'),
    Mutation("lambdas without v", "contractions.py", "b * n * k * v, b * h * prod(tiles)", "b * n * k, b * h * prod(tiles)"),
    Mutation("copies of values forgotten", "contractions.py", "scores_of_tiles + b * prod(tiles) * prod(context) * u * v,",
             "scores_of_tiles,"),
    Mutation("plan forgets the multiply-adds", "contractions.py", "adds[order] + weights[order] * numbers[order]",
             "weights[order] * numbers[order]"),
    Mutation("plan forgets the numbers", "contractions.py", "adds[order] + weights[order] * numbers[order]", "adds[order]"),
    Mutation("a convolution's lambdas count once", "contractions.py", 'weights = {"convolution": 128',
             'weights = {"convolution": 64'),
    Mutation("lambdas count once", "contractions.py", '"lambda": 128,', '"lambda": 64,'),
    Mutation("scores count twice", "contractions.py", '"attention": 64,', '"attention": 128,'),
    Mutation("auto takes heads for depth", "contractions.py", "order = plan(b, h, size, k, v,", "order = plan(b, k, size, h, v,"),
    Mutation("any order's name", "contractions.py", "    if order not in list(ORDERS):\n", "    if order is None:\n"),
    # layer.py
    Mutation("no images, no answer", "layer.py", 'rearrange(output, "b h (y x) v -> b (h v) y x", y=size[0])', "output.transpose(2, 3).reshape(len(features), -1, *size)"),
    Mutation("half precision meets float32", "guards.py", "value.to(dtype) if", "value.float() if", "tests/test_layer.py -k autocast"),
    Mutation("heads interleaved", "layer.py", '"b (h k) y x -> b h (y x) k"',
             '"b (k h) y x -> b h (y x) k"'),
    Mutation("keys take u for k", "layer.py", '"b (k u) y x -> b (y x) k u"',
             '"b (u k) y x -> b (y x) k u"'),
    Mutation("values take u for v", "layer.py", '"b (v u) y x -> b (y x) v u"',
             '"b (u v) y x -> b (y x) v u"'),
    Mutation("output value-major", "layer.py", '"b h (y x) v -> b (h v) y x"', '"b h (y x) v -> b (v h) y x"'),
    Mutation("queries without their norm", "layer.py", "self.norm_queries(self.to_queries(features))",
             "self.to_queries(features)"),
    Mutation("values without their norm", "layer.py", "self.norm_values(self.to_values(features))", "self.to_values(features)"),
    Mutation("no content", "layer.py", "apply_lambdas(queries, content_lambda(keys, values))",
             "0 * apply_lambdas(queries, content_lambda(keys, values))"),
    Mutation("content twice", "layer.py", "output = output + position_output(", "output = 2 * output + position_output("),
    Mutation("no position", "layer.py", "output = output + position_output(", "output = output + 0 * position_output("),
    Mutation("map on its side", "layer.py", "values, size, self.order", "values, size[::-1], self.order"),
    Mutation("position bias dropped", "layer.py", "output = output + (queries @ self.position_bias)[..., None]", "pass"),
    Mutation("pool dropped", "layer.py", "return self.pool(rearrange(output", "return (rearrange(output", "tests/test_layer.py -k stride"),
    Mutation("pool without padding", "layer.py", "nn.AvgPool2d(3, stride, padding=1)", "nn.AvgPool2d(3, stride)",
             "tests/test_layer.py -k stride"),
    Mutation("queries start too large", "layer.py", "(self.to_queries, dim_k * dim)", "(self.to_queries, dim)",
             "tests/test_layer.py -k initial"),
    Mutation("table starts at one", "layer.py", "std=(dim_k * dim_u * visible) ** -0.5", "std=1.0", "tests/test_layer.py -k starts_near_one"),
    Mutation("float16 left to itself", "guards.py", "get_autocast_dtype(device) != torch.float16",
             "get_autocast_dtype(device) != torch.float64", "tests/test_layer.py -k autocast"),
    Mutation("float16 activations stay", "guards.py", "method(layer, *map(widen, inputs)", "method(layer, *inputs",
             "tests/test_layer.py -k half_activations"),
    Mutation("uneven heads accepted", "guards.py", "if dim_out % heads:", "if False:", "tests/test_layer.py -k refuse"),
    Mutation("even scope accepted", "guards.py", " or scope % 2 == 0", "", "tests/test_layer.py -k refuse"),
    Mutation("any map accepted", "guards.py", "shape[2:] != tuple(feat_size)", "False",
             "tests/test_layer.py -k refuse"),
    Mutation("order unchecked", "guards.py", 'if order not in (orders := ["auto", *ORDERS]):', "if (orders := []):"),
    Mutation("order not handed on", "layer.py", "size, self.order)", 'size, "auto")'),
    Mutation("nothing is computed again", "guards.py", "if not module.recompute or", "if True or", "tests/test_layer.py -k recompute"),
    Mutation("a batch counts twice", "guards.py", "return nullcontext(), preserve_running_stats(module)", "return nullcontext(), nullcontext()",
             "tests/test_layer.py -k recompute"),
    Mutation("statistics lost", "guards.py", "            part._buffers.update(buffers)\n", "            part._buffers.update({name: 0 * buffer for name, buffer in buffers.items()})\n",
             "tests/test_layer.py -k recompute"),
    Mutation("statistics written in place", "guards.py", "{name: buffer.clone() for name, buffer in buffers.items() if buffer is not None}",
             "{name: buffer.add_(0) for name, buffer in buffers.items() if buffer is not None}", "tests/test_layer.py -k second_derivatives"),
    Mutation("True is a size", "guards.py", "type(size) is int and size > 0", "isinstance(size, int) and size > 0", "tests/test_layer.py -k refuse"),
    Mutation("a map without a pixel", "guards.py", "if 0 in shape[2:]:", "if False:", "tests/test_layer.py -k pixel"),
    # data.py
    Mutation("normalize leaves the deviation", "training/data.py", ".sub_(mean).div_(std)", ".sub_(mean)"),
    Mutation("crop repeats the border", "training/data.py", "side - 1 - (side - 1 - positions.abs()).abs()",
             "positions.clamp(0, side - 1)"),
    Mutation("crop never shifts furthest", "training/data.py", "torch.randint(-padding, padding + 1,",
             "torch.randint(-padding, max(padding, 1),"),
    Mutation("crop shifts y and x alike", "training/data.py", "torch.arange(W, device=images.device) + x",
             "torch.arange(W, device=images.device) + y"),
    Mutation("flip upside down", "training/data.py", "images.flip(3)", "images.flip(2)"),
    Mutation("flip does not alternate", "training/data.py", " ^ bool(epoch % 2)", ""),
    Mutation("coins belong to the place", "training/data.py", "first[rows % len(first)]", "first[:len(rows)].clone()"),
    Mutation("cutout paints black", "training/data.py", "[255 * m if", "[0 * m if"),
    Mutation("every step draws the same", "training/data.py", "repr((seed, *place))", "repr((seed, *place[:2]))"),
    Mutation("labels unshuffled", "training/data.py", "distributed.local_shard(labels[rows])", "distributed.local_shard(labels[place * batch_size : (place + 1) * batch_size])"),
    Mutation("sample unchecked", "training/data.py", 'return checked(data, record["sha256"])', "return data"),
    Mutation("auto waits for a slow host", "training/data.py", 'patient=source != "auto"', "patient=True",
             "tests/training/test_cifar10.py -k slow"),
    # sources.py
    Mutation("pixels unchecked", "training/cifar10.py", "found = content_hash(data)", "found = expected"),
    Mutation("unpickled before all is hashed", "training/cifar10.py",
             "[check_md5(name, batches[name], md5) for name, md5 in BATCHES_MD5.items()]",
             "(check_md5(name, batches[name], md5) for name, md5 in BATCHES_MD5.items())"),
    Mutation("pickles may run code", "training/cifar10.py",
             'raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of images")',
             "return super().find_class(module, name)"),
    Mutation("archive unpacked before its hash", "training/cifar10.py", "check_md5(path.name, path.read_bytes(), ARCHIVE_MD5)",
             "path.read_bytes()"),
    Mutation("sheets sideways", "training/cifar10.py", "permute(0, 3, 1, 2).contiguous()",
             "permute(0, 3, 2, 1).contiguous()"),
    Mutation("a damaged copy hides a sound one", "training/cifar10.py", "except Exception as error:",
             "except KeyError as error:"),
    Mutation("a resumed download loses its start", "training/cifar10.py", '"ab" if have else "wb"', '"wb"'),
    Mutation("a host that cannot resume is believed", "training/cifar10.py", "have = 0  # this host",
             "pass  # this host"),
    Mutation("a bad piece is never fetched anew", "training/cifar10.py", "if resumed:", "if False:"),
    Mutation("a login page is swallowed", "training/cifar10.py", "if coming is not None and have", "if False and have"),
    Mutation("an odd length ends the search", "training/cifar10.py", "not coming.isdecimal()", "False"),
    # convert.py
    Mutation("intra-depth stays slow", "convert.py", 'reorder(doubled, "(u depth) ... -> (depth u) ...", u)', "doubled"),
    Mutation("intra-depth reordered the wrong way", "convert.py", '"(u depth) ... -> (depth u) ..."', '"(depth u) ... -> (u depth) ..."'),
    Mutation("the way back keeps the order", "convert.py", 'reorder(doubled, "(depth u) ... -> (u depth) ...", table.shape[1])', "doubled"),
    Mutation("the values' norm keeps the order", "convert.py", '        | rename(state, "norm_v", "norm_values")\n    )\n    single = rename(', '    )\n    single = rename(state, "norm_v", "norm_values") | rename('),
    Mutation("timm's keys come first", "convert.py", '["to_queries.weight", "to_keys.weight", "to_values.weight"]\n', '["to_keys.weight", "to_queries.weight", "to_values.weight"]\n'),
    Mutation("timm's map turned", "convert.py", 'state["pos_emb"].permute(2, 0, 1)', 'state["pos_emb"].flip(0).permute(2, 0, 1)'),
    Mutation("timm's position bias lost", "convert.py", '"position_bias": state["conv_lambda.bias"]}', '"position_bias": 0 * state["conv_lambda.bias"]}'),
    Mutation("lambda-networks' position bias lost", "convert.py", '"position_bias": state["pos_conv.bias"]}', '"position_bias": 0 * state["pos_conv.bias"]}'),
    Mutation("lambda-networks' global map turned", "convert.py", 'state["rel_pos_emb"].permute(2, 3, 0, 1)', 'state["rel_pos_emb"].permute(2, 3, 1, 0)'),
    Mutation("qkv's bias added to the mean", "convert.py", 'norms["norm_queries.running_mean"] - queries', 'norms["norm_queries.running_mean"] + queries'),
    Mutation("qkv's value bias forgotten", "convert.py", 'norms["norm_values.running_mean"] - values', 'norms["norm_values.running_mean"]'),
    Mutation("norms start anew", "convert.py", "setattr(new, name, deepcopy(getattr(old, old_name)))", "pass"),
    Mutation("norms shared with the old layer", "convert.py", "deepcopy(getattr(old, old_name))", "getattr(old, old_name)"),
    Mutation("numbers not loaded", "convert.py", "    new.load_state_dict(state)\n", ""),
    Mutation("always in train mode", "convert.py", ".train(old.training)", ""),
    Mutation("frozen layers thaw", "convert.py", "new.requires_grad_(any(parameter.requires_grad for parameter in old.parameters()))", "pass"),
    Mutation("type not kept", "convert.py", "    new.to(next(old.parameters())).train(", "    new.train("),
    Mutation("pool replaced", "convert.py", 'if hasattr(layer, "pool") else {}', "if False else {}"),
    Mutation("any LambdaLayer is a peer's", "convert.py", "if package in HOMES and type", "if type"),
    Mutation("any module of a peer is a layer", "convert.py", ' and type(module).__name__ == "LambdaLayer" else None', " else None"),
    Mutation("a second name is forgotten", "convert.py", "list(parent._modules.items())", "list(parent.named_children())"),
    Mutation("swap counts but does not replace", "convert.py", "setattr(parent, name, replacements[child])", "pass"),
    Mutation("intra-depth lost on the way to timm", "convert.py", "if layer.dim_u != 1:", "if False:"),
    Mutation("channels lost on the way to timm", "convert.py", "if dim_out != dim:", "if False:"),
    Mutation("pool lost on the way to lambda-networks", "convert.py", "if not isinstance(layer.pool, nn.Identity):", "if False:"),
    Mutation("frozen norms thaw", "convert.py", "    return new\n", "    return new.train(old.training)\n"),
    Mutation("swap measured in train mode", "convert.py", "            module.training = False\n", "            pass\n"),
    Mutation("swap forgets the modes", "convert.py", "            module.training = mode\n", "            pass\n"),
    Mutation("swap fails half-way", "convert.py", "    finally:\n        put(model, exchanges[1])\n", "    finally:\n"),
    Mutation("swap measures with gradients", "convert.py", "with torch.no_grad():\n            for new", "with torch.enable_grad():\n            for new"),
    Mutation("swap times the old net twice", "convert.py", "                put(model, exchanges[new])\n", "                pass\n"),
    Mutation("swap prints a mean", "convert.py", "median(times[1:])", "sum(times[1:]) / rounds"),
    Mutation("swap prints the ratio upside down", "convert.py", "{before / after:.2f}", "{after / before:.2f}"),
    Mutation("swap hides the scale", "convert.py", "(after - before).abs().max() / before.abs().max()", "(after - before).abs().max()"),
    Mutation("swap measured and not done", "convert.py", "    put(model, replacements)\n    return", "    if images is None:\n        put(model, replacements)\n    return"),
    # sequences.py
    Mutation("mask after the softmax", "sequences.py", "scores = keys[:, None].masked_fill(hidden, torch.finfo(keys.dtype).min)",
             "scores = keys[:, None] + 0 * hidden"),
    Mutation("the blind see an average", "sequences.py", "scores.softmax(dim=2).masked_fill(hidden, 0)", "scores.softmax(dim=2)"),
    Mutation("the blind are NaN", "sequences.py", "torch.finfo(keys.dtype).min)", "float(\"-inf\"))"),
    Mutation("masked keys less the maximum of all", "sequences.py", "soft_keys = scores.softmax(dim=2).masked_fill(hidden, 0)",
             "weights = (scores - keys.amax(1)[:, None, None]).exp().masked_fill(hidden, 0)\n"
             "    soft_keys = weights / weights.sum(2, keepdim=True).clamp_min(1e-30)"),
    Mutation("positions unmasked", "sequences.py", "embeddings.masked_fill(~mask[:, :, None, None], 0)", "embeddings"),
    Mutation("any mask accepted", "sequences.py", "mask.dtype != torch.bool or ", ""),
    Mutation("weights add as logarithms", "sequences.py", "torch.logaddexp(earlier[..., :1], later[..., :1])",
             "earlier[..., :1] + later[..., :1]"),
    Mutation("weights by exp and log", "sequences.py", "torch.logaddexp(earlier[..., :1], later[..., :1])",
             "(earlier[..., :1].exp() + later[..., :1].exp()).log()", "tests/test_sequences.py -k any_range"),
    Mutation("memory halves at each step", "sequences.py", "(later[..., :1] - earlier[..., :1]).sigmoid()",
             "torch.full_like(later[..., :1], 0.5)"),
    Mutation("earlier and later change places", "sequences.py", "(later[..., :1] - earlier[..., :1])",
             "(earlier[..., :1] - later[..., :1])"),
    Mutation("memory in half precision", "sequences.py", "torch.promote_types(keys.dtype, torch.float32)", "keys.dtype",
             "tests/test_sequences.py -k every_precision"),
    Mutation("even positions hear their neighbour", "sequences.py", "merge(odd[:, : (n - 1) // 2], even[:, 1:])",
             "merge(odd[:, n // 2 - (n - 1) // 2:], even[:, 1:])"),
    Mutation("the last even position lost", "sequences.py", "torch.cat([woven, even[:, n // 2 :]], dim=1)", "woven"),
    Mutation("recall takes one intra-depth", "sequences.py", "memories[..., 1:].sum(dim=-2)", "memories[..., 0, 1:]"),
    Mutation("causal layer with batch norm", "sequences.py", "norm = ChannelNorm if causal else nn.BatchNorm1d",
             "norm = nn.BatchNorm1d", "tests/test_sequences.py -k no_future_value"),
    Mutation("causal taps reach ahead", "sequences.py", "self.table.shape[3] - 1 if self.causal else 0", "0",
             "tests/test_sequences.py -k no_future_value"),
    Mutation("causal taps all one late", "sequences.py", "F.pad(self.table, (0, ahead))", "F.pad(self.table, (2, ahead))[..., :-2]"),
    Mutation("causal keys see all", "sequences.py", "causal_content_lambdas(keys, values) if self.causal else", "content_lambda(keys, values) if self.causal else",
             "tests/test_sequences.py -k no_future_value"),
    Mutation("step forgets too early", "sequences.py", "[:, -self.table.shape[3] :]", "[:, 1 - self.table.shape[3]:]"),
    Mutation("step's window grows", "sequences.py", "[:, -self.table.shape[3] :]", ""),
    Mutation("step reads the first taps", "sequences.py", "self.table[:, :, :, -window.shape[1] :]", "self.table[:, :, :, :window.shape[1]]"),
    Mutation("sequence heads interleaved", "sequences.py", '"b (h k) n -> b h n k"',
             '"b (k h) n -> b h n k"'),
    Mutation("sequence output value-major", "sequences.py", '"b h n v -> b (h v) n"', '"b h n v -> b (v h) n"'),
    Mutation("sequence table starts at one", "sequences.py", "self.table, std=(dim_k * dim_u * scope) ** -0.5", "self.table, std=1"),
    Mutation("sequence float16 left to itself", "sequences.py", "    @float32_under_float16\n    def forward", "    def forward"),
    Mutation("a step's float16 left to itself", "sequences.py", "    @float32_under_float16\n    def step", "    def step"),
    # hybrid.py
    Mutation("lambda layers one block late", "hybrid.py", "step * (i + 1) - 1 for", "step * (i + 1) for"),
    Mutation("lambda layers packed by flooring", "hybrid.py", "step = round(blocks / (lambdas + 1))", "step = blocks // (lambdas + 1)"),
    Mutation("one lambda layer less at 420", "hybrid.py", "420: 8}", "420: 7}"),
    Mutation("a block less at 270", "resnet.py", "270: (4, 29, 53, 4)", "270: (4, 29, 52, 4)"),
    Mutation("stem halves once", "hybrid.py", "(64, 64, 2)):", "(64, 64, 1)):"),
    Mutation("stem widens at once", "hybrid.py", "(3, 32, 2), (32, 32, 1), (32, 64, 1)", "(3, 64, 2), (64, 64, 1), (64, 64, 1)"),
    Mutation("stem without ReLU", "hybrid.py", "stem.extend([conv_norm(dim, dim_out, 3, stride), nn.ReLU()])", "stem.extend([conv_norm(dim, dim_out, 3, stride)])"),
    Mutation("ImageNet stem of a plain net", "hybrid.py", 'stems = STEMS | {"imagenet": deep_stem}', "stems = STEMS"),
    Mutation("gates on the features before the ReLU", "hybrid.py", "[nn.ReLU(), squeeze_excitation(width)]", "[nn.Identity(), squeeze_excitation(width)]"),
    Mutation("gates squeeze to a half", "hybrid.py", "SqueezeExcitation(width, width // 4)", "SqueezeExcitation(width, width // 2)"),
    Mutation("gates behind lambda layers too", "hybrid.py", "        if lambda_options is None:", "        if True:"),
    Mutation("shortcut skips pixels", "hybrid.py", "nn.AvgPool2d(stride, ceil_mode=True)", "nn.MaxPool2d(1, stride, ceil_mode=True)"),
    Mutation("shortcut drops the odd edge", "hybrid.py", "nn.AvgPool2d(stride, ceil_mode=True)", "nn.AvgPool2d(stride)"),
    Mutation("shortcut of a plain bottleneck", "hybrid.py", "        if stride > 1:", "        if False:"),
    Mutation("c5 by convolution", "hybrid.py", '("C", "C", letters, "L")', '("C", "C", letters, "C")'),
    Mutation("hybrids take any layout", "hybrid.py", "if layout is not None:", "if False:"),
    Mutation("hybrids forget their options", "hybrid.py", "block=HybridBottleneck, **options)", 'block=HybridBottleneck, stem=options.get("stem", "cifar"))'),
    # cost.py
    Mutation("momentum counted once for Adam", "cost.py", "states * trained, weights if", "trained, weights if"),
    Mutation("frozen weights have gradients", "cost.py", "for parameter in model.parameters() if parameter.requires_grad)", "for parameter in model.parameters())"),
    Mutation("running statistics weigh nothing", "cost.py", "weights = sum(tensor.nbytes for tensor in model.state_dict().values())", "weights = sum(tensor.nbytes for tensor in model.parameters())"),
    Mutation("saved activations grow from nothing", "cost.py", "two + (four - two) // 2 * (batch - 2)", "two // 2 * batch"),
    Mutation("saved activations without autocast", "cost.py", "enabled=dtype != torch.float32):\n            return saved", "enabled=False):\n            return saved"),
    Mutation("the net learns from empty images", "cost.py", "copy.deepcopy(model).cpu().train()", "model.cpu().train()"),
    Mutation("saved activations in eval mode", "cost.py", "copy.deepcopy(model).cpu().train()", "copy.deepcopy(model).cpu().eval()"),
    Mutation("memory of the preset's batch only", "experiments/paper_tables.py", "batch or recipe.batch_size", "recipe.batch_size"),
    Mutation("memory of small images only", "experiments/paper_tables.py", "side=recipe.image_size, ", ""),
    Mutation("gates counted twice", "experiments/paper_tables.py", "count_parameters(model) - gates, count_parameters(model), printed", "count_parameters(model), count_parameters(model) + gates, printed"),
    # compare.py
    Mutation("relative to the second run", "experiments/compare.py", "apart / a.abs()", "apart / b.abs()"),
    Mutation("relative to a signed loss", "experiments/compare.py", "apart / a.abs()", "apart / a"),
    Mutation("errors that cancel", "experiments/compare.py", "apart = (a - b).abs()", "apart = a - b"),
    Mutation("both errors must be small", "experiments/compare.py", "self.relative <= RELATIVE or", "self.relative <= RELATIVE and"),
    Mutation("a looser rule", "experiments/compare.py", "RELATIVE, ABSOLUTE = 0.05, 0.0002", "RELATIVE, ABSOLUTE = 0.06, 0.0002"),
    Mutation("absolute rule ten times looser", "experiments/compare.py", "RELATIVE, ABSOLUTE = 0.05, 0.0002", "RELATIVE, ABSOLUTE = 0.05, 0.002"),
    Mutation("steps not yet trained are compared", "experiments/compare.py", 'state["losses"][:done].double()', 'state["losses"].double()[:len(state["losses"])]'),
    Mutation("the log comes before the state", "experiments/compare.py", '("state.pt", "log.jsonl") if', '("log.jsonl", "state.pt") if'),
    Mutation("a broken loss is compared", "experiments/compare.py", 'if not abs(loss) < float("inf"):', "if False:"),
    Mutation("steps may go back", "experiments/compare.py", "if after <= before:", "if after < before:"),
    Mutation("epochs begin one step early", "experiments/compare.py", "(curve.steps > start)", "(curve.steps >= start)"),
    Mutation("half an epoch counts", "experiments/compare.py", "if within.sum() == end - start:", "if within.any():"),
    Mutation("a log is read as single losses", "experiments/compare.py", "_replace(means=True, batch", "_replace(means=False, batch"),
    Mutation("batches of any size", "experiments/compare.py", "first.batch != second.batch:", "False:"),
    Mutation("a few steps will do", "experiments/compare.py", "if 2 * len(steps) < fewest:", "if False:"),
    Mutation("a short run will do", "experiments/compare.py", "if 2 * steps[-1] < length:", "if False:"),
    Mutation("the second at its own steps", "experiments/compare.py", "second.losses[torch.isin(second.steps, steps)]", "second.losses[:len(steps)]"),
    Mutation("the first at its own steps", "experiments/compare.py", "first.losses[torch.isin(first.steps, steps)]", "first.losses[:len(steps)]"),
    Mutation("compare always succeeds", "cli.py", "return 0 if result.passed else 1", "return 0", "tests/experiments/test_compare.py"),
    # recipes.py
    Mutation("half a batch", "training/recipes.py", "if kind is float else kind)", "if kind in (int, float) else kind)"),
    Mutation("a bool is a number", "training/recipes.py", "return kind is bool\n", "return True\n"),
    Mutation("restarts of equal length", "training/recipes.py", "done - length, 2 * length", "done - length, length"),
    Mutation("restart one step late", "training/recipes.py", "while cycle and done >= length:", "while cycle and done > length:"),
    Mutation("cycles counted in steps", "training/recipes.py", "recipe.restart_period * per_epoch", "recipe.restart_period"),
    Mutation("min_lr added on top", "training/recipes.py", "min_factor + (1 - min_factor) * (1 - t", "min_factor + (1 - t"),
    Mutation("min_lr not a share", "training/recipes.py", "min_factor = recipe.min_lr / recipe.lr", "min_factor = recipe.min_lr"),
    Mutation("Adam without the recipe's momentum", "training/recipes.py", "betas=(recipe.momentum, 0.999)", "betas=(0.9, 0.999)"),
    Mutation("Adam is SGD", "training/recipes.py", 'if recipe.optimizer == "adam":', "if False:"),
    Mutation("min_lr unchecked", "training/recipes.py", "0 <= self.min_lr < self.lr", "0 <= self.min_lr"),
    Mutation("biases at the common rate", "training/recipes.py", "recipe.bias_lr_multiplier * recipe.lr", "recipe.lr"),
    Mutation("scales count as biases", "training/recipes.py", 'if parameter.ndim <= 1 and name.endswith("bias")]',
             "if parameter.ndim <= 1]"),
    Mutation("biases are decayed", "training/recipes.py", '"params": biases, "weight_decay": 0.0',
             '"params": biases, "weight_decay": recipe.weight_decay'),
    Mutation("an old name is unknown", "training/recipes.py", '    "bias_lr": "bias_lr_multiplier",\n', ""),
    Mutation("old names change places", "training/recipes.py", '"floor": "min_lr",\n    "restart": "restart_period"', '"floor": "restart_period",\n    "restart": "min_lr"'),
    Mutation("records with unknown fields", "training/recipes.py", "for name in settings.keys() - KINDS.keys():", "for name in ():"),
    Mutation("sizes are counted from their own start", "training/recipes.py", "        end += epochs\n", "        end = epochs\n", "tests/training/test_recipes.py -k small_images"),
    Mutation("sizes one step late", "training/recipes.py", "if step < round(end /", "if step <= round(end /", "tests/training/test_recipes.py -k small_images"),
    Mutation("recorded sizes are strings", "training/recipes.py", "return int(key) if isinstance(key, str) and key.isdecimal() else key", "return key", "tests/training/test_recipes.py -k json"),
    Mutation("sizes that fall", "training/recipes.py", "        and sides == sorted(sides)\n", "", "tests/training/test_recipes.py -k schedule_of_sizes"),
    Mutation("no epoch at full size", "training/recipes.py", "sum(schedule.values()) < epochs", "sum(schedule.values()) <= epochs", "tests/training/test_recipes.py -k schedule_of_sizes"),
    Mutation("settings are strings", "training/recipes.py", "return name, CONVERTERS[kind](value)", "return name, value"),
    Mutation("false is true", "training/recipes.py", '"false": False', '"false": True'),
    Mutation("a setting's old name is unknown", "training/recipes.py", "    name = ALIASES.get(name, name)\n", ""),
    Mutation("no field is suggested", "training/recipes.py", "n=1)", "n=1, cutoff=1)"),
    # run.py
    Mutation("images of any size", "training/run.py", "if tuple(data.train_images.shape[2:]) != (side, side):", "if False:"),
    Mutation("other images of the same number", "training/run.py", ' - {"source"}  #', ' - {"source", "sha256"}  #'),
    Mutation("the same images from elsewhere", "training/run.py", ' - {"source"}  #', "  #"),
    Mutation("the backbone is trained", "training/run.py", "if recipe.freeze_backbone:", "if False:"),
    Mutation("the head is frozen too", "training/run.py", ".requires_grad_(False).head.requires_grad_(True)", ".requires_grad_(False)"),
    Mutation("an older state is refused", "training/run.py", 'asdict(Recipe.from_record(state["recipe"])), asdict', 'state["recipe"], asdict'),
    Mutation("a state without its parts", "training/run.py", "        if missing:\n", "        if False:\n", "tests/training/test_train.py -k damaged"),
    Mutation("a state of any step", "training/run.py", "not 0 <= step <= self.total", "False", "tests/training/test_train.py -k damaged"),
    Mutation("the generator's state is lost", "training/run.py", '        torch.set_rng_state(state["random"]["cpu"])\n', "", "tests/training/test_train.py -k resuming"),
    Mutation("whitening forgotten", "training/run.py", "    if recipe.whiten:\n", "    if False:\n"),
    Mutation("any stem is whitened", "training/run.py", 'if not hasattr(model, "whiten"):', "if False:"),
    Mutation("white on raw images", "training/run.py", "whiten(normalize(data.train_images[:5000]).cpu())",
             "whiten(data.train_images[:5000].float())"),
    # train.py
    Mutation("gradients of earlier steps", "training/train.py", "        optimizer.zero_grad()\n", "", "tests/training/test_train.py -k by_hand"),
    Mutation("trained in eval mode", "training/train.py", "        model.train()\n", ""),
    Mutation("the schedule stands still", "training/train.py", "            scheduler.step()\n", "            pass\n"),
    Mutation("no average", "training/train.py", "            ema.update_parameters(model)\n", "            pass\n"),
    Mutation("the average runs a step behind", "training/train.py", """        if ema is not None:
            ema.update_parameters(model)
        yield loss.detach()
""", """        yield loss.detach()
        if ema is not None:
            ema.update_parameters(model)
"""),
    Mutation("the scaler never adapts", "training/train.py", "        scaler.update()\n", ""),
    Mutation("a resumed run begins its epochs again", "training/train.py", "start=run.step,", "start=0,"),
    Mutation("unseeded", "training/train.py", "    torch.manual_seed(recipe.seed)\n", ""),
    Mutation("batches in another layout", "training/train.py", "        memory_format=run.memory_format,\n    )\n", "    )\n"),
    Mutation("nobody is told of an epoch", "training/train.py", '            call(callbacks, "on_epoch_end", run)\n', "", "tests/training/test_callbacks.py"),
    Mutation("steps before their epoch", "training/train.py", """            call(callbacks, "on_epoch_end", run)
        call(callbacks, "on_step", run)
""", """            call(callbacks, "on_step", run)
            call(callbacks, "on_epoch_end", run)
        else:
            call(callbacks, "on_step", run)
""", "tests/training/test_callbacks.py"),
    Mutation("minutes without a folder", "training/train.py", "out_dir is not None and is_a(minutes, float)", "is_a(minutes, float)", "tests/training/test_train.py -k minutes"),
    Mutation("every step has the first size", "training/train.py", "image_side(step, recipe, run.total)", "image_side(step - run.step, recipe, run.total)", "tests/training/test_train.py -k small_images"),
    Mutation("a resumed run gets other weights", "training/train.py", "if resume and init_from is not None:", "if False:"),
    Mutation("no validation images", "training/train.py", "split_validation(data, recipe.validation_images)", "data", "tests/training/test_train.py -k validation"),
    Mutation("two runs in one folder", "training/train.py", "lock.acquire()", "pass", "tests/training/test_callbacks.py -k two_runs"),
    # callbacks.py
    Mutation("saved at every step", "training/callbacks.py", "> self.seconds and run.step", "> 0 and run.step"),
    Mutation("saved twice at an epoch's end", "training/callbacks.py", " and run.step != self.saved_step", ""),
    Mutation("a broken run is saved", "training/callbacks.py", "        self.check(run)\n        self.saved_at", "        self.saved_at"),
    Mutation("Ctrl-C forgets to save", "training/callbacks.py", "            return\n        self.checkpoint.save(run)\n", "            return\n", "tests/training/test_train.py -k resuming"),
    Mutation("Ctrl-C handler stays", "training/callbacks.py", "        if self.usual is not None:\n", "        if False:\n"),
    Mutation("the warm-up is timed", "training/callbacks.py", "            self.began = run.step, self.clock()\n            return\n", "            self.began = 0, self.clock() - 900\n"),
    Mutation("evaluation costs nothing", "training/callbacks.py", "(sum(pixels[start:]) + evaluations * test_steps * recipe.image_size**2)", "sum(pixels[start:])", "tests/training/test_callbacks.py -k time_is_estimated"),
    Mutation("small images take as long", "training/callbacks.py", "pixels = [image_side(step, recipe, run.total) ** 2", "pixels = [1", "tests/training/test_callbacks.py -k small_images"),
    Mutation("timed steps of one size", "training/callbacks.py", "sum(pixels[first:last])", "(pixels[last - 1] * (last - first))", "tests/training/test_callbacks.py -k small_images"),
    Mutation("time over, nothing saved", "training/callbacks.py", "            self.checkpoint.save(run)\n            raise StopTraining", "            raise StopTraining", "tests/training/test_callbacks.py -k minutes"),
    Mutation("minutes are seconds", "training/callbacks.py", "clock() + 60 * minutes", "clock() + minutes", "tests/training/test_callbacks.py -k minutes"),
    Mutation("stopped before its end", "training/callbacks.py", "if self.end is None or run.step == run.total:", "if self.end is None:", "tests/training/test_callbacks.py -k minutes"),
    Mutation("corrected after every epoch", "training/callbacks.py", "            self.shown = False  # one", "            pass  # one"),
    Mutation("an hour has a hundred minutes", "training/callbacks.py", "divmod(round(seconds / 60), 60)", "divmod(round(seconds / 60), 100)"),
    # evidence.py
    Mutation("AVX2 multiplies bfloat16", "training/evidence.py", 'in ("DEFAULT", "AVX2"):', 'in ("DEFAULT",):'),
    Mutation("float16 costs nothing", "training/evidence.py", 'if dtype == "float16":', "if False:", "tests/training/test_evidence.py -k reason"),
    Mutation("no reason for float32", "training/evidence.py", "    if dtype == asked:\n", "    if True:\n"),
    Mutation("large blocks go back to the system", "training/evidence.py", "libc.mallopt(M_MMAP_MAX, 0) and", "True and"),
    Mutation("freed memory goes back to the system", "training/evidence.py", " and libc.mallopt(M_TRIM_THRESHOLD, -1))", ")"),
    # checkpoint.py
    Mutation("a full disk is a RuntimeError", "training/checkpoint.py", "        except RuntimeError as error:  # torch", "        except KeyError as error:  # torch"),
    Mutation("damage goes unseen", "training/checkpoint.py", "damaged = archive.testzip()", "damaged = None"),
    Mutation("a card that says nothing", "training/checkpoint.py", "    if missing:\n", "    if False:\n"),
    Mutation("weights of another net's card", "training/checkpoint.py", "except RuntimeError as error:\n", "except KeyError as error:\n"),
    Mutation("the old head is kept out", "training/checkpoint.py", "ours[name] if name in misfits else theirs[name]", "ours[name] if name in misfits or name.startswith('head.') else theirs[name]", "tests/training/test_train.py"),
    Mutation("nothing is loaded", "training/checkpoint.py", "ours[name] if name in misfits else theirs[name]", "ours[name]", "tests/training/test_train.py"),
    Mutation("any weights will do", "training/checkpoint.py", 'if any(not name.startswith("head.") for name in misfits):', "if False:", "tests/training/test_train.py"),
    Mutation("weights unchecked", "training/checkpoint.py", 'theirs = load_weights(path, card["sha256"])', "theirs = load_weights(path)", "tests/training/test_train.py"),
    # doctor.py
    Mutation("damaged weights are well", "experiments/doctor.py", "            right = False\n", "            pass\n"),
    Mutation("a damaged sample is well", "experiments/doctor.py", "sample_right and weights_right", "weights_right"),
    # folders.py, tensorboard.py, cli.py
    Mutation("pictures of a folder class by class", "training/folders.py", "torch.randperm(len(parts[0]), generator=torch.Generator().manual_seed(0))",
             "torch.arange(len(parts[0]))"),
    Mutation("a folder shuffled anew", "training/folders.py", ", generator=torch.Generator().manual_seed(0))", ")"),
    Mutation("labels stay where they were", "training/folders.py", "torch.tensor(part.targets)[which]", "torch.tensor(part.targets)"),
    Mutation("a sample run goes on with the full set", "cli.py", '["data"]["source"] == "sample"', '["data"]["source"] == "x"', "tests/test_cli.py"),
    Mutation("a net for other classes", "cli.py", "if outputs != classes:", "if False:", "tests/test_cli.py"),
    Mutation("pictures not cut to their middle", "training/folders.py", "CenterCrop(image_size)", "lambda image: image.crop((0, 0, image_size, image_size))"),
    Mutation("pictures squeezed", "training/folders.py", "Resize(image_size)", "Resize((image_size, image_size))"),
    Mutation("classes of the two parts may differ", "training/folders.py", "if parts[0].classes != parts[1].classes:", "if False:"),
    Mutation("memory unchecked", "training/folders.py", "> memory:", "> memory * 1e9:"),
    Mutation("val before test", "training/folders.py", 'for name in ("test", "val") if', 'for name in ("val", "test") if'),
    Mutation("losses written again and again", "training/tensorboard.py", "self.losses, self.records = run.step, len(run.records)", "pass"),
    Mutation("board counts from 0", "training/tensorboard.py", "start=self.losses + 1", "start=self.losses"),
    Mutation("ten classes for all", "cli.py", "model_kwargs=others if classes == 10 else", "model_kwargs=others if True else"),
    Mutation("fine-tuning by the preset's model", "cli.py", "    elif init_from:\n", "    elif False:\n"),
    Mutation("fine-tuning without the model's options", "cli.py", '"model_kwargs": {**card["model_kwargs"]},', '"model_kwargs": {},'),
    Mutation("the small preset on every machine", "cli.py", '"gpu" if device.type == "cuda" else "quick"', '"quick"', "tests/test_cli.py -k preset"),
    Mutation("small images keep their epochs", "cli.py", 'epochs * changes["epochs"] / recipe.epochs', "epochs", "tests/test_cli.py -k share"),
    Mutation("the limit of time is swallowed", "cli.py", "        minutes=options.minutes,\n", "", "tests/test_cli.py -k in_time"),
    Mutation("goes on without the folder of images", "cli.py", '*(["--data", options.data] if options.data else [])', "", "tests/test_cli.py -k in_time"),
    Mutation("settings are swallowed", "cli.py", "    changes |= dict(options.settings)\n", "", "tests/test_cli.py -k set"),
    Mutation("another model with the preset's options", "cli.py", 'changes = {"model_kwargs": {}, **changes}', "pass", "tests/test_cli.py -k set"),
    Mutation("the options' own model_kwargs are lost", "cli.py", '{"model_kwargs": {}, **changes}', '{**changes, "model_kwargs": {}}', "tests/test_cli.py -k set"),
    Mutation("an old recipe is not translated", "cli.py", 'Recipe.from_record(load_state(options.out / "state.pt").get("recipe"))', 'Recipe(**load_state(options.out / "state.pt")["recipe"])', "tests/test_cli.py -k first_edition"),
    Mutation("--hold-out is unknown", "cli.py", '        "--hold-out",\n', "", "tests/test_cli.py -k old_names"),
    Mutation("evaluated at another size", "cli.py", 'recipe.get("image_size", 32)', "32"),
    # distributed.py
    Mutation("every process takes the first share", "training/distributed.py", "chunk(size())[rank()]", "chunk(size())[0]"),
    Mutation("losses added, not averaged", "training/distributed.py", "        value /= size()\n", ""),
    Mutation("gradients not averaged", "training/distributed.py", "    return DistributedDataParallel(model, device_ids=[device] if device.type == \"cuda\" else None)", "    return model"),
    Mutation("each stops on its own", "training/distributed.py", "    dist.all_reduce(shared, dist.ReduceOp.MAX)\n", "", "tests/training/test_distributed.py -k ctrl_c"),
    Mutation("a lost process is a traceback", "training/distributed.py", 'if not isinstance(error, dist.DistError) and "gloo" not in str(error):', "if True:", "tests/training/test_distributed.py -k killed"),
    Mutation("shards of unequal size", "training/train.py", "if recipe.batch_size % distributed.size():", "if False:", "tests/training/test_distributed.py -k divided"),
    Mutation("all write", "training/callbacks.py", """        self.saved_at, self.saved_step = time.monotonic(), run.step
        if self.folder is None or distributed.rank() > 0:
""", """        self.saved_at, self.saved_step = time.monotonic(), run.step
        if self.folder is None:
""", "tests/training/test_distributed.py -k alone_writes"),
    Mutation("labels of the first shard", "training/data.py", "distributed.local_shard(labels[rows])", "labels[rows][:len(batch)]"),
    Mutation("losses of one process", "training/train.py", "run.log_step(distributed.all_reduce_mean(loss))", "run.log_step(loss)", "tests/training/test_distributed.py -k halves"),
    Mutation("any number of devices", "cli.py", "if options.devices not in (None, distributed.size()):", "if False:", "tests/training/test_distributed.py -k devices"),
    Mutation("every process tells", "cli.py", "    if distributed.rank() > 0:\n        return\n", "", "tests/training/test_distributed.py -k readme"),
    Mutation("--batch without --memory is swallowed", "cli.py", "is not None and not options.memory:", "is not None and False:", "tests/test_cli.py -k params"),
    Mutation("rows are ignored", "cli.py", "rows.EVERY_ROW[row] if row else ", "", "tests/experiments/test_rows.py"),
    # bench.py
    Mutation("stopwatch counts the warm-up", "experiments/bench.py", "zip(*rounds[1:])", "zip(*rounds)"),
    Mutation("stopwatch tells the mean", "experiments/bench.py", "map(statistics.median, zip", "map(statistics.fmean, zip"),
    Mutation("stopwatch takes no turns", "experiments/bench.py", "    rounds, begin = [], time.perf_counter()\n",
             "    return {name: statistics.median([timed(f) for _ in range(turns + 1)][1:]) for name, f in functions.items()}\n    rounds, begin = [], time.perf_counter()\n"),
    Mutation("stopwatch ignores its budget", "experiments/bench.py", " or time.perf_counter() - begin < budget", ""),
    Mutation("a training pass without the way back", "experiments/bench.py", "        output.backward(cotangent)\n", "        pass\n"),
    Mutation("inference in train mode", "experiments/bench.py", "copy.deepcopy(module).eval()", "copy.deepcopy(module)"),
    Mutation("inference sends the module to eval mode", "experiments/bench.py", "copy.deepcopy(module).eval()", "module.eval()"),
    Mutation("passes without autocast", "experiments/bench.py", "enabled=dtype != torch.float32):\n            output = module(features)",
             "enabled=False):\n            output = module(features)"),
    Mutation("our layer without u", "experiments/bench.py", "dim_u=shape.u, scope=shape.r)", "scope=shape.r)"),
    Mutation("tables also where the window ends before the map", "experiments/bench.py", "whole = shape.r >= 2 * shape.side - 1",
             "whole = shape.r >= shape.side"),
    Mutation("the peak of one picture", "experiments/bench.py", "    run = training_pass(layer, features,",
             "    run = training_pass(layer, features[:1],"),
    Mutation("the peak includes what was there", "experiments/bench.py", '(kilobytes(status, "VmHWM") - before)',
             'kilobytes(status, "VmHWM")'),
    Mutation("operations for multiply-adds", "experiments/bench.py", "counter.get_total_flops() // 2", "counter.get_total_flops()"),
    Mutation("the rate in operations", "experiments/bench.py", "return side**3 /", "return 2 * side**3 /"),
    Mutation("beside the slowest peer", "experiments/bench.py", 'peer = min(peers, key=both.get)',
             'peer = max(peers, key=both.get)'),
    Mutation("the slower layout counts", "experiments/bench.py", "name: min(t for (other, _), t", "name: max(t for (other, _), t"),
    Mutation("ratio upside down", "experiments/bench.py", "×{both[peer] / both['ours']:5.2f}", "×{both['ours'] / both[peer]:5.2f}"),
    Mutation("always the last order", "experiments/bench.py", "partial(position_pass, *inputs, size, order)", "partial(position_pass, *inputs, size, [*ORDERS][-1])"),
    Mutation("regret upside down", "experiments/bench.py", "seconds[planned] / min(seconds.values())",
             "min(seconds.values()) / seconds[planned]"),
    Mutation("the net itself takes Conv3d layers", "experiments/bench.py", "    model = copy.deepcopy(model)\n    for parent",
             "    for parent"),
    Mutation("Conv3d nets without pools", "experiments/bench.py", "nn.Sequential(convert.to_lambda_networks(layer), pool)",
             "nn.Sequential(convert.to_lambda_networks(layer))"),
    Mutation("keys for values in bench", "experiments/bench.py", "scaled_dot_product_attention(queries, keys, values)",
             "scaled_dot_product_attention(queries, values, keys)"),
    Mutation("the exponent of plain numbers", "experiments/bench.py", "[math.log(value) for value in values]", "[value for value in values]"),
    Mutation("growth by sides", "experiments/bench.py", "exponent([side**2 for side in sides]", "exponent([side for side in sides]"),
    Mutation("an arithmetic mean of ratios", "experiments/bench.py", "math.exp(statistics.fmean(map(math.log, values)))",
             "statistics.fmean(values)"),
    Mutation("the best for the worst", "experiments/bench.py", '"worst": min(ratios)', '"worst": max(ratios)'),
    Mutation("summary of all types at once", "experiments/bench.py", '            if row["dtype"] == dtype\n', ""),
    Mutation("parts written before are lost", "experiments/bench.py", "if out is not None and out.exists() else {}", "if False else {}"),
    Mutation("written at the end only", "experiments/bench.py", "        if out is not None:\n            out.write_text",
             "    else:\n        if out is not None:\n            out.write_text"),
    Mutation("peers needed by every part", "experiments/bench.py", 'if find_spec(name) is None and not {"layer", "step"}.isdisjoint(parts or PARTS):',
             "if find_spec(name) is None:"),
    # experiments/rows.py and results.py
    Mutation("runs of two types in one row", "experiments/results.py", ', run.start["dtype"])', ")"),
    Mutation("runs on other data in one row", "experiments/results.py", '(run.start["data"]["train"], run.start["data"]["test"])', "()"),
    Mutation("variance of the whole population", "experiments/results.py", "(squares + squares_other) / (freedom + freedom_other)",
             "(squares + squares_other) / (len(one) + len(other))"),
    Mutation("the interval of one run", "experiments/results.py", "sqrt(squares / freedom / len(accuracies))", "sqrt(squares / freedom)"),
    Mutation("a difference without the other's error", "experiments/results.py", "sqrt(1 / len(one) + 1 / len(other))", "sqrt(1 / len(one))"),
    Mutation("the normal distribution's quantile", "experiments/results.py", "return STUDENT[min(freedom, len(STUDENT)) - 1]", "return 1.96"),
    Mutation("epochs of small images forgotten", "experiments/results.py", "recipe.epochs - sum(schedule.values())", "recipe.epochs"),
    Mutation("a run that has not ended counts", "experiments/results.py", 'if last != "end":', "if False:"),
    Mutation("two recipes in one row", "experiments/results.py", "if any(each != alike[0] for each in alike):", "if False:"),
    Mutation("a seed counts twice", "experiments/results.py", "if len({run.seed for run in runs}) < len(runs):", "if False:"),
    Mutation("rows by the alphabet", "experiments/results.py", "key=lambda key: (order.get(key[0], len(order)), key)", "key=None"),
    Mutation("runs in the order of the file", "experiments/results.py", "sorted(read_records(group, path), key=lambda record: record.seed)",
             "read_records(group, path)"),
    Mutation("every group is the main one", "experiments/results.py", "if group in (None, record.group)]", "]"),
    Mutation("a record of another seed", "experiments/results.py", "if (record.row, record.seed) == (row, seed):", "if record.row == row:"),
    Mutation("validation accuracy called test accuracy", "experiments/results.py", '"validation" if first.recipe.validation_images else "test"', '"test"'),
    Mutation("a row by its command only", "experiments/results.py", "row = next(listed, ", "row = next(iter(()), "),
    Mutation("recorded commands are not understood", "experiments/results.py", "row = ROW_ALIASES.get(row, row)", "pass"),
    Mutation("validation runs among the others", "experiments/results.py", '"validation" if recipe.validation_images else "main"', '"main"'),
    Mutation("a swept row without its rate", "experiments/results.py", 'row = f"{row}-lr{recipe.lr:g}"', "pass"),
    Mutation("records of changed code", "experiments/results.py", 'if not commit or "+" in commit:', "if not commit:"),
    Mutation("records of unknown code", "experiments/results.py", 'if not commit or "+" in commit:', 'if "+" in (commit or ""):'),
    Mutation("code that changed at a resume", "experiments/results.py", 'in ("start", "resume")', 'in ("start",)'),
    Mutation("records of the sample", "experiments/results.py", "if (data[\"train\"], data[\"test\"]) != (50_000 - held_out, held_out or 10_000):", "if False:"),
    Mutation("any recipe under any row", "experiments/results.py", "        check_recipe(record)\n", "        pass\n"),
    Mutation("a run recorded twice", "experiments/results.py", "other.lines == record.lines or other[:3]", "other[:3]"),
    Mutation("a row and seed recorded twice", "experiments/results.py", "other.lines == record.lines or other[:3] == record[:3]", "other.lines == record.lines"),
    Mutation("a record unlike its row is added", "experiments/results.py", "    gather([other for other in others if", "    len([other for other in others if"),
    Mutation("records written over", "experiments/results.py", 'open(path, "a",', 'open(path, "w",'),
    Mutation("a sweep of the right length only", "experiments/results.py", '{"epochs": recipe.epochs, "progressive', '{"progressive'),
    Mutation("--row without --add is swallowed", "cli.py", "if options.row is not None:\n        raise ValueError(f\"argument --row: must go", "if False:\n        raise ValueError(f\"argument --row: must go", "tests/experiments/test_records.py"),
    Mutation("what was not measured goes untold", "experiments/report.py", "for name in ROWS if name not in rows", "for name in ROWS if not rows"),
    Mutation("minutes of evaluated epochs", "experiments/report.py", "min(epochs)[1]", "max(epochs)[1]"),
    Mutation("steps compared with the first", "experiments/report.py", "format_difference(row.accuracies, before.accuracies)", "format_difference(row.accuracies, rows[0].accuracies)"),
    Mutation("evidence of half of the records", "experiments/report.py", "for record in read_records(None):", "for record in read_records(None)[::2]:"),
    Mutation("a twin of another length", "experiments/rows.py", "replace(SMALL, model_kwargs=CONVOLUTIONS)",
             "replace(SMALL, model_kwargs=CONVOLUTIONS, epochs=48)"),
    Mutation("twins of another length", "experiments/rows.py", "COMPARED = replace(TINY, epochs=10)", "COMPARED = replace(TINY, epochs=12)"),
    Mutation("a twin with another's rate", "experiments/rows.py", 'compared("position", lr=1.5)', 'compared("position")'),
    Mutation("a step forgets those before it", "experiments/rows.py", "replace(recipe, **{name: getattr", "replace(USUAL, **{name: getattr"),
    Mutation("a step of the cumulative ablation is missing", "experiments/rows.py", '    "alternating-flips": ["flip"],\n', ""),
    Mutation("the cumulative ablation is scored on the test set", "experiments/rows.py", "    validation_images=5000,\n", ""),
    Mutation("a control that sees its neighbours", "experiments/rows.py", 'compared("position", scope=1, **ALONE)', 'compared("position", scope=3, **ALONE)'),
    Mutation("the missing step has the rates", "experiments/rows.py", 'CUMULATIVE_ABLATION["ablation-whitening"], ema', 'CUMULATIVE_ABLATION["ablation-rates"], ema'),
    # twins.py
    Mutation("a pointwise twin without its norm", "twins.py", "return self.to_values(features)\n", "return self.to_values[0](features)\n"),
    Mutation("twins of no images", "twins.py", 'rearrange(output, "b h (y x) v -> b (h v) y x", y=size[0])', "output.transpose(2, 3).reshape(len(features), -1, *size)"),
    Mutation("a twin that nobody asks for", "small.py", "if twin not in (None, *TWINS):", "if False:", "tests/test_twins.py -k refuse"),
    Mutation("scope 0 is the default", "small.py", "2 * side - 1 if scope is None else scope", "scope or 2 * side - 1", "tests/test_resnet.py -k refuses"),
    Mutation("attention unscaled", "twins.py", "queries * queries.shape[-1] ** -0.5", "queries * 1"),
    Mutation("attention blind to places", "twins.py", "relative_embeddings(self.table, *size)[..., 0])",
             "0 * relative_embeddings(self.table, *size)[..., 0])"),
    Mutation("a frozen query that moves", "twins.py", "self.queries.expand(len(features), -1, size[0] * size[1], -1)",
             "self.queries * features.mean(1).flatten(1)[:, None, :, None]"),
    Mutation("heads share what should be their own", "twins.py", "heads if own else 1", "1"),
    Mutation("twins' values without their norm", "twins.py", "fan_in=dim), nn.BatchNorm2d(depth))", "fan_in=dim), nn.Identity())"),
    Mutation("twins' heads interleaved", "twins.py", '"b (g depth) y x -> b g (y x) depth"',
             '"b (depth g) y x -> b g (y x) depth"'),
    Mutation("twins' output value-major", "twins.py", '"b h (y x) v -> b (h v) y x"', '"b h (y x) v -> b (v h) y x"'),
    Mutation("a twin takes any map", "twins.py", "if size != self.feat_size:", "if False:"),
    Mutation("a twin takes uneven heads", "twins.py", "if heads < 1 or dim % heads:", "if heads < 1:"),
    Mutation("a twin of any name", "twins.py", "if kind not in TWINS:", "if False:"),
    Mutation("a table starts at the other one's size", "twins.py", 'dim_k if kind == "attention" else dim_k * dim_u * visible', "dim_k"),
    Mutation("a local table starts as a global one", "twins.py", "return (scope, scope), scope**2", "return (scope, scope), prod(feat_size)",
             "tests/test_twins.py -k variance or near_one or parameters or rivals"),
    Mutation("a scope that is not heard", "twins.py", "window(self.feat_size, scope)", "window(self.feat_size, None)",
             "tests/test_twins.py -k variance or near_one or parameters or rivals"),
    Mutation("a scope without a middle", "twins.py", "scope < 1 or scope % 2 == 0", "scope < 1",
             "tests/test_twins.py -k refuse"),
    Mutation("a large kernel that is small", "twins.py", '3 if kind == "depthwise" else None', "3",
             "tests/test_twins.py -k variance or near_one or parameters or rivals"),
    Mutation("a dense rival that is wide", "twins.py", "width = dim // 4", "width = dim // 2",
             "tests/test_twins.py -k variance or near_one or parameters or rivals"),
    Mutation("a rival that starts loud", "twins.py", "fan_in=9 * width, sides", "fan_in=width, sides",
             "tests/test_twins.py -k variance or near_one or parameters or rivals"),
    Mutation("scope not handed on to twins", "small.py", "dim_u=dim_u, scope=scope)\n            self.blocks", "dim_u=dim_u)\n            self.blocks",
             "tests/test_twins.py -k learns"),
    Mutation("twins' values with u slow", "twins.py", '"b 1 m (v u) -> b m v u"', '"b 1 m (u v) -> b m v u"'),
    Mutation("twins' keys with u slow", "twins.py", '"b 1 m (k u) -> b m k u"', '"b 1 m (u k) -> b m k u"'),
    Mutation("attention with u", "twins.py", "if dim_u > 1 and kind not in", "if False and kind not in"),
    Mutation("u not handed on to twins", "small.py", "heads=heads, dim_u=dim_u, scope=scope)\n            self.blocks",
             "heads=heads, scope=scope)\n            self.blocks", "tests/test_twins.py -k learns"),
    Mutation("a narrow head widened", "small.py", "SmallBlock(dim, dim_out, mix, widen, recompute)",
             "SmallBlock(dim, dim_out, mix, 3, recompute)", "tests/test_twins.py -k narrow"),
    Mutation("a head of any side", "small.py", "if widen not in (1, 3):", "if False:", "tests/test_twins.py -k refuse"),
    Mutation("nobody stands alone", "experiments/rows.py", 'ALONE = {"widen": 1, "layout": "LLL"}', 'ALONE = {"layout": "LLL"}'),
    Mutation("twin not handed on", "small.py", "            elif twin is None:\n", "            elif True:\n", "tests/test_twins.py -k learns"),
    Mutation("twins everywhere", "models.py", 'if value is not None and name not in ("small", "tiny"):', "if False:",
             "tests/test_twins.py -k refuse"),
    Mutation("scope beside any twin", "twins.py", "if scope is not None and kind not in POSITION_LAMBDAS:", "if False:",
             "tests/test_twins.py -k refuse"),
    Mutation("recompute not handed on by nets", "resnet.py", 'lambda_options if letter == "L" else None, recompute))',
             'lambda_options if letter == "L" else None))', "tests/test_resnet.py -k recompute"),
    Mutation("recompute not handed on by small nets", "small.py", "SmallBlock(dim, dim_out, mix, widen, recompute)",
             "SmallBlock(dim, dim_out, mix, widen)", "tests/test_resnet.py -k recompute"),
    Mutation("blocks of one stage all alike", "resnet.py", "letters * (depth // len(letters))", "letters[0] * depth", "tests/test_hybrid.py -k where"),
    Mutation("recompute not handed on by hybrids", "hybrid.py", "super().__init__(dim, width, stride, lambda_options, recompute)",
             "super().__init__(dim, width, stride, lambda_options)", "tests/test_resnet.py -k recompute"),
    Mutation("a bottleneck that saves all", "resnet.py", """    @activation_checkpointed
    def forward(self, features: Tensor) -> Tensor:
        \"\"\"(b, dim, H, W) -> (b, 4·width""", """    def forward(self, features: Tensor) -> Tensor:
        \"\"\"(b, dim, H, W) -> (b, 4·width""", "tests/test_resnet.py -k recompute"),
    Mutation("a basic block that saves all", "resnet.py", """    @activation_checkpointed
    def forward(self, features: Tensor) -> Tensor:
        \"\"\"(b, dim, H, W) -> (b, width""", """    def forward(self, features: Tensor) -> Tensor:
        \"\"\"(b, dim, H, W) -> (b, width""", "tests/test_resnet.py -k recompute"),
    Mutation("a small block that saves all", "small.py", """    @activation_checkpointed
    def forward(self, features: Tensor) -> Tensor:
        \"\"\"(b, dim, H, W) -> (b, dim_out, H//2""", """    def forward(self, features: Tensor) -> Tensor:
        \"\"\"(b, dim, H, W) -> (b, dim_out, H//2""", "tests/test_resnet.py -k recompute"),
    Mutation("room for what is recomputed forgotten", "cost.py", " + recomputed_bytes(shadow, images)", "", "tests/test_cost.py -k room"),
    Mutation("what came in counts twice", "cost.py", "saved_activation_bytes(part, features) - features.nbytes", "saved_activation_bytes(part, features)",
             "tests/test_cost.py -k room"),
    # split_validation
    Mutation("small images are picked, not averaged", "training/data.py", 'mode="bilinear", antialias=True)', 'mode="bilinear")', "tests/training/test_data.py -k resize"),
    Mutation("resized images in another layout", "training/data.py", "return resized.contiguous(memory_format=memory_format(images))", "return resized.contiguous()", "tests/training/test_data.py -k resize"),
    Mutation("images of the right size are copied", "training/data.py", "    if images.shape[-1] == side:\n", "    if False:\n", "tests/training/test_data.py -k right_size"),
    Mutation("validation images are trained on", "training/data.py", "train_images=data.train_images[:left],",
             "train_images=data.train_images,", "tests/training/test_data.py -k validation"),
    Mutation("validation images from the test set", "training/data.py", "test_images=data.train_images[left:]", "test_images=data.test_images",
             "tests/training/test_data.py -k validation"),
    # resnet.py
    Mutation("directions in columns", "small.py", "(variances + 5e-4).sqrt()).T.view",
             "(variances + 5e-4).sqrt()).view", "tests/training/test_train.py -k whitened"),
    Mutation("patches on their side", "small.py", '"b c row column y x -> (b row column) (c y x)"',
             '"b c row column y x -> (b row column) (c x y)"', "tests/training/test_train.py -k whitened"),
    Mutation("no negative filters", "small.py", "torch.cat([filters, -filters])",
             "torch.cat([filters, filters])", "tests/training/test_train.py -k whitened"),
    Mutation("a whitened stem is learnt", "small.py", "        stem.weight.requires_grad_(False)\n",
             "", "tests/training/test_train.py -k whitened"),
    Mutation("a whitened stem keeps its first bias", "small.py", "        stem.bias.zero_()\n",
             "", "tests/training/test_train.py -k whitened"),
    # explain.py and experiments/steering.py
    Mutation("one mean query for all heads", "explain.py", 'torch.cat(found[name]).mean(0), "(h k) -> h k"',
             'torch.cat(found[name]).mean().expand(layer.heads * layer.dim_k), "(h k) -> h k"'),
    Mutation("queries of the last layer", "explain.py", "queries, name=name: replacement", "queries: replacement"),
    Mutation("a mean over the images too", "explain.py", "queries.mean((2, 3), keepdim=True)",
             "queries.mean((0, 2, 3), keepdim=True)"),
    Mutation("a smaller batch counts as much", "explain.py", "means.append(queries.mean((2, 3)))",
             "means.append(queries.mean((0, 2, 3))[None])"),
    Mutation("the corner taps", "explain.py", "table.shape[2] // 2, table.shape[3] // 2)", "0, 0)"),
    Mutation("statistics as trained", "explain.py", "        update_bn(images.split(batch_size), changed)\n", ""),
    Mutation("the model itself loses its stencils", "explain.py",
             "    model = copy.deepcopy(model)\n    for layer in lambda_layers(model).values():",
             "    for layer in lambda_layers(model).values():"),
    Mutation("softmax of the keys over the depth", "explain.py", 'u=layer.dim_u).softmax(1)', 'u=layer.dim_u).softmax(2)', "tests/test_explain.py -k parts"),
    Mutation("the heads of a pixel mixed", "explain.py", '"b (h k) y x -> b h (y x) k"', '"b (k h) y x -> b h (y x) k"', "tests/test_explain.py -k parts"),
    Mutation("parts without the values' norm", "explain.py", "layer.norm_values(layer.to_values(features))",
             "layer.to_values(features)", "tests/test_explain.py -k parts"),
    Mutation("query and context change places", "explain.py", "position = einsum(\"bhnk,nmku->bhnmu\"",
             "position = einsum(\"bhnk,mnku->bhnmu\"", "tests/test_explain.py -k matrix"),
    Mutation("rank of one less", "explain.py", "torch.linalg.matrix_rank(rows) :]", "torch.linalg.matrix_rank(rows) + 1 :]", "tests/test_explain.py -k unseen"),
    Mutation("u before m", "explain.py", '"(m u) z -> z m u"', '"(u m) z -> z m u"', "tests/test_explain.py -k unseen"),
    Mutation("kernels with their axes turned", "explain.py", '"bhnk,kuyx->bhnuyx"', '"bhnk,kuxy->bhnuyx"', "tests/test_explain.py -k kernel_of"),
    Mutation("writers by the largest weight", "explain.py", "torch.special.entr(soft_keys).sum(1).exp()",
             "1 / soft_keys.amax(1)", "tests/test_explain.py -k writers"),
    Mutation("energy without the soft keys", "explain.py", 'einsum("bmku,bmvu->bkv", soft_keys, values))',
             'einsum("bmku,bmvu->bkv", soft_keys.softmax(1), values))', "tests/test_explain.py -k energies"),
    Mutation("heads share their mean", "explain.py", "queries.mean((0, 2), keepdim=True)", "queries.mean((0, 1, 2), keepdim=True)", "tests/test_explain.py -k variance"),
    Mutation("signed gradients cancel", "explain.py", "gradient.abs().sum((0, 1))", "gradient.sum((0, 1)).abs()", "tests/test_explain.py -k receptive"),
    Mutation("a corner for the centre", "explain.py", "features.shape[3] // 2].sum()", "0].sum()", "tests/test_explain.py -k receptive"),
    Mutation("a receptive field in train mode", "explain.py", "copy.deepcopy(model).eval()(images)", "copy.deepcopy(model)(images)", "tests/test_explain.py -k receptive"),
    Mutation("every layer gets the last layer's features", "explain.py", "inputs, name=name: found.update(",
             "inputs: found.update(", "tests/test_explain.py -k inputs"),
    Mutation("one image, wrong gradients", "explain.py", "expand(max(2, len(images)), -1, -1, -1)", "contiguous()",
             "tests/test_explain.py -k receptive"),
    Mutation("a map of any width", "explain.py", "    check_features(features, layer.to_keys.in_channels, layer.feat_size)\n", "", "tests/test_explain.py -k do_not_fit"),
    Mutation("statistics of all training images", "experiments/steering.py",
             "in (data.train_images[:STATISTICS_IMAGES], data.test_images)", "in (data.train_images, data.test_images)"),
    Mutation("a record of one entry", "experiments/steering.py", "read_steering(path) | measured", "measured"),
    # course/
    Mutation("a minus for positive cells", "course/figures/inside.py", "if weight < -0.25 * limit:",
             "if weight > 0.25 * limit:", "tests/course/test_figures.py"),
    Mutation("the frame on another pixel", "course/figures/inside.py", "pixel[1] / width, pixel[0] / height",
             "pixel[0] / width, pixel[1] / height", "tests/course/test_figures.py"),
    Mutation("one scale for all rows", "course/figures/inside.py", "for one in maps) or 1.0", "for maps in rows.values() for one in maps) or 1.0",
             "tests/course/test_figures.py"),
    Mutation("a window without its last row", "course/figures/inside.py", "field[top : bottom + 1,", "field[top:bottom,",
             "tests/course/test_figures.py"),
    Mutation("a child in its parent's column", "course/figures/beyond.py", "columns[parent] + 1, []",
             "columns[parent], []", "tests/course/test_figures.py"),
    Mutation("two leaves of a tree in one row", "course/figures/beyond.py", "return max(free, first + 1)", "return free",
             "tests/course/test_figures.py"),
    Mutation("the frame on the value before", "course/figures/beyond.py", "for n, value in enumerate(array(written)):",
             "for n, value in enumerate(array(written)[:-1], 1):", "tests/course/test_figures.py"),
    Mutation("checks hand out their own tensors", "course/probe.py",
             "argument.clone() if isinstance(argument, Tensor) else argument", "argument"),
    Mutation("a function's exit is not its mistake", "course/probe.py",
             "except (Exception, SystemExit) as error:  # noqa: BLE001\n        hint",
             "except Exception as error:\n        hint"),
    Mutation("a stub is wrong", "course/probe.py", "if not answer.any():", "if False:"),
    Mutation("a check may raise", "course/verdict.py", "except (Exception, SystemExit) as error:",
             "except ZeroDivisionError as error:"),
    Mutation("a check outlives Ctrl-C", "course/verdict.py", "except (Exception, SystemExit) as error:",
             "except BaseException as error:"),
    Mutation("no numbers are numbers", "course/verdict.py", "if tensor.is_meta:", "if False:"),
    Mutation("complex numbers are real", "course/verdict.py", "if tensor.is_complex():", "if False:"),
    Mutation("a sparse answer is none", "course/verdict.py",
             "(tensor if tensor.layout is torch.strided else tensor.to_dense())", "tensor"),
    Mutation("no function is a wrong one", "course/probe.py", "if function is None:", "if False:"),
    Mutation("wrong numbers are not shown", "course/probe.py", ", side_by_side(reference, answer, TOLERANCE)", ""),
    Mutation("axes of a learner's answer without names", "course/probe.py",
             "shape_difference(shape, answer.shape, axes)", "shape_difference(shape, answer.shape)"),
    Mutation("axes of a learner's array without names", "course/checks.py", "mine.shape, axes)", "mine.shape)"),
    Mutation("no block is a wrong one", "course/checks.py", "if make is None:", "if False:"),
    Mutation("markup in a message", "course/verdict.py", "{escape(self.message)}", "{self.message}"),
    Mutation("markup in the columns", "course/verdict.py", "{escape(self.detail)}", "{self.detail}"),
    Mutation("black text on dark pages", "course/verdict.py", "0.1); color: inherit", "0.1); color: black"),
    Mutation("too thick a tint", "course/verdict.py", "rgba({colour}, 0.1)", "rgba({colour}, 0.9)"),
    Mutation("columns in uneven letters", "course/verdict.py", "font-family: monospace; ", ""),
    Mutation("columns are lost in print", "course/verdict.py", 'f"\\n{self.detail}" if self.detail else ""', '""'),
    Mutation("columns are lost in a notebook", "course/verdict.py", "{escape(self.message)}{detail}", "{escape(self.message)}"),
    Mutation("one right verdict is enough", "course/verdict.py", "False if False in each else None", "True if True in each else None"),
    Mutation("an open exercise is a solved one", "course/verdict.py", "else None if None in each else True", "else True"),
    Mutation("a tuple of None is an answer", "course/verdict.py", "isinstance(value, (list, tuple)) and any(", "False and any("),
    Mutation("an error without words escapes", "course/verdict.py", 'return f"{type(error).__name__}: {error}"\n    except Exception:',
             'return f"{type(error).__name__}: {error}"\n    except ValueError:'),
    Mutation("a missing axis has another name", "course/compare_arrays.py", "names[without.index(found)]", "names[-1]"),
    Mutation("too many axes are only counted", "course/compare_arrays.py", "if expected in more:", "if False:"),
    Mutation("swapped axes are wrong sizes", "course/compare_arrays.py", "if sorted(expected) == sorted(found):", "if False:"),
    Mutation("a NaN is equal", "course/compare_arrays.py", "& ~((expected - found).abs() < tolerance)", "& ((expected - found).abs() >= tolerance)"),
    Mutation("the first entries in place of the first difference", "course/compare_arrays.py", "int(off.int().argmax())", "0"),
    Mutation("digits that hide the difference", "course/compare_arrays.py", "while digits < 9 and", "while digits < 3 and"),
    Mutation("expected and found exchanged", "course/compare_arrays.py", "for side in (expected, found)]", "for side in (found, expected)]"),
    Mutation("an index of the flat array", "course/compare_arrays.py", "torch.tensor(row[0]), shape)", "torch.tensor(row[0]), off.shape)"),
    Mutation("tried is solved", "course/progress.py", "sum(ok is True", "sum(ok is not None"),
    Mutation("progress takes anything", "course/progress.py", "if not isinstance(verdict,", "if False and not isinstance(verdict,"),
    Mutation("the answer before the guess", "course/questions/__init__.py", 'print("Guess first.")\n        return False', 'print("Guess first.")'),
    Mutation("no answer after the guess", "course/questions/__init__.py", "    return True\n", "    return False\n"),
    Mutation("too large to be a guess", "course/questions/question.py",
             "(TypeError, ValueError, OverflowError, RuntimeError)", "(TypeError, ValueError, RuntimeError)"),
    Mutation("words by case", "course/questions/question.py", '.strip(" ()").lower()', '.strip(" ()")'),
    Mutation("a choice hides its last word", "course/questions/question.py", " and {last}", ""),
    Mutation("a tensor is no guess", "course/questions/__init__.py", "isinstance(guess, (Tensor, np.ndarray))",
             "isinstance(guess, Tensor)"),
    Mutation("the deviation of all", "course/figures/results.py", "ddof=1", "ddof=0"),
    Mutation("accuracy in place of the error", "course/figures/results.py", "100 - 100 * record[", "100 * record["),
    Mutation("everything is significant", "course/figures/results.py", "if abs(difference) > half]", "]"),
    Mutation("shares of what was said", "course/figures/results.py", "counts.sum(1)", "counts.sum(0)"),
    Mutation("pale words", "course/figures/style.py", '"#b35400"', '"#e8730c"'),
    Mutation("names as pale as their dots", "course/figures/results.py",
             "{LIT: LIT_TEXT, GREY: GREY_TEXT}.get(colour, colour)", "colour"),
    Mutation("letters on the bars", "course/figures/style.py", 'va="top" if value >= 0 else "bottom"', 'va="top"'),
    Mutation("images that move with the number of colours", "course/figures/lambdas.py", "max(k, 4)", "k"),
    Mutation("a title above the canvas", "course/figures/cost.py", "y=1 - 0.08 / height", "y=1.08"),
    Mutation("a soft figure", "course/figures/output.py", "dpi=2 * PAGE_PIXELS", "dpi=PAGE_PIXELS"),
    Mutation("a soft frame", "course/figures/output.py", "set_dpi(2 * PAGE_PIXELS)", "set_dpi(PAGE_PIXELS)"),
    Mutation("twice the width", "course/figures/output.py", "width = image.width // 2", "width = image.width"),
    Mutation("photographs in few colours", "course/figures/output.py", "if (change > 16).mean() < 1e-3 else png", "if True else png"),
    Mutation("always few colours", "course/figures/output.py", "min(png, file.getvalue(), key=len)", "file.getvalue()"),
    Mutation("never few colours", "course/figures/output.py", "min(png, file.getvalue(), key=len)", "png"),
    Mutation("no words for the blind", "course/figures/output.py", '"alt": alt}', '"alt": ""}'),
    Mutation("a figure shown twice", "course/figures/output.py",
             "    plt.close(figure)\n    image =", "    image ="),
    Mutation("a caption of blanks", "course/figures/output.py", "if not words.strip():", "if not words:"),
    Mutation("a slow figure follows the mouse", "course/widgets.py", "continuous_update = fastest < LIVE",
             "continuous_update = True"),
    Mutation("no figure follows the mouse", "course/widgets.py", "continuous_update = fastest < LIVE",
             "continuous_update = False"),
    Mutation("the slowest frame decides", "course/widgets.py", "fastest = min(fastest,", "fastest = max(0,"),
    Mutation("no sign of drawing", "course/widgets.py", "if fastest >= LIVE:", "if False:"),
    Mutation("an error is HTML", "course/widgets.py", 'html.escape(f"{type(error).__name__}: {error}")',
             'f"{type(error).__name__}: {error}"'),
    Mutation("no alternative text", "course/widgets.py", "html.escape(alt)", '""'),
    Mutation("a quote ends the alternative text", "course/widgets.py", "html.escape(alt)", "alt"),
    Mutation("a frame of four times the size", "course/widgets.py", '"big") // 2', '"big")'),
    Mutation("labels of many widths", "course/widgets.py", "description_width = label", 'description_width = "initial"'),
    Mutation("buttons without a name", "course/widgets.py", "tooltips=[", "icons=[] and ["),
    Mutation("a label above its buttons", "course/widgets.py", 'add_class("widget-inline-hbox")', 'add_class("x")'),
    Mutation("one plane for all", "course/examples.py", "read_plane().clone()", "read_plane()"),
    Mutation("a sample decoded at each frame", "course/examples.py", "@cache\n", ""),
    Mutation("a file without an end", "training/cifar10.py", "if have + got + len(block) > size:", "if False:"),
]


def mutate(mutation: Mutation, root: Path) -> None:
    """Break one line of the copy at root. Raises ValueError if the line is not there exactly once."""
    path = root / "lambdalib" / mutation.file
    source = path.read_text(encoding="utf-8")
    times = source.count(mutation.old)
    if times != 1:
        raise ValueError(f"{mutation.name}: {mutation.old!r} occurs {times} times in {mutation.file}, not once")
    path.write_text(source.replace(mutation.old, mutation.new), encoding="utf-8")


def selection(mutation: Mutation) -> str:
    return mutation.tests or TESTS[mutation.file]


def prepare() -> None:
    """Import what takes seconds once, before the forks: PyTorch and the other packages, but nothing that is broken."""
    for name in PACKAGES:
        importlib.import_module(name)
    sys.dont_write_bytecode = True
    torch = sys.modules["torch"]
    torch.set_num_threads(1)


def start(tests: str, mutation: Mutation | None) -> tuple[int, Path]:
    """Run tests on a copy of the project in a process of its own, broken if a mutation is given: its number, the folder."""
    root = Path(tempfile.mkdtemp(prefix="mutant-"))
    for name in ("lambdalib", "tests", "tools"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("conftest.py", "pyproject.toml", "README.md", "RESULTS.md"):  # settings; and the pages of numbers
        shutil.copy(ROOT / name, root)
    if mutation:
        mutate(mutation, root)
    if process := os.fork():
        return process, root
    with open(root / "output.txt", "wb") as output:  # the child, which never returns
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    signal.alarm(SECONDS)
    os.chdir(root)
    here = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tools")]
    sys.path[:] = [str(root), str(root / "tests"), *(path for path in sys.path if path not in here)]
    os.environ |= {"PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}", "OMP_NUM_THREADS": "1"}
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.modules.pop("mutations", None)
    os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:faulthandler", *split(tests)])))


def run_all(jobs: list[tuple[str, Mutation | None]]) -> Iterator[tuple[str, Mutation | None, int, float, str]]:
    """Run the jobs, as many at once as there are cores: tests, mutation, pytest's exit code, seconds, output."""
    waiting, running = list(jobs), {}
    try:
        while waiting or running:
            while waiting and len(running) < (os.cpu_count() or 1):
                job = waiting.pop(0)
                process, root = start(*job)
                running[process] = job, root, time.perf_counter()
            process, status = os.wait()
            (tests, mutation), root, began = running.pop(process)
            text = (root / "output.txt").read_text(encoding="utf-8", errors="replace")
            shutil.rmtree(root, ignore_errors=True)
            yield tests, mutation, os.waitstatus_to_exitcode(status), time.perf_counter() - began, text
    finally:
        for process, (_, root, _) in running.items():
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            shutil.rmtree(root, ignore_errors=True)


def split(tests: str) -> list[str]:
    """Arguments of a selection; everything after -k is one expression."""
    paths, _, expression = tests.partition(" -k ")
    return [*paths.split(), *(["-k", expression] if expression else [])]


def main(words: list[str]) -> int:
    chosen = [m for m in MUTATIONS if not words or any(word in m.name for word in words)]
    if not chosen:
        names = ", ".join(m.name for m in MUTATIONS)
        print(f"NAME must be part of one of: {names}; got {' '.join(words)}", file=sys.stderr)
        return 2
    prepare()
    selections = sorted({selection(m).partition(" -k ")[0] for m in chosen})
    for tests, _, code, seconds, text in run_all([(tests, None) for tests in selections]):
        print(f"{'ok' if code == 0 else 'FAILS':9}{seconds:6.1f} s  unbroken: {tests}", flush=True)
        if code:
            print(text)
            return 1
    survivors = 0
    for _, mutation, code, seconds, text in run_all([(selection(m), m) for m in chosen]):
        survivors += code != 1  # 1: tests ran and failed; anything else is no verdict
        verdict = {0: "SURVIVED", 1: "caught"}.get(code, f"BROKEN {code}")
        print(f"{verdict:9}{seconds:6.1f} s  {mutation.file}: {mutation.name}", flush=True)
        if code not in (0, 1):
            print(text)
    print(f"{len(chosen) - survivors} of {len(chosen)} caught")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
