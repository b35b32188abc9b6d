# The last weights in place of their average.
_base_ = './skip.py'
title = 'skip, no EMA'

custom_hooks = []
