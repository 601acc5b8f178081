"""Where work runs: threads of this process or a Dask cluster, behind `concurrent.futures.Executor`.

Results come back in the order of the work, whoever finished first, so what is made of them does not depend on the
number of workers. Dask hands the work of a worker that died to another one; a cluster that is lost ends the wait. Work
runs under one BLAS thread: sums differ bitwise between one and two.
"""

from __future__ import annotations

import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any, TypeVar

import threadpoolctl

from limbeck import __version__
from limbeck.records import UserError

PATIENCE = 8.0
SILENCE = 60.0
"""Seconds without a heartbeat of any worker, or an answer of the scheduler, after which a cluster is lost.

Workers send heartbeats from a thread of their own, every few seconds however long their work takes.
"""
SAME = ("limbeck", "numpy", "scipy", "Python")

Item = TypeVar("Item")
Result = TypeVar("Result")


class _LostError(Exception):
    """The cluster that work waits for is gone."""


class Engine:
    """An executor and how many pieces of work it can hold at once.

    Parameters
    ----------
    executor : concurrent.futures.Executor
    workers : int
        Threads or processes that work.
    check : callable, optional
        Called about once a second while results are awaited; it raises if none will come.
    """

    def __init__(self, executor: Executor, workers: int, check: Callable[[], None] | None = None) -> None:
        self.executor: Executor = executor
        self.workers: int = workers
        self._check = check

    def finished(self, futures: Collection[Future[Result]]) -> set[Future[Result]]:
        """Wait until some of the futures have ended, and return those."""
        while True:
            done = wait(futures, None if self._check is None else 1.0, FIRST_COMPLETED).done
            if done or self._check is None:
                return done
            self._check()

    def ordered(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """function(item) in the order of the items; at most two pieces of work a worker are under way."""
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(self.executor.submit(_alone, function, item))
                if len(waiting) > self.workers:
                    yield self._result(waiting.popleft())
            while waiting:
                yield self._result(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()

    def _result(self, future: Future[Result]) -> Result:
        self.finished([future])
        return future.result()


def _alone(function: Callable[[Item], Result], item: Item) -> Result:
    threadpoolctl.threadpool_limits(1)
    return function(item)


@contextmanager
def engine(scheduler: str = "local", jobs: int = 1) -> Iterator[Engine]:
    """The engine a user asked for.

    Parameters
    ----------
    scheduler : str
        ``local`` for threads of this process, or the address of a Dask scheduler, ``tcp://host:8786``.
    jobs : int
        Threads, where local.

    Raises
    ------
    UserError
        If the scheduler does not answer within 8 s, has no workers, or they lack this version of limbeck; later, if
        the scheduler or all workers are lost.
    """
    if scheduler == "local":
        with threadpoolctl.threadpool_limits(1), ThreadPoolExecutor(jobs) as pool:
            yield Engine(pool, jobs)
        return
    client = _connected(scheduler)
    from distributed import KilledWorker
    from distributed.comm.core import CommClosedError

    try:
        workers = _checked_workers(client, scheduler)
        yield Engine(client.get_executor(), workers, _Watch(client))
    except (_LostError, KilledWorker, CommClosedError, CancelledError) as error:
        raise UserError(
            f"--scheduler {scheduler}: the cluster is lost ({type(error).__name__.strip('_')}: {error}). Finished "
            "parts are kept. Look at the logs of scheduler and workers, start them again, and repeat the command, with "
            "--resume if it has this option."
        ) from error
    finally:
        with suppress(Exception):  # of a cluster that is lost
            _within(PATIENCE, client.close)


class _Watch:
    """Raises `_LostError` once no worker has sent a heartbeat for `SILENCE` seconds, or the scheduler is gone."""

    def __init__(self, client: Any) -> None:
        self._client, self._beats, self._since = client, {}, time.monotonic()

    def __call__(self) -> None:
        try:
            beats = _within(SILENCE, self._client.run_on_scheduler, heartbeats)
        except Exception as error:
            raise _LostError(f"the scheduler does not answer: {error}") from error
        if beats != self._beats:
            self._beats, self._since = beats, time.monotonic()
        elif time.monotonic() - self._since > SILENCE:
            raise _LostError(f"no worker has sent a heartbeat for {SILENCE:g} s")


def heartbeats(dask_scheduler: Any) -> dict[str, float]:
    """Time of the last heartbeat of each worker; runs on the scheduler."""
    return {address: worker.last_seen for address, worker in dask_scheduler.workers.items()}


def _within(seconds: float, ask: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
    """Call a function that may never return; `_LostError` after so many seconds."""
    answer: Future[Result] = Future()

    def call() -> None:
        try:
            answer.set_result(ask(*arguments, **options))
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    if not wait([answer], seconds).done:
        raise _LostError(f"no answer within {seconds:g} s")
    return answer.result()


def _connected(address: str) -> Any:
    if "://" not in address:
        raise UserError(f"--scheduler {address}: write local, or an address such as tcp://host:8786.")
    if find_spec("distributed") is None:
        raise UserError(
            "A Dask scheduler is spoken to with distributed, which is not installed: pip install 'limbeck[dask]'."
        )
    from distributed import Client

    try:
        return Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise UserError(
            f"--scheduler {address}: no scheduler answers there ({type(error).__name__}). Start one with `dask "
            "scheduler` and `dask worker`, or check address and firewall."
        ) from error


def _checked_workers(client: Any, address: str) -> int:
    """Number of worker threads, all of them with what this process has."""
    from distributed import TimeoutError as TooLate

    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except (TooLate, TimeoutError) as error:
        raise UserError(
            f"--scheduler {address}: the scheduler has no workers. Start some: dask worker {address}"
        ) from error
    answers = _within(SILENCE, client.run, versions, on_error="return")
    try:
        answers["of the scheduler itself"] = _within(SILENCE, client.run_on_scheduler, versions)
    except ImportError as error:
        answers["of the scheduler itself"] = error
    for where, found in answers.items():
        refuse_others(where, found)
    return sum(client.nthreads().values())


def versions() -> dict[str, str]:
    """What must be the same wherever work is done."""
    import numpy
    import scipy

    return dict(
        zip(SAME, (__version__, numpy.__version__, scipy.__version__, platform.python_version()), strict=True)
    )


def refuse_others(where: str, found: Mapping[str, str] | BaseException) -> None:
    """Raise a UserError unless a worker answered with the versions of this process."""
    if isinstance(found, BaseException):
        raise UserError(
            f"Worker {where} cannot run limbeck ({type(found).__name__}: {found}). Install limbeck {__version__} where "
            "the workers run."
        )
    for name, version in versions().items():
        if found[name] != version:
            raise UserError(
                f"Worker {where} has {name} {found[name]}, this process {version}: results would depend on who "
                "computed them. Install the same versions."
            )
