# The paper's decoder, told by the marginal branch how likely each label is by itself.
title = 'skip'

model = dict(
    head=dict(
        embed_dims=512,
        hidden_dims=256,
        recurrent='lstm',
        dropout=0.3,
        activation='tanh',
        decoder=dict(_delete_=True, type='SkipDecoder'),
        postprocessor=dict(constraints=dict(order='training')),
    )
)
