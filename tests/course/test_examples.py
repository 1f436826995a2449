"""The plane is read once, and nobody can spoil it for the next cell."""

import torch

from lambdalib.course import examples


def test_on_the_strip_one_row_of_keys_has_no_favourite_and_one_prefers_yellow():
    soft_keys = examples.strip().keys.softmax(dim=1)[0, ..., 0]  # (m, k)
    expected = torch.tensor([[2, 2, 2, 2], [1, 1, 1, 5]], dtype=torch.float64) / 8
    torch.testing.assert_close(soft_keys.T, expected)


def test_a_changed_plane_is_yours_alone():
    first = examples.plane()
    assert first.shape == (3, 32, 32) and 0.9 < float(first.max()) <= 1
    kept = first.clone()
    first.zero_()
    assert examples.plane().equal(kept)


def test_the_sample_is_decoded_once(monkeypatch):
    examples.plane()
    monkeypatch.setattr(examples, "load_sample", None)  # calling it again would raise
    assert examples.plane().equal(examples.plane_colours()[0, :, :, 0].T.view(3, 32, 32))
