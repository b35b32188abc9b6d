# The config as it is.
title = 'RLSD'
