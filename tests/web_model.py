# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A tiny checkpoint for the page, and photos to drop there."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from PIL import Image
from tiny_run import CLASSES, load_config
from torch.nn.functional import interpolate

LINEAR = """
model['head'] = dict(type='MultiLabelLinearClsHead', num_classes=4, in_channels=32)
"""
ORDERED = """
model['head']['postprocessor'] = dict(beam_size=3, constraints=dict(order=[3, 2, 1, 0]))
"""


def save_checkpoint(folder: Path, name: str = 'tiny.pth', extra: str = '') -> Path:
    """Write an untrained model whose answers differ from photo to photo."""
    cfg = load_config(folder, folder, extra)
    init_default_scope('mmpretrain')
    torch.manual_seed(1)
    model = MODELS.build({**cfg.model, 'data_preprocessor': cfg.data_preprocessor}).eval()
    layer = model.head.fc if hasattr(model.head, 'fc') else model.head.decoder.image_projection
    with torch.no_grad():
        for value in model.head.parameters():
            value.normal_()
        # Features of photos are much alike: what sets them apart is enlarged.
        blocks = np.stack([_blocks(seed) for seed in range(100, 132)]) / 127.5 - 1
        photos = torch.as_tensor(blocks, dtype=torch.float32).permute(0, 3, 1, 2)
        feats = model.extract_feat(interpolate(photos, (32, 40)))[0]
        layer.weight.div_(feats.std(0).clamp(min=1e-4)).mul_(0.5)
        layer.bias.copy_(-layer.weight @ feats.mean(0))
    meta = dict(cfg=cfg.pretty_text, dataset_meta=dict(classes=CLASSES))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), folder / name)
    return folder / name


def write_photo(path: Path, seed: int, size: tuple[int, int] = (40, 32)) -> Path:
    """Write coloured blocks."""
    photo = Image.fromarray(_blocks(seed))
    photo.resize(size, Image.Resampling.NEAREST).save(path)
    return path


def _blocks(seed: int) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (4, 5, 3), np.uint8)


def blank_png(width: int, height: int) -> bytes:
    """A black image of one bit a pixel; takes little memory to make and few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack('>I', zlib.crc32(kind + data))
        return struct.pack('>I', len(data)) + kind + data + check

    header = struct.pack('>IIBBBBB', width, height, 1, 0, 0, 0, 0)
    packer, row = zlib.compressobj(1), bytes(1 + (width + 7) // 8)
    rows = b''.join(packer.compress(row) for _ in range(height)) + packer.flush()
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        chunk(kind, data) for kind, data in ((b'IHDR', header), (b'IDAT', rows), (b'IEND', b''))
    )


def jpeg_bytes(size: tuple[int, int] = (64, 64)) -> bytes:
    """A JPEG file with some detail in it."""
    pixels = np.random.RandomState(0).randint(0, 256, (size[1], size[0], 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, 'JPEG')
    return stream.getvalue()
