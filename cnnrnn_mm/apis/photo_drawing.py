# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Pictures of predictions, in a folder or a window."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from mmpretrain.structures import DataSample

from ..errors import UsageError
from ..visualization import LabelPathVisualizer
from ..visualization.image_names import safe_name
from .photo_inputs import Photo, is_address

__all__ = ['PhotoDrawer']


class PhotoDrawer:
    """Draw photos beside their predictions.

    Args:
        classes: Names by class id.
        folder: Where pictures go, as ``<name of the photo>.png``; made where it is missing. None
            writes none.
        show: Show each picture in a window.
        wait_time: Seconds a window stays; 0 waits for a key.

    Raises:
        UsageError: If the folder can't be made.
    """

    def __init__(
        self,
        classes: Sequence[str],
        folder: str | Path | None = None,
        show: bool = False,
        wait_time: float = 0,
    ) -> None:
        self.classes, self.show, self.wait_time = classes, show, wait_time
        self.folder = None if folder is None else Path(folder)
        self.visualizer = LabelPathVisualizer(reload_photo=False)
        self._used: set[str] = set()
        if self.folder is not None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UsageError(
                    f'folder {folder} can not be made ({error.strerror}): name another place'
                ) from None

    def draw(self, photo: Photo, pixels: np.ndarray, sample: DataSample) -> np.ndarray:
        """Draw one photo.

        Args:
            photo: Names the picture; one with a name that came before gets a number.
            pixels: (h, w, 3) in BGR order, or (h, w).
            sample: Its prediction.

        Returns:
            (H, W, 3), RGB, uint8.
        """
        shade = cv2.COLOR_GRAY2RGB if pixels.ndim == 2 else cv2.COLOR_BGR2RGB
        name = self._name(photo)
        out_file = None if self.folder is None else str(self.folder / f'{name}.png')
        try:
            return self.visualizer.visualize_cls(
                cv2.cvtColor(pixels, shade),
                sample,
                classes=self.classes,
                draw_gt=False,
                show=self.show,
                wait_time=self.wait_time,
                out_file=out_file,
                name=name,
            )
        except OSError as error:
            raise UsageError(
                f'cannot write {out_file} ({error.strerror}): name another folder'
            ) from None

    def _name(self, photo: Photo) -> str:
        """A file name of its own for each photo."""
        if photo.path is None:
            stem = safe_name(photo.name.replace(' ', '_'))
        else:
            path = photo.path
            if is_address(path):
                path = path.partition('?')[0].partition('#')[0].rstrip('/')
            stem = safe_name(Path(path).stem)
        name, number = stem, 2
        while name in self._used:
            name, number = f'{stem}_{number}', number + 1
        self._used.add(name)
        return name
