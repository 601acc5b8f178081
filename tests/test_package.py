"""What is shipped: one small wheel with all that runs, and nothing else."""

import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from importlib import import_module
from importlib.metadata import metadata
from inspect import isclass
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

ROOMS = ("theory", "budget", "students", "displays", "data")
HOME = Path(__file__).parents[1]
WRITES = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-c", WRITES, folder], cwd=HOME, capture_output=True, text=True, check=True
    )
    return folder / done.stdout.split()[-1]


def test_the_wheel_is_small_and_holds_every_file_of_the_package(wheel):
    assert wheel.stat().st_size < 1 << 20
    names = {name for name in ZipFile(wheel).namelist() if not re.match(r"limbeck-[^/]*\.dist-info/", name)}
    source = HOME / "src"
    files = {
        p.relative_to(source).as_posix()
        for p in source.rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    assert names == files
    assert "limbeck/py.typed" in names


def test_the_version_is_said_once(wheel):
    import limbeck

    said = re.search(r"^version: (.*)$", (HOME / "CITATION.cff").read_text(), flags=re.MULTILINE)
    assert said is not None
    assert limbeck.__version__ == metadata("limbeck")["Version"] == said[1]
    assert f"## {said[1]}" in (HOME / "CHANGELOG.md").read_text()


def _public_classes():
    names = {"limbeck", "limbeck.labels", *(f"limbeck.{room}" for room in ROOMS)}
    modules = [import_module(name) for name in sorted(names)]
    return sorted(
        {c for m in modules for n in vars(m) if not n.startswith("_") and isclass(c := getattr(m, n))},
        key=lambda c: c.__name__,
    )


def test_results_that_hold_arrays_are_compared_as_objects():
    """By their fields they could not be: an array's equality is no truth value, and it has no hash."""
    from limbeck.theory import certify

    checked = 0
    for cls in _public_classes():
        if not (is_dataclass(cls) and cls.__module__.startswith("limbeck")):
            continue
        kinds = " ".join(str(field.type) for field in fields(cls) if "Callable" not in str(field.type))
        if re.search(r"\b(Array|ndarray)\b", kinds):
            checked += 1
            assert cls.__eq__ is object.__eq__, cls
    assert checked > 20
    X = np.eye(3)
    first, second = (certify(X, np.ones(3), X) for _ in range(2))
    assert first == first != second
    assert len({first, second}) == 2
