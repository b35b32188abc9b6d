# The rare labels are asked about first.
title = 'plus, rare first'
label_order = 'rare_first'
