# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Put the labels of an image into the order in which a sequence model learns them."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from numpy.typing import ArrayLike

from ...errors import UsageError
from ...registry import TRANSFORMS
from ..annotations import check_labels

__all__ = ['OrderLabels']

ORDERS = ('frequent_first', 'rare_first', 'alphabetical', 'given', 'fixed_random', 'random')


@TRANSFORMS.register_module()
class OrderLabels(BaseTransform):
    """Order ``gt_label`` in place.

    **Required Keys:**

    - gt_label

    **Modified Keys:**

    - gt_label (np.int64, the same labels in another order)

    The order is one rank for each class, and it comes from the training split: :meth:`fit` takes
    the number of training images of each class. :class:`LabelOrderHook` calls it before training,
    stores the order in the checkpoint and puts it back on resume. There is no file to keep beside
    the data, and an order that was never fitted is an error.

    Args:
        order: ``'frequent_first'`` (the paper's), ``'rare_first'``, ``'alphabetical'`` (by class
            name), ``'given'``, ``'fixed_random'`` (one order drawn by ``seed``) or ``'random'`` (a
            new order for each image each time; needs no fit). Equal counts are ordered by class id.
        given: For ``'given'``: all class names, or all class ids, in the wanted order.
        seed: For ``'fixed_random'``.
        task: The task to order where ``gt_label`` is a dict over tasks (the host's multi-task
            datasets); None for a plain list.
        num_classes: C, needed only where the dataset has no class names.

    Raises:
        UsageError: If an option is not known.

    Examples:
        >>> order = OrderLabels('rare_first')
        >>> order.fit([5, 2, 9], ['cat', 'dog', 'person'])
        >>> order({'gt_label': [2, 0, 1]})['gt_label']
        array([1, 0, 2])
    """

    def __init__(
        self,
        order: str = 'frequent_first',
        given: Sequence[str] | Sequence[int] | None = None,
        seed: int = 0,
        task: str | None = None,
        num_classes: int | None = None,
    ) -> None:
        if order not in ORDERS:
            raise UsageError(f"label order '{order}' is not known: choose one of {ORDERS}")
        if (order == 'given') != (given is not None):
            raise UsageError(
                f"label order '{order}' with given={given!r}: 'given' must list all classes for "
                "order='given' and be left out otherwise"
            )
        self.order = order
        self.given = given
        self.seed = seed
        self.task = task
        self.num_classes = num_classes
        self.sequence: np.ndarray | None = None
        self._ranks: list[int] | None = None

    def fit(self, counts: ArrayLike, classes: Sequence[str] | None = None) -> None:
        """Find the order.

        Args:
            counts: (C,) training images of each class.
            classes: (C,) class names; needed for ``'alphabetical'`` and for names in ``given``.
        """
        counts = np.asarray(counts)
        num_classes = len(counts)
        if self.order == 'frequent_first':
            sequence = np.argsort(-counts, kind='stable')
        elif self.order == 'rare_first':
            sequence = np.argsort(counts, kind='stable')
        elif self.order == 'alphabetical':
            if classes is None:
                raise UsageError(
                    "label order 'alphabetical' needs class names and the dataset has none: set "
                    'metainfo=dict(classes=...) in the dataset or choose another order'
                )
            sequence = np.array(sorted(range(num_classes), key=lambda label: classes[label]))
        elif self.order == 'given':
            sequence = self._given_ids(num_classes, classes)
        elif self.order == 'fixed_random':
            sequence = np.random.default_rng(self.seed).permutation(num_classes)
        else:
            sequence = np.arange(num_classes)
        self.set_sequence(sequence)

    def set_sequence(self, sequence: ArrayLike) -> None:
        """Use this order: class ids (C,), first label first."""
        self.sequence = np.asarray(sequence, dtype=np.int64)
        ranks = np.empty_like(self.sequence)
        ranks[self.sequence] = np.arange(len(self.sequence))
        self._ranks = ranks.tolist()  # a list is faster to look up one by one

    def fitted(self) -> np.ndarray:
        """The order: class ids (C,), first label first.

        Raises:
            UsageError: If neither :meth:`fit` nor :meth:`set_sequence` was called.
        """
        if self.sequence is None:
            raise UsageError(self._unfitted())
        return self.sequence

    def _unfitted(self) -> str:
        return (
            f"label order '{self.order}' was never fitted: add "
            "default_hooks=dict(label_order=dict(type='cnnrnn_mm.LabelOrderHook')) to the config, "
            'or call OrderLabels.fit with the counts of the training split'
        )

    def transform(self, results: dict) -> dict:
        """Reorder the labels of one image."""
        value = results['gt_label']
        if isinstance(value, dict) != (self.task is not None):
            raise UsageError(
                f'gt_label of image {results.get("img_path", "?")} is a {type(value).__name__} and '
                f'OrderLabels has task={self.task!r}: name the task where gt_label is a dict over '
                'tasks, and only there'
            )
        if self.task is None:
            results['gt_label'] = self._arrange(value, results)
        elif self.task in value:
            results['gt_label'] = {**value, self.task: self._arrange(value[self.task], results)}
        return results

    def _arrange(self, labels: Sequence[int], results: dict) -> np.ndarray:
        labels = np.array(labels, dtype=np.int64, ndmin=1)
        ids, ranks = labels.tolist(), self._ranks
        if ranks is None:
            if self.order != 'random':
                raise UsageError(self._unfitted())
        elif ids and (min(ids) < 0 or max(ids) >= len(ranks) or len(set(ids)) < len(ids)):
            check_labels([labels], [str(results.get('img_path', '?'))], len(ranks))
        if ranks is None or self.order == 'random':
            return np.random.permutation(labels)
        # So few numbers are sorted faster without numpy.
        return np.array(sorted(ids, key=ranks.__getitem__), dtype=np.int64)

    def _given_ids(self, num_classes: int, classes: Sequence[str] | None) -> np.ndarray:
        names: dict[Any, int] = {name: label for label, name in enumerate(classes or ())}
        given = () if self.given is None else self.given
        try:
            ids = [int(one) if isinstance(one, Integral) else names[one] for one in given]
        except KeyError as error:
            raise UsageError(
                f'{error.args[0]!r} in the given label order is no class of the dataset: use its '
                'class names or ids'
            ) from None
        if sorted(ids) != list(range(num_classes)):
            missing = sorted(set(range(num_classes)) - set(ids))
            raise UsageError(
                f'the given label order has {len(ids)} entries for {num_classes} classes (missing '
                f'ids: {missing[:5]}): list each class exactly once'
            )
        return np.array(ids)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(order='{self.order}', task={self.task!r})"
