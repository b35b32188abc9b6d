# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The one error type for what a user can mend."""

__all__ = ['UsageError', 'one_line']


class UsageError(ValueError):
    """A mistake in a config, an annotation, a file or a command line.

    The message is one line that names the value and the remedy. The command-line tools print this
    line alone and end with exit status 2; code that calls the package sees a ``ValueError``.

    Control characters in it are written out, see :func:`one_line`.
    """

    def __init__(self, message: str = '') -> None:
        # torch hands the error of a worker on with the worker's traceback, of many lines.
        super().__init__(message if message.startswith('Caught ') else one_line(message))


def one_line(text: str) -> str:
    r"""A text with its control characters written out, as ``\n`` or ``\x1b``.

    Names in a message come from files. With line ends or a terminal's codes in them they could
    pass for further messages, or hide this one.
    """
    if text.isprintable():
        return text
    return ''.join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
