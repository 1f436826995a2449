"""The machine that a run is on, and the evidence that it leaves."""

import json
import platform
import subprocess
import sys

import pytest
import torch

from lambdalib.training import evidence


def test_dtype_falls_back_where_the_hardware_has_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (7, 5))
    assert evidence.pick_dtype("bfloat16", torch.device("cuda")) == torch.float16
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (8, 0))
    assert evidence.pick_dtype("bfloat16", torch.device("cuda")) == torch.bfloat16
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, probe, lambda: False, raising=False)
    assert evidence.pick_dtype("bfloat16", torch.device("cpu")) == torch.float32
    assert evidence.pick_dtype("float16", torch.device("cpu")) == torch.float16
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert evidence.pick_dtype("bfloat16", torch.device("cpu")) == torch.bfloat16
    monkeypatch.setattr(
        torch.backends.cpu, "get_cpu_capability", lambda: "AVX2"
    )  # what PyTorch uses, not what there is
    assert evidence.pick_dtype("bfloat16", torch.device("cpu")) == torch.float32


def test_a_type_that_was_not_asked_for_has_a_reason(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    cpu, words = torch.device("cpu"), "float32, since this CPU has no bfloat16"
    assert evidence.dtype_words("bfloat16", cpu) == words and evidence.dtype_words("float32", cpu) == "float32"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (7, 5))
    words = "float16, since this GPU has no bfloat16; lambda layers compute in float32 then, which takes more "
    assert evidence.dtype_words("bfloat16", torch.device("cuda")) == words + "time and memory"


SYSTEM_CALLS = """
import resource, torch
from lambdalib.training.evidence import memory_kept

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(16_000_000)  # 64 MB, taken and freed
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

usual = faults()
with memory_kept() as kept:
    faults()  # takes the memory that is kept from now on
    print(kept, usual, min(faults() for _ in range(4)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_freed_memory_is_kept_for_the_next_step():
    done = subprocess.run([sys.executable, "-c", SYSTEM_CALLS], capture_output=True, text=True, check=True)
    kept, usual, fewer = done.stdout.split()
    assert kept == "True" and int(fewer) < int(usual) / 10, done.stdout  # a page fault for each new page


def test_without_glibc_memory_is_left_alone(monkeypatch):
    monkeypatch.setattr(evidence.platform, "libc_ver", lambda: ("", ""))
    with evidence.memory_kept() as kept:
        assert not kept


def test_evidence_names_the_commit_only_of_its_own_repository(monkeypatch):
    def git(command, **options):
        if command[1] == "ls-files":
            raise evidence.subprocess.CalledProcessError(1, command)
        return pytest.fail("asked for a commit that is not ours")

    monkeypatch.setattr(evidence.subprocess, "run", git)
    assert evidence.commit() is None
    line = json.loads(json.dumps(evidence.evidence(torch.device("cpu"))))
    assert (line["commit"], line["processes"], line["threads"]) == (None, 1, torch.get_num_threads())


@pytest.mark.parametrize(("changes", "mark"), [("", ""), (" M layer.py", "+changes")])
def test_changed_code_is_marked(monkeypatch, changes, mark):
    answers = {"ls-files": "", "rev-parse": "abc", "status": changes}
    monkeypatch.setattr(
        evidence.subprocess,
        "run",
        lambda command, **_: subprocess.CompletedProcess(command, 0, answers[command[1]]),
    )
    assert evidence.commit() == f"abc{mark}"


def test_the_device_is_the_one_that_is_asked_for(monkeypatch):
    for available, usual in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert evidence.pick_device().type == usual
        assert evidence.pick_device("cpu").type == "cpu"


def test_a_processor_has_its_name(monkeypatch, tmp_path):
    monkeypatch.setattr(evidence, "Path", lambda name: tmp_path / "cpuinfo")
    monkeypatch.setattr(evidence.platform, "processor", lambda: "a kind")
    assert evidence.hardware(torch.device("cpu")) == "a kind"
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name : A CPU : 2\n")
    assert evidence.hardware(torch.device("cpu")) == "A CPU : 2"
