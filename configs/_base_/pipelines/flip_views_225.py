# Test-time augmentation on the photo and its mirror image: tools/test.py CONFIG CHECKPOINT --tta.
# Where left and right mean something, as in digits, choose other views.
tta_model = dict(type='cnnrnn_mm.PathTTA')
tta_pipeline = [
    dict(type='cnnrnn_mm.LoadImage'),
    dict(type='Resize', scale=(225, 225)),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
            [dict(type='PackInputs')],
        ],
    ),
]
