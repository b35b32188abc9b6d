# The marginal branch beside the paper's decoder, which does not read it; pred_score is the mean of
# both.
_base_ = './skip.py'
title = 'skip, without the skip'

model = dict(head=dict(decoder=dict(type='LabelDecoder')))
