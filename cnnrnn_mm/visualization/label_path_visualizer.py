# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from collections.abc import Sequence
from typing import Any

import mmcv
import numpy as np
from mmengine.dist import master_only
from mmpretrain.structures import DataSample
from mmpretrain.visualization import UniversalVisualizer

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.registry import VISUALIZERS

from .image_names import backend_name
from .photo_fitting import find_photo, fit_photo, join_parts, text_size
from .region_boxes import draw_regions
from .sample_fields import find_marks
from .sample_panel import build_sample_panel, draw_sample_tree


@VISUALIZERS.register_module()
class LabelPathVisualizer(UniversalVisualizer):
    """Draw a photo beside its true labels and its predicted path, above the tree of kept paths.

    A right label is green with a tick, a wrong one red with a cross, a missed one amber with a
    ring. A sample without ``pred_paths``, as the host's heads write it, is drawn with its labels
    and their scores, best first.

    The tree joins what the kept paths (``pred_paths``) share; the number behind a label, and the
    width of the line before it, is the probability of all kept paths through it. There is none
    where fewer than two paths were kept.

    The regions of the predicted labels (``pred_label_regions``, as ``RLSDHead`` writes them) are
    boxes on the photo in the labels' colours, with the numbers that stand beside the labels; of the
    whole image there is no box. They are shares of what the network saw, and so lie right on a
    photo of which the test pipeline cuts nothing off.

    Args:
        name: Name of the instance. Defaults to 'visualizer'.
        draw_tree: Draw the kept paths as a tree. False lists the next best paths. Defaults to True.
        num_tree_paths: Most paths in the tree, the best ones. Defaults to 8.
        num_next_paths: Most paths to list beside the best one. Defaults to 3.
        max_labels: Most labels of the path to draw in full; the rest is counted. Defaults to 20.
        font_size: Size of the text in pixels. Defaults to None: 16 beside a photo that is drawn
            with up to 640 pixels, and a fortieth of the photo's long edge beside a larger one.
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
        draw_tree: bool = True,
        num_tree_paths: int = 8,
        num_next_paths: int = 3,
        max_labels: int = 20,
        font_size: int | None = None,
        min_photo: int = 320,
        max_photo: int = 640,
        reload_photo: bool = True,
        draw_regions: bool = True,
        **kwargs: Any,
    ) -> None:
        self._drawn: np.ndarray | None = None
        super().__init__(name, **kwargs)
        if not 0 < min_photo <= max_photo:
            raise UsageError(f'min_photo {min_photo} must be in 1 to max_photo {max_photo}')
        self.draw_tree = draw_tree
        self.num_tree_paths = num_tree_paths
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

        photo = find_photo(image, data_sample, self.reload_photo)
        photo = fit_photo(photo, resize, rescale_factor, self.min_photo, self.max_photo)
        size = text_size(photo) if text_cfg['size'] is None else int(text_cfg['size'])
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
            num_next_paths=0 if self.draw_tree else self.num_next_paths,
            max_labels=self.max_labels,
            marks=marks,
        ).render()
        tree = None
        if self.draw_tree and draw_pred:
            tree = draw_sample_tree(
                data_sample,
                classes,
                font_size=size,
                width=photo.width + panel.width + size,
                draw_gt=draw_gt,
                draw_score=draw_score,
                most_paths=self.num_tree_paths,
                max_labels=self.max_labels,
            )
        drawn = join_parts(photo, panel, tree, margin=size)

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
        """The last result of :meth:`visualize_cls`, exactly. ``set_image`` takes it to draw on it.

        The host would put it on a matplotlib canvas and read it back, which resamples it in some
        versions, and takes longer than the drawing.
        """
        return super().get_image() if self._drawn is None else self._drawn.copy()

    @master_only
    def add_image(self, name: str, image: np.ndarray, step: int = 0) -> None:
        """Give an image to all backends, under a name that each of them can store.

        Args:
            name: Of the image.
            image: (H, W, 3), RGB, uint8.
            step: Of the image.
        """
        for backend in self._vis_backends.values():
            backend.add_image(backend_name(backend, name, step), image, step)
