"""What SECURITY.md promises: nothing runs code from a file, unpacks an archive unseen or is open to the network.

Every rule is a name; each is shown a bad example first.
"""

import ast
import hashlib
from pathlib import Path

import lab
import pytest
import website
import yaml
from tiny_cifar10 import targz

from lambdalib.training.downloads import DataError

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [
    ROOT / "hubconf.py",
    *(
        path
        for room in ("lambdalib", "tools", "notebooks/py", "site")
        for path in sorted((ROOT / room).rglob("*.py"))
    ),
]
RUNS_CODE = {
    "eval",
    "exec",
    "__import__",
    "os.system",
    "os.popen",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
}
UNPICKLES = {"pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads", "shelve.open"}
UNPICKLES |= {"joblib.load", "dill.load", "dill.loads", "pandas.read_pickle", "yaml.load", "yaml.unsafe_load"}
ASKS_THE_WEB = {"urllib.request.urlopen", "urllib.request.urlretrieve", "torch.hub.load_state_dict_from_url"}
ASKS_THE_WEB |= {"torch.hub.download_url_to_file", "requests.get"}
RACES = {"tempfile.mktemp"}
UNPACKS = {"extractall", "extract", "unpack_archive"}  # of any object
MUST_SAY = {"torch.load": ("weights_only", True)}
MUST_NOT_SAY = {"numpy.load": "allow_pickle", "subprocess": "shell"}

ALLOWED = {
    "tools/frames.py": ["exec"],  # our own lessons
    "tools/time_widgets.py": ["exec"],
    "lambdalib/training/cifar10.py": ["pickle.Unpickler"],  # that refuses all but arrays
}


def dangers(source: str) -> list[str]:
    """The full names of dangerous things that a program uses, whatever it calls them."""
    tree, full = ast.parse(source), {}
    for node in ast.walk(tree):
        for alias in getattr(node, "names", []) if isinstance(node, ast.Import | ast.ImportFrom) else []:
            home = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            name = alias.name if home or alias.asname else alias.name.partition(".")[0]
            full[alias.asname or name] = home + name
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            first, _, rest = ast.unparse(node).partition(".")
            name = ".".join([full.get(first, first), *([rest] if rest else [])])
            if name in RUNS_CODE | UNPICKLES | ASKS_THE_WEB | RACES or name.rpartition(".")[2] in UNPACKS:
                found.append(name)
        if isinstance(node, ast.Call):
            first, _, rest = ast.unparse(node.func).partition(".")
            name = ".".join([full.get(first, first), *([rest] if rest else [])])
            said = {keyword.arg: getattr(keyword.value, "value", None) for keyword in node.keywords}
            word, value = MUST_SAY.get(name, (None, None))
            if word and said.get(word) is not value:
                found.append(f"{name} without {word}={value}")
            for place, word in MUST_NOT_SAY.items():
                if (name == place or name.startswith(f"{place}.")) and said.get(word, False) is not False:
                    found.append(f"{name} with {word}")
    return found


BAD = {
    "eval(text)": "eval",
    "exec(text)": "exec",
    "import os\nos.system('ls')": "os.system",
    "from os import popen as p\np('ls')": "os.popen",
    "import pickle\npickle.loads(content)": "pickle.loads",
    "from pickle import load\nload(file)": "pickle.load",
    "import pickle as p\nclass U(p.Unpickler): pass": "pickle.Unpickler",
    "import yaml\nyaml.load(file)": "yaml.load",
    "import urllib.request\nurllib.request.urlopen(url)": "urllib.request.urlopen",
    "from urllib import request\nrequest.urlopen(url)": "urllib.request.urlopen",
    "import torch\ntorch.hub.load_state_dict_from_url(url)": "torch.hub.load_state_dict_from_url",
    "import tempfile\ntempfile.mktemp()": "tempfile.mktemp",
    "tar.extractall(folder)": "tar.extractall",
    "import torch\ntorch.load(path)": "torch.load without weights_only=True",
    "import torch as t\nt.load(path, weights_only=False)": "torch.load without weights_only=True",
    "from torch import load\nload(path)": "torch.load without weights_only=True",
    "import numpy as np\nnp.load(path, allow_pickle=True)": "numpy.load with allow_pickle",
    "import subprocess\nsubprocess.run('ls', shell=True)": "subprocess.run with shell",
    "from subprocess import check_call\ncheck_call('ls', shell=really)": "subprocess.check_call with shell",
}
GOOD = """
import subprocess, torch, yaml
import numpy as np
model.eval(), torch.load(path, weights_only=True), np.load(path), yaml.safe_load(file), tar.extractfile(member)
subprocess.run(["ls"], shell=False)
"""


@pytest.mark.parametrize("source", BAD)
def test_a_danger_is_seen(source):
    assert dangers(source) == [BAD[source]]


def test_what_is_no_danger_is_not():
    assert dangers(GOOD) == []


def test_the_sources_hold_no_danger():
    assert len(SOURCES) > 80
    found = {path.relative_to(ROOT).as_posix(): dangers(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert {name: names for name, names in found.items() if names} == ALLOWED


def workflow(name):
    return yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8"))


def test_the_environment_is_audited_weekly_and_on_demand():
    jobs = workflow("test.yml")
    audit, when = jobs["jobs"]["audit"], jobs[True]  # YAML reads `on` as true
    assert when["schedule"] and "workflow_dispatch" in when
    assert "schedule" in audit["if"] and "workflow_dispatch" in audit["if"]
    version = next(step["with"]["python-version"] for step in audit["steps"] if "with" in step)
    commands = [step["run"] for step in audit["steps"] if "run" in step]
    assert commands[0] == "make .venv/ready" and f"python{version}/site-packages" in commands[1]


# ---- the site's formulas  --------------------


@pytest.mark.parametrize("right", [True, False])
def test_mathjax_is_unpacked_only_if_its_hash_is_right(right, tmp_path, monkeypatch):
    packed = targz({"package/es5/tex-chtml.js": b"x", "package/es5/../../evil": b"y", "package/evil": b"z"})
    (tmp_path / "m.tgz").write_bytes(packed)
    monkeypatch.setattr(website, "npm_pack", lambda *arguments: tmp_path / "m.tgz")
    monkeypatch.setattr(website, "CACHE", tmp_path / "cache")
    if right:
        monkeypatch.setattr(website, "MATHJAX_SHA512", hashlib.sha512(packed).hexdigest())
        assert website.fetch_mathjax(tmp_path / "to")
        assert [path.name for path in tmp_path.rglob("*") if path.is_file()].count("tex-chtml.js") == 2
    else:
        with pytest.raises(DataError, match="mathjax@3.2.2 has not the SHA-512"):
            website.fetch_mathjax(tmp_path / "to")
        assert not (tmp_path / "cache").exists() and not (tmp_path / "to").exists()


# ---- servers  --------------------


@pytest.mark.parametrize("root_user", [False, True])
@pytest.mark.parametrize("screen", [False, True])
def test_jupyterlab_listens_on_loopback_and_keeps_its_token(root_user, screen):
    given = lab.arguments([], root_user, screen)
    assert "--ServerApp.ip=127.0.0.1" in given
    for word in ("token", "password", "allow_origin", "allow_remote", "xsrf", "disable"):
        assert not [argument for argument in given if word in argument.lower()]


def test_the_site_is_served_on_loopback(monkeypatch, capsys):
    places = []

    class Server:
        server_address = ("127.0.0.1", 8000)

        def __init__(self, address, handler):
            places.append((address, handler.keywords))

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def serve_forever(self):
            raise KeyboardInterrupt

    monkeypatch.setattr(website.http.server, "ThreadingHTTPServer", Server)
    website.serve(8000)
    assert places == [(("127.0.0.1", 8000), {"directory": website.BUILD / "html"})]
