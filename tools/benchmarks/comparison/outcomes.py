# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What the runs of a comparison gave: figures of rows and seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tables.row import Row

from cnnrnn_mm.datasets import load_features
from cnnrnn_mm.evaluation.functional import labels_to_sets

from .derived import ask_neighbours, average_models, choose_neighbours, features_of
from .figures import choose_threshold, complete, make_figures, seen_before
from .measure import Measure
from .mixture import mix_models
from .outputs import Outputs, independent_outputs
from .paired import Resampled, compare, resample
from .plan import Comparison, Key
from .trainings import members_of

__all__ = ['SECONDS', 'Outcome', 'compare_all', 'outcomes_of', 'tuning_outcome']

SECONDS = 's/epoch'


@dataclass(frozen=True)
class Outcome:
    """One model of a row.

    Attributes:
        seed: Its seed; None for a row that draws nothing.
        folder: Where its outputs are.
        figures: By name; None where there is none.
        completion: Likewise.
        further: Likewise, those of the comparison's own measure.
        facts: What else is known.
    """

    seed: int | None
    folder: Path
    figures: dict[str, float | None]
    completion: dict[str, float | None]
    further: dict[str, float | None]
    facts: dict[str, Any]

    @property
    def threshold(self) -> float:
        """That was chosen on the validation split."""
        return self.figures['threshold']

    def outputs(self, split: str) -> Outputs:
        """What the model says of a split."""
        return Outputs.load(self.folder / f'{split}.pt')


def outcomes_of(
    comparison: Comparison, row: Row, seeds: Sequence[int], known_seed: int
) -> tuple[list[Outcome], dict[str, str]]:
    """The models of a row, and why others failed, by seed.

    Args:
        comparison: With its runs made.
        row: One of its rows.
        seeds: The seeds.
        known_seed: Of the known labels.
    """
    if row.derived is not None and row.derived['type'] == 'nearest':
        folder, facts = _copy_nearest(comparison, row)
        return [_outcome(comparison, None, folder, facts, known_seed)], {}
    found, failed = [], {}
    for seed in seeds:
        keys = _members(comparison, row, seed)
        errors = [comparison.records[key].get('error') for key in keys]
        if any(errors):
            failed[str(seed)] = next(error for error in errors if error)
            continue
        folder = comparison.folder / row.name / f'seed{seed}'
        facts = _training_facts(comparison, keys)
        if row.derived is not None:
            _combine(comparison, row, folder, keys)
            facts['members'] = [list(key) for key in keys]
        found.append(_outcome(comparison, seed, folder, facts, known_seed))
    return found, failed


def tuning_outcome(comparison: Comparison, key: Key, known_seed: int) -> Outcome | None:
    """The model of one learning rate; None where it failed."""
    if 'error' in comparison.records[key]:
        return None
    facts = _training_facts(comparison, [key])
    return _outcome(comparison, key[1], comparison.runs[key].folder, facts, known_seed)


def compare_all(
    models: dict[str, list[Outcome]],
    baseline: str,
    split: str,
    num_resamples: int,
    seed: int,
    measure: Measure | None = None,
) -> dict[str, dict[str, dict[str, float]]]:
    """Each row against the baseline, on the same resamples of the images.

    Rows with no model are left out; there is nothing where the baseline has none.
    """
    drawn: dict[str, Resampled] = {}
    if not models.get(baseline):
        return {}
    for name in [baseline, *models]:
        if models[name] and name not in drawn:
            outputs = [one.outputs(split) for one in models[name]]
            limits = [one.threshold for one in models[name]]
            drawn[name] = resample(outputs, limits, num_resamples, seed, measure)
    return {name: compare(one, drawn[baseline]) for name, one in drawn.items() if name != baseline}


def _outcome(
    comparison: Comparison, seed: int | None, folder: Path, facts: dict, known_seed: int
) -> Outcome:
    outputs = Outputs.load(folder / f'{comparison.splits[-1]}.pt')
    tuned_on = outputs
    if len(comparison.splits) > 1:
        tuned_on = Outputs.load(folder / f'{comparison.splits[0]}.pt')
    seen = seen_before(outputs.target, comparison.training_sets)
    thresholds = {score: choose_threshold(tuned_on, score) for score in ('O-F1', 'C-F1')}
    figures = make_figures(outputs, thresholds, seen)
    figures[SECONDS] = facts.get('seconds_per_epoch')
    further = {}
    if comparison.measure is not None:
        further = comparison.measure.figures(outputs, thresholds['O-F1'])
    return Outcome(seed, folder, figures, complete(outputs, known_seed), further, facts)


def _members(comparison: Comparison, row: Row, seed: int) -> list[Key]:
    """The trainings that a model is made of."""
    if row.derived is None:
        return [(row.name, seed, row.lr_factor)]
    keys = {key[:2]: key for key in comparison.runs}
    return [keys[member] for member in members_of(row, seed)]


def _training_facts(comparison: Comparison, keys: Sequence[Key]) -> dict[str, Any]:
    """Time and versions of the trainings."""
    seconds = []
    for key in keys:
        epochs = comparison.runs[key].cfg.train_cfg.get('max_epochs')
        if epochs:
            seconds.append(comparison.records[key]['training']['seconds'] / epochs)
    return dict(seconds_per_epoch=sum(seconds) or None)


def _combine(comparison: Comparison, row: Row, folder: Path, keys: Sequence[Key]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    combine = mix_models if row.derived['type'] == 'mixture' else average_models
    for split in comparison.splits:
        members = [Outputs.load(comparison.runs[key].dump_path(split)) for key in keys]
        combine(members).save(folder / f'{split}.pt')


def _copy_nearest(comparison: Comparison, row: Row) -> tuple[Path, dict]:
    folder = comparison.folder / row.name
    folder.mkdir(parents=True, exist_ok=True)
    features, targets = {}, {}
    for split, (labels, paths) in comparison.images.items():
        features[split] = features_of(load_features(Path(comparison.features) / split), paths)
        targets[split] = labels_to_sets(labels, len(comparison.data.classes))
    best = choose_neighbours(features['train'], targets['train'])
    for split in comparison.splits:
        like = _any_outputs(comparison, split)
        ignored = torch.zeros_like(targets[split]) if like is None else like.ignored
        logits, copied = ask_neighbours(features['train'], targets['train'], features[split], best)
        outputs = independent_outputs(targets[split], ignored, logits, copied)
        outputs.save(folder / f'{split}.pt')
    return folder, dict(neighbours=best)


def _any_outputs(comparison: Comparison, split: str) -> Outputs | None:
    """Of some run: the labels that count neither way are those of the split."""
    for key, run in comparison.runs.items():
        if 'error' not in comparison.records[key]:
            return Outputs.load(run.dump_path(split))
    return None
