# Three models of one label order: what a mixture gives by itself.
title = 'three skips'
derived = dict(type='mixture', of='skip', seeds=[0, 1000, 2000])  # added to the seed
