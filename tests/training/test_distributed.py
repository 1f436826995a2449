"""Two processes train as one does, and neither outlives the other for long."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from lambdalib import cli
from lambdalib.training import distributed
from lambdalib.training.checkpoint import load_state, load_weights
from lambdalib.training.cifar10 import ImageSplits
from lambdalib.training.data import Augment, batches, load_sample
from lambdalib.training.recipes import Recipe
from lambdalib.training.run import Run
from lambdalib.training.train import fit

RECIPE = Recipe(
    model="tiny",
    epochs=2,
    batch_size=14,
    lr=0.01,
    momentum=0.8,
    warmup=0,
    ema=0.9,
    flip="random",
    cutout=5,
    dtype="float32",
    channels_last=False,
)
SCRIPT = """
import shutil, sys
from lambdalib.training import distributed
from lambdalib.training.train import fit
from test_distributed import RECIPE, few_images
from toy import after_epochs
with distributed.process_group():
    me = f"process {distributed.rank()} of {distributed.size()}"
    def tell(run):
        print(f"{me} at step {run.step};", end="", flush=True)
        if distributed.rank() == 0 and run.step == 3:
            shutil.copytree(sys.argv[1], "half")
    fit(RECIPE, few_images(), sys.argv[1], device="cpu", progress=True, callbacks=after_epochs(tell))
"""
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join(
        [*map(str, Path(__file__).parents[:3]), *filter(None, [os.environ.get("PYTHONPATH")])]
    ),
}


@pytest.fixture(autouse=True)
def as_many_threads_as_the_children():
    """Another thread count adds in another order: one ulp, and a tie of a max-pool goes to the other pixel."""
    threads = torch.get_num_threads()
    torch.set_num_threads(int(ENVIRONMENT["OMP_NUM_THREADS"]))
    yield
    torch.set_num_threads(threads)


def few_images():
    """45 + 20 images: 3 batches of 14, and 3 left over."""
    sample = load_sample()
    return ImageSplits(
        *(part[:45] for part in sample[:2]),
        *(part[:20] for part in sample[2:4]),
        sample.train_index[:45],
        sample.test_index[:20],
        "sample",
    )


def halves_in_turn():
    """One process, by hand: the gradients of both halves of every batch are added up, then comes the step."""
    torch.manual_seed(0)
    data, run = few_images(), Run(RECIPE, few_images(), torch.device("cpu"))
    augment = Augment(2, "random", 5)
    for images, labels in batches(data.train_images, data.train_labels, 14, stop=6, augment=augment):
        run.model.train()
        run.optimizer.zero_grad()
        losses = []
        for part in (slice(0, 7), slice(7, 14)):
            losses.append(F.cross_entropy(run.model(images[part]), labels[part], label_smoothing=0.2))
            (losses[-1] / 2).backward()
        run.optimizer.step()
        run.scheduler.step()
        run.ema.update_parameters(run.model)
        run.log_step(torch.stack(losses).detach().mean())
    return run


def test_two_processes_are_one_that_takes_the_halves_in_turn(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "script.py",
        "out",
    ]
    result = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    told = [f"process {rank} of 2 at step {step}" for rank in (0, 1) for step in (3, 6)]
    assert sorted(result.stdout.split(";")) == ["", *told]
    assert result.stderr.count("0/6 [00:00<?") == 1, "one bar for both"
    state, one = load_state(tmp_path / "out" / "state.pt"), halves_in_turn()
    torch.testing.assert_close(state["losses"], one.losses, rtol=0, atol=2e-5)
    for name, parameter in one.model.named_parameters():
        torch.testing.assert_close(state["model"][name], parameter.detach(), rtol=1e-3, atol=2e-5, msg=name)
    averaged = load_weights(tmp_path / "out" / "weights.safetensors")
    for name, parameter in one.eval_model.named_parameters():
        torch.testing.assert_close(averaged[name], parameter.detach(), rtol=1e-3, atol=2e-5, msg=name)
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert log[0]["processes"] == 2 and [record["kind"] for record in log] == ["start", "epoch", "epoch", "end"]
    alone = fit(
        RECIPE, few_images(), device="cpu", progress=False
    )  # norms over 14 pictures instead of 7: another run
    assert (alone.losses[1:] - one.losses[1:]).abs().max() > 1e-3 and alone.records[0]["processes"] == 1
    resumed = fit(RECIPE, few_images(), tmp_path / "half", resume=True, device="cpu", progress=False)
    assert [record["processes"] for record in resumed.records if "processes" in record] == [2, 1]
    assert torch.equal(resumed.losses[:3], state["losses"][:3])
    off = (resumed.losses[3:] - state["losses"][3:]).abs()  # the norms see 14 images instead of 7
    assert 1e-3 < off.max() < 0.2, off


def test_the_first_process_alone_writes_and_tells(tmp_path, monkeypatch, capsys):
    command = f"train --preset demo --max-steps 1 --quiet --device cpu --out {tmp_path / 'cli'}".split()
    assert cli.main(command) == 0 and "test accuracy" in capsys.readouterr().out
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    monkeypatch.setattr(distributed, "local_shard", lambda batch: batch)
    run = fit(RECIPE, few_images(), tmp_path / "out", device="cpu", progress=False)
    assert run.step == 6 and not (tmp_path / "out").exists()
    assert cli.main([*command[:-1], str(tmp_path / "other")]) == 0 and capsys.readouterr().out == ""
    assert not (tmp_path / "other").exists()


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start_two(folder, *options):
    """Start two processes without torchrun, which would end one after the other. Returns both."""
    port = free_port()
    fixed = "train --preset demo --source sample --device cpu --out out --quiet".split()
    command = [sys.executable, "-m", "lambdalib", *fixed, *options]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    return [
        subprocess.Popen(
            command,
            cwd=folder,
            env={**ENVIRONMENT, **meeting, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]


def wait_for(path, processes, seconds=300):
    """Until a file is there."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end and all(process.poll() is None for process in processes), [
            p.poll() for p in processes
        ]
        time.sleep(0.1)


def test_a_killed_process_ends_the_other_with_a_message(tmp_path):
    processes = start_two(tmp_path, "--devices", "2", "--epochs", "500")
    try:
        wait_for(tmp_path / "out" / "state.pt", processes)
        processes[0].kill()
        out, err = processes[1].communicate(timeout=30)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    last = err.strip().splitlines()[-1]
    assert processes[1].returncode == 1 and out == ""
    assert "process 1 of 2 stops, since another one has ended" in last and "--resume" in last


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux names the children of a process")
def test_the_command_of_the_readme_trains_on_two_and_one_goes_on_alone(tmp_path, capsys):
    command = "torchrun --nproc-per-node 2 -m lambdalib train"
    options = "--preset demo --source sample --device cpu --out out --quiet --epochs 500"
    beside_python = os.pathsep.join([str(Path(sys.executable).parent), ENVIRONMENT["PATH"]])
    where = {"PATH": beside_python, "PET_MASTER_PORT": str(free_port())}  # 29500, the usual one, may be taken
    agent = subprocess.Popen(
        [*command.split(), *options.split()],
        cwd=tmp_path,
        env={**ENVIRONMENT, **where},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(tmp_path / "out" / "state.pt", [agent])
        children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
        workers = [
            child for child in map(int, children) if b"lambdalib" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]
        os.kill(workers[1], signal.SIGKILL)
        err = agent.communicate(timeout=30)[1]
    finally:
        agent.kill()
        agent.wait()
    assert len(workers) == 2 and agent.returncode == 1
    assert "Signal 9" in err  # the other's own words may not come: torchrun may end it before it notices
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert [record["processes"] for record in log if record["kind"] == "start"] == [2]
    step = load_state(tmp_path / "out" / "state.pt")["step"]
    assert cli.main(f"train --resume --out {tmp_path / 'out'} --minutes 1e-9 --quiet --device cpu".split()) == 0
    assert capsys.readouterr().out.startswith(f"stopped after step {step + 1:,} of 20,000; continue with")


def test_a_broken_loss_ends_both_with_the_same_words(tmp_path):
    processes = start_two(tmp_path, "--lr", "1e30", "--epochs", "1")
    try:
        errors = [process.communicate(timeout=240)[1].strip().splitlines()[-1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [1, 1] and errors[0] == errors[1]
    assert (
        "the loss became nan at step 1 of 40" in errors[0] and "was the first layer whose output was" in errors[0]
    )


def test_one_ctrl_c_stops_both_after_the_same_step(tmp_path):
    processes = start_two(tmp_path, "--epochs", "500")
    try:
        wait_for(tmp_path / "out" / "state.pt", processes)
        processes[1].send_signal(signal.SIGINT)
        errors = [process.communicate(timeout=60)[1].strip().splitlines()[-1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [130, 130] and errors[0] == errors[1]
    assert f"stopped after step {load_state(tmp_path / 'out' / 'state.pt')['step']} of 20000" in errors[0]


def test_alone_nothing_happens():
    assert (distributed.size(), distributed.rank(), distributed.local_device()) == (1, 0, None)
    model, batch, value = torch.nn.Linear(1, 1), torch.arange(6), torch.tensor(3.0)
    assert distributed.wrap_ddp(model, torch.device("cpu")) is model and torch.equal(
        distributed.local_shard(batch), batch
    )
    assert distributed.all_reduce_mean(value).item() == 3
    assert distributed.all_reduce_any(True) and not distributed.all_reduce_any(False)


def test_each_process_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(distributed, "size", lambda: 4)
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(distributed.torch.cuda, "is_available", lambda: False)
    assert distributed.local_device() is None
    monkeypatch.setattr(distributed.torch.cuda, "is_available", lambda: True)
    assert distributed.local_device() == torch.device("cuda", 3)


def test_devices_tells_how_to_start_them(capsys, tmp_path):
    assert cli.main(f"train --preset demo --max-steps 1 --quiet --out {tmp_path} --devices 2".split()) == 2
    err = capsys.readouterr().err
    assert "--devices: must be the number of processes, 1, got 2" in err
    assert "torchrun --nproc-per-node 2 -m lambdalib train" in err
