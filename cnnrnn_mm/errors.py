# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The one error type for what a user can mend."""

__all__ = ['UsageError']


class UsageError(ValueError):
    """A mistake in a config, an annotation, a file or a command line.

    The message is one line that names the value and the remedy. The command-line tools print this
    line alone and end with exit status 2; code that calls the package sees a ``ValueError``.
    """
