# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Probabilities of label sets from a head of paths, path by path, by teacher forcing."""

from itertools import combinations, permutations

import numpy as np
import torch

from cnnrnn_mm.models import ChainDecoder


def path_log_prob(head, feats, row, path):
    """By teacher forcing."""
    tokens = torch.tensor([[head.vocabulary.start, *path]])
    with torch.no_grad():
        steps = head((feats[0][[row]],), tokens).log_softmax(-1)[0]
    return float(sum(steps[i, label] for i, label in enumerate([*path, head.vocabulary.end])))


def sets_log_probs(head, feats, row, order):
    """Of all label sets of an image, each named in the order."""
    found = {}
    for size in range(head.num_classes + 1):
        for chosen in combinations(order, size):
            found[frozenset(chosen)] = path_log_prob(head, feats, row, chosen)
    return found


def ids_of(row):
    return frozenset(row.nonzero().flatten().tolist())


def all_sets(head, feats, row, order):
    """Log-probabilities of all label sets: in the order of a chain, else summed over orders."""
    if isinstance(head.decoder, ChainDecoder):
        return sets_log_probs(head, feats, row, order)
    found = {}
    for size in range(5):
        for chosen in combinations(range(4), size):
            paths = [path_log_prob(head, feats, row, one) for one in permutations(chosen)]
            found[frozenset(chosen)] = np.logaddexp.reduce(paths)
    return found
