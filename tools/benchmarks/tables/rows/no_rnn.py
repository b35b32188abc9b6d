# The paper's ablation: a linear embedding of the previous label for the recurrent layer.
title = 'no RNN'
published = 'no RNN'  # the row of the paper that it stands beside
lr_factor = 1.0  # times the config's learning rate; docs/paper_tables.md

model = dict(head=dict(recurrent='none'))
