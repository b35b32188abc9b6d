# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Class scores from label paths compared, and how often each search finds the best path.

Decodes cached features (tools/extract_features.py) with a trained head in several ways. For each
search and each way to turn it into one score a class: mean average precision over the classes with
positives, and the Brier score (squared error of the score as a probability, summed over classes).

Axis letters: n images, C labels, K paths kept.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader
from mmpretrain.registry import MODELS
from rich.console import Console
from rich.table import Table
from sklearn.metrics import average_precision_score
from torch import Tensor

from cnnrnn_mm.apis import check_checkpoint, load_features, report_usage_errors
from cnnrnn_mm.models.postprocessors import label_scores
from cnnrnn_mm.search import SearchResult, beam_search, best_first_search

BATCH_SIZE = 64
ESTIMATES = (
    'pred_score',
    'lower',
    'largest',
    'ratio',
    'midpoint',
    'upper',
    'found paths',
    'best path',
    'first step',
)
SEARCHES = (
    *((f'beam {size}', beam_search, dict(beam_size=size)) for size in (1, 2, 5, 10, 50)),
    *((f'best-first, {k} paths', best_first_search, dict(num_paths=k)) for k in (1, 5, 20)),
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config', help='config of the head')
    parser.add_argument('checkpoint', help='its checkpoint')
    parser.add_argument('features', help='folder of cached features of a validation split')
    parser.add_argument('--out', default='work_dirs/benchmarks/scores', help='folder for the JSON')
    return parser.parse_args()


def load_head(config: str, checkpoint: str) -> torch.nn.Module:
    """The trained head alone."""
    check_checkpoint(checkpoint)
    cfg = Config.fromfile(config)
    init_default_scope('mmpretrain')
    head = MODELS.build(cfg.model.head).eval()
    weights = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')['state_dict']
    prefix = 'head.'
    head.load_state_dict({k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)})
    return head


def decode(head, features: Tensor, search, options: dict) -> tuple[list[SearchResult], Tensor]:
    """Search all images; also the label probabilities (n, C) of the first step."""
    decoder, num_labels = head.decoder, head.num_classes
    results, first = [], []
    for part in features.split(BATCH_SIZE):
        image = decoder.project_image(part)
        step, state = decoder.begin_search(image, keep_all=search is best_first_search)
        start = torch.full((len(part),), decoder.vocabulary.start)
        first.append(step(start, state)[0][:, :num_labels].exp())
        results.append(search(step, state, start, num_labels, **options))
    return results, torch.cat(first)


def estimates_of(results: list[SearchResult], num_labels: int) -> dict[str, Tensor]:
    """The scores (n, C) that follow from the results."""
    lower = torch.cat([one.lower for one in results])
    upper = torch.cat([one.upper for one in results])
    found, best = [], []
    for one in results:
        probs = one.log_probs.exp()  # (N, K), 0 where there is no path
        paths = torch.where(one.paths < 0, num_labels, one.paths)  # (N, K, L)
        for store, count in ((found, paths.shape[1]), (best, 1)):
            scores = torch.zeros(len(paths), num_labels + 1)
            weight = probs[:, :count].unsqueeze(-1).expand_as(paths[:, :count])
            scores.scatter_add_(1, paths[:, :count].flatten(1), weight.flatten(1))
            store.append(scores[:, :num_labels])
    return {
        'pred_score': torch.cat([label_scores(one) for one in results]),
        'lower': lower,
        'largest': torch.cat([one.largest for one in results]),
        'ratio': lower / (lower + 1 - upper).clamp(min=1e-12),
        'midpoint': (lower + upper) / 2,
        'upper': upper,
        'found paths': torch.cat(found),
        'best path': torch.cat(best),
    }


@torch.no_grad()
def main() -> None:
    """Decode, score, and print a table."""
    args = parse_args()
    console = Console()
    with report_usage_errors():
        data = load_features(args.features)
        head = load_head(args.config, args.checkpoint)
    truth = torch.zeros(len(data.labels), head.num_classes)
    for row, labels in enumerate(data.labels):
        truth[row, labels] = 1
    present = truth.any(0).nonzero().flatten().tolist()

    exact: list | None = None
    table = Table('search', 'proven', 'exact', 'prefixes', 'most', *ESTIMATES)
    rows = []
    for name, search, options in reversed(SEARCHES):
        begin = time.perf_counter()
        results, first = decode(head, data.features, search, options)
        seconds = time.perf_counter() - begin
        scores = {'first step': first, **estimates_of(results, head.num_classes)}
        paths = [
            path[:length]
            for one in results
            for path, length in zip(
                one.paths[:, 0].tolist(), one.lengths[:, 0].tolist(), strict=True
            )
        ]
        proven = torch.cat([one.proven for one in results])
        if exact is None:
            exact = paths
            console.print(f'{int(proven.sum())} of {len(proven)} images certified by {name}')
        expansions = torch.cat([one.expansions for one in results])
        equal = sum(a == b for a, b in zip(paths, exact, strict=True)) / len(paths)
        row = dict(
            search=name,
            proven=100 * float(proven.float().mean()),
            exact=100 * equal,
            prefixes=float(expansions.float().mean()),
            median_prefixes=float(expansions.median()),
            most=int(expansions.max()),
            seconds=seconds,
        )
        for kind in ESTIMATES:
            values = scores[kind]
            precision = average_precision_score(truth[:, present], values[:, present])
            brier = float(((values - truth) ** 2).sum(1).mean())
            row[kind] = dict(mAP=100 * float(precision), brier=brier)
        rows.append(row)
    for row in reversed(rows):
        cells = (f'{row[kind]["mAP"]:.1f}\n{row[kind]["brier"]:.2f}' for kind in ESTIMATES)
        table.add_row(
            row['search'],
            f'{row["proven"]:.1f}',
            f'{row["exact"]:.1f}',
            f'{row["prefixes"]:.1f}',
            str(row['most']),
            *cells,
        )
    console.print(table)
    console.print(
        'Cells: mAP in percent, higher is better; below it the Brier score, lower is better'
    )
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / 'scores.json').write_text(json.dumps(rows[::-1], indent=2))


if __name__ == '__main__':
    main()
