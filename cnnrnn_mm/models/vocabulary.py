# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The special tokens, in one place."""

from dataclasses import dataclass

__all__ = ['NO_SINGLE_ORDER', 'Vocabulary']

#: Names of label orders that are new for each image.
NO_SINGLE_ORDER = ('random', 'mixed')


@dataclass(frozen=True)
class Vocabulary:
    """Token ids of a sequence model over ``num_classes`` labels.

    Labels are tokens 0..C-1, so a class id is its own token. END is one more label of the softmax
    (V = C + 1 outputs); START is only ever an input. Padding is no token: it is masked by length.

    Attributes:
        num_classes: C.
    """

    num_classes: int

    @property
    def end(self) -> int:
        """Token that closes a path: the last column of the scores."""
        return self.num_classes

    @property
    def start(self) -> int:
        """Token that opens every input sequence; never predicted."""
        return self.num_classes + 1

    @property
    def num_outputs(self) -> int:
        """V: labels and END."""
        return self.num_classes + 1

    @property
    def num_inputs(self) -> int:
        """Labels, END and START. END is never an input, but shares the table with the outputs."""
        return self.num_classes + 2
