# A stays zero: z = a m + b, one sigmoid a label, whatever labels were found before.
title = 'plus, no dependency'

optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'head.decoder.classifier.weight': dict(lr_mult=0.0)})
)
