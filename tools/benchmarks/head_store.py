# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Heads for the grid: made once for each number of labels, trained ones kept beside the results."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import torch
from trained_head import ReadyHead, random_head, train_head

from cnnrnn_mm.datasets import load_features

__all__ = ['HeadStore']


class HeadStore:
    """Gives the head for (weights, C).

    Trained weights are kept in ``out / 'heads'``; delete that folder to train anew.

    Args:
        out: Folder of the results.
        features: Two caches of features, or None for generated data.
        embed_dims: D of the heads.
        hidden_dims: H of the heads.
        recurrent: Name of the recurrent layer.
        seed: Seed of data, weights and training.
        epochs: Epochs of training.
        device: Where the search runs.
    """

    def __init__(
        self,
        out: Path,
        features: tuple[str, str] | None,
        embed_dims: int,
        hidden_dims: int,
        recurrent: str,
        seed: int,
        epochs: int,
        device: torch.device,
    ) -> None:
        self.folder = out / 'heads'
        self.options = (embed_dims, hidden_dims, recurrent, features, seed)
        self.epochs, self.device = epochs, device
        self._ready: dict[tuple[str, int], ReadyHead] = {}

    def get(self, weights: str, num_labels: int) -> ReadyHead:
        """The head with ``'random'`` or ``'trained'`` weights, in evaluation mode."""
        key = weights, num_labels
        if key not in self._ready:
            ready = self._trained(num_labels) if weights == 'trained' else self._random(num_labels)
            head = ready.head.to(self.device).eval()
            self._ready[key] = replace(ready, head=head, features=ready.features.to(self.device))
        return self._ready[key]

    def losses(self) -> dict[str, float]:
        """The last training loss of each trained head in use, by its number of labels."""
        trained = {key[1]: one.loss for key, one in self._ready.items() if key[0] == 'trained'}
        return {str(num_labels): loss for num_labels, loss in trained.items()}

    def _random(self, num_labels: int) -> ReadyHead:
        return random_head(num_labels, *self.options)

    def _trained(self, num_labels: int) -> ReadyHead:
        path = self.folder / f'{self._name(num_labels)}.pth'
        if path.is_file():
            ready, saved = self._random(num_labels), torch.load(path, weights_only=True)
            ready.head.load_state_dict(saved['state_dict'])
            return replace(ready, loss=saved['loss'])
        ready = train_head(num_labels, *self.options, epochs=self.epochs)
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.save({'state_dict': ready.head.state_dict(), 'loss': ready.loss}, path)
        return ready

    def _name(self, num_labels: int) -> str:
        embed_dims, hidden_dims, recurrent, features, seed = self.options
        data = 'generated'
        if features is not None:
            makes = [load_features(one).meta for one in features]
            data = hashlib.sha256(json.dumps(makes, sort_keys=True).encode()).hexdigest()[:8]
        return (
            f'labels{num_labels}_embed{embed_dims}_hidden{hidden_dims}_{recurrent}_{data}'
            f'_seed{seed}_epochs{self.epochs}'
        )
