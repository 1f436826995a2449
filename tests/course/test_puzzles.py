"""The puzzles of lesson 04: the answers are true, and a model learns them."""

import pytest
import torch
from torch import nn

from lambdalib.course.puzzles import puzzles, train_on_puzzles


@pytest.fixture
def made():
    return puzzles(23, torch.Generator().manual_seed(0))


def test_every_answer_is_true(made):
    images, truth, scored = made
    assert images.shape == (23, 3, 8, 8) and truth.shape == scored.shape == (23, 2, 8, 8)
    for image, (edge, marker), (inside, far) in zip(images, truth, scored):
        (place,) = image[1:].sum(0).nonzero().tolist()
        is_blue = bool(image[2].any())
        for row in range(8):
            for column in range(8):
                assert bool(inside[row, column]) == (0 < column < 7)
                if inside[row, column]:
                    assert bool(edge[row, column]) == bool(image[0, row, column + 1] > image[0, row, column - 1])
                distance = max(abs(row - place[0]), abs(column - place[1]))
                assert bool(far[row, column]) == (distance > 1) and bool(marker[row, column]) == is_blue


def test_both_colours_and_many_places_occur(made):
    images = made[0]
    places = {(row, column) for _, row, column in images[:, 1:].sum(1).nonzero().tolist()}
    assert 5 < images[:, 2].sum() < 18 and len(places) > 10


def test_what_can_be_learned_is_learned():
    """A 1 × 3 convolution sees the neighbours and no marker far away."""
    torch.manual_seed(0)
    model = train_on_puzzles(nn.Conv2d(3, 2, (1, 3), padding=(0, 1)), steps=200)
    assert not model.training
    images, truth, scored = puzzles(200, torch.Generator().manual_seed(1))
    right = ((model(images) > 0) == (truth > 0.5)) * scored
    edge, marker = right.sum((0, 2, 3)) / scored.sum((0, 2, 3))
    assert edge > 0.9 and 0.4 < marker < 0.6
