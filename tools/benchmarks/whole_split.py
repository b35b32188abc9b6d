# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Two questions about a split: the time with warm-up included, and what a beam misses."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import median

import torch
from grid import paired_ratio
from measuring import Case, time_side_by_side
from methods import METHODS, REFERENCE, Method, decode_in_batches
from trained_head import ReadyHead

from cnnrnn_mm.errors import UsageError

__all__ = ['ExactnessRow', 'SplitRow', 'exactness', 'time_split']

#: Of the tries, the cold one: it warms up on the split itself.
SPLIT_METHODS = ('textbook', 'hugging_face', 'generic', 'cold', 'best_first')


@dataclass
class SplitRow:
    """Seconds for all images, the trie empty at the start; ratio to our beam search."""

    weights: str
    num_labels: int
    beam_size: int
    num_images: int
    method: str
    name: str
    seconds: float
    seconds_min: float
    seconds_max: float
    ms_an_image: float
    ratio_to_cold: float
    hit_rate: float | None
    trie_nodes: int | None
    proven_share: float | None
    equal_share: float


@dataclass
class ExactnessRow:
    """How often a beam found the path that best-first search proved to be the most probable.

    ``lost`` is the mean over images of how much less probable its path is, in natural log.
    """

    num_labels: int
    beam_size: int
    num_images: int
    proven_by_best_first: float
    found_best: float
    proven_by_beam: float
    lost: float


@torch.no_grad()
def time_split(
    weights: str,
    num_labels: int,
    beam_size: int,
    ready: ReadyHead,
    methods: Sequence[Method],
    num_images: int,
    repeats: int,
) -> list[SplitRow]:
    """Decode ``num_images`` images in batches, each method from an empty trie."""
    decoder, device = ready.head.decoder, ready.features.device
    if num_images > len(ready.features):
        raise UsageError(
            f'--split {num_images}: there are {len(ready.features)} held-out images, ask for fewer'
        )
    image = decoder.project_image(ready.features[:num_images])
    reference = _paths(decode_in_batches(REFERENCE.run, decoder, image, beam_size))
    methods = [METHODS['cold'], *(m for m in methods if m.key in SPLIT_METHODS and m.key != 'cold')]
    cases, facts = [], []
    for method in methods:

        def run(method: Method = method):
            return decode_in_batches(method.run, decoder, image, beam_size)

        decoder.clear_trie()
        found = run()
        proven = None
        if found[0].proven is not None:
            proven = float(torch.cat([one.proven for one in found]).float().mean())
        trie = decoder.trie if method.has_trie else None
        facts.append(
            dict(
                hit_rate=None if trie is None else trie.hits / max(1, trie.lookups),
                trie_nodes=None if trie is None else trie.num_nodes,
                proven_share=proven,
                equal_share=_equal(_paths(found), reference),
            )
        )
        cases.append(Case(run, decoder.clear_trie, repeats=repeats))
    time_side_by_side(cases, device)
    return [
        SplitRow(
            weights,
            num_labels,
            beam_size,
            num_images,
            method=method.key,
            name=method.name.removesuffix(', warm trie'),
            seconds=median(case.seconds),
            seconds_min=min(case.seconds),
            seconds_max=max(case.seconds),
            ms_an_image=1e3 * median(case.seconds) / num_images,
            ratio_to_cold=paired_ratio(case, cases[0]),
            **fact,
        )
        for method, case, fact in zip(methods, cases, facts, strict=True)
    ]


@torch.no_grad()
def exactness(num_labels: int, beams: Sequence[int], ready: ReadyHead) -> list[ExactnessRow]:
    """Compare beam searches with best-first search on all held-out images."""
    decoder = ready.head.decoder
    image = decoder.project_image(ready.features)
    exact = decode_in_batches(METHODS['best_first'].run, decoder, image, 1)
    proven = torch.cat([one.proven for one in exact])
    best, best_log_probs = _paths(exact), torch.cat([one.log_probs for one in exact])
    sure = [index for index, one in enumerate(proven.tolist()) if one]
    rows = []
    for beam_size in beams:
        found = decode_in_batches(METHODS['cold'].run, decoder, image, beam_size)
        paths, log_probs = _paths(found), torch.cat([one.log_probs for one in found])
        rows.append(
            ExactnessRow(
                num_labels,
                beam_size,
                num_images=len(image),
                proven_by_best_first=len(sure) / len(image),
                found_best=_equal([paths[i] for i in sure], [best[i] for i in sure]),
                proven_by_beam=float(torch.cat([one.proven for one in found]).float().mean()),
                lost=float((best_log_probs - log_probs)[sure].mean()),
            )
        )
    return rows


def _paths(found) -> list[list[int]]:
    return list(chain.from_iterable(one.paths for one in found))


def _equal(paths: list[list[int]], others: list[list[int]]) -> float:
    return sum(a == b for a, b in zip(paths, others, strict=True)) / max(1, len(paths))
