# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a model computes from a label path alone, kept for every image that comes the same way.

Axis letters: M hypotheses, m of them new, n nodes in use, D size of a node's vector.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from ..errors import UsageError
from .types import State

__all__ = ['PrefixTrie']

#: ``expand(tokens (m,), state) -> (vectors (m, D), state)``: read one token more.
Expand: TypeAlias = Callable[[Tensor, State], tuple[Tensor, State]]

ROOT = 0
_LAST = torch.iinfo(torch.long).max


class PrefixTrie:
    """A tree of label paths whose nodes hold a vector and the recurrent state behind it.

    Nodes are made when a search first comes there, for a whole batch at once, and found again by a
    binary search over (node, token) pairs. A node's number stays the same as long as it lives.

    Room is bounded: when it runs out, the paths that were not used for longest make way, ends of
    paths before their beginnings. What a search still needs is never removed: the nodes of its
    last step, and with ``begin(keep_all=True)`` all that it visited. If those alone do not fit, the
    tree outgrows its bound and starts anew with the next search.

    Args:
        num_tokens: Tokens are 0..num_tokens-1.
        root_vector: (1, D), for the shape; nobody reads the root's vector.
        root_state: The state before the first token, each tensor (1, ...).
        expand: The model.
        max_bytes: Most memory for the nodes.

    Attributes:
        hits: Hypotheses whose node was there already.
        lookups: All hypotheses that were asked for.
        evictions: Nodes that made way for others.
    """

    def __init__(
        self,
        num_tokens: int,
        root_vector: Tensor,
        root_state: State,
        expand: Expand,
        max_bytes: int = 256 * 2**20,
    ) -> None:
        if max_bytes < 1:
            raise UsageError(f'the trie has {max_bytes} bytes: give it some MiB, or turn it off')
        self.num_tokens, self.expand, self.max_bytes = num_tokens, expand, max_bytes
        self.hits = self.lookups = self.evictions = 0
        self._now, self._keep_all = 0, False
        self._root = (root_vector, *root_state)
        self.clear()

    @torch.inference_mode(False)
    @torch.no_grad()
    def clear(self) -> None:
        """Forget all paths."""
        device = self._root[0].device
        self._parts = [part.clone() for part in self._root]
        # Pairs that are known, ascending, closed by a pair that no search asks for.
        self._keys = torch.full((1,), _LAST, device=device)
        self._children = torch.zeros(1, dtype=torch.long, device=device)
        self._depth = torch.zeros(1, dtype=torch.long, device=device)
        self._used = torch.zeros(1, dtype=torch.long, device=device)  # -1 where the room is free
        self._num_bytes = self.num_bytes

    @property
    def num_nodes(self) -> int:
        """Nodes in use, the root included."""
        return int((self._used >= 0).sum())

    @property
    def num_bytes(self) -> int:
        """Memory of all rooms and pairs."""
        tensors = (*self._parts, self._keys, self._children, self._depth, self._used)
        return sum(part.numel() * part.element_size() for part in tensors)

    def begin(self, keep_all: bool = False) -> None:
        """Start a search.

        Args:
            keep_all: The search may come back to any node it visited, not only to those of its
                last step.
        """
        if self.num_bytes > self.max_bytes and self.num_nodes > 1:
            self.clear()
        self._now, self._keep_all = self._now + 1, keep_all

    def advance(self, nodes: Tensor, tokens: Tensor) -> Tensor:
        """The nodes (M,) behind ``nodes`` (M,) by ``tokens`` (M,)."""
        keys = torch.add(tokens, nodes, alpha=self.num_tokens)
        place = torch.searchsorted(self._keys, keys)
        met = self._keys.index_select(0, place)
        self.lookups += keys.shape[0]
        self.hits += keys.shape[0]
        if not torch.equal(met, keys):
            known = met == keys
            self.hits -= int((~known).sum())
            in_use = torch.cat([nodes, self._children[place[known]]])
            self._fill(keys[~known].unique(), in_use)
            place = torch.searchsorted(self._keys, keys)
        found = self._children.index_select(0, place)
        # Who was used last does not matter while there is room for all.
        if self._keep_all or 2 * self._num_bytes > self.max_bytes:
            self._used.index_fill_(0, found, self._now)
        return found

    def vectors(self, nodes: Tensor) -> Tensor:
        """The vectors (M, D) of some nodes."""
        return self._parts[0].index_select(0, nodes)

    @torch.inference_mode(False)  # what is kept must serve searches outside that mode, too
    @torch.no_grad()
    def _fill(self, keys: Tensor, in_use: Tensor) -> None:
        """Make the nodes of new pairs (m,), ascending; the nodes ``in_use`` must stay."""
        parents, tokens = keys.div(self.num_tokens, rounding_mode='floor'), keys % self.num_tokens
        new = self.expand(tokens, tuple(part[parents] for part in self._parts[1:]))
        depth = self._depth[parents] + 1
        self._used[in_use] = self._now
        rooms = self._make_room(len(keys), in_use)
        for part, values in zip(self._parts, (new[0], *new[1]), strict=True):
            part[rooms] = values.to(part.dtype)
        self._depth[rooms], self._used[rooms] = depth, self._now
        # Merge two ascending lists.
        spot = torch.searchsorted(self._keys, keys) + torch.arange(len(keys), device=keys.device)
        old = torch.ones(len(self._keys) + len(keys), dtype=torch.bool, device=keys.device)
        old[spot] = False
        merged = []
        for before, added in ((self._keys, keys), (self._children, rooms)):
            both = before.new_empty(len(old))
            both[spot], both[old] = added, before
            merged.append(both)
        self._keys, self._children = merged
        self._num_bytes = self.num_bytes

    def _make_room(self, count: int, in_use: Tensor) -> Tensor:
        """Numbers (count,) of free rooms."""
        free = (self._used < 0).nonzero().squeeze(-1)
        if len(free) < count:
            room = len(self._used)
            row_bytes = self.num_bytes // room + 1
            most = self.max_bytes // row_bytes
            if room - len(free) + count > most and self._evict(most // 2 - count, in_use):
                free = (self._used < 0).nonzero().squeeze(-1)
            if len(free) < count:
                wanted = room - len(free) + count
                self._resize(max(wanted, min(2 * wanted, most)))
                free = (self._used < 0).nonzero().squeeze(-1)
        return free[:count]

    def _evict(self, remain: int, in_use: Tensor) -> bool:
        """Free all but the ``remain`` nodes that were used last; False if all are needed."""
        pinned = torch.zeros_like(self._used, dtype=torch.bool)
        pinned[ROOT], pinned[in_use] = True, True
        if self._keep_all:
            pinned |= self._used == self._now
        # Late before early, and of one search beginnings before ends.
        rank = self._used * (int(self._depth.max()) + 1) - self._depth
        rank = rank.masked_fill(pinned, _LAST).masked_fill(self._used < 0, -_LAST)
        order = rank.argsort(descending=True)
        keep = max(int(pinned.sum()), remain, 1)
        freed = torch.zeros_like(pinned)
        freed[order[keep:]] = True
        freed &= self._used >= 0
        if not bool(freed.any()):
            return False
        self.evictions += int(freed.sum())
        self._used[freed] = -1
        # A room may be given to another path: no pair may lead into it or start from it.
        inner = self._keys[:-1]
        stays = ~(freed[inner // self.num_tokens] | freed[self._children[:-1]])
        stays = torch.cat([stays, stays.new_ones(1)])
        self._keys, self._children = self._keys[stays], self._children[stays]
        return True

    def _resize(self, room: int) -> None:
        """Make room for more nodes."""
        for index, part in enumerate(self._parts):
            grown = part.new_zeros(room, *part.shape[1:])
            grown[: len(part)] = part
            self._parts[index] = grown
        more = room - len(self._used)
        self._depth = torch.cat([self._depth, self._depth.new_zeros(more)])
        self._used = torch.cat([self._used, self._used.new_full((more,), -1)])
