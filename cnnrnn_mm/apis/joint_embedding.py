# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Labels and photos as vectors of one space, and which of them are near each other.

Axis letters: N photos, C labels, D size of the space.
"""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, NamedTuple

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..errors import UsageError
from .photo_batches import PhotoPipeline, load_batches
from .photo_inputs import list_photos
from .trained_model import TrainedModel

__all__ = ['SPACES', 'JointEmbedding', 'Neighbor', 'PhotoVectors']

#: ``joint`` is the paper's; ``classifier`` that of the marginal branch, or of a linear head.
SPACES = ('joint', 'classifier')


class Neighbor(NamedTuple):
    """One of the nearest.

    Attributes:
        id: Class id of a label, or row of a photo.
        closeness: Cosine between labels, score of a label for a photo.
    """

    id: int
    closeness: float


class PhotoVectors(NamedTuple):
    """Photos in the space of the labels.

    Attributes:
        names: N paths or names.
        vectors: (N, D), on the CPU.
        errors: Why other photos could not be read, by name.
    """

    names: list[str]
    vectors: Tensor
    errors: dict[str, str]


class JointEmbedding:
    """The space in which a model compares photos with labels.

    In CNN-RNN labels and images share one space (Wang et al., CVPR 2016): label l has
    the row U_l, and by equations (4) and (5) its score is U_l h(U_o o(t) + U_I I). So the image
    alone is h(U_I I), and

    - photo and label are compared by their dot product, which is the score without a label path;
      in a classifier's space it is the logit, with the bias;
    - two labels are compared by the cosine of their rows, less the mean of all rows: the softmax
      does not see a vector that all rows share, so it means nothing.

    docs/joint_embedding.md says what is the vector of label and photo for each decoder.

    Args:
        trained: The model on images.
        space: One of :data:`SPACES`; None for the one that says most about the photo: the
            classifier's where the model has its scores of single labels from there (a linear head,
            ``SkipDecoder``, ``ChainDecoder``), else the joint one.

    Raises:
        UsageError: If the model has no such space.
    """

    def __init__(self, trained: TrainedModel, space: str | None = None) -> None:
        self.classes, self._trained = trained.classes, trained
        self.space, self._project, labels, bias = _find_space(trained.model, space)
        self.labels = labels.detach().float().cpu()
        self._rows = normalize(self.labels - self.labels.mean(0), dim=-1)
        self.bias = torch.zeros(len(labels)) if bias is None else bias.detach().float().cpu()

    def closeness_of_labels(self) -> Tensor:
        """(C, C) cosines."""
        return self._rows @ self._rows.T

    def label_id(self, name: str | int) -> int:
        """The class id of a label's name; an id is checked.

        Raises:
            UsageError: If there is no such label.
        """
        if isinstance(name, int):
            if not 0 <= name < len(self.classes):
                raise UsageError(f'label {name} is outside 0..{len(self.classes) - 1}')
            return name
        if name not in self.classes:
            near = get_close_matches(name, self.classes)
            hint = f': do you mean {" or ".join(near)}?' if near else ': check its spelling'
            raise UsageError(f"label '{name}' is not among the {len(self.classes)} classes{hint}")
        return self.classes.index(name)

    def nearest_labels(self, query: str | int | Tensor, k: int = 5) -> list[Neighbor]:
        """The labels nearest to a label or a photo, the nearest first.

        Args:
            query: Name or id of a label, which is left out of its own neighbours; or a photo's
                vector (D,), from :meth:`photo_vectors` or :meth:`read_photos`.
            k: Most labels.
        """
        if isinstance(query, Tensor):
            return _nearest(query.float().cpu() @ self.labels.T + self.bias, k)
        label = self.label_id(query)
        near = self._rows @ self._rows[label]
        near[label] = -torch.inf
        return _nearest(near, min(k, len(near) - 1)) if len(near) > 1 else []

    def nearest_photos(self, label: str | int, photos: Tensor, k: int = 5) -> list[Neighbor]:
        """The photos (N, D) nearest to a label, the nearest first.

        Args:
            label: Name or id.
            photos: From :meth:`photo_vectors` or :meth:`read_photos`.
            k: Most photos.
        """
        label = self.label_id(label)
        return _nearest(photos.float().cpu() @ self.labels[label] + self.bias[label], k)

    @torch.no_grad()
    def photo_vectors(self, feats: Any) -> Tensor:
        """The photos' vectors (N, D), from what backbone and neck give."""
        return self._project(self._trained.model.head.pre_logits(feats)).float().cpu()

    @torch.no_grad()
    def read_photos(self, photos: Any, batch_size: int = 32) -> PhotoVectors:
        """Read photos; those that can not be read are named, and left out.

        Args:
            photos: What :func:`list_photos` takes: paths, folders, patterns, arrays, ...
            batch_size: Photos at a time.
        """
        found = list_photos(photos)
        trained, scope = self._trained, self._trained.cfg.get('default_scope') or 'mmpretrain'
        vectors: dict[int, Tensor] = {}
        errors: dict[str, str] = {}
        for batch in load_batches(found, PhotoPipeline(trained.pipeline, scope), batch_size):
            errors.update({found[batch.rows[i]].name: why for i, why in batch.errors.items()})
            for places, data in batch.groups:
                data = trained.model.data_preprocessor(data)
                rows = self.photo_vectors(_features(trained.model, data))
                vectors.update(zip((batch.rows[i] for i in places), rows, strict=True))
        names = [found[row].name for row in sorted(vectors)]
        size = self.labels.shape[1]
        stacked = torch.stack([vectors[row] for row in sorted(vectors)]) if vectors else None
        return PhotoVectors(names, torch.zeros(0, size) if stacked is None else stacked, errors)


def _features(model: BaseModel, data: dict) -> Any:
    """What backbone and neck give; some necks read the data samples, too."""
    if hasattr(model, 'locate'):
        return model.locate(data['inputs'], data['data_samples'])
    return model.extract_feat(data['inputs'], stage='neck')


def _nearest(closeness: Tensor, k: int) -> list[Neighbor]:
    """The k largest, equal ones in order."""
    if k < 1:
        raise UsageError(f'k is {k}: ask for at least one neighbour')
    values, places = closeness.sort(descending=True, stable=True)
    return [Neighbor(int(i), float(x)) for i, x in zip(places[:k], values[:k], strict=True)]


Space = tuple[str, Callable[[Tensor], Tensor], Tensor, Tensor | None]


def _find_space(model: nn.Module, wanted: str | None) -> Space:
    """Name, what makes vectors of image features, label vectors and bias."""
    if wanted is not None and wanted not in SPACES:
        raise UsageError(f"space is '{wanted}': choose from {', '.join(SPACES)}")
    head = getattr(model, 'head', None)
    found = {one[0]: one for one in _spaces(head)}
    if wanted is None and found:
        takes_marginals = getattr(getattr(head, 'decoder', None), 'takes_marginals', False)
        return found['classifier' if takes_marginals or 'joint' not in found else 'joint']
    if wanted in found:
        return found[wanted]
    kind = type(getattr(head, 'decoder', head)).__name__
    others = f'take {", ".join(found)}' if found else 'take a model with a CNNRNNHead'
    raise UsageError(f'{kind} has no {wanted or "joint"} space of labels and photos: {others}')


def _spaces(head: nn.Module | None) -> Iterable[Space]:
    decoder, branch = getattr(head, 'decoder', None), getattr(head, 'marginal_branch', None)
    if decoder is not None and decoder.label_vectors() is not None:
        yield 'joint', decoder.image_vectors, decoder.label_vectors(), None
    if branch is not None:
        classifier = branch.classifier
        yield 'classifier', _of_whole(branch.hidden), classifier.weight, classifier.bias
    linear = getattr(head, 'fc', None)  # the host's multi-label heads
    if isinstance(linear, nn.Linear):
        yield 'classifier', nn.Identity(), linear.weight, linear.bias


def _of_whole(project: nn.Module) -> Callable[[Tensor], Tensor]:
    """Of regions (N, B, F) only the first, which is the whole image."""
    return lambda features: project(features[:, 0] if features.dim() == 3 else features)
