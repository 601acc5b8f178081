"""A tiny experiment for the tests of the machinery: cells that take a moment and can be counted."""

import os
import time
from pathlib import Path

from limbeck.displays.style import house_style, new_figure
from limbeck.experiments._experiment import Experiment, Finding, Measured, Table, grouped
from limbeck.records import Estimate, pool


class Noise(Experiment):
    """Means of normal numbers around a level."""

    name = "noise"
    title = "means of noise"
    repeats, quick_repeats, block = 40, 8, 4
    defaults = {"level": 1.0, "pause": 0.0, "label": "a"}  # noqa: RUF012

    def check(self, settings):
        if settings["level"] < 0:
            raise ValueError(f"level must be >= 0, got {settings['level']}.")

    def plan(self, settings):
        return [c for k in (1, 2) for c in self.blocks(settings, {"scale": float(k)})]

    def measure(self, cell, settings, rng):
        time.sleep(settings["pause"])
        trace = os.environ.get("NOISE_TRACE")
        if trace:
            with Path(trace).open("a") as file:
                file.write(cell.key + "\n")
        values = settings["level"] + cell.parameters["scale"] * rng.standard_normal(cell.repeats)
        return Measured(
            {"mean": Estimate.of(values), "top": Estimate(float("inf"), 0.0, 1)}, {"values": values}
        )

    def tabulate(self, records, settings):
        rows = []
        for parameters, blocks in grouped(records):
            mean = pool(blocks)["mean"]
            rows.append((parameters["scale"], mean.mean, mean.stderr, mean.count, float("inf"), None))
        return Table(("scale", "mean", "stderr", "repeats", "top", "nothing"), rows)

    def draw(self, table, records, settings):
        with house_style():
            figure, (ax,) = new_figure()
            ax.errorbar(table.column("scale"), table.column("mean"), table.column("stderr"))
        return figure

    def findings(self, table, settings):
        return [
            Finding("Noise <script>", "claim & more", f"mean {table.rows[0][1]:.3f}", "agrees", "caption")
        ]


class Silence(Noise):
    """Another experiment for the same folder."""

    name = "silence"
    defaults = {**Noise.defaults, "pitch": 1}  # noqa: RUF012


FAKES = {"noise": Noise(), "silence": Silence()}


if __name__ == "__main__":  # a run that tests can kill
    import sys

    from limbeck.experiments.run import Request, run

    out, jobs = Path(sys.argv[1]), int(sys.argv[2])
    run(FAKES, Request(["noise"], out, jobs=jobs, resume=True, values={"pause": "0.02"}))
