# The previous label alone in place of the recurrent layer.
title = 'plus, no RNN'

model = dict(head=dict(recurrent='none'))
