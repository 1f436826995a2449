"""Two puzzles that tell the halves of a lambda layer apart. Taught in notebooks/04_lambda_layer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lambdalib.arguments import check_generator, check_module, check_sizes

__all__ = ["puzzles", "train_on_puzzles"]


def puzzles(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Images with a random marker, and two questions about every pixel. Taught in notebooks/04_lambda_layer.

    A, edge: is my right neighbour brighter than my left one? B, far marker: is the marker blue?

    Args:
        count: b, the number of images.
        generator: of the random numbers.
    Returns:
        Images (b, 3, 8, 8): brightness, the marker if it is red, the marker if it is blue.
        The true answers (b, 2, 8, 8), yes = 1.
        Where they are scored (b, 2, 8, 8): A not in the first and last column, B not at the marker or beside it.
    Raises:
        ValueError: count is no positive integer, or generator no torch.Generator.
    """
    check_sizes(count=count)
    check_generator(generator=generator)
    brightness = torch.rand(count, 8, 8, generator=generator)
    blue = torch.randint(2, (count, 1, 1), generator=generator).float()
    marker = F.one_hot(torch.randint(64, (count,), generator=generator), 64).view(count, 8, 8).float()
    right, left = brightness.roll(-1, 2), brightness.roll(1, 2)
    inside = torch.ones(count, 8, 8)
    inside[:, :, [0, 7]] = 0  # these columns lack a neighbour
    far = 1 - F.max_pool2d(marker, 3, 1, 1)
    images = torch.stack([brightness, marker * (1 - blue), marker * blue], 1)
    truth = torch.stack([(right > left).float(), blue.expand_as(brightness)], 1)
    return images, truth, torch.stack([inside, far], 1)


def train_on_puzzles(model: nn.Module, steps: int = 300) -> nn.Module:
    """Train on both puzzles at once, on fresh images in every step. Taught in notebooks/04_lambda_layer.

    Args:
        model: (b, 3, 8, 8) -> (b, 2, 8, 8), above 0 for yes.
        steps: of Adam, with 32 images each.
    Returns:
        The model, in eval mode.
    Raises:
        ValueError: model is no module, or steps is no positive integer.
    """
    check_module(model=model)
    check_sizes(steps=steps)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=steps)
    for _ in range(steps):
        images, truth, scored = puzzles(32, generator)
        losses = F.binary_cross_entropy_with_logits(model(images), truth, reduction="none")
        optimizer.zero_grad()
        ((losses * scored).sum() / scored.sum()).backward()
        optimizer.step()
        schedule.step()
    return model.eval()
