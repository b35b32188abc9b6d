# Rare labels come first.
_base_ = './skip.py'
title = 'skip, rare first'
label_order = 'rare_first'
