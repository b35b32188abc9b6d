# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The images that a training goes on without."""

import hashlib

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.logging import MMLogger

from ...errors import UsageError

__all__ = ['SkippedImages']


class SkippedImages:
    """Names each image once, and ends the run when there are too many.

    The process and its data-loading workers count together, through memory that they share.

    Args:
        most: Different images that may be left out.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        # Two workers that write at once may name an image twice; no more is lost.
        self._known = torch.zeros(most, dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        return int(self._known.count_nonzero())

    def add(self, path: str, why: str) -> None:
        """Count an image; one that was counted before is of no weight.

        Raises:
            UsageError: If it is one more than ``most``.
        """
        digest = hashlib.blake2b(path.encode(errors='replace'), digest_size=7).digest()
        key = int.from_bytes(digest, 'big') + 1
        if bool((self._known == key).any()):
            return
        count = len(self)
        if count == self.most:
            raise UsageError(
                f'more than max_skipped={self.most} images can not be read, the last {path} '
                f'({why}): look at the storage, then continue with --resume'
            )
        self._known[count] = key
        process = f'process {get_rank()}: ' if get_world_size() > 1 else ''
        # As an error, which processes other than the first print, too. Formatted here: the host's
        # logger drops a line whose format string it has seen before.
        MMLogger.get_current_instance().error(
            f'{process}image {path} can not be read ({why}) and is left out of the training; '
            f'{count + 1} of at most {self.most}'
        )
