# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What can be asked of a model, whatever the photo is."""

from collections.abc import Sequence

from mmengine.model import BaseModel
from mmpretrain.models.heads import MultiLabelClsHead

from ...errors import UsageError
from ...models.heads import CNNRNNHead
from ..trained_model import TrainedModel
from .deconvolution import check_rectified
from .grad_cam import import_captum
from .step_score import DEFAULT_SCORE, StepScore, find_score

__all__ = ['METHODS', 'check_request']

#: Names of the methods; docs/attention.md compares them.
METHODS = ('grad_cam', 'deconvolution')


def check_request(
    trained: TrainedModel,
    path: Sequence[int | str] | None = None,
    method: str = 'grad_cam',
    label: int | str | None = None,
    layer: str | None = None,
    score: str = DEFAULT_SCORE,
    end: bool = False,
) -> tuple[list[int] | None, int | None]:
    """Refuse what :func:`step_attention` would refuse whatever the photo is.

    Args:
        trained: The model.
        path: As of :func:`step_attention`, like the others.
        method: One of :data:`METHODS`.
        label: Class id or name.
        layer: Name of a layer of the model.
        score: One of :data:`SCORES`.
        end: Also the step at which END is chosen.

    Returns:
        Class ids of path and label.
    """
    if method not in METHODS:
        raise UsageError(f"method '{method}' is not known: choose one of {', '.join(METHODS)}")
    find_score(score)
    import_captum()
    model = trained.model
    _check_head(model)
    if end and not isinstance(model.head, CNNRNNHead):
        raise UsageError(f'{type(model.head).__name__} has no END: leave it out')
    if method == 'deconvolution':
        check_rectified(model)
    if layer is not None and layer not in dict(model.named_modules()):
        raise UsageError(
            f"layer '{layer}' is not in the model: take one such as "
            + ', '.join(f'backbone.{name}' for name, _ in model.backbone.named_children())
        )
    known = None if path is None else _ids(path, trained.classes)
    wanted = None if label is None else _ids([label], trained.classes)[0]
    StepScore(model, known or [], [], known or [], score)  # says whether there is such a score
    return known, wanted


def _check_head(model: BaseModel) -> None:
    head = getattr(model, 'head', None)
    if isinstance(head, (CNNRNNHead, MultiLabelClsHead)):
        return
    raise UsageError(
        f'{type(model).__name__} has the head {type(head).__name__}: heat maps are for '
        "ImageClassifier with CNNRNNHead, RLSDHead or one of the host's multi-label heads"
    )


def _ids(labels: Sequence[int | str], classes: Sequence[str]) -> list[int]:
    """Class ids of ids and names."""
    found = []
    for label in labels:
        if isinstance(label, str):
            if label not in classes:
                raise UsageError(f"label '{label}' is not among the model's: check its spelling")
            found.append(list(classes).index(label))
        elif 0 <= int(label) < len(classes):
            found.append(int(label))
        else:
            raise UsageError(f"label {label} is not among the model's: give 0..{len(classes) - 1}")
    if len(set(found)) < len(found):
        raise UsageError(f'path {list(labels)} has a label twice: give each once')
    return found
