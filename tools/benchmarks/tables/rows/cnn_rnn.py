# The config as it is.
title = 'CNN-RNN'
published = 'CNN-RNN'  # the row of the paper that it stands beside
lr_factor = 1.0  # times the config's learning rate; docs/paper_tables.md
