# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Miniature files in the layout of COCO's instances files."""

import json
from pathlib import Path

#: Ids with holes, and in another order than that of the ids.
CATEGORIES = {18: 'dog', 1: 'person', 90: 'toothbrush', 13: 'stop sign'}
WIDTH, HEIGHT = 640, 480


def category(key: int, name: str) -> dict:
    return {'supercategory': 'thing', 'id': key, 'name': name}


def photo(key: int, **other) -> dict:
    name = f'COCO_train2014_{key:012d}.jpg'
    entry = {
        'license': 5,
        'file_name': name,
        'coco_url': f'http://images.cocodataset.org/train2014/{name}',
        'height': HEIGHT,
        'width': WIDTH,
        'date_captured': '2013-11-14 16:28:13',
        'flickr_url': 'http://farm4.staticflickr.com/3153/2970773875_164f0c0b83_z.jpg',
        'id': key,
    }
    return entry | other


def annotation(key: int, image: int, category: int, box=(0, 0, 64, 48), crowd=0, **other) -> dict:
    outline = [[10.5, 20.25, 30.0, 40.0, 10.5, 40.0]]
    runs = {'counts': [272, 2, 4], 'size': [HEIGHT, WIDTH]}
    entry = {
        'segmentation': runs if crowd else outline,
        'area': 702.1,
        'iscrowd': crowd,
        'image_id': image,
        'bbox': list(box),
        'category_id': category,
        'id': key,
    }
    return entry | other


def instances(photos: list[dict], annotations: list[dict], categories=None) -> dict:
    categories = CATEGORIES if categories is None else categories
    return {
        'info': {'description': 'COCO 2014 Dataset', 'version': '1.0', 'year': 2014},
        'images': photos,
        'licenses': [{'url': 'http://creativecommons.org/', 'id': 5, 'name': 'A License'}],
        'annotations': annotations,
        'categories': [category(key, name) for key, name in categories.items()],
    }


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding='utf-8')
    return path


#: Photo 9: two people and a dog; 25: a crowd of people alone; 30: nothing; 34: a stop sign.
SPLIT = instances(
    [photo(9), photo(25), photo(30), photo(34)],
    [
        annotation(1, 9, 1, box=(10, 20, 64, 48)),
        annotation(2, 34, 13, box=(0, 0, 640, 480)),
        annotation(3, 9, 18, box=(600, 470, 100, 100)),  # sticks out: 40 x 10 are inside
        annotation(4, 9, 1, box=(-20, -30, 148, 126)),  # sticks out: 128 x 96 are inside
        annotation(5, 25, 1, crowd=1),
    ],
)
