# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A small NUS-WIDE in the layout of the official archives: backslashes, CRLF, trailing tabs."""

from pathlib import Path

CONCEPTS = ['airport', 'animal', 'zebra', 'beach']  # not in alphabetical order
TAGS = ['nature', 'sky', 'blue', 'water', 'clouds']

#: By split: the photo, its concepts and its tags, as ids.
SPLITS = {
    'train': [
        (r'actor\0001_2124494179.jpg', [1, 3], [0, 4]),
        (r'actor\0002_174174086.jpg', [], [1]),
        (r'zebra\0001_11.jpg', [0, 1, 2], []),
    ],
    'test': [
        (r'actor\0003_5.jpg', [], []),
        (r'beach\0007_6.jpg', [3], [0, 1, 2, 3, 4]),
    ],
}
SPLITS['all'] = SPLITS['test'] + SPLITS['train']


def write_nus_wide(root: Path, concepts: list[str] = CONCEPTS, tags: list[str] = TAGS) -> Path:
    """Write the lists and labels of ``SPLITS`` below ``root``, without photos."""
    for folder in (
        'ConceptsList',
        'ImageList',
        'Groundtruth/AllLabels',
        'Groundtruth/TrainTestLabels',
        'NUS_WID_Tags',
    ):
        (root / folder).mkdir(parents=True)
    (root / 'ConceptsList/Concepts81.txt').write_text(''.join(f'{one}\n' for one in concepts))
    (root / 'NUS_WID_Tags/TagList1k.txt').write_text(''.join(f'{one}\r\n' for one in tags))
    names = {
        'train': ('TrainImagelist', 'TrainTestLabels/Labels_{}_Train', 'Train_Tags1k.dat'),
        'test': ('TestImagelist', 'TrainTestLabels/Labels_{}_Test', 'Test_Tags1k.dat'),
        'all': ('Imagelist', 'AllLabels/Labels_{}', 'AllTags1k.txt'),
    }
    for split, (listing, labels, tag_file) in names.items():
        photos = SPLITS[split]
        text = ''.join(f'{path}\r\n' for path, _, _ in photos)
        (root / f'ImageList/{listing}.txt').write_bytes(text.encode())
        for label, concept in enumerate(concepts):
            text = ''.join(f'{int(label in ids)}\n' for _, ids, _ in photos)
            (root / f'Groundtruth/{labels.format(concept)}.txt').write_text(text)
        text = ''.join(
            ''.join(f'{int(tag in ids)}\t' for tag in range(len(tags))) + '\n' for *_, ids in photos
        )
        (root / 'NUS_WID_Tags' / tag_file).write_text(text)
    return root


def write_photos(folder: Path, *paths: str) -> Path:
    """Write empty files."""
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    return folder
