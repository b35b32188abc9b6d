# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What every pipeline needs: something that loads and something that packs."""

from collections.abc import Callable, Iterable, Iterator

from ...errors import UsageError

__all__ = ['check_pipeline_parts']

#: Packages whose transforms say by their names whether they load or pack.
KNOWN = ('mmcv', 'mmpretrain', 'cnnrnn_mm')


def check_pipeline_parts(transforms: Iterable[Callable], info: dict, name: str) -> None:
    """Raise ``UsageError`` where no transform packs, or nothing loads the image.

    A pipeline with a transform of another package is passed over: that one may do it.

    Args:
        transforms: Of a pipeline, built.
        info: The annotation of an image.
        name: What the pipeline belongs to, for messages.
    """
    kinds = [type(one) for one in _innermost(transforms)]
    if not kinds or any(kind.__module__.partition('.')[0] not in KNOWN for kind in kinds):
        return
    names = [kind.__name__ for kind in kinds]
    if not any(one.startswith('Pack') for one in names):
        raise UsageError(
            f'no transform in the pipeline of {name} ({", ".join(names)}) packs images and labels: '
            "add dict(type='PackInputs') at its end"
        )
    if 'img_path' in info and 'img' not in info and not any('Load' in one for one in names):
        raise UsageError(
            f'no transform in the pipeline of {name} ({", ".join(names)}) loads the image: add '
            "dict(type='cnnrnn_mm.LoadImage') at its beginning"
        )


def _innermost(transforms: Iterable[Callable]) -> Iterator[Callable]:
    """The transforms inside others; those of RandomChoice are lists of lists."""
    for one in transforms:
        if isinstance(one, (list, tuple)):
            yield from _innermost(one)
            continue
        inner = getattr(one, 'transforms', getattr(one, 'subroutines', None))  # of TestTimeAug
        if inner is None:
            yield one
        else:
            yield from _innermost(inner if isinstance(inner, (list, tuple)) else [inner])
