# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a dataset gives, to compare two of them."""


def infos(dataset):
    """Class names and annotations, area keys as integers."""
    found = []
    for row in range(len(dataset)):
        info = dataset.get_data_info(row)
        if 'gt_area' in info:
            info['gt_area'] = {int(label): share for label, share in info['gt_area'].items()}
        found.append(info)
    return list(dataset.metainfo['classes']), found
