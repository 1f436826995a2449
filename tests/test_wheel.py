"""The wheel is the library as git has it, and lessons run from it with no repository around.

This is what a reader has on Colab. The cells run as in a script: no kernel, and no figure is drawn for a page.
`make test-colab` runs every lesson so, with outputs compared; here are the three that use most of the library's
files and commands.
"""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import jupytext
import pytest
import versions
from test_project import TWINS, project_files

ROOT = Path(__file__).resolve().parents[1]
LESSONS = [twin for twin in TWINS if twin.stem.partition("_")[0] in ("00", "07b", "09")]
RUN = """
import json, sys, traceback
import lambdalib
assert lambdalib.__file__ == sys.argv[1], lambdalib.__file__
outcomes = {}
for lesson, cells in json.load(sys.stdin).items():
    namespace, outcomes[lesson] = {"__name__": "__main__"}, ""
    try:
        for source, tags in cells:
            try:
                exec(compile(source, "cell", "exec"), namespace)
            except Exception:
                if "raises-exception" not in tags:
                    raise
    except Exception:
        outcomes[lesson] = traceback.format_exc()
print(json.dumps(outcomes))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return versions.build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    versions.pip(sys.executable, "install", "--no-deps", "--target", folder, wheel)
    return folder


def test_the_wheel_holds_the_library_as_git_has_it(wheel):
    ours = {
        str(path.relative_to(ROOT)): path.read_bytes()
        for path in project_files()
        if path.is_relative_to(ROOT / "lambdalib") and path.is_file()
    }
    with zipfile.ZipFile(wheel) as archive:
        theirs = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
    assert sorted(theirs) == sorted(ours) and "lambdalib/assets/small.safetensors" in theirs
    assert [name for name in ours if ours[name] != theirs[name]] == []


@pytest.fixture(scope="module")
def outcomes(installed, tmp_path_factory):
    """Lesson -> what went wrong in it, in an empty folder. One process, since to import PyTorch takes seconds."""
    lessons = {}
    for twin in LESSONS:
        code = [cell for cell in jupytext.read(twin).cells if cell.cell_type == "code"]
        lessons[twin.stem] = [(cell.source, cell.metadata.get("tags", [])) for cell in code]
    environment = {**os.environ, "PYTHONPATH": str(installed), "MPLBACKEND": "agg"}
    command = [sys.executable, "-c", RUN, str(installed / "lambdalib" / "__init__.py")]
    done = subprocess.run(
        command,
        cwd=tmp_path_factory.mktemp("empty"),
        env=environment,
        input=json.dumps(lessons),
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("twin", LESSONS, ids=lambda twin: twin.stem)
def test_a_lesson_runs_from_the_wheel_alone(twin, outcomes):
    assert outcomes[twin.stem] == "", outcomes[twin.stem]
