# Three models, each trained in a label order of its own.
title = 'three skips, three orders'
derived = dict(type='mixture', of=['skip', 'skip-rare-first', 'skip-random-order'], seeds=[0])
