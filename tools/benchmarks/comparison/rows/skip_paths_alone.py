# pred_score is what the paths give, without the marginal branch's share.
_base_ = './skip.py'
title = 'skip, scores of paths'

model = dict(head=dict(postprocessor=dict(marginal_share=0.0)))
