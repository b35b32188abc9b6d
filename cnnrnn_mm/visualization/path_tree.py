# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The kept paths of a search as a tree of their shared beginnings: plain data, nothing drawn."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from ..errors import UsageError

__all__ = ['PathChain', 'PathNode', 'build_path_tree', 'merge_chains']


@dataclass
class PathNode:
    """A label behind its prefix, or END.

    Attributes:
        label: Of this step; None for the root, which stands before the first step, and for END.
        is_end: Whether a path ends here.
        mass: Sum of the probabilities of the kept paths through this node; None if they are
            unknown.
        on_best: Whether the most probable kept path leads through this node.
        children: The steps after it: that of the most probable path first, then by mass.
    """

    label: Hashable = None
    is_end: bool = False
    mass: float | None = None
    on_best: bool = False
    children: list['PathNode'] = field(default_factory=list)


@dataclass
class PathChain:
    """Steps that follow each other without a branch, so that one mass stands for all of them.

    Attributes:
        labels: Of the steps.
        ends: Whether END is the last step; there are no children then.
        mass: As of a node.
        on_best: As of a node.
        children: The chains after it, in the order of the nodes.
    """

    labels: list[Hashable]
    ends: bool
    mass: float | None
    on_best: bool
    children: list['PathChain']


def build_path_tree(
    paths: Sequence[Sequence[Hashable]], probs: Sequence[float] | None = None
) -> PathNode:
    """Merge the shared prefixes of paths.

    Args:
        paths: Labels of each kept path, without END, each path once; one may be empty.
        probs: Probability of each path with its END; None if unknown, and the first path is then
            the best one.

    Returns:
        The root; its mass is that of all the kept paths.

    Raises:
        UsageError: If there is not one probability in 0 to 1 for each path, or a path comes twice.
    """
    keys = [tuple(path) for path in paths]
    if probs is not None:
        probs = [float(prob) for prob in probs]
        if len(probs) != len(keys):
            raise UsageError(f'{len(probs)} probabilities for {len(keys)} paths: give one for each')
        for prob in probs:
            if not 0 <= prob <= 1 + 1e-4:
                raise UsageError(f'path probability {prob} must be in 0 to 1')
    twice = [key for place, key in enumerate(keys) if key in keys[:place]]
    if twice:
        raise UsageError(f'path {list(twice[0])} is given twice: give each kept path once')
    root = PathNode(mass=None if probs is None else math.fsum(probs), on_best=bool(keys))
    best = max(range(len(keys)), key=(probs or [0] * len(keys)).__getitem__, default=None)
    masses = [None] * len(keys) if probs is None else probs
    _grow(root, [(key, masses[i], i == best) for i, key in enumerate(keys)], 0)
    return root


def merge_chains(root: PathNode) -> list[PathChain]:
    """The chains after the root; each ends where the tree branches or with END."""
    chains = []
    for node in root.children:
        labels, ends = [], node.is_end
        while not ends:
            labels.append(node.label)
            if len(node.children) != 1:
                break
            (node,) = node.children
            ends = node.is_end
        chains.append(PathChain(labels, ends, node.mass, node.on_best, merge_chains(node)))
    return chains


def _grow(
    node: PathNode, paths: list[tuple[tuple[Hashable, ...], float | None, bool]], depth: int
) -> None:
    """Add the children of a node through which these paths lead."""
    groups: dict[tuple[Hashable, ...], list] = {}
    for path in paths:
        groups.setdefault(path[0][depth : depth + 1], []).append(path)
    for step, through in groups.items():
        masses = [mass for _, mass, _ in through]
        child = PathNode(
            label=step[0] if step else None,
            is_end=not step,
            mass=None if None in masses else math.fsum(masses),
            on_best=any(best for _, _, best in through),
        )
        node.children.append(child)
        if step:
            _grow(child, through, depth + 1)
    node.children.sort(key=lambda child: (not child.on_best, -(child.mass or 0.0)))
