"""The lowest versions are those of pyproject.toml, Colab's fit our bounds, and a tally counts what ran."""

import json
import sys

import pytest
import versions
from packaging.requirements import Requirement
from test_project import PROJECT

SUITE = '<testsuite tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}"/>'
REPORT = f"<testsuites>{SUITE}</testsuites>"


def declared():
    extras = PROJECT["project"]["optional-dependencies"].values()
    return PROJECT["project"]["dependencies"] + [text for extra in extras for text in extra if ">=" in text]


def test_lowest_is_what_pyproject_declares():
    text = versions.PYPROJECT.read_text(encoding="utf-8")
    assert versions.lowest(text) == [requirement.replace(">=", "==") for requirement in declared()]
    assert len(declared()) > 20 and "torch==2.6" in versions.lowest(text)


def refused(requirements, pins):
    """The requirements that no pinned package meets."""
    has = dict(line.split("==") for line in pins.splitlines() if line and not line.startswith("#"))
    wanted = [Requirement(text) for text in requirements]
    return [str(want) for want in wanted if has.get(want.name.lower(), "0") not in want.specifier]


def test_colab_has_what_the_course_needs():
    assert refused(["a>=2", "b>=1", "c>=1"], "# a\na==1.9\nb==1.0\n") == ["a>=2", "c>=1"]
    pins = versions.COLAB.read_text(encoding="utf-8")
    assert "torch==" in pins and "ipywidgets==7" in pins
    assert refused(PROJECT["project"]["dependencies"], pins) == []


def test_what_would_be_replaced_on_colab_is_named(monkeypatch):
    def report(*names):
        items = [{"metadata": {"name": name}} for name in names]
        monkeypatch.setattr(versions, "pip", lambda *words: json.dumps({"install": items}))
        return versions.replaced("python", "wheel")

    assert report("lambdanetworks-course", "packaging") == []
    assert report("lambdanetworks-course", "torch", "jupyter_client") == ["torch", "jupyter_client"]


def test_a_tally_counts_what_ran(tmp_path, monkeypatch):
    (tmp_path / "report.xml").write_text(REPORT.format(tests=7, failures=1, errors=2, skipped=1))
    monkeypatch.setattr(versions, "ROOT", tmp_path)
    kept = tmp_path / "tests" / "tally" / "colab.jsonl"
    kept.parent.mkdir(parents=True)
    kept.write_text('{"what": "another Python"}\n')
    for _ in range(2):  # the second takes the first one's place
        versions.write_tally("colab", tmp_path / "report.xml", sys.executable, "make test-colab")
    other, tally = map(json.loads, kept.read_text().splitlines())
    assert other == {"what": "another Python"}
    assert tally["what"].endswith(", on Python " + ".".join(map(str, sys.version_info[:2])))
    assert list(tally) == "what count failures command commit python torch cpu date".split()
    assert (tally["count"], tally["failures"]) == (3, 3) and all(value for name, value in tally.items())


def test_a_run_without_a_report_has_failed(tmp_path):
    assert versions.outcome(tmp_path / "report.xml") == (0, 1)


def test_an_unknown_set_of_versions_is_refused(capsys):
    with pytest.raises(SystemExit) as refusal:
        versions.main(["oldest"])
    assert refusal.value.code == 2 and "lowest" in capsys.readouterr().err
