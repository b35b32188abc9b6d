# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A backbone family of the host, and a small member of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ['Family', 'Form']


@dataclass(frozen=True)
class Form:
    """One way to let the backbone give features.

    Attributes:
        channels: F, what ``in_channels`` is set to.
        options: Added to those of the family.
    """

    channels: int
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """A small member of a backbone family, and what it gives.

    Attributes:
        channels: F of the class's own default, what ``in_channels`` of CNNRNNHead is set to.
        options: Arguments of the backbone; few layers and channels where the class allows.
        map: What RLSD gets; None where the class gives no map.
        forms: Others that CNNRNNHead has to take.
        size: Side of the images in pixels.
        colours: Channels of the images.
        note: What a user has to know.
    """

    channels: int
    options: Mapping[str, Any] = field(default_factory=dict)
    map: Form | None = None
    forms: tuple[Form, ...] = ()
    size: int = 64
    colours: int = 3
    note: str = ''
