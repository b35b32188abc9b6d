# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What the page asks of a model about a photo.

Axis letters: C labels.
"""

from collections.abc import Mapping
from typing import Any

from ...errors import UsageError
from ...visualization.attention_sheet import lay_over
from ..attention import step_attention
from ..inferencer import MultiLabelInferencer
from ..inferencer_model import mark_model
from ..joint_embedding import JointEmbedding
from ..trained_model import TrainedModel
from .pictures import Look, Near
from .upload_checks import short_name
from .uploaded_photo import UploadedPhoto, fit_picture
from .wishes import Wishes

__all__ = ['PhotoQuestions']

#: Most labels that are offered as likely next ones.
OFFERED = 12
#: Labels near the photo, and near each of them.
NEAREST, AROUND = 10, 4
#: Long edge of a photo under a heat map, in pixels.
LOOK_EDGE = 320


class PhotoQuestions:
    """A model, asked about one photo at a time.

    Args:
        trained: The model.
    """

    def __init__(self, trained: TrainedModel) -> None:
        self.trained = trained
        self.inferencer = MultiLabelInferencer(mark_model(trained))
        self.classes, self.has_paths = self.inferencer.classes, self.inferencer.has_paths
        limits = getattr(getattr(trained.model.head, 'postprocessor', None), 'constraints', None)
        #: Whether labels may come in one order only.
        self.in_order = getattr(limits, 'order', None) is not None
        try:
            self._space: JointEmbedding | None = JointEmbedding(trained)
        except UsageError:  # it has none
            self._space = None

    def predict(self, photo: UploadedPhoto, wishes: Wishes) -> dict[str, Any]:
        """The inferencer's record of the photo.

        Raises:
            UsageError: If no answer meets the wishes, or the photo can't be read.
        """
        return self._record(photo, wishes.constraints(self.in_order) if wishes else None)

    def _record(self, photo: UploadedPhoto, constraints: dict[str, Any] | None) -> dict[str, Any]:
        try:
            found: Any = self.inferencer(
                str(photo.path), batch_size=1, num_workers=0, constraints=constraints
            )
        except UsageError as error:
            line = str(error).replace(f'photo {photo.path}', short_name(photo.name))
            raise UsageError(line) from None
        return found[0]

    def attend(self, photo: UploadedPhoto, entry: Mapping[str, Any], method: str) -> list[Look]:
        """Where the model looked before each label of the answer.

        Raises:
            UsageError: If the model or what is installed does not allow it.
        """
        path = entry['labels'] if entry.get('path') is None else entry['path']
        if not path:
            return []
        found = step_attention(self.trained, photo.pixels(), path, method)
        if found.photo is None:  # of ready inputs alone
            return []
        small = fit_picture(found.photo, LOOK_EDGE)
        return [
            Look(name, prob, lay_over(small, heat.numpy(), found.extent))
            for name, prob, heat in zip(found.names, found.probs, found.maps, strict=True)
        ]

    def near(self, photo: UploadedPhoto) -> list[Near]:
        """The labels that lie nearest to the photo, best first; none where no space is shared."""
        if self._space is None:
            return []
        found = self._space.read_photos(str(photo.path), batch_size=1)
        if not len(found.vectors):
            return []
        nearest = self._space.nearest_labels(found.vectors[0], NEAREST)
        return [Near(self.classes[one.id], one.closeness, self._around(one.id)) for one in nearest]

    def _around(self, label: int) -> list[str]:
        """The names of the labels nearest to a label."""
        if self._space is None or len(self.classes) < 2:
            return []
        return [self.classes[one.id] for one in self._space.nearest_labels(label, AROUND)]

    def likely_next(
        self, photo: UploadedPhoto, entry: Mapping[str, Any], wishes: Wishes
    ) -> tuple[list[tuple[str, float]], float | None]:
        """Labels that are likely beside the known ones, and P(there are none) where it is known.

        Where labels may come in one order only, what is known may stand anywhere. The probabilities
        are then shares of the answers found, the best with at least one more label among them; else
        they are conditional on the beginning.

        Args:
            photo: The photo.
            entry: Of :meth:`predict` with these wishes.
            wishes: With the known labels.

        Returns:
            Names and probabilities, best first, and the probability or None.
        """
        known = set(wishes.known)
        paths = _paths(entry)
        if self.in_order:
            least = len(known | set(wishes.required)) + 1
            if least <= len(self.classes) - len(wishes.forbidden):
                limits = wishes.constraints(in_order=True)
                paths.update(_paths(self._record(photo, dict(limits, min_length=least))))
            whole = sum(paths.values())
            probs = {
                label: sum(prob for path, prob in paths.items() if label in path) / whole
                for label in {label for path in paths for label in path}
            }
            ends = [prob / whole for path, prob in paths.items() if set(path) == known]
        else:
            probs = {one['label']: one['score'] for one in entry['marginals']}
            ends = [prob for path, prob in paths.items() if path == tuple(wishes.known)]
        found = [(label, prob) for label, prob in probs.items() if label not in wishes.settled]
        found.sort(key=lambda pair: (-pair[1], pair[0]))
        return found[:OFFERED], ends[0] if ends else None


def _paths(entry: Mapping[str, Any]) -> dict[tuple[str, ...], float]:
    """The paths of a record with their probabilities."""
    others = {tuple(one['labels']): one['prob'] for one in entry['alternatives']}
    return {tuple(entry['path']): entry['path_prob'], **others}
