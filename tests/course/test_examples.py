"""The plane is read once, and nobody can spoil it for the next cell."""

from lambdalib.course import examples


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
