# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a visitor settles about the labels of a photo."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import UsageError

__all__ = ['Wishes']


@dataclass(frozen=True)
class Wishes:
    """Labels by name.

    Args:
        known: How the answer begins, in this order.
        required: Labels that the answer must hold.
        forbidden: Labels that it may not hold.

    Raises:
        UsageError: If one of them is wanted and forbidden.
    """

    known: Sequence[str] = ()
    required: Sequence[str] = ()
    forbidden: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Keep each label once, in the order in which it was chosen."""
        for name in ('known', 'required', 'forbidden'):
            object.__setattr__(self, name, tuple(dict.fromkeys(getattr(self, name) or ())))
        for label in self.forbidden:
            if label in self.known or label in self.required:
                raise UsageError(
                    f'"{label}" is both wanted and forbidden: remove it from one of the lists'
                )

    def __bool__(self) -> bool:
        return bool(self.known or self.required or self.forbidden)

    def constraints(self, in_order: bool = False) -> dict[str, list[str]]:
        """As the inferencer takes them.

        Args:
            in_order: Labels may come in one order only, so a label that is accepted later may
                belong before the others: what is known is required, wherever it stands.
        """
        if in_order:
            wanted = dict.fromkeys([*self.known, *self.required])
            return dict(required=list(wanted), forbidden=list(self.forbidden))
        return dict(
            prefix=list(self.known), required=list(self.required), forbidden=list(self.forbidden)
        )

    @property
    def settled(self) -> dict[str, str]:
        """For each label that was settled, how, in a word."""
        return {
            **dict.fromkeys(self.forbidden, 'forbidden'),
            **dict.fromkeys(self.required, 'required'),
            **dict.fromkeys(self.known, 'known'),
        }
