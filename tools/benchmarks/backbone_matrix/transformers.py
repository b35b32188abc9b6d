# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The families of transformers, mixers and graphs of patches."""

from typing import Any

from .family import Family, Form

__all__ = ['FAMILIES']

#: What the host's plain transformers can give of their tokens.
OUT_TYPES = ('raw', 'cls_token', 'avg_featmap', 'featmap')
TINY_VIT = dict(embed_dims=64, num_layers=2, num_heads=4, feedforward_channels=128)
TINY_SWIN = dict(embed_dims=24, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8])


def _maps(channels: int, size: int = 64, note: str = '', **options: Any) -> Family:
    """A family whose default is a map already."""
    return Family(channels, options, Form(channels), size=size, note=note)


def _tokens(
    channels: int, out_types: tuple[str, ...] = OUT_TYPES, note: str = '', **options: Any
) -> Family:
    """A family that keeps tokens, whose ``out_type`` says what it gives of them."""
    forms = tuple(Form(channels, dict(out_type=name)) for name in out_types)
    given = Form(channels, dict(out_type='featmap'))
    return Family(channels, dict(img_size=64, **options), given, forms, note=note)


FAMILIES = {
    'VisionTransformer': _tokens(64, arch=TINY_VIT),
    'DeiT3': _tokens(64, arch=TINY_VIT),
    'DistilledVisionTransformer': Family(
        64,
        dict(img_size=64, arch=TINY_VIT),
        Form(64, dict(out_type='featmap')),
        (Form(128), *(Form(64, dict(out_type=name)) for name in OUT_TYPES)),
        note='class and distillation token: averaged, or side by side with in_channels doubled',
    ),
    'BEiTViT': _tokens(64, arch=TINY_VIT),
    'RevVisionTransformer': Family(
        128,
        dict(img_size=64, arch=TINY_VIT),
        Form(128, dict(out_type='featmap')),
        (
            *(Form(128, dict(out_type=name)) for name in ('raw', 'avg_featmap', 'featmap')),
            Form(64, dict(fusion_mode='avg')),
        ),
        note='both of its streams: twice embed_dims',
    ),
    'ViTEVA02': _tokens(64, arch=TINY_VIT),
    'ViTSAM': _tokens(
        256,
        ('raw', 'avg_featmap', 'featmap'),
        arch=dict(TINY_VIT, global_attn_indexes=[1]),
        note='raw and featmap are maps',
    ),
    'T2T_ViT': _tokens(
        64,
        embed_dims=64,
        num_layers=2,
        t2t_cfg=dict(token_dims=32, use_performer=False),
        layer_cfgs=dict(num_heads=4, feedforward_channels=128),
    ),
    'XCiT': _tokens(64, embed_dims=64, depth=2, num_heads=4),
    'TNT': Family(
        64,
        dict(
            img_size=64,
            arch=dict(
                embed_dims_outer=64,
                embed_dims_inner=12,
                num_layers=2,
                num_heads_outer=4,
                num_heads_inner=2,
            ),
        ),
    ),
    'HiViT': _maps(384, img_size=64, arch='tiny'),
    'MViT': _maps(
        256,
        img_size=64,
        arch=dict(embed_dims=32, num_layers=4, num_heads=1, downscale_indices=[1, 2, 3]),
    ),
    'SwinTransformer': _maps(192, img_size=64, window_size=2, arch=TINY_SWIN),
    'SwinTransformerV2': _maps(
        192, img_size=64, window_size=2, arch=dict(TINY_SWIN, extra_norm_every_n_blocks=0)
    ),
    'DaViT': _maps(192, window_size=2, arch=TINY_SWIN),
    'MixMIMTransformer': Family(
        256,
        dict(
            img_size=64,
            window_size=[8, 8, 4, 2],
            arch=dict(embed_dims=32, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8]),
        ),
    ),
    'TinyViT': Family(
        320,
        dict(arch='5m', img_size=(64, 64)),
        Form(320, dict(gap_before_final_norm=False)),
        (Form(320, dict(gap_before_final_norm=False)),),
    ),
    'PCPVT': _maps(512, arch='small'),
    'SVT': _maps(512, arch='small'),
    'LeViT': _maps(384, arch='128s', img_size=64),
    'MobileViT': _maps(320, arch='xx_small'),
    'EfficientFormer': Family(
        448,
        dict(arch='l1'),
        Form(448, dict(reshape_last_feat=True)),
        (Form(448, dict(reshape_last_feat=True)),),
        size=224,
        note='tokens (N, F, L); takes images of 224 x 224',
    ),
    'Conformer': Family(
        512 + 64,
        dict(arch=dict(embed_dims=64, depths=6, num_heads=4, channel_ratio=2)),
        forms=(Form(512 + 64, dict(with_cls_token=False)),),
        note='both branches side by side: in_channels is the sum of their sizes',
    ),
    'MlpMixer': Family(
        64,
        dict(
            img_size=64,
            arch=dict(embed_dims=64, num_layers=2, tokens_mlp_dims=32, channels_mlp_dims=128),
        ),
        note='tokens (N, F, L)',
    ),
    'RepMLPNet': _maps(
        128,
        img_size=64,
        arch=dict(channels=[16, 32, 64, 128], depths=[1, 1, 2, 1], sharesets_nums=[1, 4, 8, 16]),
    ),
    'PoolFormer': _maps(512, arch='s12'),
    'RIFormer': _maps(512, arch='s12'),
    'Vig': _maps(192, 224, arch='tiny', note='takes images of 224 x 224'),
    'PyramidVig': _maps(384, 224, arch='tiny', note='takes images of 224 x 224'),
}
