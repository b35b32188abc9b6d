# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The searches that the benchmark sets side by side, under one signature.

All return the best path of each image alone, as Python lists, and count that conversion in.

Axis letters: N images, D embedding size, K paths kept.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from baselines import loop_over_images, loop_over_paths, textbook_search
from torch import Tensor

from cnnrnn_mm.models.decoders import LabelDecoder
from cnnrnn_mm.search import SearchResult, beam_search, best_first_search

__all__ = [
    'METHODS',
    'REFERENCE',
    'WARM',
    'Found',
    'Method',
    'decode_in_batches',
    'missing_extra',
]

#: Images in one batch when a trie is warmed up, and in the runs over a whole split.
WARM_UP_BATCH = 64


@dataclass(frozen=True)
class Found:
    """Best path of each image, its log-probability (N,), and (N,) bool whether it is certified."""

    paths: list[list[int]]
    log_probs: Tensor
    proven: Tensor | None = None


@dataclass(frozen=True)
class Method:
    """One row of the benchmark.

    Attributes:
        key: What ``--methods`` calls it.
        name: What the tables call it.
        run: ``(decoder, image (N, D), beam_size) -> Found``, the part that is timed.
        prepare: ``(decoder, image, other images, beam_size)``, before each run and not timed.
        by_image: Images are searched one after another, so a few of them tell the time of many.
        has_trie: Whether it uses the decoder's trie.
        warms: Whether ``prepare`` decodes the other images.
    """

    key: str
    name: str
    run: Callable[[LabelDecoder, Tensor, int], Found]
    prepare: Callable[[LabelDecoder, Tensor, Tensor, int], None] | None = None
    by_image: bool = False
    has_trie: bool = False
    warms: bool = False


def decode_in_batches(
    run: Callable[[LabelDecoder, Tensor, int], Found],
    decoder: LabelDecoder,
    image: Tensor,
    beam_size: int,
    batch_size: int = WARM_UP_BATCH,
) -> list[Found]:
    """Decode a whole split, batch by batch."""
    return [run(decoder, batch, beam_size) for batch in image.split(batch_size)]


def missing_extra() -> str | None:
    """Why the row of transformers is left out; None if it is not."""
    try:
        import transformers  # noqa: F401
    except ImportError:
        return "not run: needs transformers (pip install '.[benchmark]')"
    return None


def _best(result: SearchResult) -> Found:
    lengths = result.lengths[:, 0].tolist()
    paths = result.paths[:, 0].tolist()
    paths = [path[:length] for path, length in zip(paths, lengths, strict=True)]
    return Found(paths, result.log_probs[:, 0], result.proven)


def _start(decoder: LabelDecoder, image: Tensor) -> Tensor:
    return image.new_full((len(image),), decoder.vocabulary.start, dtype=torch.long)


def _beam_search(use_trie: bool) -> Callable[[LabelDecoder, Tensor, int], Found]:
    @torch.no_grad()
    def run(decoder: LabelDecoder, image: Tensor, beam_size: int) -> Found:
        step, state = decoder.begin_search(image, use_trie=use_trie)
        num_labels = decoder.vocabulary.num_classes
        start = _start(decoder, image)
        return _best(beam_search(step, state, start, num_labels, beam_size=beam_size, num_paths=1))

    return run


@torch.no_grad()
def _best_first(decoder: LabelDecoder, image: Tensor, beam_size: int) -> Found:
    """Beams play no part in it."""
    step, state = decoder.begin_search(image, use_trie=True, keep_all=True)
    num_labels = decoder.vocabulary.num_classes
    return _best(best_first_search(step, state, _start(decoder, image), num_labels, num_paths=1))


def _baseline(search: Callable) -> Callable[[LabelDecoder, Tensor, int], Found]:
    def run(decoder: LabelDecoder, image: Tensor, beam_size: int) -> Found:
        return Found(*search(decoder, image, beam_size))

    return run


def _hugging_face(decoder: LabelDecoder, image: Tensor, beam_size: int) -> Found:
    from baselines.hugging_face import hugging_face_search  # needs an extra

    return Found(*hugging_face_search(decoder, image, beam_size))


def _forget(decoder: LabelDecoder, image: Tensor, others: Tensor, beam_size: int) -> None:
    decoder.clear_trie()


def _meet_others(run: Callable[[LabelDecoder, Tensor, int], Found]) -> Callable:
    """The trie holds what other images left there, as in the middle of a split."""

    def prepare(decoder: LabelDecoder, image: Tensor, others: Tensor, beam_size: int) -> None:
        decoder.clear_trie()
        decode_in_batches(run, decoder, others, beam_size)

    return prepare


def _meet_same(decoder: LabelDecoder, image: Tensor, others: Tensor, beam_size: int) -> None:
    """The trie holds all that the batch needs."""
    decoder.clear_trie()
    _with_trie(decoder, image, beam_size)


_with_trie = _beam_search(use_trie=True)

REFERENCE = Method('generic', 'ours, no trie', _beam_search(use_trie=False))
WARM = Method(
    'warm', 'ours, warm trie', _with_trie, _meet_others(_with_trie), has_trie=True, warms=True
)
METHODS = {
    method.key: method
    for method in (
        Method('loop_paths', 'loop over paths', _baseline(loop_over_paths), by_image=True),
        Method('loop_images', 'loop over images', _baseline(loop_over_images), by_image=True),
        Method('textbook', 'textbook batched', _baseline(textbook_search)),
        Method('hugging_face', 'transformers generate', _hugging_face),
        REFERENCE,
        Method('cold', 'ours, cold trie', _with_trie, _forget, has_trie=True),
        WARM,
        Method('seen', 'ours, trie knows all', _with_trie, _meet_same, has_trie=True),
        Method(
            'best_first',
            'best-first, warm trie',
            _best_first,
            _meet_others(_best_first),
            has_trie=True,
            warms=True,
        ),
    )
}
