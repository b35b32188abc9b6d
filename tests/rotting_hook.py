# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A hook that spoils a photo of its run after the first epoch."""

from pathlib import Path

from mmengine.hooks import Hook

from cnnrnn_mm.registry import HOOKS


@HOOKS.register_module()
class RottingHook(Hook):
    """After the first epoch, cut ``path`` in the middle, or remove it with ``gone=True``."""

    def __init__(self, path: str, gone: bool = False) -> None:
        self.path = Path(path)
        self.gone = gone

    def before_train_epoch(self, runner) -> None:
        if runner.epoch == 1 and self.path.exists():
            content = self.path.read_bytes()
            self.path.write_bytes(content[: len(content) // 2])
            if self.gone:
                self.path.unlink()
