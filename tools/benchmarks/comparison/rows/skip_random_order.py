# One order drawn at random, the same for all images and all seeds of the training.
_base_ = './skip.py'
title = 'skip, random order'
label_order = 'fixed_random'
