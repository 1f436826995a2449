"""The data: the sample that ships with lambdalib, the augmentation, the order of an epoch. The sources:
test_cifar10.py."""

import pytest
import torch
import torchvision

from lambdalib.training import cifar10, data, distributed

# --------------------------------------------------------------------------------------------------
# The sample


def test_sample_is_real_balanced_and_small():
    sample = data.load_cifar10(source="sample")
    assert sample.source == "sample"
    assert sample.train_images.shape == (2000, 3, 32, 32) and sample.test_images.shape == (500, 3, 32, 32)
    assert sample.train_images.dtype == torch.uint8
    assert (
        sample.train_labels.bincount().tolist() == [200] * 10
        and sample.test_labels.bincount().tolist() == [50] * 10
    )
    for index, size in ((sample.train_index, 50000), (sample.test_index, 10000)):
        assert (index.diff() > 0).all() and 0 <= index[0] and index[-1] < size
    assert sample.train_labels[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]  # as everyone's first ten
    assert sample.train_images[0, :, 0, 0].tolist() == [59, 62, 63]  # the first frog's first pixel
    size = sum(
        path.stat().st_size for path in (data.files("lambdalib") / "assets").iterdir() if "sample" in path.name
    )
    assert 500_000 < size < 5_000_000


def test_the_plane_is_in_the_sample():
    sample = data.load_sample()
    found = (sample.test_index == 44).nonzero()
    assert found.shape == (1, 1)
    plane = sample.test_images[found[0, 0]].int()
    assert data.CLASSES[sample.test_labels[found[0, 0]]] == "airplane"
    red, green, blue = plane
    yellow, sky = (red > 150) & (green > 130) & (blue < 100), (blue > red + 40)
    assert yellow.sum() > 20 and sky.sum() > 100


def test_a_damaged_sample_is_noticed(monkeypatch):
    cut = data.cut_mosaic
    monkeypatch.setattr(data, "cut_mosaic", lambda mosaic: cut(mosaic).flip(3))
    with pytest.raises(cifar10.DataError, match="not the pixels"):
        data.load_sample()


def test_validation_images_are_not_trained_on():
    sample = data.load_sample()
    split = data.split_validation(sample, 300)
    assert [len(part) for part in split[:6]] == [1700, 1700, 300, 300, 1700, 300]
    assert torch.equal(torch.cat([split.train_images, split.test_images]), sample.train_images)
    assert torch.equal(torch.cat([split.train_labels, split.test_labels]), sample.train_labels)
    assert torch.equal(torch.cat([split.train_index, split.test_index]), sample.train_index)
    assert data.split_validation(sample, 0) is sample
    for count in (-1, 2000):
        with pytest.raises(ValueError, match=f"validation_images must be from 0 to 1999, got {count}"):
            data.split_validation(sample, count)


def test_sample_statistics_are_near_the_published_ones():
    images = data.load_sample().train_images.double().div(255).transpose(0, 1).flatten(1)
    torch.testing.assert_close(images.mean(1), torch.tensor(data.MEAN).double(), atol=0.01, rtol=0)
    torch.testing.assert_close(images.std(1), torch.tensor(data.STD).double(), atol=0.01, rtol=0)


# --------------------------------------------------------------------------------------------------
# Augmentation

FORMATS = [torch.contiguous_format, torch.channels_last]
DTYPES = [torch.uint8, torch.float32, torch.bfloat16]


def images_of(b=11, H=13, W=7, dtype=torch.uint8, memory_format=torch.contiguous_format):
    """Random (b, 3, H, W) pictures, no two pixels of a colour alike in expectation."""
    made = torch.randint(256, (b, 3, H, W), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
    return made.to(dtype).contiguous(memory_format=memory_format)


AUGMENTATIONS = {
    "crop": lambda x: data.random_crop(x, 3, data.generator_at(5)),
    "flip": lambda x: data.random_flip(x, data.generator_at(5)),
    "alternating": lambda x: data.alternating_flip(x, torch.arange(len(x)), 1),
    "cutout": lambda x: data.cutout(x, 5, data.generator_at(5)),
}


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("memory_format", FORMATS)
def test_augmentation_keeps_form_and_repeats(name, dtype, memory_format):
    images = images_of(dtype=dtype, memory_format=memory_format)
    before = images.clone()
    once, again = AUGMENTATIONS[name](images), AUGMENTATIONS[name](images)
    assert torch.equal(images, before)  # its input is left alone
    assert torch.equal(once, again) and not torch.equal(once, images)
    assert once.dtype == dtype and once.shape == images.shape
    assert once.is_contiguous(memory_format=memory_format)
    if name != "cutout":  # whose colour is 0 for floats
        assert torch.equal(once.float(), AUGMENTATIONS[name](images_of()).float())


def test_crop_is_a_window_of_the_mirrored_picture():
    """Against torch's own reflection padding, window by window."""
    p, images = 4, images_of(b=211, H=11, W=7)
    padded = torch.nn.functional.pad(images.float(), (p, p, p, p), mode="reflect").byte()
    cropped = data.random_crop(images, p, data.generator_at(8))
    seen = set()
    for b in range(len(images)):
        fits = [
            (y, x)
            for y in range(2 * p + 1)
            for x in range(2 * p + 1)
            if torch.equal(cropped[b], padded[b, :, y : y + 11, x : x + 7])
        ]
        assert len(fits) == 1
        seen.add(fits[0])
    assert len(seen) > 65  # of 81 windows; 211 draws leave out 6 on average
    assert {y for y, _ in seen} == {x for _, x in seen} == set(range(9))


def test_crop_without_padding_is_the_picture():
    assert torch.equal(data.random_crop(images_of(), 0, data.generator_at(0)), images_of())


@pytest.mark.parametrize("padding", [-1, 7])
def test_crop_refuses(padding):
    with pytest.raises(ValueError, match=f"padding={padding}: choose 0 <= padding < 7"):
        data.random_crop(images_of(), padding, data.generator_at(0))


def flipped(images, result):
    """Which pictures were mirrored, (b,) bool; fails if any is neither itself nor its mirror image."""
    same, mirrored = ((result == x).flatten(1).all(1) for x in (images, images.flip(3)))
    assert (same ^ mirrored).all()
    return mirrored


def test_random_flip_mirrors_half():
    images = images_of(b=997, H=3, W=5)
    share = flipped(images, data.random_flip(images, data.generator_at(1))).float().mean()
    assert abs(share - 0.5) < 0.06  # about four standard deviations


def test_alternating_flip_alternates():
    images, rows = (
        images_of(b=997, H=3, W=5),
        torch.randperm(50021, generator=torch.Generator().manual_seed(0))[:997],
    )
    by_epoch = [flipped(images, data.alternating_flip(images, rows, epoch, seed=4)) for epoch in range(4)]
    assert torch.equal(by_epoch[1], ~by_epoch[0])
    assert torch.equal(by_epoch[2], by_epoch[0]) and torch.equal(by_epoch[3], by_epoch[1])
    assert abs(by_epoch[0].float().mean() - 0.5) < 0.06
    other = flipped(images, data.alternating_flip(images, rows, 0, seed=5))
    assert abs((other == by_epoch[0]).float().mean() - 0.5) < 0.06  # another seed, other coins
    order = torch.randperm(997, generator=torch.Generator().manual_seed(1))
    shuffled = flipped(images[order], data.alternating_flip(images[order], rows[order], 0, seed=4))
    assert torch.equal(
        shuffled, by_epoch[0][order]
    )  # a coin belongs to the picture, not to its place in the batch


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_cutout_paints_one_square_in_the_mean_colour(dtype):
    b, size, H, W = 499, 4, 11, 7
    images = torch.full((b, 3, H, W), 7, dtype=dtype)
    result = data.cutout(images, size, data.generator_at(2))
    colour = torch.tensor([125, 122, 113] if dtype == torch.uint8 else [0, 0, 0]).to(dtype)
    painted = (result == colour.view(3, 1, 1)).all(1)
    assert torch.equal(result.movedim(1, -1)[~painted], images.movedim(1, -1)[~painted])
    heights, widths = painted.any(2).sum(1), painted.any(1).sum(1)
    assert torch.equal(painted.sum((1, 2)), heights * widths)  # a filled rectangle each
    assert heights.max() == widths.max() == size and heights.min() == widths.min() == size // 2
    assert painted.any(0).all()  # every pixel may be hit


def test_cutout_of_nothing_and_of_less():
    assert torch.equal(data.cutout(images_of(), 0, data.generator_at(0)), images_of())
    with pytest.raises(ValueError, match="size=-2"):
        data.cutout(images_of(), -2, data.generator_at(0))


@pytest.mark.parametrize("memory_format", FORMATS)
def test_normalize(memory_format):
    images = images_of(memory_format=memory_format)
    expected = torchvision.transforms.functional.normalize(images.float() / 255, data.MEAN, data.STD)
    torch.testing.assert_close(data.normalize(images), expected)
    assert data.normalize(images).is_contiguous(memory_format=memory_format)
    for dtype in (torch.float16, torch.bfloat16):
        assert torch.equal(data.normalize(images, dtype), data.normalize(images).to(dtype))  # rounded once
    with pytest.raises(ValueError, match="torch.float32"):
        data.normalize(images.float())


# --------------------------------------------------------------------------------------------------
# Epochs


def steps(start, stop, batch_size=5, n=23, seed=0, **options):
    """Finished batches; 23 images make epochs of 4 steps."""
    images, labels = images_of(b=n), torch.arange(n)
    return list(data.batches(images, labels, batch_size, seed=seed, start=start, stop=stop, **options))


def same(left, right):
    return len(left) == len(right) and all(torch.equal(a, b) for x, y in zip(left, right) for a, b in zip(x, y))


def triangle_filter(size, side):
    """The (side, size) matrix that scales a row of pixels: each new pixel is a mean with triangular weights.

    A new pixel covers size/side old ones; the triangle reaches as far to each side, but at least one pixel, and is
    cut off at the border.
    """
    scale = size / side
    reach = max(scale, 1.0)
    middles = (torch.arange(side, dtype=torch.float64) + 0.5) * scale
    weights = (1 - (torch.arange(size) + 0.5 - middles[:, None]).abs() / reach).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("side", [3, 5, 8, 12, 16, 24])
def test_resize_by_its_formula(side, memory_format):
    images = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    along = triangle_filter(16, side)
    by_hand = torch.einsum("yi, xj, bdij -> bdyx", along, along, images)
    resized = data.resize(images.contiguous(memory_format=memory_format), side)
    torch.testing.assert_close(resized, by_hand)
    assert resized.is_contiguous(memory_format=memory_format) and resized.shape == (3, 3, side, side)
    single = data.resize(images.float(), side)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single, by_hand.float(), rtol=1e-5, atol=1e-5)


def test_images_of_the_right_size_are_not_touched():
    images = torch.randn(2, 3, 16, 16)
    assert data.resize(images, 16) is images


def test_batches_have_the_size_of_their_step():
    images, labels = images_of(12, 12, 12), torch.arange(12)
    steps = {"stop": 6, "augment": data.Augment(2, "random"), "memory_format": torch.channels_last}
    sides = [5, 5, 8, 8, 12, 12]
    full = list(data.batches(images, labels, 4, **steps))
    assert full[0][0].shape[2:] == (12, 12)
    for start in (0, 3):
        resized = data.batches(images, labels, 4, start=start, side=sides.__getitem__, **steps)
        for step, (batch, targets) in enumerate(resized, start=start):
            assert torch.equal(batch, data.resize(full[step][0], sides[step]))
            assert torch.equal(targets, full[step][1]) and batch.shape == (4, 3, sides[step], sides[step])
            assert batch.is_contiguous(memory_format=torch.channels_last)


def test_an_epoch_visits_each_image_at_most_once_with_its_label():
    epoch = steps(4, 8)
    images, labels = torch.cat([x for x, _ in epoch]), torch.cat([y for _, y in epoch])
    assert len(epoch) == 4 and all(len(x) == 5 for x, _ in epoch)
    assert len(labels.unique()) == 20 and labels.tolist() != sorted(labels.tolist())
    assert torch.equal(images, data.normalize(images_of(b=23)[labels]))


@pytest.mark.parametrize("memory_format", FORMATS)
def test_batches_are_finished(memory_format, monkeypatch):
    """Augmented by the epoch and its step, normalized, in memory layout, and of several processes each has its
    part."""
    augment, images = data.Augment(2, "random", 3), images_of(b=24)
    order = data.epoch_order(24, seed=3, epoch=1)[8:16]
    whole = data.normalize(augment(images[order], order, seed=3, epoch=1, step=1))
    options = {"seed": 3, "augment": augment, "memory_format": memory_format}
    seen, labels = next(data.batches(images, torch.arange(24), 8, start=4, **options))
    assert torch.equal(seen, whole) and torch.equal(labels, order) and seen.dtype == torch.float32
    assert seen.is_contiguous(memory_format=memory_format)
    monkeypatch.setattr(distributed, "size", lambda: 4)
    monkeypatch.setattr(distributed, "rank", lambda: 2)
    part, labels = next(data.batches(images, torch.arange(24), 8, start=4, **options))
    assert torch.equal(part, whole[4:6]) and torch.equal(labels, order[4:6])
    assert part.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("augment", [None, data.Augment(), data.Augment(3, "random", 4)])
@pytest.mark.parametrize("start", [0, 1, 3, 4, 9])
def test_resuming_at_a_step_is_exact(augment, start):
    whole = steps(0, 11, augment=augment)
    torch.manual_seed(99)  # the global generator has no say
    assert same(steps(start, 11, augment=augment), whole[start:])


def test_batches_without_a_stop_go_on():
    endless = data.batches(images_of(b=23), torch.arange(23), 5)
    assert same([next(endless) for _ in range(9)], steps(0, 9))


def test_epochs_and_seeds_differ():
    augment = data.Augment()
    base = steps(0, 4, augment=augment)
    assert not same(base, steps(4, 8, augment=augment)) and not same(base, steps(0, 4, seed=1, augment=augment))
    orders = [tuple(data.epoch_order(23, seed, epoch).tolist()) for seed in range(3) for epoch in range(3)]
    assert len(set(orders)) == 9 and all(sorted(order) == list(range(23)) for order in orders)


def test_steps_of_an_epoch_draw_different_shifts():
    images = images_of(b=1).expand(20, -1, -1, -1)  # one image twenty times: what differs is the augmentation
    first, second = (
        x for x, _ in data.batches(images, torch.zeros(20).long(), 10, stop=2, augment=data.Augment(2, "none"))
    )
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    "augment, parts",
    [
        (data.Augment(0, "none", 0), ""),
        (data.Augment(2, "none", 0), "crop"),
        (data.Augment(0, "random", 0), "flip"),
        (data.Augment(0, "alternating", 0), "alternate"),
        (data.Augment(0, "none", 3), "cutout"),
        (data.Augment(2, "random", 3), "crop flip cutout"),
    ],
)
def test_augment_does_what_its_fields_say(augment, parts):
    images, rows, generator = images_of(), torch.arange(11) + 7, data.generator_at(6, "augment", 1, 2)
    expected = images
    for part in parts.split():
        expected = {
            "crop": lambda x: data.random_crop(x, 2, generator),
            "flip": lambda x: data.random_flip(x, generator),
            "alternate": lambda x: data.alternating_flip(x, rows, 1, 6),
            "cutout": lambda x: data.cutout(x, 3, generator),
        }[part](expected)
    assert torch.equal(augment(images, rows, seed=6, epoch=1, step=2), expected)
    assert torch.equal(expected, images) == (parts == "")


@pytest.mark.parametrize(
    "words, options",
    [
        ("batch_size must be from 1 to 23, the number of images, got 0", {"batch_size": 0}),
        ("batch_size must be from 1 to 23, the number of images, got 24", {"batch_size": 24}),
        ("start and stop must be steps with 0 <= start <= stop, got 5 and 4", {"start": 5, "stop": 4}),
        ("got -1 and None", {"start": -1}),
    ],
)
def test_batches_refuses(words, options):
    images, labels = images_of(b=23), torch.arange(23)
    with pytest.raises(ValueError, match=words):  # at the call, before any step is asked for
        data.batches(images, labels, **({"batch_size": 5} | options))


def test_augment_refuses():
    with pytest.raises(ValueError, match="flip='vertical': choose 'alternating', 'random' or 'none'"):
        data.Augment(flip="vertical")
