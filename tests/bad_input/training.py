"""Wrong calls of lambdalib/training: recipes, data, models and devices."""

from dataclasses import replace
from math import inf, nan

import torch
from bad_input.case import Case

from lambdalib.training import callbacks, checkpoint, data, evidence, folders, recipes, train
from lambdalib.training.cifar10 import ImageSplits
from lambdalib.training.recipes import Recipe
from lambdalib.training.run import Run

IMAGES, LABELS = torch.zeros(8, 3, 16, 16, dtype=torch.uint8), torch.arange(8)
DATA = ImageSplits(IMAGES, LABELS, IMAGES, LABELS, LABELS, LABELS, "sample")
RECIPE = Recipe(
    model="tiny", model_kwargs={"layout": "CCC"}, epochs=1, batch_size=8, image_size=16, dtype="float32", padding=0
)
RANDOM = torch.Generator()
EIGHT = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 8))
FACTORS = [  # argument of lr_factor, value, a word of what is allowed
    ("step", -1, "at least 0"),
    ("step", 0.5, "an integer"),
    ("step", True, "an integer"),
    ("step", nan, "an integer"),
    ("total", 0, "a positive integer"),
    ("total", None, "a positive integer"),
    ("total", inf, "a positive integer"),
    ("warmup", 2, "from 0 to 1"),
    ("warmup", -0.1, "from 0 to 1"),
    ("warmup", nan, "from 0 to 1"),
    ("warmup", "0.1", "from 0 to 1"),
    ("schedule", "square", "'cosine'"),
    ("schedule", None, "'linear'"),
    ("schedule", ["linear"], "'linear'"),
    ("min_factor", inf, "from 0 to 1"),
    ("min_factor", True, "from 0 to 1"),
    ("cycle", -3, "at least 0"),
    ("cycle", 0, "above 0"),
    ("cycle", nan, "finite"),
    ("cycle", [], "a number"),
]
SIDES = [  # argument of image_side, value, a word of what is allowed
    ("step", -1, "at least 0"),
    ("step", None, "an integer"),
    ("step", 1.5, "an integer"),
    ("recipe", "demo", "a Recipe"),
    ("recipe", None, "a Recipe"),
    ("total", 0, "a positive integer"),
    ("total", "9", "a positive integer"),
]

# field, value, a word of what is allowed
FIELDS = [
    ("model", None, "a string"),
    ("model", 18, "a string"),
    ("model_kwargs", [], "a dict"),
    ("model_kwargs", None, "a dict"),
    ("model_kwargs", {"colour": 1}, "options of create_model"),
    ("model_kwargs", {1: 2}, "options of create_model"),
    ("epochs", "24", "a number"),
    ("epochs", True, "a number"),
    ("epochs", 0, "positive"),
    ("epochs", nan, "positive"),
    ("epochs", inf, "positive"),
    ("epochs", 1e300, "at most 10^6"),
    ("batch_size", 1.5, "a whole number"),
    ("batch_size", 0, "at least 1"),
    ("batch_size", 2**63, "below 2^63"),
    ("optimizer", "rmsprop", "'sgd' or 'adam'"),
    ("optimizer", None, "a string"),
    ("lr", 0, "positive"),
    ("lr", nan, "positive"),
    ("lr", 10**400, "below 2^63"),
    ("lr", 1j, "a number"),
    ("bias_lr_multiplier", -1, "positive"),
    ("bias_lr_multiplier", inf, "positive"),
    ("momentum", 1, "below 1"),
    ("momentum", nan, "below 1"),
    ("weight_decay", inf, "finite"),
    ("weight_decay", -0.1, "at least 0"),
    ("whiten", 1, "true or false"),
    ("label_smoothing", 1.0, "below 1"),
    ("label_smoothing", None, "a number"),
    ("warmup", -0.1, "a share of the steps"),
    ("warmup", 2, "a share of the steps"),
    ("schedule", "square", "'linear' or 'cosine'"),
    ("schedule", 3, "a string"),
    ("min_lr", 0.2, "below lr, 0.2"),
    ("min_lr", -1, "at least 0"),
    ("restart_period", 0, "positive"),
    ("restart_period", "10", "a number or None"),
    ("ema", 1, "between 0 and 1"),
    ("ema", nan, "between 0 and 1"),
    ("flip", "up", "'alternating'"),
    ("flip", [], "a string"),
    ("image_size", 0, "at least 1 pixel"),
    ("image_size", 32.0, "a whole number"),
    ("progressive_resizing", [16, 2], "a dict"),
    ("progressive_resizing", {32: 1}, "below image_size, 32"),
    ("progressive_resizing", {24: 1, 16: 1}, "rising sides"),
    ("progressive_resizing", {16: 24}, "fewer than 24 epochs"),
    ("progressive_resizing", {16: nan}, "fewer than 24 epochs"),
    ("progressive_resizing", {16: "6"}, "{side: epochs}"),
    ("progressive_resizing", {"²": 1}, "{side: epochs}"),
    ("padding", -1, "at least 0 pixels"),
    ("padding", 32, "below image_size, 32"),
    ("padding", "2", "a whole number"),
    ("cutout", -8, "at least 0 pixels"),
    ("cutout", 10**30, "below 2^63"),
    ("dtype", "float64", "'bfloat16'"),
    ("dtype", torch.float32, "a string"),
    ("freeze_backbone", "yes", "true or false"),
    ("channels_last", None, "true or false"),
    ("compile", 0, "true or false"),
    ("evaluate_every", 0, "at least 1 epoch"),
    ("evaluate_every", 0.5, "a whole number"),
    ("max_steps", 0, "at least 1, or None"),
    ("max_steps", True, "a whole number or None"),
    ("validation_images", -1, "at least 0"),
    ("seed", -1, "from 0 to 2^31 - 1"),
    ("seed", 2**31, "from 0 to 2^31 - 1"),
    ("seed", "0", "a whole number"),
]


def fit(recipe=RECIPE, images=DATA, **options):
    """Train on the CPU without a bar."""
    return train.fit(recipe, images, **({"progress": False, "device": "cpu"} | options))


def batches(images=IMAGES, labels=LABELS, batch_size=4, **options):
    """The first batch."""
    return next(data.batches(images, labels, batch_size, **options))


def evaluate(labels):
    """A model of eight classes, evaluated on these labels."""
    return train.evaluate(EIGHT, IMAGES.float(), labels)


def first_step(labels):
    """The loss of the first training step on these labels."""
    return next(train.train_steps(EIGHT, [(IMAGES.float(), labels)], torch.optim.SGD(EIGHT.parameters(), lr=0.1)))


def factor(name, value):
    return recipes.lr_factor(**{"step": 0, "total": 9, "warmup": 0.1, "schedule": "linear"} | {name: value})


def side(name, value):
    return recipes.image_side(**{"step": 0, "recipe": RECIPE, "total": 9} | {name: value})


def changed(**parts):
    """A call of fit on other data."""
    return lambda: fit(images=DATA._replace(**parts))


ROWS = [
    *(
        Case(
            f"Recipe: {name} = {value!s:.40}",
            lambda name=name, value=value: Recipe(**{name: value}),
            (name, repr(value), word),
        )
        for name, value, word in FIELDS
    ),
    Case(
        "one side twice",
        lambda: Recipe(progressive_resizing={8: 1, "8": 2}),
        ("progressive_resizing", "rising sides"),
    ),
    Case("no field of a recipe", lambda: Recipe(colour=1), ("colour", "unexpected")),
    Case("a recorded recipe is a list", lambda: Recipe.from_record([1]), ("recipe", "a dict", "[1]")),
    Case(
        "a recorded recipe has another field",
        lambda: Recipe.from_record({"emma": 1}),
        ("fields of Recipe", "'emma'"),
    ),
    Case("a setting without =", lambda: recipes.parse_setting("lr"), ("name=value", "'lr'", "epochs")),
    Case("a setting is None", lambda: recipes.parse_setting(None), ("name=value", "None")),
    Case("a setting of nothing", lambda: recipes.parse_setting("lr="), ("lr", "a number", "''")),
    Case("a setting cut off", lambda: recipes.parse_setting("model_kwargs={"), ("model_kwargs", "a dict", "'{'")),
    # what a batch goes through
    Case("a source by another name", lambda: data.load_cifar10(source="web"), ("source", "'web'", "'mirror'")),
    Case("half an image", lambda: data.split_validation(DATA, 1.5), ("validation_images", "from 0 to 7", "1.5")),
    Case("all images", lambda: data.split_validation(DATA, 8), ("validation_images", "from 0 to 7", "8")),
    Case("data are None", lambda: data.split_validation(None, 1), ("data", "ImageSplits", "NoneType")),
    Case("images normalized twice", lambda: data.normalize(IMAGES.float()), ("images", "uint8", "torch.float32")),
    Case("images are a list", lambda: data.normalize([1]), ("images", "uint8", "[1]")),
    Case("grey images", lambda: data.normalize(IMAGES[:, :1]), ("images", "(b, 3, H, W)", "(8, 1, 16, 16)")),
    Case("a row of pixels", lambda: data.normalize(IMAGES[0, 0, 0]), ("images", "(b, 3, H, W)", "(16,)")),
    Case(
        "whole numbers at the end", lambda: data.normalize(IMAGES, torch.int8), ("dtype", "floating", "torch.int8")
    ),
    Case("a dtype by its name", lambda: data.normalize(IMAGES, "half"), ("dtype", "floating", "'half'")),
    Case("resized to nothing", lambda: data.resize(IMAGES, 0), ("side", "positive", "0")),
    Case("resized to half a pixel", lambda: data.resize(IMAGES, 7.5), ("side", "whole", "7.5")),
    Case("images that are not square", lambda: data.resize(IMAGES[:, :, 1:], 8), ("images", "(b, d, H, H)", "15")),
    Case("a crop out of the image", lambda: data.random_crop(IMAGES, 16, RANDOM), ("padding", "16", "choose 0")),
    Case("a crop by half a pixel", lambda: data.random_crop(IMAGES, 0.5, RANDOM), ("padding", "0.5", "choose 0")),
    Case("a square of -2", lambda: data.cutout(IMAGES, -2, RANDOM), ("size", "-2", "0 or more")),
    Case("a square of nan", lambda: data.cutout(IMAGES, nan, RANDOM), ("size", "nan", "0 or more")),
    Case("Augment flips up", lambda: data.Augment(flip="up"), ("flip", "'up'", "'random'")),
    Case("Augment flips a list", lambda: data.Augment(flip=["random"]), ("flip", "['random']", "'none'")),
    Case("Augment pads by -1", lambda: data.Augment(padding=-1), ("padding", "-1", "0 or more")),
    Case("Augment pads by True", lambda: data.Augment(padding=True), ("padding", "True", "whole number")),
    Case("Augment cuts None out", lambda: data.Augment(cutout=None), ("cutout", "None", "whole number")),
    Case("the order of -1 images", lambda: data.epoch_order(-1, 0, 0), ("n", "at least 0", "-1")),
    Case("an order by None", lambda: data.epoch_order(4, None, 0), ("seed", "at least 0", "None")),
    Case("an order by a seed of 1.0", lambda: data.epoch_order(4, 1.0, 0), ("seed", "at least 0", "1.0")),
    Case("the order of epoch nan", lambda: data.epoch_order(4, 0, nan), ("epoch", "at least 0", "nan")),
    Case("a generator by a word", lambda: data.generator_at("1"), ("seed", "at least 0", "'1'")),
    Case("a crop of None", lambda: data.random_crop(None, 2, RANDOM), ("images", "(b, d, H, W)", "NoneType")),
    Case(
        "a crop of one image", lambda: data.random_crop(IMAGES[0], 2, RANDOM), ("images", "(3, 16, 16)", "(b, d")
    ),
    Case("a crop by a seed", lambda: data.random_crop(IMAGES, 2, 0), ("generator", "torch.Generator", "int")),
    Case("a flip of None", lambda: data.random_flip(None, RANDOM), ("images", "(b, d, H, W)", "NoneType")),
    Case("a flip by None", lambda: data.random_flip(IMAGES, None), ("generator", "torch.Generator", "NoneType")),
    Case("a flip in epoch -1", lambda: data.alternating_flip(IMAGES, LABELS, -1), ("epoch", "at least 0", "-1")),
    Case("a flip of a list", lambda: data.alternating_flip([1], LABELS, 0), ("images", "(b, d, H, W)", "list")),
    Case("a square of True", lambda: data.cutout(IMAGES, True, RANDOM), ("size", "True", "0 or more")),
    Case("a square by a seed", lambda: data.cutout(IMAGES, 2, 7), ("generator", "torch.Generator", "int")),
    Case("batches of None", lambda: batches(None), ("images", "(b, d, H, W)", "NoneType")),
    Case("batches by a seed of -1", lambda: batches(seed=-1), ("seed", "at least 0", "-1")),
    Case("batches augmented by a word", lambda: batches(augment="flip"), ("augment", "a function", "'flip'")),
    Case("batches with a side of 8", lambda: batches(side=8), ("side", "a function", "8")),
    Case("an optimizer of None", lambda: recipes.create_optimizer(None, RECIPE), ("model", "Module", "NoneType")),
    Case(
        "an optimizer by a name", lambda: recipes.create_optimizer(EIGHT, "demo"), ("recipe", "a Recipe", "'demo'")
    ),
    Case(
        "a schedule of no steps", lambda: recipes.create_scheduler(None, RECIPE, 0, 5), ("total", "positive", "0")
    ),
    Case("a schedule by None", lambda: recipes.create_scheduler(None, None, 5, 5), ("recipe", "a Recipe", "None")),
    Case("a run by a name", lambda: Run("demo", DATA, None), ("recipe", "a Recipe", "'demo'")),
    Case("a run on None", lambda: Run(RECIPE, None, None), ("data", "ImageSplits", "NoneType")),
    Case("a run on an abacus", lambda: Run(RECIPE, DATA, "abacus"), ("device", "cpu, cuda", "'abacus'")),
    Case("weights of None", lambda: checkpoint.save_weights(None, "a"), ("model", "Module", "NoneType")),
    Case("a backbone for a name", lambda: checkpoint.load_backbone("tiny", "a"), ("model", "Module", "str")),
    Case("a batch of none", lambda: batches(batch_size=0), ("batch_size", "from 1 to 8", "0")),
    Case("a batch of True", lambda: batches(batch_size=True), ("batch_size", "from 1 to 8", "True")),
    Case("a batch of all and one", lambda: batches(batch_size=9), ("batch_size", "from 1 to 8", "9")),
    Case("no images", lambda: batches(IMAGES[:0], LABELS[:0], 1), ("batch_size", "from 1 to 0", "1")),
    Case("from step -1", lambda: batches(start=-1), ("start", "0 <= start", "-1")),
    Case("from step 1.5", lambda: batches(start=1.5), ("start", "0 <= start", "1.5")),
    Case("to before the start", lambda: batches(start=5, stop=2), ("stop", "start <= stop", "5 and 2")),
    Case("too few labels", lambda: batches(labels=LABELS[:3]), ("labels", "(8,)", "3")),
    Case("labels are a list", lambda: batches(labels=[1, 2]), ("labels", "(8,)", "list")),
    # folders, devices, files
    Case("a folder of no pixels", lambda: folders.load_folder("x", 0), ("image_size", "positive", "0")),
    Case("a folder of 16 in words", lambda: folders.load_folder("x", "16"), ("image_size", "positive", "'16'")),
    Case("a folder by -1 workers", lambda: folders.load_folder("x", 16, -1), ("workers", "positive", "-1")),
    Case("no such folder", lambda: folders.load_folder("no/such/folder"), ("no images", "folder")),
    Case("an abacus", lambda: evidence.pick_device("abacus"), ("device", "cpu, cuda", "'abacus'")),
    Case("a device without a name", lambda: evidence.pick_device(""), ("device", "cpu, cuda", "''")),
    Case("devices in a list", lambda: evidence.pick_device(["cpu"]), ("device", "cpu, cuda", "['cpu']")),
    Case(
        "a device without numbers", lambda: evidence.pick_device("meta"), ("device", "of this machine", "'meta'")
    ),
    Case("the hundredth GPU", lambda: evidence.pick_device("cuda:99"), ("device", "of this machine", "'cuda:99'")),
    Case(
        "a type of no recipe",
        lambda: evidence.pick_dtype("float64", torch.device("cpu")),
        ("bfloat16", "'float64'"),
    ),
    Case("no such pretrained", lambda: checkpoint.load_pretrained("tow"), ("name", "'tiny'", "'tow'")),
    Case("pretrained is a list", lambda: checkpoint.load_pretrained(["tiny"]), ("name", "'tiny'", "['tiny']")),
    # prediction
    Case(
        "tta upside down", lambda: train.predict(None, IMAGES.float(), "vertical"), ("tta", "'flip'", "'vertical'")
    ),
    Case("tta is a list", lambda: train.predict(None, IMAGES.float(), ["flip"]), ("tta", "'none'", "['flip']")),
    Case("raw images", lambda: train.predict(None, IMAGES), ("images", "normalized", "torch.uint8")),
    Case("one image", lambda: train.predict(None, IMAGES[0].float()), ("images", "(n, 3, H, W)", "(3, 16, 16)")),
    Case("None to predict", lambda: train.predict(None, None), ("images", "(n, 3, H, W)", "NoneType")),
    Case(
        "predict by 0", lambda: train.predict(None, IMAGES.float(), batch_size=0), ("batch_size", "positive", "0")
    ),
    Case("predict by 2.5", lambda: train.predict(None, IMAGES.float(), batch_size=2.5), ("batch_size", "2.5")),
    Case(
        "nothing to evaluate",
        lambda: train.evaluate(None, IMAGES[:0].float(), LABELS[:0]),
        ("images", "at least one"),
    ),
    # labels and steps
    Case("evaluate: labels are a list", lambda: evaluate([1] * 8), ("labels", "list", "int64 (8,)")),
    Case("evaluate: labels of float", lambda: evaluate(LABELS.float()), ("labels", "torch.float32", "int64 (8,)")),
    Case("evaluate: bytes as labels", lambda: evaluate(LABELS.byte()), ("labels", "torch.uint8", "int64 (8,)")),
    Case("evaluate: too few labels", lambda: evaluate(LABELS[:5]), ("labels", "(5,)", "int64 (8,)")),
    Case("evaluate: labels in a column", lambda: evaluate(LABELS[:, None]), ("labels", "(8, 1)", "int64 (8,)")),
    Case("evaluate: labels from 1", lambda: evaluate(LABELS + 1), ("labels", "from 0 to 7", "1 to 8")),
    Case("evaluate: a label of -1", lambda: evaluate(LABELS - 1), ("labels", "from 0 to 7", "-1 to 6")),
    Case(
        "evaluate: no model", lambda: train.evaluate(None, IMAGES.float(), LABELS), ("model", "NoneType", "Module")
    ),
    Case("step: labels of float", lambda: first_step(LABELS.float()), ("labels", "torch.float32", "int64 (8,)")),
    Case("step: short labels", lambda: first_step(LABELS.int()), ("labels", "torch.int32", "int64 (8,)")),
    Case("step: probabilities", lambda: first_step(torch.eye(8)), ("labels", "(8, 8)", "int64 (8,)")),
    Case("step: too many labels", lambda: first_step(torch.arange(9)), ("labels", "(9,)", "int64 (8,)")),
    Case("step: labels from 1", lambda: first_step(LABELS + 1), ("labels", "from 0 to 7", "1 to 8")),
    Case(
        "step: an unknown label is -100", lambda: first_step(LABELS * 0 - 100), ("labels", "from 0 to 7", "-100")
    ),
    Case("step: labels are None", lambda: first_step(None), ("labels", "NoneType", "int64 (8,)")),
    # the schedule
    *(
        Case(
            f"lr_factor: {name} = {value}",
            lambda name=name, value=value: factor(name, value),
            (name, repr(value), word),
        )
        for name, value, word in FACTORS
    ),
    *(
        Case(
            f"image_side: {name} = {value}",
            lambda name=name, value=value: side(name, value),
            (name, repr(value), word),
        )
        for name, value, word in SIDES
    ),
    Case("a duration of nan", lambda: callbacks.duration(nan), ("seconds", "finite", "nan")),
    Case("a duration of infinity", lambda: callbacks.duration(inf), ("seconds", "finite", "inf")),
    Case("a duration of -1", lambda: callbacks.duration(-1), ("seconds", "at least 0", "-1")),
    Case("a duration in words", lambda: callbacks.duration("5"), ("seconds", "a number", "'5'")),
    # runs
    Case("resume is 1", lambda: fit(resume=1, out_dir="o"), ("resume", "True or False", "1")),
    Case("resume is a word", lambda: fit(resume="no", out_dir="o"), ("resume", "True or False", "'no'")),
    Case("progress is None", lambda: fit(progress=None), ("progress", "True or False", "None")),
    Case("live is 0", lambda: fit(live=0), ("live", "True or False", "0")),
    Case("the recipe is its name", lambda: fit("demo"), ("recipe", "a Recipe", "'demo'")),
    Case("the data are a tuple", lambda: fit(images=(IMAGES, LABELS)), ("data", "ImageSplits", "tuple")),
    Case("minutes of -1", lambda: fit(minutes=-1, out_dir="o"), ("minutes", "positive", "-1")),
    Case("minutes of nan", lambda: fit(minutes=nan, out_dir="o"), ("minutes", "positive", "nan")),
    Case("minutes in words", lambda: fit(minutes="5", out_dir="o"), ("minutes", "positive", "'5'")),
    Case("minutes and no folder", lambda: fit(minutes=5), ("minutes", "out_dir", "None")),
    Case("saved every -1 seconds", lambda: fit(save_every=-1), ("save_every", "at least 0", "-1")),
    Case("saved every nan seconds", lambda: fit(save_every=nan), ("save_every", "at least 0", "nan")),
    Case("saved every None", lambda: fit(save_every=None), ("save_every", "seconds", "None")),
    Case("trained on an abacus", lambda: fit(device="abacus"), ("device", "cpu, cuda", "'abacus'")),
    Case("resumed from nowhere", lambda: fit(resume=True), ("out_dir", "the folder", "None")),
    Case("an unknown model", lambda: fit(replace(RECIPE, model="x")), ("tiny", "'x'")),
    Case(
        "whitened where it cannot be",
        lambda: fit(replace(RECIPE, model="resnet26", model_kwargs={}, whiten=True)),
        ("whiten", "False", "True"),
    ),
    Case(
        "a batch larger than the data",
        lambda: fit(replace(RECIPE, batch_size=9)),
        ("batch_size", "at most 8", "9"),
    ),
    Case("images of another size", lambda: fit(replace(RECIPE, image_size=17)), ("image_size", "(16, 16)", "17")),
    Case(
        "images too small for the net",
        lambda: fit(replace(RECIPE, progressive_resizing={2: 0.5})),
        ("progressive_resizing", "tiny", "2"),
    ),
    Case(
        "validation by all", lambda: fit(replace(RECIPE, validation_images=8)), ("validation_images", "to 7", "8")
    ),
    Case(
        "no training images",
        changed(train_images=IMAGES[:0], train_labels=LABELS[:0]),
        ("train_images", "at least one", "(0, 3"),
    ),
    Case(
        "no test images",
        changed(test_images=IMAGES[:0], test_labels=LABELS[:0]),
        ("test_images", "at least one", "(0, 3"),
    ),
    Case(
        "training images of float",
        changed(train_images=IMAGES.float()),
        ("train_images", "uint8", "torch.float32"),
    ),
    Case("test images of float", changed(test_images=IMAGES.float()), ("test_images", "uint8", "torch.float32")),
    Case(
        "grey training images",
        changed(train_images=IMAGES[:, :1]),
        ("train_images", "(n, 3, H, W)", "(8, 1, 16, 16)"),
    ),
    Case(
        "images without colour",
        changed(train_images=IMAGES[:, 0]),
        ("train_images", "(n, 3, H, W)", "(8, 16, 16)"),
    ),
    Case(
        "training images are an array", changed(train_images=IMAGES.numpy()), ("train_images", "uint8", "ndarray")
    ),
    Case(
        "smaller test images",
        changed(test_images=IMAGES[:, :, :8, :8]),
        ("test_images", "of one size", "(8, 3, 8, 8)"),
    ),
    Case("test images are a list", changed(test_images=[1]), ("test_images", "uint8", "list")),
    Case(
        "a label beyond the classes", changed(train_labels=LABELS + 3), ("train_labels", "from 0 to 9", "3 to 10")
    ),
    Case("a label below 0", changed(train_labels=LABELS - 1), ("train_labels", "from 0 to 9", "-1 to 6")),
    Case(
        "a test label beyond the classes", changed(test_labels=LABELS + 99), ("test_labels", "from 0 to 9", "106")
    ),
    Case("labels of float", changed(train_labels=LABELS.float()), ("train_labels", "int64", "torch.float32")),
    Case("labels in a column", changed(train_labels=LABELS[:, None]), ("train_labels", "int64 (8,)", "(8, 1)")),
    Case("too few test labels", changed(test_labels=LABELS[:5]), ("test_labels", "int64 (8,)", "(5,)")),
]
