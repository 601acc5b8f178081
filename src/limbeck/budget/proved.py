"""How much of a pool the answers bought so far prove, the pool read a block at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace

from numpy.typing import ArrayLike

from limbeck._check import Array
from limbeck.data.blocks import Group, Points
from limbeck.engine import Engine
from limbeck.theory import CertifiedShares, Span, certified_shares


def proved_shares(X: ArrayLike, z: ArrayLike, pool: ArrayLike | Points, at: Engine) -> CertifiedShares:
    """Share of the pool's answers that is proved after 1, 2, ... answers.

    Parameters
    ----------
    X : array_like, shape (n, d)
        Points in the order their answers came.
    z : array_like, shape (n,)
        A linear teacher's exact logits.
    pool : array_like, shape (m, d), or Points
        What is to be decided.
    at : Engine
        Where blocks are worked on.

    Returns
    -------
    CertifiedShares

    Raises
    ------
    ValueError
        If the logits are not a linear teacher's.

    See Also
    --------
    limbeck.theory.certified_shares
    """
    span = Span(X)
    if not isinstance(pool, Points):
        return certified_shares(span, z, pool)
    first, *others = (found for part in at.ordered(_Decided(span, z), pool.groups()) for found in part)
    counted, points = first.shares * first.points, first.points
    for found in others:
        counted, points = counted + found.shares * found.points, points + found.points
    return replace(first, shares=counted / points, points=points)


@dataclass(frozen=True)
class _Decided:
    span: Span
    z: Array | ArrayLike

    def __call__(self, group: Group) -> list[CertifiedShares]:
        return [certified_shares(self.span, self.z, block.X) for block in group]
