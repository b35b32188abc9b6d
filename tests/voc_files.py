# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Annotations of Pascal VOC as the development kit writes them, made to measure."""

from pathlib import Path

SIZE = '<size><width>200</width><height>100</height><depth>3</depth></size>'


def thing(name, difficult=0, box=(1, 1, 100, 50)):
    """An object; ``difficult`` or ``box`` may be None for none."""
    mark = '' if difficult is None else f'<difficult>{difficult}</difficult>'
    corners = ''
    if box is not None:
        xmin, ymin, xmax, ymax = box
        # Not in this order in all years.
        corners = (
            f'<bndbox><xmax>{xmax}</xmax><xmin>{xmin}</xmin><ymax>{ymax}</ymax>'
            f'<ymin>{ymin}</ymin></bndbox>'
        )
    return f'<object><name>{name}</name><pose>Left</pose>{mark}{corners}</object>'


def annotation(*things, size=SIZE):
    """The text of an annotation file."""
    return f'<annotation><folder>VOC</folder>{size}{"".join(things)}</annotation>'


def write_voc(root: Path, annotations: dict[str, str], split: str = 'train') -> Path:
    """Write {image id: text} and the list of a split; no photos."""
    for folder in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for image_id, text in annotations.items():
        (root / 'Annotations' / f'{image_id}.xml').write_text(text)
    listing = ''.join(f'{image_id}\n' for image_id in annotations)
    (root / 'ImageSets/Main' / f'{split}.txt').write_text(listing)
    return root
