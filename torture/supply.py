"""What limbeck stands on: the lowest versions that pyproject.toml states, and the suite on them.

python -m torture.supply     the constraints under which pip installs exactly these
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parents[1]
LOWEST = HERE / ".floors" / "bin" / "python"
SHOWN = "numpy", "scipy", "scikit-learn", "matplotlib", "typer", "rich", "pyarrow", "dask", "jax"
VERSIONS = (
    "import sys, importlib.metadata as m; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
)


@dataclass(frozen=True)
class Suite:
    """The suite in one environment."""

    versions: str
    """Of the packages it stands on."""
    outcome: str
    """What pytest counted."""


def stated() -> list[str]:
    """Requirements as stated, those on limbeck's own extras apart."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    every = [
        *project["dependencies"],
        *(r for extra in project["optional-dependencies"].values() for r in extra),
    ]
    return [requirement for requirement in dict.fromkeys(every) if not requirement.startswith("limbeck[")]


def floors() -> list[str]:
    """Constraints that hold every direct dependency at the lowest version stated."""
    named = [requirement.partition(">=")[::2] for requirement in stated()]
    return [f"{name.partition('[')[0]}=={version}" for name, version in named]


def suite(python: Path) -> Suite:
    """Run the suite with this interpreter; others' deprecation warnings are no errors where their floors are old."""
    calm = ["-W", "default::DeprecationWarning"] if python == LOWEST else []
    run = [str(python), *calm, "-m", "pytest", *calm, "-q", "-n", "2", "-m", "not browser"]
    done = subprocess.run(run, cwd=HERE, capture_output=True, text=True, check=False)
    print(done.stdout[-3000:], file=sys.stderr, flush=True)
    said = subprocess.run([str(python), "-c", VERSIONS, *SHOWN], capture_output=True, text=True, check=True)
    return Suite(said.stdout.strip(), outcome(done.stdout))


def outcome(said: str) -> str:
    """Pytest's last line without its duration."""
    return said.strip().splitlines()[-1].strip("= ").partition(" in ")[0]


if __name__ == "__main__":
    print("\n".join(floors()))
