# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Read any split as a test would."""

from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ..errors import UsageError
from .data_layout import check_data_layout

__all__ = ['build_split_loader']

SPLITS = ('train', 'val', 'test')


def build_split_loader(cfg: Config, split: str) -> DataLoader:
    """The split's dataloader, but with the test pipeline and in stored order.

    The pipeline is the validation's where the config has no test split. Samplers of the config are
    not used; batch size and workers are.

    Args:
        cfg: A run's config.
        split: ``'train'``, ``'val'`` or ``'test'``.

    Raises:
        UsageError: If the config lacks the split or any test pipeline, or data is missing on disk.
    """
    there = [name for name in SPLITS if cfg.get(f'{name}_dataloader') is not None]
    if split not in there:
        raise UsageError(
            f"the config has no split '{split}' ({split}_dataloader): it has {', '.join(there)}"
        )
    source = next((name for name in ('test', 'val') if name in there), None)
    if source is None:
        raise UsageError(
            'the config has neither test_dataloader nor val_dataloader: add one, for its pipeline, '
            'which changes no image at random'
        )
    check_data_layout(cfg, (f'{split}_dataloader',))
    ours = cfg[f'{split}_dataloader']
    options = {
        key: value
        for key, value in ours.items()
        if key not in ('batch_sampler', 'num_batch_per_epoch', 'drop_last')
    }
    pipeline = _pipeline_of(cfg[f'{source}_dataloader'].dataset)
    options['dataset'] = _with_pipeline(ours.dataset, pipeline)
    options['sampler'] = dict(type='DefaultSampler', shuffle=False)
    loader = Runner.build_dataloader(ConfigDict({'batch_size': 32, **options}))
    _never_refetch(loader.dataset)
    return loader


def _pipeline_of(dataset: ConfigDict) -> list:
    """The pipeline of a dataset's config, through wrappers."""
    while 'pipeline' not in dataset and ('dataset' in dataset or dataset.get('datasets')):
        dataset = dataset['dataset'] if 'dataset' in dataset else dataset['datasets'][0]
    return dataset.get('pipeline', [])


def _with_pipeline(dataset: ConfigDict, pipeline: list) -> ConfigDict:
    """The dataset's config with another pipeline, through wrappers."""
    if 'dataset' in dataset:
        return ConfigDict({**dataset, 'dataset': _with_pipeline(dataset['dataset'], pipeline)})
    if 'datasets' in dataset:
        inner = [_with_pipeline(one, pipeline) for one in dataset['datasets']]
        return ConfigDict({**dataset, 'datasets': inner})
    return ConfigDict({**dataset, 'pipeline': pipeline})


def _never_refetch(dataset) -> None:
    """In training the host puts a random other image where a pipeline gives none."""
    inner = [getattr(dataset, 'dataset', None), *(getattr(dataset, 'datasets', None) or ())]
    for one in inner:
        if one is not None:
            _never_refetch(one)
    dataset.test_mode = True
