"""Test with other versions of what the course depends on: `make test-lowest`, `test-newest` and `test-colab`.

lowest  every dependency as old as pyproject.toml allows: the whole suite
newest  the newest release of every dependency: the whole suite
colab   the versions in tests/colab.txt and the course from its wheel: every lesson alone in an empty folder

Each has an environment of its own, .venv-lowest and so on, made with the Python that runs this file. Any further
arguments go to pytest. `--tally` also writes the counts to tests/tally/NAME.jsonl.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = ROOT / "pyproject.toml"
COLAB = ROOT / "tests" / "colab.txt"
INSIDE = "Scripts/python.exe" if os.name == "nt" else "bin/python"  # a virtual environment's interpreter
OURS = ROOT / ".venv" / INSIDE
WHAT = {
    "lowest": "the suite and the lessons with the lowest versions that pyproject.toml allows",
    "newest": "the suite and the lessons with the newest releases",
    "colab": "every lesson alone with Colab's versions, from the wheel",
}
FACTS = """
import json, platform, torch
from lambdalib.training.evidence import commit, hardware
versions = {"python": platform.python_version(), "torch": str(torch.__version__)}
print(json.dumps({"commit": commit(), **versions, "cpu": hardware(torch.device("cpu"))}))
"""


def lowest(pyproject: str) -> list[str]:
    """Every `name>=version` of a pyproject.toml's [project] as name==version: extras too, without the build's."""
    text = pyproject.partition("\n[project]\n")[2]
    return [f"{name}=={version}" for name, version in re.findall(r'"([\w.-]+)>=([\w.]+)"', text)]


def pip(python: Path | str, *words: str | Path) -> str:
    """Run pip, and return what it wrote to stdout."""
    command = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def make_environment(folder: Path) -> Path:
    """A virtual environment with this Python, made anew if it has another one. Returns its interpreter."""
    settings = folder / "pyvenv.cfg"
    version = "version = " + ".".join(map(str, sys.version_info[:3]))
    if not settings.is_file() or version not in settings.read_text(encoding="utf-8").splitlines():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    return folder / INSIDE


def build_wheel(folder: Path, python: Path | str = sys.executable) -> Path:
    """Build the wheel in `folder` from a copy of what git has: in the checkout are leftovers of earlier builds.

    Args:
        python: has setuptools.
    """
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    for name in filter(lambda name: (ROOT / name).is_file(), names):
        copy = folder / "copy" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy)
    pip(python, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, folder / "copy")
    (path,) = folder.glob("*.whl")
    return path


def replaced(python: Path, wheel: Path) -> list[str]:
    """The packages in tests/colab.txt that installing the wheel would exchange: none, if our bounds are right."""
    report = json.loads(pip(python, "install", "--dry-run", "--report", "-", wheel))
    theirs = re.findall(r"^([\w.-]+)==", COLAB.read_text(encoding="utf-8"), re.MULTILINE)
    return [name for name in theirs if name in {item["metadata"]["name"].lower() for item in report["install"]}]


def as_on_colab(python: Path, folder: Path) -> list[str]:
    """Install the wheel beside Colab's packages, lay out the lessons in `folder`. Returns pytest's arguments."""
    pip(python, "install", "--requirement", COLAB)
    wheel = build_wheel(folder, OURS)
    if names := replaced(python, wheel):
        raise SystemExit(f"the wheel would replace what Colab has: {', '.join(names)}")
    pip(python, "install", wheel)
    pip(python, "install", "--force-reinstall", "--no-deps", wheel)  # the version number stays, the code does not
    stub = folder / "stub" / "google" / "colab"
    stub.mkdir(parents=True)
    (stub / "__init__.py").touch()
    kernel = folder / "kernels" / "colab" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    start = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    # instead of the PYTHONPATH by which conftest.py lets kernels import the checkout
    settings = {"argv": start, "display_name": "colab", "env": {"PYTHONPATH": str(folder / "stub")}}
    kernel.write_text(json.dumps(settings), encoding="utf-8")
    os.environ["JUPYTER_PATH"] = str(folder)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tools")])  # for conftest.py
    lessons = []
    for lesson in sorted((ROOT / "notebooks").glob("*.ipynb")):
        lessons.append(folder / "lessons" / lesson.stem / lesson.name)
        lessons[-1].parent.mkdir(parents=True)
        shutil.copy(lesson, lessons[-1])
    # with lessons below its root, pytest tells them apart
    plugins = ["-p", "conftest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder)]
    return [*plugins, "--nbval", "--nbval-kernel-name", "colab", *map(str, lessons)]


def outcome(report: Path) -> tuple[int, int]:
    """How many tests passed and how many failed, from pytest's JUnit report. A run that left none has failed."""
    if not report.exists():
        return 0, 1
    suite = ElementTree.parse(report).getroot().find("testsuite")
    tests, failures, errors, skipped = (int(suite.get(k)) for k in ("tests", "failures", "errors", "skipped"))
    return tests - failures - errors - skipped, failures + errors


def write_tally(name: str, report: Path, python: Path, command: str) -> None:
    """A line for each Python, as tally.write does, which needs PyTorch: the Python of this file may have none."""
    passed, failed = outcome(report)
    facts = json.loads(subprocess.run([python, "-c", FACTS], cwd=ROOT, check=True, capture_output=True).stdout)
    what = f"{WHAT[name]}, on Python {facts['python'].rpartition('.')[0]}"
    tally = {"what": what, "count": passed, "failures": failed, "command": command, **facts}
    path = ROOT / "tests" / "tally" / f"{name}.jsonl"
    path.parent.mkdir(exist_ok=True)
    before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    lines = {json.loads(line)["what"]: line for line in before}
    lines[what] = json.dumps({**tally, "date": str(date.today())})
    path.write_text("".join(f"{line}\n" for line in lines.values()), encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=WHAT)
    parser.add_argument("--tally", action="store_true", help="write the counts to tests/tally/NAME.jsonl")
    options, others = parser.parse_known_args(arguments)
    python = make_environment(ROOT / f".venv-{options.name}")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        if options.name == "colab":
            runner, tests = OURS, as_on_colab(python, Path(folder))
        else:
            held = lowest(PYPROJECT.read_text(encoding="utf-8")) if options.name == "lowest" else []
            bounds = Path(folder) / "bounds.txt"
            bounds.write_text("\n".join(held))
            pip(python, "install", "--upgrade", "--constraint", bounds, "--editable", f"{ROOT}[dev]")
            runner, tests = python, ["--nbval", "notebooks", "tests"]
        side_by_side = ["-n", "logical", "--maxprocesses", "4"]
        command = [runner, "-m", "pytest", *tests, *side_by_side, "--junitxml", report, *others]
        code = subprocess.run(command, cwd=ROOT).returncode
        if options.tally:
            more = f" ARGS='{' '.join(others)}'" if others else ""
            write_tally(options.name, report, python, f"make test-{options.name}{more}")
    return code


if __name__ == "__main__":
    sys.exit(main())
