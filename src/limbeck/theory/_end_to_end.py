"""Integrating the end-to-end flow of Lemma C.1 (Eq. 56), however long it lingers near w = 0.

In the clock s with ds = |w|^(1 - 2/N) dt the direction a = w / |w| and the logarithm of the norm obey

    da/ds = -(I - a a^T) G,     dlog|w|/ds = -N a.G,     dt/ds = |w|^(2/N - 1),     G the gradient at w,

so that the plateau around 0, where t crawls, takes no longer than anything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from limbeck._check import Array
from limbeck.theory.factor import row_norms
from limbeck.theory.loss import logit_curvature, soft_label_gap

LONGEST = 1e6


@dataclass(frozen=True)
class State:
    """w as direction and logarithm of its norm, at a time of the flow."""

    direction: Array
    """w / |w|."""
    log_norm: float
    """log |w|."""
    time: float = 0.0
    """Time t of the flow."""

    @classmethod
    def of(cls, w: Array) -> State:
        """State at w, not zero, at time 0."""
        length = float(row_norms(w))
        return cls(w / length, float(np.log(length)))

    @property
    def w(self) -> Array:
        """The vector itself."""
        return np.exp(self.log_norm) * self.direction


@dataclass(frozen=True)
class Flow:
    """Lemma C.1 for given points and logits, in span coordinates and, beyond them, one for the part outside."""

    A: Array
    """Points in span coordinates, (n, r)."""
    z: Array
    """Teacher logits, (n,)."""
    depth: int
    """Number of layers N."""

    def gradient(self, w: Array) -> Array:
        """Gradient (38) at w, (r,) or (r + 1,): nothing pulls at the part outside."""
        n, r = self.A.shape
        G = np.zeros_like(w)
        G[:r] = soft_label_gap(self.A @ w[:r], self.z) @ self.A / n
        return G

    def hessian(self, w: Array) -> Array:
        """Hessian (42) at w."""
        n, r = self.A.shape
        H = np.zeros((len(w), len(w)))
        H[:r, :r] = (self.A.T * logit_curvature(self.A @ w[:r])) @ self.A / n
        return H

    def velocity(self, s: float, y: Array) -> Array:
        """d/ds of y = (a, log|w|, t)."""
        a, log_norm = y[:-2], y[-2]
        G = self.gradient(np.exp(log_norm) * a)
        along = a @ G
        return np.concatenate([along * a - G, [-self.depth * along, np.exp(self._slowing * log_norm)]])

    def jacobian(self, s: float, y: Array) -> Array:
        """Derivative of the velocity in y."""
        a, log_norm = y[:-2], y[-2]
        m, norm = len(a), np.exp(log_norm)
        G, H = self.gradient(norm * a), norm * self.hessian(norm * a)
        Ha = H @ a
        along = G + Ha  # gradient of a.G
        J = np.zeros((m + 2, m + 2))
        J[:m, :m] = np.outer(a, along) + (a @ G) * np.eye(m) - H
        J[:m, m] = (a @ Ha) * a - Ha
        J[m, :m], J[m, m] = -self.depth * along, -self.depth * (a @ Ha)
        J[m + 1, m] = self._slowing * np.exp(self._slowing * log_norm)
        return J

    @property
    def _slowing(self) -> float:
        return 2.0 / self.depth - 1.0

    def advance(self, start: State, length: float) -> Stretch:
        """Integrate over a stretch of the clock s, or as far as the integrator gets."""
        y0 = np.concatenate([start.direction, [start.log_norm, start.time]])
        # t may be 1e12 on a plateau: its absolute tolerance must not stop the others.
        atol = np.concatenate([np.full(len(start.direction) + 1, 1e-12), [1e-9]])
        solved = solve_ivp(
            self.velocity,
            (0.0, length),
            y0,
            method="Radau",
            jac=self.jacobian,
            rtol=1e-9,
            atol=atol,
            dense_output=True,
        )
        return Stretch(start, solved.sol, float(solved.t[-1]), bool(solved.success))

    def stretches(self, start: State) -> Iterator[Stretch]:
        """Yield the flow piece by piece, growing as it slows down, until the clock or the integrator gives up."""
        at_zero = self.gradient(np.zeros(self.A.shape[1]))
        length = 1.0 / max(float(row_norms(at_zero)), 1e-12)
        spent = 0.0
        while spent < LONGEST * length:
            stretch = self.advance(start, max(length, 0.5 * spent))
            yield stretch
            if not stretch.finished:
                return
            start, spent = stretch.end, spent + stretch.length


@dataclass(frozen=True)
class Stretch:
    """A solved piece of the flow."""

    start: State
    """Where it begins, s = 0."""
    solution: object
    """Interpolant of (a, log|w|, t) in s."""
    length: float
    """How far in s it was solved."""
    finished: bool
    """Whether that is as far as was asked."""

    def at(self, s: float) -> State:
        """State at s in [0, length]."""
        if s == 0.0:
            return self.start
        y = self.solution(s)  # pyright: ignore[reportCallIssue]
        return State(y[:-2] / np.linalg.norm(y[:-2]), float(y[-2]), float(y[-1]))

    def when(self, time: float) -> State:
        """State at time t of the flow, inside the stretch."""
        if self.start.time >= time:
            return self.start
        s = brentq(lambda s: self.at(s).time - time, 0.0, self.length, xtol=1e-14 * self.length, rtol=1e-14)
        return self.at(s)

    @property
    def end(self) -> State:
        """State at the end."""
        return self.at(self.length)
