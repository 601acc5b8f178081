"""What is shipped: one small wheel with all that runs, and nothing else."""

import re
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path
from zipfile import ZipFile

import pytest

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
