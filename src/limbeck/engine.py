"""Where work runs: threads of this process or a Dask cluster, behind `concurrent.futures.Executor`.

Results come back in the order of the work, whoever finished first, so what is made of them does not depend on the
number of workers. Dask hands the work of a worker that died to another one. Work runs under one BLAS thread: sums
differ bitwise between one and two.
"""

from __future__ import annotations

import platform
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, TypeVar

import threadpoolctl

from limbeck import __version__
from limbeck.records import UserError

PATIENCE = 8.0
SAME = ("limbeck", "numpy", "scipy", "Python")

Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine:
    """An executor and how many pieces of work it can hold at once.

    Parameters
    ----------
    executor : concurrent.futures.Executor
    workers : int
        Threads or processes that work.
    """

    def __init__(self, executor: Executor, workers: int) -> None:
        self.executor: Executor = executor
        self.workers: int = workers

    def ordered(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """function(item) in the order of the items; at most two pieces of work a worker are under way."""
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(self.executor.submit(_alone, function, item))
                if len(waiting) > self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


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
        If the scheduler does not answer within 8 s, has no workers, or they lack this version of limbeck.
    """
    if scheduler == "local":
        with threadpoolctl.threadpool_limits(1), ThreadPoolExecutor(jobs) as pool:
            yield Engine(pool, jobs)
        return
    client = _connected(scheduler)
    try:
        workers = _checked_workers(client, scheduler)
        yield Engine(client.get_executor(), workers)
    finally:
        client.close()


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
    answers = client.run(versions, on_error="return")
    try:
        answers["of the scheduler itself"] = client.run_on_scheduler(versions)
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
