# %% [markdown]
# # 07b · Train in earnest
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/lambdalib-course/lambdalib/blob/main/notebooks/07b_train_in_earnest.ipynb)

# %% cellView="form" jupyter={"source_hidden": true} tags=["setup", "nbval-ignore-output"]
# @title Set-up: run this cell first
import importlib.util, subprocess, sys
if importlib.util.find_spec("lambdalib") is None:  # on Colab, for one; an installed course is left as it is
    subprocess.check_call([sys.executable, "-m", "pip", "install", "--quiet",
                           "lambdanetworks-course @ git+https://github.com/lambdalib-course/lambdalib.git"])
import lambdalib
if not hasattr(lambdalib, "__course__"):  # another project on PyPI has the same import name
    raise ImportError("Another lambdalib: `pip uninstall -y lambdalib`, restart the kernel and run this again.")
print("lambdalib", lambdalib.__version__, "is ready.")

# %% [markdown]
# > **After this lesson you can** lose your machine in the middle of a run and lose only minutes. You can watch a run, compare two runs, and train with several processes. You can also train a model on images of your own.
# >
# > **You need** [lesson 07](07_train_on_cifar10.ipynb): the training step, a recipe, and what a state holds. Letters and words are in the [glossary](glossary.md).
# >
# > **Time** 60 minutes to read and run, 20 for the exercises. The code takes about 40 seconds on two CPU cores.
# >
# > **Short path** Steps 1, 2, 3 and 8.
# >
# > This is a side path. No later lesson needs it.

# %% [markdown]
# ## What if training takes longer than the machine lives?
#
# Lesson 07 trained for about a minute. A real run takes hours. In that time laptops fall asleep, and Colab takes its machine back. Its disk goes with it.
#
# This lesson is about everything around the training step. Each part runs here, on a small model and in seconds. The same lines work for the long run.
#
# The test run has 40 steps, on 1,000 images of the sample. We keep every second row and column, so they have 16 × 16 pixels. An epoch has 20 steps.

# %%
import importlib.util
import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from lambdalib import create_model, fit, load_cifar10, normalize
from lambdalib.course import figures
from lambdalib.course.checks import check_close
from lambdalib.course.progress import progress
from lambdalib.course.questions import check_answer, revealed
from lambdalib.experiments.compare import compare, plot_comparison, read_curve
from lambdalib.training.checkpoint import ASSETS, load_backbone, load_model, load_state
from lambdalib.training.data import Augment, batches
from lambdalib.training.folders import load_folder
from lambdalib.training.recipes import RECIPES, Recipe
from lambdalib.training.run import Run
from lambdalib.training.tensorboard import TensorBoard
from lambdalib.training.train import evaluate

data = load_cifar10(source="sample")
small = data._replace(train_images=data.train_images[:1000, :, ::2, ::2], train_labels=data.train_labels[:1000],
                      train_index=data.train_index[:1000], test_images=data.test_images[:, :, ::2, ::2])
short = replace(RECIPES["demo"], epochs=2, image_size=16, evaluate_every=1, dtype="float32")
torch.set_num_threads(1)  # enough for such small steps, and the sums are those of the processes in step 6
quiet = {"device": "cpu", "progress": False}  # no bar, and the CPU, so that two runs can be equal to the bit
shelf = TemporaryDirectory()  # gone when the kernel stops
runs = Path(shelf.name)

# %% [markdown]
# ## 1 · One run, one folder
#
# **Claim.** A run that was given a folder leaves behind all that you need later.

# %%
first = fit(short, small, runs / "seed 0", **quiet)
print("steps:", first.step)
print("files:", ", ".join(sorted(path.name for path in (runs / "seed 0").iterdir() if path.suffix)))

# %% [markdown]
# | file | what it is for |
# |---|---|
# | `state.pt` | go on with the run: weights, optimizer, schedule, step, all losses |
# | `log.jsonl` | a line at the start, a line for each epoch, a line at the end |
# | `weights.safetensors` | the trained model, in a format that runs no code when it is read |
# | `weights.json` | the card of these weights: which model, which recipe, which result, and a hash |
# | `curve.png` | the loss, to look at |
#
# In a terminal, the same kind of run is one command. Without `--out` it takes the folder `runs/demo-seed0`:
#
# ```
# lambdalib train --preset demo --out runs/demo-seed0
# ```
#
# Any field of a recipe can be changed there, by `--set NAME=VALUE`.
#
# The model can be loaded without knowing how it was made. Its card knows:

# %%
model = load_model(runs / "seed 0" / "weights.safetensors")
accuracy = evaluate(model, normalize(small.test_images), small.test_labels)
log = [json.loads(line) for line in (runs / "seed 0" / "log.jsonl").read_text().splitlines()]
print("lines of the log:", [line["kind"] for line in log])
print("the loaded model has the accuracy of the log:", accuracy == log[-1]["test_accuracy"])
assert accuracy == log[-1]["test_accuracy"] and first.step == 40 and first.per_epoch == 20


# %% [markdown]
# ## 2 · The machine goes away
#
# `fit` saves the state at the end of each epoch. In between it saves every 60 seconds. It writes under another name first, then renames the file. So there is always one whole state on the disk.
#
# Now we pull the plug. A **callback** is an object that `fit` calls after each step. Ours raises an error after step 27. Nothing is saved at that moment.

# %%
class Disconnect:
    """Notes each step that is trained, and takes the machine away after so many."""

    def __init__(self, after: int):
        self.after, self.steps = after, []

    def on_step(self, run: Run) -> None:
        self.steps.append(run.step)
        if len(self.steps) == self.after:
            raise ConnectionError("the machine is gone")


plug = Disconnect(after=27)
try:
    fit(short, small, runs / "disconnected", callbacks=[plug], **quiet)
except ConnectionError as error:
    print("after step", plug.steps[-1], "-", error)

# %% [markdown]
# **Predict.** We go on with `resume=True` until the run has its 40 steps. How many steps are trained in all, before and after the disconnect together?

# %%
guess = None  # a whole number
check_answer("07b.2", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
saved = load_state(runs / "disconnected" / "state.pt")["step"]
resumed = fit(short, small, runs / "disconnected", resume=True, callbacks=[plug], **quiet)
if revealed(guess):
    print("step of the saved state:", saved)
    print("first step after it:    ", plug.steps[27])
    print("steps in all:           ", len(plug.steps))
    figures.show(
        figures.traces({"the run": [0, *plug.steps]}, "steps trained so far", "step of the run"),
        "How the run moved on: up to the disconnect, back to the saved state, and on to its end.",
        alt="A line that rises, falls back once by a few steps, and rises again to 40.",
    )

# %% [markdown]
# The steps after the saved state are lost, and trained once more. Does that change the result?

# %%
weights = resumed.model.state_dict()
equal = all(torch.equal(weights[name], tensor) for name, tensor in first.model.state_dict().items())
print("all losses equal to the run that never stopped:", torch.equal(resumed.losses, first.losses))
print("all weights equal, to the last bit:            ", equal)
assert equal and torch.equal(resumed.losses, first.losses) and resumed.accuracy == first.accuracy

# %% [markdown]
# **What you should see.** Nothing has changed, to the last bit. Lesson 07 gave the reason: the order of the images and their augmentation follow from the seed and the step.
#
# **Caution.** This holds on one CPU, with the same versions and the same number of threads. On another machine the sums are rounded differently. The run goes on well there, but its last digits differ.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of this step
assert saved == 20 and len(plug.steps) == 47 and plug.steps[27] == 21
assert plug.steps[26] == 27 and plug.steps[-1] == 40

# %% [markdown]
# ## 3 · On Colab: a folder that stays
#
# Colab lends you a machine for some hours, and its disk is deleted afterwards ([Colab's answers](https://research.google.com/colaboratory/faq.html)). Your Google Drive stays. So put the folder of the run there.
#
# One line makes the cell safe to run again: **resume if there is a state, else start**. After a disconnect, open the notebook, run all cells, and the run goes on.
#
# With `minutes` you decide yourself when it stops. `fit` then saves and ends without an error. Choose a little less than your machine will live.

# %%
use_drive = False  # on Colab: True. Colab then asks for your permission

if use_drive:
    from google.colab import drive

    drive.mount("/content/drive")
    lasting = Path("/content/drive/MyDrive/lambda-runs")
else:
    lasting = runs


def train_or_resume(recipe: Recipe, images, folder: Path, **options) -> Run:
    """Start the run of this folder, or go on with it."""
    return fit(recipe, images, folder, resume=(folder / "state.pt").exists(), **options)


ten_steps = replace(short, max_steps=10)
stopped = train_or_resume(ten_steps, small, lasting / "ten steps", minutes=0.0001, **quiet)
ended = train_or_resume(ten_steps, small, lasting / "ten steps", **quiet)
print("the first call came to the end: ", stopped.ended)
print("the second call came to the end:", ended.ended, "- steps:", ended.step)
assert ended.ended and ended.step == 10

# %% [markdown]
# **What you should see.** The same line was called twice. The first call had 6 milliseconds and stopped. The second one went on to step 10.
#
# Three things to know about Drive:
#
# * A file reaches Drive some time after it was written. Call `drive.flush_and_unmount()` at the end and wait for it.
# * Keep the *images* on Colab's own disk. Drive is slow with many small files.
# * A run locks its folder, so that two machines never write there at once. If a lock is left over and you are sure that no run is alive, delete the file `.lock`.
#
# We could try the lines for Drive only with a plain folder, not on Colab itself.
#
# In a terminal, going on is `lambdalib train --resume --out FOLDER`. It reads the recipe from the state.

# %% [markdown]
# ## 4 · Watch: TensorBoard
#
# [TensorBoard](https://www.tensorflow.org/tensorboard) is a page in your browser that draws the curves of many runs while they grow. It is a package of its own: `pip install tensorboard`. Colab has it already. The library writes for it by a callback, `TensorBoard(folder)`. In a terminal:
#
# ```
# lambdalib train --preset demo --tensorboard runs/board
# ```
#
# We train two more runs. One has another seed, the other a tenth of the learning rate.

# %%
board = runs / "board"  # a folder in it for each run
has_tensorboard = importlib.util.find_spec("tensorboard") is not None
others = {"seed 1": replace(short, seed=1), "lr 0.02": replace(short, lr=0.02)}
for name, recipe in others.items():
    watchers = [TensorBoard(board / name)] if has_tensorboard else []
    run = fit(recipe, small, runs / name, callbacks=watchers, **quiet)
    print(f"{name}: {run.step} steps, finite: {bool(run.losses.isfinite().all())}")

# %% [markdown]
# Now open the page. In this notebook, write these two lines into a cell. Jupyter puts the folder from above in place of `{board}`:
#
# ```
# %load_ext tensorboard
# %tensorboard --logdir {board}
# ```
#
# In a terminal, name the folder of your own run: `tensorboard --logdir runs/board`. Then open the address that it prints. You will find two cards, *loss* and *test_accuracy*, and each run as a line. A run that was resumed writes its curve again, and the page drops the old piece.
#
# What does the page read? We read the file back and compare it with the losses of the run:

# %% tags=["nbval-ignore-output"]
if has_tensorboard:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for name in others:
        events = EventAccumulator(str(board / name)).Reload()
        written = torch.tensor([event.value for event in events.Scalars("loss")])
        print(f"{name}: curves {', '.join(events.Tags()['scalars'])}; {len(written)} losses, all as trained:",
              torch.equal(written, read_curve(runs / name).losses.float()))
        assert torch.equal(written, read_curve(runs / name).losses.float())
        assert [event.step for event in events.Scalars("test_accuracy")] == [20, 40]
else:
    print("TensorBoard is not installed here. The lesson goes on without it.")
    print("pip install tensorboard")


# %% [markdown]
# The file holds every loss exactly. The *page* does not show them so. TensorBoard smooths each curve, and draws your losses pale behind it. With weight $w=0.6$ (its usual setting), the smoothed curve $s_t$ follows from the losses $x_t$:
#
# $$a_t \;=\; w\,a_{t-1} + (1-w)\,x_t,\qquad s_t \;=\; \frac{a_t}{1-w^t},\qquad a_0=0,\quad t=1,2,\ldots$$
#
# The division takes away the pull of $a_0=0$ at the start.

# %%
def smoothed(losses: Tensor, weight: float = 0.6) -> Tensor:
    """TensorBoard's smoothing, (n,) -> (n,)."""
    average, result = 0.0, []
    for step, loss in enumerate(losses.tolist(), start=1):
        average = weight * average + (1 - weight) * loss
        result.append(average / (1 - weight**step))
    return torch.tensor(result, dtype=losses.dtype)


raw = first.losses.double()  # (40,)
curve = smoothed(raw)
steadier, late = curve.diff().abs().mean() < raw.diff().abs().mean() / 2, (curve - raw)[10:].mean() > 0
print("from step to step it moves less than half as much:", bool(steadier))
print("while the loss falls, it lies above the loss:     ", bool(late))
assert steadier and late and torch.allclose(smoothed(torch.full((5,), 3.0)), torch.tensor(3.0))
figures.show(
    figures.traces({"loss of each step": raw, "as TensorBoard draws it": curve}, "step", "training loss"),
    "The losses of the first run, and the same losses with a smoothing of 0.6.",
    alt="A jagged curve that falls from 2.3, and a smooth curve that follows it a little later.",
)

# %% [markdown]
# **What you should see.** The smooth curve is easier to read, but late: while the losses fall, it lies above them. A curve with few points, such as *test_accuracy*, suffers most. So set the smoothing to 0 before you read a number from the page. And untick *Ignore outliers in chart scaling*: otherwise the axes may cut a curve off.

# %% [markdown]
# ## 5 · Are two runs the same?
#
# Two curves never lie exactly on each other, unless it is the same run on the same machine. How far apart may they be? Model zoos, collections of trained models, use such a rule. Over the steps $s$ that both have, with losses $a_s$ and $b_s$:
#
# $$\text{relative} = \frac1n\sum_s \frac{|a_s-b_s|}{|a_s|}\le 0.05 \quad\text{or}$$
#
# $$\text{absolute} = \frac1n\sum_s |a_s-b_s| \le 0.0002$$

# %%
reference = read_curve(runs / "seed 0")
pairs = {name: compare(reference, read_curve(runs / name)) for name in ("disconnected", "seed 1", "lr 0.02")}
for name, result in pairs.items():
    print(f"seed 0 and {name + ':':14} equal {result.relative == 0!s:6} passes the rule {result.passed}")
by_hand = ((reference.losses - pairs["seed 1"].second).abs() / reference.losses).mean()
assert torch.isclose(by_hand, torch.tensor(pairs["seed 1"].relative).double())
assert pairs["disconnected"].relative == 0 < pairs["seed 1"].relative < pairs["lr 0.02"].relative < 0.05
figures.show(
    plot_comparison(pairs["lr 0.02"], ("seed 0", "lr 0.02")),
    "Learning rates of 0.2 (the run of seed 0) and 0.02. Above, the losses of both; below, their difference.",
    alt="Two jagged curves that begin at the same loss. The orange one falls less. Below, the difference grows.",
)

# %% [markdown]
# **What you should see.** All three pass. A tenth of the learning rate passes, too! The figure shows why. In a run this short the loss has hardly fallen, so 5 % of it is wide.
#
# The rule was made for another question: does a run on a new machine repeat a run on an old one? To judge a *change*, take a better measure. How far apart are two seeds of the same recipe? Here the two learning rates lie farther apart than the two seeds. That is a hint from one pair of seeds, and no proof. Lesson 09b makes it a test.
#
# In a terminal: `lambdalib compare FOLDER_A FOLDER_B`. It also reads tables with a column "loss" or "value". So you can download a curve from TensorBoard and compare with it.

# %% [markdown]
# ## 6 · Several processes
#
# Two GPUs can share a run. Each process has a copy of the model and takes its half of every batch. The gradients are averaged. This is called **data-parallel** training. Every copy then makes the same step, so the copies stay equal.
#
# Is the average of two half gradients the gradient of the whole batch? The loss is a mean over the images, so it should be. Nearly all parts of the model agree. One does not.
#
# **Predict.** Which part notices that the batch was divided?

# %%
guess = None  # "convolution", "lambda", "norm" or "loss"
check_answer("07b.6", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
torch.manual_seed(0)
model = create_model("tiny")
images, labels = next(batches(data.train_images, data.train_labels, 50))


def gradient(parts: int) -> Tensor:
    """The mean of the gradients of so many equal parts of the batch, as one vector."""
    model.zero_grad()
    for some, theirs in zip(images.chunk(parts), labels.chunk(parts)):
        (F.cross_entropy(model(some), theirs) / parts).backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters()])


changes = {}
for mode in ("evaluation", "training"):
    model.train(mode == "training")
    whole_batch = gradient(1)
    changes[mode] = float(torch.dist(gradient(2), whole_batch) / whole_batch.square().sum().sqrt())
if revealed(guess):
    print("evaluation mode: the gradient changes by less than 0.01 %:", changes["evaluation"] < 1e-4)
    print("training mode: it changes by more than 30 %:", changes["training"] > 0.3)
assert changes["evaluation"] < 1e-4 and changes["training"] > 0.3


# %% [markdown]
# The mode matters to one part only, the batch norms ([lesson 07](07_train_on_cifar10.ipynb)). In training mode a norm uses the mean and the variance of the images that it gets. Here it gets 25. So two processes with 25 images each are not one process with 50.
#
# PyTorch has `nn.SyncBatchNorm`, which shares the statistics between GPUs, for one more message per norm. The library does not use it.
#
# Then what do two processes equal? **One process that takes the two halves in turn**, and steps once. We can write that down:

# %%
def halves_in_turn(recipe: Recipe) -> Run:
    """One process that does the work of two: two gradients for each batch, then one step."""
    torch.manual_seed(recipe.seed)
    run = Run(recipe, data, torch.device("cpu"))
    augment = Augment(recipe.padding, recipe.flip, recipe.cutout)
    for images, labels in batches(data.train_images, data.train_labels, recipe.batch_size, seed=recipe.seed,
                                  stop=run.total, augment=augment, memory_format=run.memory_format):
        run.model.train()
        run.optimizer.zero_grad()
        halves = zip(images.chunk(2), labels.chunk(2))
        losses = [F.cross_entropy(run.model(half), theirs, label_smoothing=recipe.label_smoothing) / 2
                  for half, theirs in halves]
        sum(losses).backward()
        run.optimizer.step()
        run.scheduler.step()
        run.log_step(sum(losses).detach())
    return run


# %% [markdown]
# Now the real thing. PyTorch's `torchrun` starts the processes and tells each one its number. In a terminal, for two GPUs:
#
# ```
# torchrun --nproc-per-node 2 -m lambdalib train --preset gpu
# ```
#
# Here it is two processes on the CPU, for six steps. A notebook starts them as another program. `torchrun` is the module `torch.distributed.run`.

# %%
two = runs / "two processes"
torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
command = ["-m", "lambdalib", "train", "--preset", "demo", "--max-steps", "6", "--lr", "0.02", "--device", "cpu",
           "--set", "dtype=float32", "--set", "channels_last=false", "--quiet", "--out", str(two)]
done = subprocess.run([*torchrun, *command], env={**os.environ, "OMP_NUM_THREADS": "1"},
                      capture_output=True, text=True)
if done.returncode:
    raise RuntimeError(done.stderr)

start = json.loads((two / "log.jsonl").read_text().splitlines()[0])  # the first line of its log
recipe = Recipe.from_record(start["recipe"])
in_turn, whole = halves_in_turn(recipe), fit(recipe, data, **quiet)

together = read_curve(two).losses.float()
print("processes:", start["processes"], "- images in a step:", start["recipe"]["batch_size"])
print("two processes = one that takes the halves in turn:", torch.allclose(together, in_turn.losses, atol=1e-3))
print("two processes = one that takes whole batches:     ", torch.allclose(together, whole.losses, atol=1e-3))
assert start["processes"] == 2 and recipe.batch_size == 50
assert torch.allclose(together, in_turn.losses, atol=1e-3)
assert not torch.allclose(together, whole.losses, atol=1e-3)


# %% [markdown]
# **What you should see.** The batch size is that of all processes together, so a recipe needs no change. The two processes give the losses of `halves_in_turn`, up to rounding. They do not give those of one process with whole batches.
#
# `halves_in_turn` is useful by itself. It is **gradient accumulation**. If a batch does not fit into your GPU, call `backward` for each part before you compute the next one.
#
# **Caution.** Two processes on one CPU are no faster, since one process already uses all cores. Several GPUs should be faster, but we have no record of that yet.
#
# Only process 0 writes files. If one process dies, the others stop with a message. `--resume` goes on.

# %% [markdown]
# ## 7 · Your own images
#
# **Claim.** A folder with one folder per class is all that the library needs:
#
# ```
# drawings/train/circle/000.jpg ...    drawings/test/circle/000.jpg ...
# drawings/train/square/000.jpg ...    drawings/test/square/000.jpg ...
# ```
#
# We make such a folder. Three shapes, in any colour, size and place: 40 images of each to train on and 60 to test on.

# %%
def drawing(shape: str, rng: random.Random) -> Image.Image:
    """One shape on a ground, as an image that is higher or wider than 32 pixels."""
    width, height = rng.randint(40, 64), rng.randint(40, 64)
    ground, ink = (tuple(rng.randint(0, 255) for _ in range(3)) for _ in range(2))
    image = Image.new("RGB", (width, height), ground)
    x, y, r = rng.randint(20, width - 20), rng.randint(20, height - 20), rng.randint(9, 15)
    if shape == "circle":
        ImageDraw.Draw(image).ellipse((x - r, y - r, x + r, y + r), fill=ink)
    else:
        corners = {"triangle": 3, "square": 4}[shape]
        ImageDraw.Draw(image).regular_polygon((x, y, 1.2 * r), corners, rng.randint(0, 359), fill=ink)
    return image


folder, rng = runs / "drawings", random.Random(0)
for part, number in (("train", 40), ("test", 60)):
    for shape in ("circle", "square", "triangle"):
        (folder / part / shape).mkdir(parents=True)
        for i in range(number):
            drawing(shape, rng).save(folder / part / shape / f"{i:03}.jpg")

drawings = load_folder(folder, image_size=32)
names = sorted(path.name for path in (folder / "train").iterdir())
print("train:", tuple(drawings.train_images.shape), drawings.train_images.dtype,
      "- test:", len(drawings.test_labels))
print("classes:", dict(enumerate(names)))
assert drawings.train_labels.bincount().tolist() == [40] * 3 and drawings.train_images[0].numel() == 3072
figures.show(
    figures.maps(drawings.train_images[:8] / 255, [names[label] for label in drawings.train_labels[:8]],
                 columns=4),
    "Eight images of the folder, as the model gets them: scaled and cut to 32 × 32 pixels.",
    alt="Circles, squares and triangles of different colours, sizes and places.",
)

# %% [markdown]
# **What you should see.** The images had different sizes. `load_folder` scales the shorter side to 32 pixels, and cuts off what sticks out of the square in the middle. Look at some images first: is what matters still there?
#
# The classes are numbered in the order of their names. The result has the form of CIFAR-10's, so `fit` takes it as it is. In a terminal:
#
# ```
# lambdalib train --data drawings --preset demo --batch-size 20
# ```
#
# All images stay in memory. That is fast, and it limits you to what fits: 3 kB an image at 32 × 32, 150 kB at 224 × 224.

# %% [markdown]
# ## 8 · Fine-tuning
#
# 120 images are few. But `tiny` has seen 50,000 photographs already. Can it bring along what it learnt? There are three ways to start:
#
# * **scratch**: fresh weights, as always.
# * **last**: the weights of `tiny`; only a fresh last layer is trained. The rest, the **backbone**, is frozen.
# * **whole**: the weights of `tiny`, a fresh last layer, and all layers are trained.
#
# The last layer must be fresh, since it had ten classes and now needs three. `load_backbone` takes over the rest:

# %%
photographs = ASSETS / "tiny.safetensors"  # the weights of lesson 07, with their card
model = create_model("tiny", num_classes=3)
load_backbone(model, photographs)
trained = load_model(photographs).state_dict()
same = [name for name, tensor in model.state_dict().items() if torch.equal(tensor, trained[name])]
print(f"taken over: {len(same)} of {len(trained)} tensors; left: {set(trained) - set(same)}")
assert set(trained) - set(same) == {"head.weight"}

# %% [markdown]
# `fit(..., init_from=FILE)` does this before the first step. The field `freeze_backbone` of a recipe trains the last layer only. All three get the same recipe: ten epochs, 60 steps.

# %%
recipe = Recipe(model="tiny", model_kwargs={"num_classes": 3}, epochs=10, batch_size=20, lr=0.03,
                label_smoothing=0.1, evaluate_every=10, dtype="float32")
results = {"scratch": fit(recipe, drawings, **quiet),
           "last": fit(replace(recipe, freeze_backbone=True), drawings, init_from=photographs, **quiet),
           "whole": fit(recipe, drawings, init_from=photographs, **quiet)}
learnt = {name: sum(weight.numel() for weight in run.model.parameters() if weight.requires_grad)
          for name, run in results.items()}
print("numbers that are trained:", ", ".join(f"{name} {count}" for name, count in learnt.items()))

# %% [markdown]
# **Predict.** Which start names most of the 180 test drawings correctly?

# %%
guess = None  # "scratch", "last" or "whole"
check_answer("07b.8", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
if revealed(guess):
    for name, run in results.items():
        print(f"{name:8} above 45 %: {run.accuracy > 0.45!s:6} above 75 %: {run.accuracy > 0.75}")

# %% [markdown]
# One answer to all drawings would be right in a third of the cases. From scratch, sixty steps bring little more than that, or nothing. The frozen backbone helps: features of photographs tell something about shapes. Training *all* layers helps most.
#
# **Caution.** This is one learning rate and 60 steps. Three other seeds gave the same order, when this page was written. A longer run from scratch would do better. With fewer images, or images more like photographs, the frozen backbone may win. The comparison costs three short runs. Make it with your own images.

# %% tags=["nbval-ignore-output"]
print("accuracy on the test drawings:",
      ", ".join(f"{name} {100 * run.accuracy:.0f} %" for name, run in results.items()))

# %% [markdown]
# In a terminal, for your folder:
#
# ```
# lambdalib train --data drawings --preset demo --batch-size 20 --lr 0.03 --init-from tiny --out runs/whole
# ```
#
# For the last layer only, add `--freeze-backbone` and name another folder.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of this step
assert results["scratch"].accuracy < 0.45 < results["last"].accuracy < 0.75 < results["whole"].accuracy
assert learnt["last"] == results["last"].model.head.weight.numel() and learnt["scratch"] == learnt["whole"]
backbone = {name: tensor for name, tensor in results["last"].model.named_parameters() if name != "head.weight"}
assert all(torch.equal(tensor, trained[name]) for name, tensor in backbone.items())

# %% [markdown]
# ## Exercises
#
# **1 ★ Compute.** A run has 390 steps in an epoch, and each step takes 0.2 seconds. `fit` saves at the end of each epoch, and 60 seconds after the last save. The machine goes away after step 1000. How many steps are lost?

# %%
lost_steps = None  # a whole number
exercise_1 = check_answer("07b.E1", lost_steps)
exercise_1

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# In 60 seconds the run makes 300 steps. The first epoch ends with step 390, the second with step 780.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Each save starts the clock again. When would the next save after step 780 have been?
#
# </details>
#
# <details><summary>Solution</summary>
#
# The last save was at step 780. The next one was due 300 steps later, at step 1080. So 1000 − 780 = 220 steps are lost, or 44 seconds.
#
# ```python
# lost_steps = 220
# check_answer("07b.E1", lost_steps)
# ```
#
# </details>

# %% [markdown]
# **2 ★★ Construct.** Your batch has 50 images, but only 30 fit at once. So you divide it into 30 and 20, and compute the mean loss of each part. By which two factors must you multiply the two losses, so that the sum of their gradients is that of the whole batch? The norms use stored statistics.

# %%
factors = None  # a pair (for the 30, for the 20)
exercise_2 = check_answer("07b.E2", factors)
exercise_2


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# In the mean over 50 images, each image counts 1/50. How much does it count in the mean over 30?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Factor · 1/30 = 1/50.
#
# </details>
#
# <details><summary>Solution</summary>
#
# 30/50 and 20/50. With 1/2 and 1/2 the images of the smaller part would count more.
#
# ```python
# factors = (0.6, 0.4)
# linear = torch.nn.Linear(7, 10)
# inputs, targets = torch.randn(50, 7), torch.arange(50) % 10
# F.cross_entropy(linear(inputs), targets).backward()
# at_once = linear.weight.grad.clone()
# linear.zero_grad()
# for factor, part in zip(factors, (slice(0, 30), slice(30, 50))):
#     (factor * F.cross_entropy(linear(inputs[part]), targets[part])).backward()
# assert torch.allclose(linear.weight.grad, at_once, atol=1e-6)
# check_answer("07b.E2", factors)
# ```
#
# </details>

# %% [markdown]
# **3 ★★ Implement.** Write a callback that keeps the largest loss of the run. `run.losses` has a place for each step. The last step done is `run.losses[run.step - 1]`.

# %%
class LargestLoss:
    """Keeps the largest loss so far."""

    largest = None

    def on_step(self, run: Run) -> None:
        pass  # replace this line


watcher = LargestLoss()
ten = fit(ten_steps, small, callbacks=[watcher], **quiet)
exercise_3 = check_close(watcher.largest, ten.losses.max(), "does it keep the larger one of old and new?")
exercise_3


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# At the first step there is nothing to compare with. `float("-inf")` or a test for `None` helps.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Or ask for all steps that are done: `run.losses[: run.step]`.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# class LargestLoss:
#     largest = None
#
#     def on_step(self, run):
#         self.largest = run.losses[: run.step].max()
#
#
# watcher = LargestLoss()
# fit(ten_steps, small, callbacks=[watcher], **quiet)
# check_close(watcher.largest, ten.losses.max())
# ```
#
# </details>

# %% [markdown]
# **4 ★★★ Derive.** A colleague sends you a curve from TensorBoard, but only the *smoothed* one. Get the losses back. The formula is in step 4.

# %%
def unsmoothed(curve: Tensor, weight: float = 0.6) -> Tensor | None:
    """What `smoothed` was given, (n,) -> (n,)."""
    return None  # replace this line


exercise_4 = check_close(unsmoothed(smoothed(raw)), raw, "is the division by 1 − wᵗ undone first?")
exercise_4

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# First find $a_t$ from $s_t$. Then solve $a_t = w\,a_{t-1} + (1-w)\,x_t$ for $x_t$.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# $a_t = s_t\,(1-w^t)$ and $x_t = (a_t - w\,a_{t-1})/(1-w)$, with $a_0=0$.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def unsmoothed(curve, weight=0.6):
#     steps = torch.arange(1, len(curve) + 1, dtype=curve.dtype)
#     average = curve * (1 - weight**steps)
#     before = torch.cat([average.new_zeros(1), average[:-1]])
#     return (average - weight * before) / (1 - weight)
#
#
# check_close(unsmoothed(smoothed(raw)), raw)
# ```
#
# Smoothing loses nothing, as long as you know the weight and have all steps.
#
# </details>

# %%
progress({
    "1 steps that are lost": "exercise_1",
    "2 unequal parts": "exercise_2",
    "3 a callback": "exercise_3",
    "4 undo the smoothing": "exercise_4",
}, globals())

# %% [markdown]
# ## What we now know
#
# * A run that saves its whole state can lose its machine. It repeats a few steps, and on one machine the result is the same to the bit.
# * *Resume if there is a state, else start* makes a cell safe to run again. On Colab the folder belongs on Drive.
# * TensorBoard shows smoothed losses, and `compare` a mean distance. In a short run even another learning rate passes the usual 5 %.
# * Two processes equal one that takes the halves of each batch in turn. They do not equal one with whole batches, because of the norms.
# * A folder of images is enough to train on. With few images, start from a trained model, and try it with all layers and with the last one only.
#
# **Ledger.** Nothing for lambda layers and nothing against them: all of this works for any model.
#
# **The code of this lesson** lives in `lambdalib/training/checkpoint.py`, `lambdalib/training/callbacks.py`, `lambdalib/training/distributed.py`, `lambdalib/training/tensorboard.py`, `lambdalib/training/folders.py` and `lambdalib/experiments/compare.py`.
#
# **Next.** Back on the main path: it learns, but *what*? [Lesson 08: look inside](08_look_inside.ipynb).
