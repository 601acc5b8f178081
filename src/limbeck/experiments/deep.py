"""Deep linear students: trajectories, the leak of the start into the limit, and what imbalance does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from limbeck.displays.beyond import deep as draw_deep
from limbeck.experiments._experiment import Experiment, Finding, Measured, Settings, Table, grouped
from limbeck.records import Cell, Estimate, Record, pool
from limbeck.theory import Span
from limbeck.theory.deep import deep_flow, deep_limit_details
from limbeck.theory.deep_bounds import theorem_2_radius
from limbeck.theory.layers import balance_error, balanced_layers
from limbeck.theory.training import imbalance_effect

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEPTHS = (2, 3, 5)
STARTS = tuple(10.0**k for k in np.arange(-6, 0.75, 0.5))
SPREADS = (1e-3, 1e-2, 0.1, 0.3)


class Deep(Experiment):
    """Theorem 2 and appendix C beside what is exact: |w| sin(phi)^N is conserved."""

    name = "deep"
    title = "deep students: trajectories, the leak of the start, imbalance"
    repeats: ClassVar[int] = 20
    quick_repeats: ClassVar[int] = 2
    block: ClassVar[int] = 4
    defaults: ClassVar[Mapping[str, Any]] = {"d": 60, "n": 15, "start": 0.01}

    def check(self, settings: Settings) -> None:
        """Refuse sizes that leave no complement, where every depth ends at w_hat."""
        if not 1 <= settings["n"] < settings["d"]:
            raise ValueError(
                f"n = {settings['n']} must be at least 1 and below d = {settings['d']}: otherwise nothing leaks."
            )
        if not settings["start"] > 0:
            raise ValueError(f"start must be positive, got {settings['start']}.")

    def plan(self, settings: Settings) -> list[Cell]:
        """One trajectory a depth; blocks of tasks for each leak and each imbalance."""
        cells = [Cell(self.name, {"kind": "trajectory", "depth": N}, repeats=1) for N in DEPTHS]
        for N in DEPTHS:
            cells += self.blocks(settings, {"kind": "leak", "depth": N})
            for spread in SPREADS:
                cells += self.blocks(settings, {"kind": "imbalance", "depth": N, "spread": spread})
        return cells

    def measure(self, cell: Cell, settings: Settings, rng: np.random.Generator) -> Measured:
        """Follow the flow, or take its exact limit, on isotropic tasks with |w_hat| = 1."""
        N = cell.parameters["depth"]
        if cell.parameters["kind"] == "trajectory":
            return Measured(
                detail=_trajectory(*_task(settings, np.random.default_rng(settings.seed)), N, settings)
            )
        found: dict[str, list[float]] = {}
        for _ in range(cell.repeats):
            span, z, u = _task(settings, rng)
            if cell.parameters["kind"] == "leak":
                values = {str(s): deep_limit_details(span, z, s * u, N).leak for s in STARTS}
            else:
                values = _imbalance(span, z, settings["start"] * u, N, cell.parameters["spread"], rng)
            for name, value in values.items():
                found.setdefault(name, []).append(value)
        return Measured({name: Estimate.of(values) for name, values in found.items()})

    def tabulate(self, records: Sequence[Record], settings: Settings) -> Table:
        """Rows of three kinds; what does not apply is left empty."""
        flowing = ("time", "loss", "norm", "angle", "distance", "conserved")
        columns = ("kind", "depth", "start_norm", *flowing, "leak", "leak_stderr", "radius")
        columns = (*columns, "balance_error", "deviation", "deviation_stderr", "repeats")
        rows = []
        for parameters, blocks in grouped(records):
            kind, N = parameters["kind"], parameters["depth"]
            if kind == "trajectory":
                detail = blocks[0].detail
                for values in zip(*(detail[name] for name in flowing), strict=True):
                    rows.append((kind, N, settings["start"], *values, *[None] * 6, 1))
                continue
            pooled = pool(blocks)
            if kind == "leak":
                for s in STARTS:
                    leak, radius = pooled[str(s)], theorem_2_radius(s, 1.0, N)
                    rows.append(
                        (kind, N, s, *[None] * 6, leak.mean, leak.stderr, radius, *[None] * 3, leak.count)
                    )
            else:
                error, off = pooled["balance_error"], pooled["deviation"]
                rows.append(
                    (kind, N, settings["start"], *[None] * 9, error.mean, off.mean, off.stderr, off.count)
                )
        return Table(columns, rows)

    def draw(self, table: Table, records: Sequence[Record], settings: Settings) -> Figure:
        """Three panels."""
        return draw_deep(table.as_columns())

    def findings(self, table: Table, settings: Settings) -> list[Finding]:
        """Whether every leak is inside Theorem 2's ball, by how much, and how fast it shrinks."""
        c = table.as_columns()
        leak, flow = c["kind"] == "leak", c["kind"] == "trajectory"
        finite = leak & np.isfinite(c["radius"])
        inside = bool(np.all(c["leak"][finite] <= c["radius"][finite]))
        powers, deepest = [], leak & (c["depth"] == DEPTHS[-1])
        for N in DEPTHS:
            rows = leak & (c["depth"] == N) & (c["start_norm"] < 1e-3)
            slope = np.polyfit(np.log(c["start_norm"][rows]), np.log(c["leak"][rows]), 1)[0]
            powers.append(f"{slope:.3f} (N = {N})")
        at = c["leak"][deepest][np.argmin(np.abs(c["start_norm"][deepest] - 1e-3))]
        drift = max(
            float(np.ptp(c["conserved"][rows]) / c["conserved"][rows].max())
            for rows in (flow & (c["depth"] == N) for N in DEPTHS)
        )
        rough = c["kind"] == "imbalance"
        return [
            Finding(
                title="Deep students: Theorem 2 and its exact limit",
                claim="Started small enough, a balanced deep linear student ends close to the shallow one; (11) "
                "says how small.",
                measured=f"{'Every' if inside else 'Not every'} exact leak lies inside Theorem 2's ball. It shrinks "
                f"only as the power {', '.join(powers)} of the start's "
                f"norm, 1/N in theory: N = {DEPTHS[-1]} from a start of 1e-3 still ends {at:.2f} |w_hat| away. "
                f"|w| sin(phi)^N, conserved exactly, drifted by {drift:.1g} in the integration. Layers out of "
                f"balance by {c['balance_error'][rough].min():.1g} to {c['balance_error'][rough].max():.1g} end "
                f"{c['deviation'][rough].min():.1g} to {c['deviation'][rough].max():.1g} |w_hat| from the balanced "
                "limit.",
                verdict="agrees" if inside and drift < 1e-5 else "differs",
                caption=f"Isotropic tasks, d = {settings['d']}, n = {settings['n']}, |w_hat| = 1. Left: distance to "
                f"the exact limit along the flow from |w(0)| = {settings['start']:g}, in the r + 1 coordinates of "
                f"Lemma C.1. Middle: mean exact leak over {settings.repeats} tasks, and the root of (76), which "
                "is infinite from |w(0)| = |w_hat| on. Right: layers "
                "perturbed out of balance, their product unchanged up to the perturbation; mean and 95 % interval.",
            )
        ]


def _task(settings: Settings, rng: np.random.Generator) -> tuple[Span, np.ndarray, np.ndarray]:
    """Isotropic points, logits of a teacher with |w_hat| = 1, and a unit start towards the student's side."""
    d, n = settings["d"], settings["n"]
    span = Span(rng.standard_normal((n, d)))
    w_hat = span.weights(span.X @ rng.standard_normal(d))
    u = rng.standard_normal(d)
    u *= np.sign(u @ w_hat)
    w_hat /= np.linalg.norm(w_hat)
    return span, span.X @ w_hat, u / np.linalg.norm(u)


def _trajectory(span: Span, z: np.ndarray, u: np.ndarray, depth: int, settings: Settings) -> dict:
    flow = deep_flow(span, z, settings["start"] * u, depth)
    return {
        "time": flow.times.tolist(),
        "loss": flow.losses.tolist(),
        "norm": flow.norms.tolist(),
        "angle": flow.angles.tolist(),
        "distance": flow.distances.tolist(),
        "conserved": flow.conserved.tolist(),
    }


def _imbalance(
    span: Span, z: np.ndarray, w0: np.ndarray, depth: int, spread: float, rng: np.random.Generator
) -> dict[str, float]:
    layers = balanced_layers(w0, depth, widths=[2] * (depth - 1), rng=rng)
    size = np.linalg.norm(layers[0])
    layers = [W + spread * size / np.sqrt(W.size) * rng.standard_normal(W.shape) for W in layers]
    effect = imbalance_effect(layers, span.X, z)
    return {"balance_error": balance_error(layers), "deviation": effect.deviation}
