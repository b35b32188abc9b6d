# The config as it is.
title = 'plus'
