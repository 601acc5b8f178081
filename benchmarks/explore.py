"""How long `limbeck explore` takes for one change: every slider moved, alone, through its whole range.

python -m benchmarks.explore
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from dataclasses import replace
from time import perf_counter

import numpy as np

from limbeck.explore.figures import draw
from limbeck.explore.panels import compute
from limbeck.explore.view import LAWS, PARAMETERS, View

MOVES = 20


def main() -> None:
    every = []
    for law in LAWS:
        compute(View(law=law))
        for p in PARAMETERS.values():
            stops = np.linspace(0, len(p.stops) - 1, MOVES).round().astype(int)
            times = []
            for stop in np.unique(stops):
                view = replace(View(law=law), **{p.name: p.stops[stop]})
                began = perf_counter()
                draw(view, compute(view))
                times.append(1000 * (perf_counter() - began))
            every += times
            print(f"{law:10} {p.name:12} median {np.median(times):4.0f} ms, longest {max(times):4.0f} ms")
    print(f"all {len(every)} changes: median {np.median(every):.0f} ms, longest {max(every):.0f} ms")


if __name__ == "__main__":
    main()
