# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import math
from collections.abc import Sequence
from pathlib import Path

import mmcv
import numpy as np
from mmengine.dist import master_only
from mmpretrain.structures import DataSample
from mmpretrain.visualization import UniversalVisualizer
from PIL import Image

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.registry import VISUALIZERS

from .label_panel import PAPER
from .region_boxes import draw_regions
from .sample_panel import build_sample_panel, find_marks


@VISUALIZERS.register_module()
class LabelPathVisualizer(UniversalVisualizer):
    """Draw a photo beside its true labels, its predicted path and the next best paths.

    A right label is green with a tick, a wrong one red with a cross, a missed one amber with a
    ring. A sample without ``pred_paths``, as the host's heads write it, is drawn with its labels
    and their scores, best first.

    The regions of the predicted labels (``pred_label_regions``, as ``RLSDHead`` writes them) are
    boxes on the photo in the labels' colours, with the numbers that stand beside the labels; of the
    whole image there is no box. They are shares of what the network saw, and so lie right on a
    photo of which the test pipeline cuts nothing off.

    Args:
        name: Name of the instance. Defaults to 'visualizer'.
        num_next_paths: Most paths to draw beside the best one. Defaults to 3.
        max_labels: Most labels of the path to draw in full; the rest is counted. Defaults to 20.
        font_size: Size of the text in pixels. Defaults to 16.
        min_photo: A photo whose long edge is shorter is magnified by the least whole number that
            reaches this many pixels, without smoothing. Defaults to 320.
        max_photo: A photo whose long edge is longer is shrunk to this many pixels. Defaults to 640.
        reload_photo: Read the photo from the sample's ``img_path`` where that can be read. The
            host's hook hands over what the network gets, which is resized and cropped and, as the
            host loads files, in BGR order. False draws the image that was handed over, taken as
            RGB. Defaults to True.
        draw_regions: Draw the regions of the predicted labels. Defaults to True.
        kwargs: As for the host's ``UniversalVisualizer``.
    """

    def __init__(
        self,
        name: str = 'visualizer',
        num_next_paths: int = 3,
        max_labels: int = 20,
        font_size: int = 16,
        min_photo: int = 320,
        max_photo: int = 640,
        reload_photo: bool = True,
        draw_regions: bool = True,
        **kwargs,
    ) -> None:
        self._drawn: np.ndarray | None = None
        super().__init__(name, **kwargs)
        if not 0 < min_photo <= max_photo:
            raise UsageError(f'min_photo {min_photo} must be in 1 to max_photo {max_photo}')
        self.num_next_paths = num_next_paths
        self.max_labels = max_labels
        self.font_size = font_size
        self.min_photo = min_photo
        self.max_photo = max_photo
        self.reload_photo = reload_photo
        self.draw_regions = draw_regions

    @master_only
    def visualize_cls(
        self,
        image: np.ndarray,
        data_sample: DataSample,
        classes: Sequence[str] | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        draw_score: bool = True,
        resize: int | None = None,
        rescale_factor: float | None = None,
        text_cfg: dict | None = None,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        name: str = '',
        step: int = 0,
    ) -> np.ndarray:
        """Draw one image; arguments as in the host's visualizer, unless stated.

        Args:
            image: Photo of shape (h, w, 3) or (h, w), RGB, 0 to 255. See ``reload_photo``.
            data_sample: Any of ``gt_label`` (or ``gt_score``), ``pred_label`` in path order,
                ``pred_score`` (C,), ``pred_paths`` best first, ``pred_path_log_probs`` (K,) and
                ``pred_step_log_probs`` (n + 1,), the last one END's, and ``pred_label_regions``
                (n, 4), x1, y1, x2, y2 as shares of the photo's width and height. What is not there
                is not drawn.
            classes: Names of the C classes. Defaults to None: the dataset's, or else the ids.
            draw_gt: Draw the true labels, and judge the predicted ones by them.
            draw_pred: Draw the predicted labels and paths.
            draw_score: Draw probabilities or scores.
            resize: Short edge of the photo in pixels, instead of its automatic size.
            rescale_factor: Factor for the photo's size, instead of its automatic size.
            text_cfg: ``dict(size=pixels)`` to change the size of the text.
            show: Show the drawing in a window.
            wait_time: Seconds until the window closes; 0 waits for the user.
            out_file: File to write. Defaults to None: the visualizer's backends get the drawing.
            name: Name of the drawing in the backends.
            step: Step of the drawing in the backends.

        Returns:
            Array of shape (H, W, 3), RGB, uint8.
        """
        if classes is None and self.dataset_meta is not None:
            classes = self.dataset_meta.get('classes', None)
        text_cfg = {'size': self.font_size, **(text_cfg or {})}
        if set(text_cfg) != {'size'}:
            raise UsageError(f'text_cfg {text_cfg} may hold only size, in pixels')
        size = int(text_cfg['size'])

        photo = self._fit_photo(self._find_photo(image, data_sample), resize, rescale_factor)
        marks = []
        if self.draw_regions and draw_pred:
            marks = find_marks(data_sample, draw_gt)[: self.max_labels]
            photo = draw_regions(photo, marks, size)
        panel = build_sample_panel(
            data_sample,
            classes,
            font_size=size,
            draw_gt=draw_gt,
            draw_pred=draw_pred,
            draw_score=draw_score,
            num_next_paths=self.num_next_paths,
            max_labels=self.max_labels,
            marks=marks,
        )
        drawn = _join(photo, panel.render(), margin=size)

        self.set_image(drawn)  # callers may draw on it
        self._drawn = drawn
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is not None:
            mmcv.imwrite(drawn[..., ::-1], out_file)
        else:
            self.add_image(name, drawn, step=step)
        return drawn

    def set_image(self, image: np.ndarray) -> None:
        """Start a new drawing from an RGB image (H, W, 3)."""
        self._drawn = None
        super().set_image(image)

    def get_image(self) -> np.ndarray:
        """The last result of :meth:`visualize_cls`, exactly.

        The host would read it back from a matplotlib canvas, which resamples it in some versions.
        """
        return super().get_image() if self._drawn is None else self._drawn.copy()

    def _find_photo(self, image: np.ndarray, data_sample: DataSample) -> Image.Image:
        path = data_sample.get('img_path', None)
        if self.reload_photo and isinstance(path, str | Path):
            try:
                loaded = mmcv.imread(path, channel_order='rgb')
            except (OSError, ValueError, ImportError):  # moved, or of a backend not at hand
                loaded = None
            image = image if loaded is None else loaded
        image = np.clip(np.asarray(image), 0, 255).astype(np.uint8)
        image = image[..., None] if image.ndim == 2 else image
        image = image[..., :1].repeat(3, axis=2) if image.shape[2] < 3 else image[..., :3]
        return Image.fromarray(np.ascontiguousarray(image))

    def _fit_photo(
        self, photo: Image.Image, resize: int | None, rescale_factor: float | None
    ) -> Image.Image:
        if resize is not None:
            scale = resize / min(photo.size)
        elif rescale_factor is not None:
            scale = rescale_factor
        elif max(photo.size) < self.min_photo:
            scale = math.ceil(self.min_photo / max(photo.size))
        else:
            scale = min(self.max_photo / max(photo.size), 1.0)
        size = tuple(max(round(edge * scale), 1) for edge in photo.size)
        smooth = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
        return photo if size == photo.size else photo.resize(size, smooth)


def _join(photo: Image.Image, panel: Image.Image, margin: int) -> np.ndarray:
    """Photo to the left, panel to the right, on paper: an array (H, W, 3), RGB, uint8."""
    size = (
        photo.width + panel.width + 3 * margin,
        max(photo.height, panel.height) + 2 * margin,
    )
    drawn = Image.new('RGB', size, PAPER)
    drawn.paste(photo, (margin, margin))
    drawn.paste(panel, (photo.width + 2 * margin, margin))
    return np.asarray(drawn).copy()
