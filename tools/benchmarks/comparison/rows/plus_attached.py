# The sequence loss trains the marginal branch, too.
title = 'plus, attached'

model = dict(head=dict(decoder=dict(detach=False)))
