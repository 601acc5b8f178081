"""The same students trained by torch, on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

torch.set_num_threads(1)
BATCH = 256


class Trained:
    """Weights, and how long the training took."""

    def __init__(self, task, W: torch.Tensor, b: torch.Tensor, seconds: float) -> None:
        self.task, self.W, self.b, self.seconds = task, W, b, seconds

    def __call__(self) -> np.ndarray:
        return (torch.from_numpy(self.task.T) @ self.W + self.b).detach().numpy().astype(np.float64)


def _start(task) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    X, P = torch.from_numpy(task.X), torch.from_numpy(task.P.astype(np.float32))
    W = torch.zeros(X.shape[1], P.shape[1], requires_grad=True)
    return X, P, W, torch.zeros(P.shape[1], requires_grad=True)


def _loss(X, P, W, b, alpha: float) -> torch.Tensor:
    return -(P * torch.log_softmax(X @ W + b, dim=1)).sum(1).mean() + alpha / 2 * (W * W).sum()


def lbfgs(task, alpha: float, gradient: float) -> Callable[[], np.ndarray]:
    """torch.optim.LBFGS with its strong-Wolfe line search, until the gradient is as small or does not fall."""
    start = time.process_time()
    X, P, W, b = _start(task)
    scale = float(X.abs().mean(0).max())
    optimiser = torch.optim.LBFGS(
        [W, b], max_iter=2000, history_size=20, tolerance_grad=max(gradient, 1e-6) * scale,
        tolerance_change=0.0, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = _loss(X, P, W, b, alpha)
        loss.backward()
        return loss

    optimiser.step(closure)
    return Trained(task, W, b, time.process_time() - start)


def adamw(task, epochs: int, rates: tuple[float, ...]) -> Callable[[], np.ndarray]:
    """AdamW with a cosine schedule at the learning rate that ends with the least loss; its time alone counts."""
    best = None
    for rate in rates:
        start = time.process_time()
        torch.manual_seed(0)
        X, P, W, b = _start(task)
        optimiser = torch.optim.AdamW([W, b], lr=rate, weight_decay=0.0)
        steps = -(-len(X) // BATCH)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * steps)
        for _ in range(epochs):
            order = torch.randperm(len(X))
            for at in range(0, len(X), BATCH):
                rows = order[at : at + BATCH]
                optimiser.zero_grad()
                _loss(X[rows], P[rows], W, b, 0.0).backward()
                optimiser.step()
                schedule.step()
        took = time.process_time() - start
        with torch.no_grad():
            loss = float(_loss(X, P, W, b, 0.0))
        if best is None or loss < best[0]:
            best = loss, Trained(task, W, b, took)
    assert best is not None
    return best[1]
