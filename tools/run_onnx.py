# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Label photos with a file of tools/export_onnx.py; needs numpy, onnxruntime and OpenCV alone."""

import json
import sys

import cv2
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])
about = session.get_modelmeta().custom_metadata_map
classes = json.loads(about['classes'])
size = int(about['input_width']), int(about['input_height'])
if about['photo_size'] == 'other':
    sys.exit('the test pipeline of this model does more than resize: run it first')
for path in sys.argv[2:]:
    photo = cv2.imread(path)
    if photo is None or about['photo_size'] != 'resize' and photo.shape[1::-1] != size:
        sys.exit(f'{path} is no photo that can be read, or not of {size[0]} x {size[1]} pixels')
    photo = cv2.resize(photo, size) if about['photo_size'] == 'resize' else photo
    pixels = np.ascontiguousarray(photo[None, :, :, ::-1])  # (1, H, W, 3), red first
    found = session.run(None, {'pixels': pixels})
    found = dict(zip([one.name for one in session.get_outputs()], found, strict=True))
    scores = found['scores'][0]
    best = np.argsort(-scores, kind='stable')
    thr, topk = (json.loads(about.get(name, 'null')) for name in ('thr', 'topk'))
    chosen = [i for i in best if scores[i] >= thr] if thr is not None else best[:topk]
    labels = found['labels'][0, : found['counts'][0]] if 'labels' in found else chosen
    print(path, *(f'{classes[label]}:{scores[label]:.6f}' for label in labels), sep='\t')
