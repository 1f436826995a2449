"""The formulas as plain loops: slow, obvious, and written apart from the library that they judge.

Everything is built from lists and sums of small products, so autograd gives the gradients of the formulas as well.
"""

import torch


def loop_content_lambda(keys, values):
    """λᶜ[k, v] = Σ_m Σ_u exp(K[m, k, u]) / (Σ_m' exp(K[m', k, u])) · V[m, v, u], one example at a time."""
    (batch, context, _, intra), lambdas = keys.shape, []
    for b in range(batch):
        total = 0
        for u in range(intra):
            sums = sum(keys[b, m, :, u].exp() for m in range(context))
            total = total + sum(
                torch.outer(keys[b, m, :, u].exp() / sums, values[b, m, :, u]) for m in range(context)
            )
        lambdas.append(total)
    return torch.stack(lambdas)


def loop_embeddings(table, height, width):
    """E[n, m] = T[:, :, i, j] where (i - r_y//2, j - r_x//2) leads from pixel n to pixel m, else 0."""
    k, u, r_y, r_x = table.shape
    sheets = []
    for y in range(height):
        for x in range(width):
            for p in range(height):
                for q in range(width):
                    i, j = p - y + r_y // 2, q - x + r_x // 2
                    seen = 0 <= i < r_y and 0 <= j < r_x
                    sheets.append(table[:, :, i, j] if seen else table.new_zeros(k, u))
    return torch.stack(sheets).view(height * width, height * width, k, u)


def loop_position_lambdas(table, values, height, width):
    """λᵖ[n] = Σ over taps (i, j) and u of T[:, u, i, j] ⊗ V[n + (i - r_y//2, j - r_x//2), :, u], where that pixel
    exists.
    """
    (batch, _, v, intra), (k, _, r_y, r_x) = values.shape, table.shape
    lambdas = []
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                total = values.new_zeros(k, v)
                for i in range(r_y):
                    for j in range(r_x):
                        p, q = y + i - r_y // 2, x + j - r_x // 2
                        if 0 <= p < height and 0 <= q < width:
                            for u in range(intra):
                                total = total + torch.outer(table[:, u, i, j], values[b, p * width + q, :, u])
                lambdas.append(total)
    return torch.stack(lambdas).view(batch, height * width, k, v)


def loop_apply(queries, lambdas):
    """y[b, h, n] = λᵀ q, with the lambda of the position, or the one that all positions share."""
    batch, heads, positions, _ = queries.shape
    rows = []
    for b in range(batch):
        for h in range(heads):
            for n in range(positions):
                lambda_n = lambdas[b] if lambdas.dim() == 3 else lambdas[b, n]
                rows.append(lambda_n.T @ queries[b, h, n])
    return torch.stack(rows).view(batch, heads, positions, -1)


def loop_norm(norm, maps):
    """Batch-norm by its formula: over the batch and the pixels in train mode, by the running statistics in eval
    mode.
    """
    channels = []
    for c in range(maps.shape[1]):
        one = maps[:, c]
        mean, variance = (
            (one.mean(), one.var(correction=0)) if norm.training else (norm.running_mean[c], norm.running_var[c])
        )
        channels.append((one - mean) / (variance + norm.eps).sqrt() * norm.weight[c] + norm.bias[c])
    return torch.stack(channels, dim=1)


def loop_layer(layer, features):
    """The whole layer at stride 1: projections, norms, heads (k fastest), intra-depth (u fastest), output head-
    major.
    """
    batch, dim, height, width = features.shape
    heads, k, u, v = layer.heads, layer.dim_k, layer.dim_u, layer.dim_v

    def project(conv):
        return torch.stack(
            [
                torch.stack(
                    [conv.weight[:, :, 0, 0] @ features[b, :, y, x] for y in range(height) for x in range(width)],
                    dim=1,
                )
                for b in range(batch)
            ]
        )  # (b, channels, n)

    q = loop_norm(layer.norm_queries, project(layer.to_queries))
    key = project(layer.to_keys)
    value = loop_norm(layer.norm_values, project(layer.to_values))
    queries = torch.stack([torch.stack([q[:, h * k + i] for i in range(k)], dim=-1) for h in range(heads)], dim=1)
    keys = torch.stack([torch.stack([key[:, i * u + j] for j in range(u)], dim=-1) for i in range(k)], dim=2)
    values = torch.stack([torch.stack([value[:, i * u + j] for j in range(u)], dim=-1) for i in range(v)], dim=2)

    lambdas = (
        loop_position_lambdas(layer.table, values, height, width) + loop_content_lambda(keys, values)[:, None]
    )
    if layer.position_bias is not None:
        lambdas = lambdas + layer.position_bias[:, None]
    output = loop_apply(queries, lambdas)
    return torch.stack(
        [output[:, h, :, i].view(batch, height, width) for h in range(heads) for i in range(v)], dim=1
    )
