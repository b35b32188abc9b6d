# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""``constraints.txt`` without the pins that belong to one release of torch."""

from collections.abc import Sequence
from fnmatch import fnmatch

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ['TORCH_OWN', 'relax_pins']

#: What torch's own requirements pin, each release differently; patterns of names.
TORCH_OWN = ('torch', 'torchvision', 'triton', 'sympy', 'nvidia-*', 'cuda-*')


def relax_pins(text: str, more: Sequence[str] = ()) -> str:
    """Leave out pins.

    Args:
        text: Of a constraints file.
        more: Names or patterns of packages to leave out beside :data:`TORCH_OWN`.

    Returns:
        The other pins, one a line, without comments.

    Raises:
        ValueError: If one of ``more`` fits no pin.
    """
    lines = [line.partition(' #')[0].strip() for line in text.splitlines()]
    pins = [line for line in lines if line and not line.startswith('#')]
    names = [canonicalize_name(Requirement(pin).name) for pin in pins]
    patterns = [*TORCH_OWN, *(pattern.lower().replace('_', '-') for pattern in more)]
    for pattern in patterns[len(TORCH_OWN) :]:
        if not any(fnmatch(name, pattern) for name in names):
            raise ValueError(f'{pattern} fits no pin of the constraints')
    kept = [
        pin
        for pin, name in zip(pins, names, strict=True)
        if not any(fnmatch(name, pattern) for pattern in patterns)
    ]
    return ''.join(f'{pin}\n' for pin in kept)
