# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Data, a training, its resumption, a test and predictions with the installed tools."""

import json
import math
import shutil
from pathlib import Path

from .environment import Environment
from .outcomes import StepError

__all__ = ['SmallRun']

CONFIG = 'configs/cnnrnn_demo.py'
SCENES = {'train': 96, 'val': 40, 'test': 40}
OPTIONS = ('train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False')
OPTIONS += ('default_hooks.checkpoint.max_keep_ckpts=-1',)


class SmallRun:
    """A run of the demo config on few scenes, one epoch and then one more.

    Args:
        environment: Whose ``mim`` is the installed folder of tools and configs.
    """

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.work = environment.cwd / 'work'

    def make_data(self) -> str:
        """Write the scenes."""
        for folder in (self.work, self.environment.cwd / 'data'):
            shutil.rmtree(folder, ignore_errors=True)
        counts = [word for name, count in SCENES.items() for word in (f'--{name}', count)]
        self.tool('make_demo_data', *counts)
        photos = len(list((self.environment.cwd / 'data/demo_scenes/JPEGImages').iterdir()))
        if photos != sum(SCENES.values()):
            raise StepError(f'{photos} photos instead of {sum(SCENES.values())}')
        return f'{photos} photos'

    def train(self) -> str:
        """Train one epoch."""
        self.fit(1)
        return f'checkpoint of {self.checkpoint(1).stat().st_size / 2**20:.1f} MB'

    def resume(self) -> str:
        """Train a second epoch, from the first's checkpoint."""
        before = self.checkpoint(1).stat().st_mtime_ns
        said = self.fit(2, '--resume')
        self.checkpoint(2)
        if 'resumed epoch: 1' not in said or self.checkpoint(1).stat().st_mtime_ns != before:
            raise StepError('the second run began anew instead of resuming')
        return 'epoch 2 after epoch 1'

    def test(self) -> str:
        """Test the second epoch; every figure has to be a number."""
        out = self.environment.cwd / 'metrics.json'
        out.unlink(missing_ok=True)
        config, checkpoint = self.environment.mim / CONFIG, self.checkpoint(2)
        self.tool('test', config, checkpoint, '--out', out, '--out-item', 'metrics')
        metrics = json.loads(out.read_text(encoding='utf-8'))
        bad = [name for name, value in metrics.items() if not math.isfinite(value)]
        if not metrics or bad:
            raise StepError(f'not finite: {", ".join(bad)}' if bad else 'no metrics')
        return f'{len(metrics)} figures, mAP {metrics["multi-label/mAP"]:.1f}'

    def predict(self) -> str:
        """Label photos in a folder that holds them and the checkpoint alone."""
        folder = self.environment.cwd / 'alone'
        shutil.rmtree(folder, ignore_errors=True)
        (folder / 'photos').mkdir(parents=True)
        photos = sorted((self.environment.cwd / 'data/demo_scenes/JPEGImages').iterdir())[:3]
        for photo in photos:
            shutil.copy(photo, folder / 'photos')
        shutil.copy(self.checkpoint(2), folder / 'model.pth')
        self.tool(
            *('predict', 'photos', '--checkpoint', 'model.pth', '--out', 'found.jsonl'), cwd=folder
        )
        lines = (folder / 'found.jsonl').read_text(encoding='utf-8').splitlines()
        found = [record for record in map(json.loads, lines) if 'labels' in record]
        if len(found) != len(photos):
            raise StepError(f'{len(found)} of {len(photos)} photos have labels')
        return f'{len(found)} photos'

    def fit(self, epochs: int, *options: str) -> str:
        """Train up to an epoch; what the tool printed."""
        settings = ('--cfg-options', f'train_cfg.max_epochs={epochs}', *OPTIONS)
        config = self.environment.mim / CONFIG
        name = f'train_{epochs}'
        return self.tool('train', config, '--work-dir', self.work, *options, *settings, log=name)

    def checkpoint(self, epoch: int) -> Path:
        """A kept checkpoint."""
        path = self.work / f'epoch_{epoch}.pth'
        if not path.is_file():
            raise StepError(f'{path.name} was not written')
        return path

    def tool(self, name: str, *words: object, cwd: Path | None = None, log: str = '') -> str:
        """Run an installed tool."""
        script = self.environment.mim / 'tools' / f'{name}.py'
        return self.environment.run(log or name, script, *words, cwd=cwd)
