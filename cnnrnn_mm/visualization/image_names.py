# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Names of pictures that every backend of mmengine can store."""

import re

from mmengine.visualization.vis_backend import BaseVisBackend, DVCLiveVisBackend, MLflowVisBackend

__all__ = ['backend_name', 'safe_name']

#: Bytes of a name: with a step and '.png' it stays below the 255 bytes that file systems allow.
MOST_BYTES = 200


def safe_name(name: str) -> str:
    r"""A name that is one part of a path, and of a URL, on any system.

    Slashes, control characters and each of ``\ : * ? " < > | # %`` become an underscore; a long
    name is cut, and an empty one, or one of dots, becomes 'image'.
    """
    name = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|#%]', '_', name)
    name = name.encode('utf-8', 'replace')[:MOST_BYTES].decode('utf-8', 'ignore').strip()
    return name if name.strip('.') else 'image'


def backend_name(backend: BaseVisBackend, name: str, step: int) -> str:
    """The name under which a backend stores a picture.

    mmengine hands no step to MLflow and DVCLive, which would then overwrite the pictures of earlier
    epochs, and MLflow reads the format of the file off the name.

    Args:
        backend: One of the visualizer's.
        name: Of the picture.
        step: Of the picture.
    """
    name = safe_name(name)
    if isinstance(backend, MLflowVisBackend):
        return f'{name}_{step}.png'
    return f'{name}_{step}' if isinstance(backend, DVCLiveVisBackend) else name
