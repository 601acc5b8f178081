"""``python -m torture [section[=size] ...]``: run every section, or the named ones, and write docs/reliability.md."""

from __future__ import annotations

import os

# Set before NumPy loads: results are to be the same wherever this runs.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import platform
import re
import sys
from pathlib import Path

import numpy as np
import scipy

from torture import sections

OUT = Path(__file__).parents[1] / "docs" / "reliability.md"
MARK = "<!-- {} -->\n"


def main(wanted: list[str]) -> None:
    """Rerun the wanted sections; others keep what an earlier run wrote."""
    sizes = dict(word.partition("=")[::2] for word in wanted or sections.SECTIONS)
    unknown = set(sizes) - set(sections.SECTIONS)
    if unknown:
        sys.exit(f"No section {', '.join(sorted(unknown))}. There are: {', '.join(sections.SECTIONS)}.")
    before = OUT.read_text() if OUT.exists() else ""
    kept = dict(re.findall(r"<!-- ([\w-]+) -->\n(.*?)(?=<!-- |\Z)", before, flags=re.DOTALL))
    for name, size in sizes.items():
        print(name, file=sys.stderr, flush=True)
        kept[name] = sections.SECTIONS[name](*([int(size)] if size else []))
        print(kept[name], flush=True)
        OUT.write_text(_head() + "".join(MARK.format(n) + kept[n] for n in sections.SECTIONS if n in kept))


def _head() -> str:
    return (
        "# Reliability\n\n"
        "What limbeck promises, and what was measured. Written by `make torture` (`python -m torture SECTION=SIZE` "
        "reruns one section); a sample of each campaign runs in the test suite. "
        f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}, "
        f"{os.cpu_count()} cores of {platform.machine()}.\n\n"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
