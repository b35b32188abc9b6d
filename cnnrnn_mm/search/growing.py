# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Tensors that grow row by row.

Axis letters: n rows in use, M rows added at once.
"""

import torch
from torch import Tensor

__all__ = ['GrowingTensor', 'group_rows']


class GrowingTensor:
    """Rows appended at a cost that is constant on average: room doubles when it is used up.

    Args:
        like: A tensor (anything, ...) that gives the shape of a row, dtype and device.
    """

    def __init__(self, like: Tensor) -> None:
        self._room = like.new_empty(0, *like.shape[1:])
        self._used = 0

    @property
    def rows(self) -> Tensor:
        """The rows in use (n, ...), a view."""
        return self._room[: self._used]

    def append(self, values: Tensor) -> None:
        """Add M rows (M, ...) behind the others."""
        need = self._used + len(values)
        if need > len(self._room):
            room = self._room.new_empty(max(need, 2 * len(self._room)), *self._room.shape[1:])
            room[: self._used] = self.rows
            self._room = room
        self._room[self._used : need] = values
        self._used = need

    def widen(self, width: int) -> None:
        """Make rows (w,) of a matrix ``width`` wide, the last column repeated (0 where w = 0)."""
        missing = width - self._room.shape[1]
        if missing > 0:
            last = self._room[:, -1:] if self._room.shape[1] else self._room.new_zeros(1, 1)
            fill = last.expand(len(self._room), missing)
            self._room = torch.cat([self._room, fill], 1)


def group_rows(
    groups: Tensor, num_groups: int, *values: tuple[Tensor, float]
) -> tuple[Tensor, ...]:
    """Lay out entries that are sorted by group with one row a group.

    Args:
        groups: (P,) int64, ascending.
        num_groups: G.
        *values: Entries (P,) and what fills the rows that are shorter.

    Returns:
        One tensor (G, most entries of a group) for each of ``values``.
    """
    counts = torch.bincount(groups, minlength=num_groups)
    starts = counts.cumsum(0) - counts
    places = torch.arange(len(groups), device=groups.device) - starts[groups]
    shape = (num_groups, int(counts.max()))
    return tuple(
        torch.full(shape, fill, dtype=entries.dtype, device=entries.device).index_put_(
            (groups, places), entries
        )
        for entries, fill in values
    )
