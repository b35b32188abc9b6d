# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Where the parts of a path tree stand. All lengths are in pixels."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from .label_flow import LabelFlow
from .label_font import label_font
from .label_style import MUTED, Label, Verdict, format_share
from .path_tree import PathChain

__all__ = ['PlacedChain', 'TreeLayout', 'lay_out_tree', 'small_size']

END = Verdict('', MUTED, '#f4f6f8')
JOINT = '→'


@dataclass
class PlacedChain:
    """A chain and where it is drawn.

    Attributes:
        chain: Of labels.
        flow: The labels, and END.
        left: Left edge of the labels.
        top: Upper edge of their first line.
        number: The mass, as text; empty if it is unknown.
        number_right: Right edge of the number.
        parent: The chain before it; None for a first one.
    """

    chain: PathChain
    flow: LabelFlow
    left: float
    top: float
    number: str
    number_right: float
    parent: 'PlacedChain | None'

    @property
    def middle(self) -> float:
        """Half the height of the first line."""
        return self.top + self.flow.line // 2


@dataclass
class TreeLayout:
    """All chains, a parent before its children.

    Attributes:
        placed: The chains.
        is_wide: Whether children stand to the right of their parent; else they stand below it.
        height: Of all.
    """

    placed: list[PlacedChain]
    is_wide: bool
    height: int


def small_size(font_size: int) -> int:
    """Size of the numbers."""
    return max(round(0.85 * font_size), 8)


def lay_out_tree(
    chains: Sequence[PathChain],
    label_of: Callable[[Hashable], Label],
    font_size: int,
    width: int,
    max_labels: int,
) -> TreeLayout:
    """Place the chains from left to right where there is room, else as an indented list.

    Args:
        chains: Those after the root.
        label_of: Name and look of a label.
        font_size: Size of the text.
        width: Of the picture.
        max_labels: Most labels of one chain to show; the rest is counted.
    """
    builder = _Builder(label_of, font_size, width, max_labels)
    for in_columns in (True, False):
        placed = builder.place_wide(chains, in_columns)
        if all(one.number_right <= width for one in placed):
            rows = round(max(one.top for one in placed) + builder.row) if placed else 0
            return TreeLayout(placed, True, rows)
    placed = builder.place_narrow(chains)
    last = placed[-1]
    return TreeLayout(placed, False, round(last.top + last.flow.lines * last.flow.line))


class _Builder:
    def __init__(
        self,
        label_of: Callable[[Hashable], Label],
        size: int,
        width: int,
        max_labels: int,
    ) -> None:
        self.label_of = label_of
        self.size = size
        self.width = width
        self.max_labels = max_labels
        self.font = label_font(size)
        self.numbers = label_font(small_size(size), bold=True)
        self.row = round(1.9 * size)

    def place_wide(self, chains: Sequence[PathChain], in_columns: bool) -> list[PlacedChain]:
        """A row for each path, in which its last chain stands; a parent is as high as its first.

        Args:
            chains: Those after the root.
            in_columns: Whether all chains of a depth start at the same place.
        """
        level = [(chain, None) for chain in chains]
        found: list[PlacedChain] = []
        rows = self._rows(chains)
        count = 1 + max(rows.values(), default=0)
        left = self._gutter(count) + 0.4 * self.size
        while level:
            placed = []
            for chain, parent in level:
                flow = self._flow(chain, float('inf'))
                number = '' if chain.mass is None else format_share(chain.mass)
                x = left if in_columns or parent is None else self._exit(parent, count)
                room = self.numbers.getlength(number) + 0.4 * self.size if number else 0
                top = rows[id(chain)] * self.row
                placed.append(PlacedChain(chain, flow, x, top, number, x + flow.end + room, parent))
            found += placed
            level = [(child, one) for one in placed for child in one.chain.children]
            left = max(
                (self._exit(one, len(rows)) for one in placed if one.chain.children), default=0
            )
        return found

    def place_narrow(self, chains: Sequence[PathChain]) -> list[PlacedChain]:
        """A chain below the other, each indented by its depth, with the numbers at the right."""
        step = min(1.8 * self.size, 0.3 * self.width / self._depth(chains))
        found: list[PlacedChain] = []
        masses = [chain.mass for chain in chains]
        room = 0.0 if None in masses else self.numbers.getlength('0.0000')
        gap, top = round(0.35 * self.size), 0.0

        def place(chain: PathChain, depth: int, parent: PlacedChain | None) -> None:
            nonlocal top
            left = depth * step
            number = '' if chain.mass is None else format_share(chain.mass)
            flow = self._flow(chain, self.width - left - room)
            one = PlacedChain(chain, flow, left, top, number, float(self.width), parent)
            found.append(one)
            top += flow.lines * flow.line + gap
            for child in chain.children:
                place(child, depth + 1, one)

        for chain in chains:
            place(chain, 1, None)
        return found

    def _flow(self, chain: PathChain, width: float) -> LabelFlow:
        labels = [self.label_of(label) for label in chain.labels[: self.max_labels]]
        hidden = len(chain.labels) - len(labels)
        if hidden:
            labels.append((f'+{hidden}', END))
        if chain.ends:
            labels.append(('END', END))
        return LabelFlow(labels, self.font, width, JOINT, most_lines=1000)

    def _gutter(self, rows: int) -> float:
        """Room for edges that spread over so many rows."""
        return self.size * min(1.5 + 0.3 * rows, 4.5)

    def _exit(self, one: PlacedChain, rows: int) -> float:
        return one.number_right + self._gutter(rows)

    def _rows(self, chains: Sequence[PathChain]) -> dict[int, int]:
        """The row of each chain, by its identity."""
        rows: dict[int, int] = {}
        used = 0

        def count(chain: PathChain) -> None:
            nonlocal used
            rows[id(chain)] = used
            for child in chain.children:
                count(child)
            used += not chain.children

        for chain in chains:
            count(chain)
        return rows

    def _depth(self, chains: Sequence[PathChain]) -> int:
        return 1 + max((self._depth(chain.children) for chain in chains), default=0)
