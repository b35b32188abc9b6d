# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .load_image import LoadImage
from .load_proposals import LoadProposals
from .order_labels import OrderLabels
from .with_boxes import WithBoxes

__all__ = ['LoadImage', 'LoadProposals', 'OrderLabels', 'WithBoxes']
