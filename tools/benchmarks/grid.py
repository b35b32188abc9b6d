# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""All methods on one point of the grid, side by side.

Axis letters: N images of a batch, B beams, C labels.
"""

from collections.abc import Iterable, Sequence
from statistics import median

import torch
from forward_times import ForwardTime
from measuring import Case, peak_bytes, time_call, time_side_by_side
from methods import REFERENCE, WARM, Found, Method
from points import Config, Row
from torch import Tensor
from trained_head import ReadyHead

from cnnrnn_mm.models.decoders import LabelDecoder

__all__ = ['paired_ratio', 'run_config']


@torch.no_grad()
def run_config(
    config: Config,
    ready: ReadyHead,
    methods: Sequence[Method],
    repeats: int,
    budget: float,
    forward_times: dict[str, dict[int, ForwardTime]],
) -> list[Row]:
    """Measure all methods side by side.

    Args:
        config: The point of the grid.
        ready: Its head, and more images than a batch: the others warm the tries.
        methods: What to run.
        repeats: Timings of each method, fewer for what is slow.
        budget: Seconds of timing for each method. What is slow gets fewer repeats, loops fewer
            images, and the tries fewer others to warm up on.
        forward_times: For each backbone and batch size.
    """
    decoder, beam_size = ready.head.decoder, config.beam_size
    device = ready.features.device
    image = decoder.project_image(ready.features)
    image, others = image[: config.batch_size], image[config.batch_size :]
    reference = REFERENCE.run(decoder, image, beam_size)
    a_repeat = budget / (repeats + 2)
    others = others[: _images_to_warm(decoder, others, beam_size, a_repeat, device)]
    cases, shares, facts = [], [], []
    for method in methods:
        share = image[: _images_to_run(method, decoder, image, beam_size, a_repeat, device)]

        def run(method: Method = method, share: Tensor = share) -> Found:
            return method.run(decoder, share, beam_size)

        def prepare(method: Method = method) -> None:
            if method.prepare is not None:
                method.prepare(decoder, image, others, beam_size)

        case = Case(run, prepare, len(image) / len(share))
        cases.append(case)
        shares.append(share)
        facts.append(_try_out(case, method, decoder, reference, repeats, budget, device))
    time_side_by_side(cases, device)
    warm = next((case for case, one in zip(cases, methods, strict=True) if one is WARM), None)
    rows = []
    for method, case, share, fact in zip(methods, cases, shares, facts, strict=True):
        seconds = [one for one in case.seconds if one is not None]
        rows.append(
            Row(
                config.weights,
                config.num_labels,
                config.beam_size,
                config.batch_size,
                method=method.key,
                name=method.name,
                images_run=len(share),
                images_warm=len(others) if method.warms else None,
                repeats=len(seconds),
                ms=1e3 * median(seconds),
                ms_min=1e3 * min(seconds),
                ms_max=1e3 * max(seconds),
                images_per_second=len(image) / median(seconds),
                ratio_to_warm=None if warm is None else paired_ratio(case, warm),
                backbone_share={
                    name: median(seconds) / times[config.batch_size].seconds
                    for name, times in forward_times.items()
                },
                backbone_measured_batch={
                    name: times[config.batch_size].measured_batch
                    for name, times in forward_times.items()
                },
                **fact,
            )
        )
    return rows


def paired_ratio(case: Case, base: Case) -> float:
    """Median over the rounds of the time of ``case`` by that of ``base`` in the same round."""
    pairs = [
        (a, b)
        for a, b in zip(case.seconds, base.seconds, strict=False)
        if a is not None and b is not None
    ]
    return median(a / b for a, b in pairs)


def _try_out(
    case: Case,
    method: Method,
    decoder: LabelDecoder,
    reference: Found,
    repeats: int,
    budget: float,
    device: torch.device,
) -> dict:
    """Run a case once or twice before it is timed, and set how often it will be.

    Returns:
        The fields of :class:`Row` that don't depend on time. A call that alone takes the budget is
        its own timing, and its memory is not measured.
    """
    case.prepare()
    trie = decoder.trie if method.has_trie else None
    hits, lookups = (0, 0) if trie is None else (trie.hits, trie.lookups)
    seconds, found = time_call(case.run, device)
    trie, same = decoder.trie if method.has_trie else None, len(found.paths)
    fact = dict(
        equal_share=_mean(a == b for a, b in zip(found.paths, reference.paths, strict=False)),
        gain=_mean((found.log_probs.cpu() - reference.log_probs[:same].cpu()).tolist()),
        proven_share=None if found.proven is None else _mean(found.proven.tolist()),
        hit_rate=None if trie is None else (trie.hits - hits) / max(1, trie.lookups - lookups),
        trie_nodes=None if trie is None else trie.num_nodes,
        trie_mb=None if trie is None else trie.num_bytes / 2**20,
        peak_mb=None,
    )
    if seconds > budget:
        case.repeats = 0
        case.seconds.append(case.scale * seconds)
        return fact
    case.repeats = max(1, min(repeats, int(budget / seconds)))
    case.prepare()
    fact['peak_mb'] = peak_bytes(case.run, device) / 2**20
    return fact


def _images_to_run(
    method: Method,
    decoder: LabelDecoder,
    image: Tensor,
    beam_size: int,
    seconds: float,
    device: torch.device,
) -> int:
    """All, but for the loops only as many as fit into the time of a repeat."""
    if not method.by_image:
        return len(image)
    method.run(decoder, image[:1], beam_size)
    a_image, _ = time_call(lambda: method.run(decoder, image[:1], beam_size), device)
    return max(1, min(len(image), int(seconds / a_image)))


def _images_to_warm(
    decoder: LabelDecoder, others: Tensor, beam_size: int, seconds: float, device: torch.device
) -> int:
    """Images that a cold trie decodes in the time of a repeat."""
    decoder.clear_trie()
    few = others[:16]
    needed, _ = time_call(lambda: WARM.run(decoder, few, beam_size), device)
    return max(1, int(seconds / needed * len(few)))


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / max(1, len(values))
