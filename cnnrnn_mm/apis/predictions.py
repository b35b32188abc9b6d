# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a data sample says, in plain types and class names.

Axis letters: C labels, K paths kept.
"""

import math
from collections.abc import Sequence
from typing import Any

from mmpretrain.structures import DataSample

__all__ = ['PATH_KEYS', 'make_record']

WHOLE_IMAGE = [0.0, 0.0, 1.0, 1.0]
#: Keys of a record that only label paths have.
PATH_KEYS = ('path', 'step_probs', 'path_prob', 'set_prob', 'proven', 'gap', 'alternatives')


def make_record(
    sample: DataSample,
    classes: Sequence[str],
    photo: str | None,
    size: tuple[int, int],
    num_marginals: int | None = None,
    in_order: bool = True,
) -> dict[str, Any]:
    """One photo's prediction; every value can be written as JSON.

    Args:
        sample: What a head's ``predict`` gave.
        classes: (C,) names.
        photo: Its path or address, if any.
        size: Width and height.
        num_marginals: Most entries of ``marginals``; None for all C.
        in_order: ``pred_label`` stands in path order; False sorts it by score.

    Returns:
        ``photo``, ``size``, and

        - ``labels``, ``label_ids``: the answer, in path order; best score first for heads without
          paths;
        - ``path``: the most probable path; the answer, unless the model's decision is another rule;
        - ``step_probs``: P of each label of ``path`` given those before it, and of END;
        - ``path_prob``: their product; ``set_prob``: [lower, upper] of P(the label set), the sum
          over its orders, or None where it was not asked for;
        - ``proven``: ``path`` is certified to be the most probable one allowed; ``gap``: where it
          is not, a better one is better by at most this, in natural log; None where no bound is
          known;
        - ``alternatives``: the next best paths, ``labels``, ``label_ids`` and ``prob`` each;
        - ``marginals``: ``label``, ``id``, ``score``, ``lower`` and ``upper`` of each class, best
          first;
        - ``regions``: for each label of the answer its region, x1, y1, x2, y2 as shares of width
          and height of what the network saw, or None for the whole image (RLSD only).

        For heads without paths ``path`` to ``alternatives``, ``lower`` and ``upper`` are None.
    """
    scores = sample.pred_score.tolist()
    ids = sample.pred_label.tolist()
    if not in_order:
        ids.sort(key=scores.__getitem__, reverse=True)
    record: dict[str, Any] = {
        'photo': photo,
        'size': list(size),
        'labels': [classes[one] for one in ids],
        'label_ids': ids,
    }
    if 'pred_paths' in sample:
        record.update(_path_fields(sample, classes))
    else:
        record.update(dict.fromkeys(PATH_KEYS))
    lower = upper = [None] * len(scores)
    if 'pred_score_lower' in sample:
        lower, upper = sample.pred_score_lower.tolist(), sample.pred_score_upper.tolist()
    best = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)[:num_marginals]
    record['marginals'] = [
        {
            'label': classes[one],
            'id': one,
            'score': scores[one],
            'lower': lower[one],
            'upper': upper[one],
        }
        for one in best
    ]
    if 'pred_label_regions' in sample:
        boxes = sample.pred_label_regions.tolist()
        record['regions'] = [None if box == WHOLE_IMAGE else box for box in boxes]
    return record


def _path_fields(sample: DataSample, classes: Sequence[str]) -> dict[str, Any]:
    paths = sample.pred_paths
    probs = sample.pred_path_log_probs.exp().tolist()
    lower = sample.get('pred_set_log_prob_lower')
    others = zip(paths[1:], probs[1:], strict=True)
    return {
        'path': [classes[one] for one in paths[0]],
        'step_probs': sample.pred_step_log_probs.exp().tolist(),
        'path_prob': probs[0],
        'set_prob': None
        if lower is None
        else [math.exp(lower), math.exp(sample.pred_set_log_prob_upper)],
        'proven': sample.pred_proven,
        'gap': sample.pred_gap if math.isfinite(sample.pred_gap) else None,
        'alternatives': [
            {'labels': [classes[one] for one in path], 'label_ids': list(path), 'prob': prob}
            for path, prob in others
        ],
    }
