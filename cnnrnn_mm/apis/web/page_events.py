# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What happens when a visitor does something."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

from ...errors import UsageError
from .answer_html import alternatives_html, labels_html, marginals_html, message_html, photo_html
from .photo_questions import PhotoQuestions
from .pictures import attention_html, near_html, tree_html
from .upload_checks import UploadLimits
from .uploaded_photo import UploadedPhoto
from .wishes import Wishes
from .wording import percent

__all__ = ['PageEvents', 'Visit']

Changes = dict[str, Any]

#: What stands on the page before there is an answer.
NOTHING: Changes = dict(photo='', labels='', tree='', every='', others='', maps='', near='')
DROP_FIRST = 'Drop a photo first.'
GONE = 'The photo is no longer here, since it is kept for an hour: drop it again.'
OUR_FAULT = 'Something went wrong on the server, and its log says what: try another photo.'


@dataclass(frozen=True)
class Visit:
    """What one browser tab is looking at."""

    photo: UploadedPhoto
    entry: Mapping[str, Any]
    wishes: Wishes


def _reported(event: Callable[..., Changes]) -> Callable[..., Changes]:
    """Say on the page what went wrong; the rest of the page stays as it is."""

    @wraps(event)
    def run(*args: Any) -> Changes:
        try:
            return {'message': '', **event(*args)}
        except UsageError as error:
            return {'message': message_html(str(error).strip().splitlines()[-1])}
        except Exception:  # noqa: BLE001 - a visitor's photo must not take the page down
            traceback.print_exc()
            return {'message': message_html(OUR_FAULT)}

    return run


class PageEvents:
    """Answers to events, each a mapping from names of the page's parts to their new values.

    Args:
        questions: The model.
        limits: Limits of an upload.
        uploads: Folder of Gradio's uploads; files elsewhere are refused.
        photos: Folder for the photos that are looked at.
    """

    def __init__(
        self, questions: PhotoQuestions, limits: UploadLimits, uploads: Path, photos: Path
    ) -> None:
        self.questions, self.limits = questions, limits
        self.uploads, self.photos = uploads.resolve(), photos

    def upload(self, payload: Mapping[str, Any] | None, visit: Visit | None) -> Changes:
        """A photo was dropped: the wishes about the one before are gone."""
        if visit is not None:
            visit.photo.discard()
        empty = dict(NOTHING, visit=None, drop=None, known=[], required=[], forbidden=[], more=None)
        return {**empty, **self._taken(payload)}

    @_reported
    def _taken(self, payload: Mapping[str, Any] | None) -> Changes:
        payload = payload or {}
        path = Path(payload.get('path') or '').resolve()
        if not path.is_relative_to(self.uploads) or not path.is_file():
            raise UsageError('no photo arrived: drop it again')
        name = str(payload.get('orig_name') or path.name)
        photo = UploadedPhoto.take(path, name, self.limits, self.photos)
        try:
            near = near_html(self.questions.near(photo))
            return {**self._answer(photo, Wishes()), 'near': near}
        except BaseException:
            photo.discard()
            raise

    @_reported
    def change(
        self,
        visit: Visit | None,
        known: Sequence[str],
        required: Sequence[str],
        forbidden: Sequence[str],
        ticked: Sequence[str] = (),
    ) -> Changes:
        """The wishes changed; ``ticked`` are likely labels that the visitor accepted."""
        if visit is None:
            return dict(message=message_html(DROP_FIRST, 'hint'))
        if not visit.photo.path.is_file():
            raise UsageError(GONE)
        wishes = Wishes([*(known or ()), *(ticked or ())], required, forbidden)
        return {**self._answer(visit.photo, wishes), 'known': list(wishes.known)}

    def find_more(
        self, visit: Visit | None, required: Sequence[str], forbidden: Sequence[str]
    ) -> Changes:
        """Take the answer as known, and ask what else there is."""
        known = () if visit is None else visit.entry['path']
        changes = self.change(visit, known, required, forbidden)
        if visit is not None and not known:
            changes['message'] = message_html(
                'The answer is empty, so nothing is known yet.', 'hint'
            )
        return changes

    def settle_nothing(self, visit: Visit | None) -> Changes:
        """Back to the model's own answer."""
        return {**self.change(visit, (), (), ()), 'known': [], 'required': [], 'forbidden': []}

    def attend(self, visit: Visit | None, method: str) -> Changes:
        """Where the model looked before each label."""
        changes = self._maps(visit, method)
        said = changes.pop('message')
        return dict(maps=said) if said else changes

    @_reported
    def _maps(self, visit: Visit | None, method: str) -> Changes:
        if visit is None:
            return dict(maps='')
        if not visit.photo.path.is_file():
            raise UsageError(GONE)
        return dict(maps=attention_html(self.questions.attend(visit.photo, visit.entry, method)))

    def _answer(self, photo: UploadedPhoto, wishes: Wishes) -> Changes:
        entry = self.questions.predict(photo, wishes)
        return dict(
            visit=Visit(photo, entry, wishes),
            photo=photo_html(photo, entry),
            labels=labels_html(entry, wishes.known),
            tree=tree_html(entry),
            every=marginals_html(entry, wishes.settled),
            others=alternatives_html(entry),
            maps='',
            more=self._more(photo, entry, wishes),
        )

    def _more(
        self, photo: UploadedPhoto, entry: Mapping[str, Any], wishes: Wishes
    ) -> Changes | None:
        """Likely next labels, where some are known."""
        if not wishes.known:
            return None
        found, stop = self.questions.likely_next(photo, entry, wishes)
        info = 'How probable each label is once these are known. Tick one to accept it.'
        if self.questions.in_order:
            info = 'In what share of the answers found each label is. Tick one to accept it.'
        if stop is not None:
            info += f' That there is nothing more: {percent(stop)}.'
        if not found:
            info = 'The model finds nothing more.'
        return dict(
            label=f'Beside {", ".join(wishes.known)}',
            info=info,
            choices=[(f'{label} · {percent(score)}', label) for label, score in found],
        )
