# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Batched beam search in its textbook form.

All beams of all images are one batch of the model; the recurrent state is reordered by backpointer
after each step; every image stays in the batch until all of them are finished.

Axis letters: N images, W <= B live paths of an image, C labels, V = C + 1 (labels and END),
T labels in the live paths, D embedding size.
"""

import torch
from torch import Tensor

from cnnrnn_mm.models.decoders import LabelDecoder

from .scoring import score_step

__all__ = ['textbook_search']

_NEVER = float('-inf')


@torch.no_grad()
def textbook_search(
    decoder: LabelDecoder, image: Tensor, beam_size: int
) -> tuple[list[list[int]], Tensor]:
    """The best path of each image; same rules as the loops. See the package."""
    num_images, num_labels = len(image), decoder.vocabulary.num_classes
    rows = torch.arange(num_images, device=image.device).unsqueeze(-1)  # (N, 1)
    tokens = image.new_full((num_images,), decoder.vocabulary.start, dtype=torch.long)
    state = decoder.recurrent.initial_state(image)
    spread = image  # (N * W, D)
    scores = image.new_zeros(num_images, 1)  # (N, W)
    paths = tokens.new_empty(num_images, 1, 0)  # (N, W, T)
    best = image.new_full((num_images,), _NEVER)
    best_paths = tokens.new_empty(num_images, 0)
    best_lengths = tokens.new_zeros(num_images)

    for length in range(num_labels + 1):
        width = scores.shape[1]
        if len(spread) != num_images * width:
            spread = image.repeat_interleave(width, 0)
        log_probs, state = score_step(decoder, tokens, spread, state)
        log_probs = log_probs.view(num_images, width, num_labels + 1)
        labels, end = log_probs.split([num_labels, 1], -1)
        labels = labels.scatter(-1, paths, _NEVER)  # no label twice

        # Candidates: paths with END among their B best tokens.
        rank = (labels > end).sum(-1)
        ended, beam = (scores + end.squeeze(-1)).masked_fill(rank >= beam_size, _NEVER).max(-1)
        improved = ended > best
        best = torch.where(improved, ended, best)
        best_lengths = best_lengths.masked_fill(improved, length)
        padded = torch.nn.functional.pad(best_paths, (0, length - best_paths.shape[-1]))
        best_paths = torch.where(
            improved.unsqueeze(-1), paths[rows, beam.unsqueeze(-1)][:, 0], padded
        )

        # The B best expansions of each image go on.
        expanded = (scores.unsqueeze(-1) + labels).flatten(1)  # (N, W * C)
        scores, flat = expanded.topk(min(beam_size, expanded.shape[1]))
        if not (scores[:, 0] > best).any():
            break
        parent, label = flat // num_labels, flat % num_labels
        source = (rows * width + parent).flatten()
        state = tuple(part.index_select(0, source) for part in state)
        paths = torch.cat([paths[rows, parent], label.unsqueeze(-1)], -1)
        tokens = label.flatten()

    found = best_paths.tolist()
    return [path[:size] for path, size in zip(found, best_lengths.tolist(), strict=True)], best
