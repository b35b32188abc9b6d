# The mean of the probabilities of two MLPs: the seed's own, and another one's.
title = 'two MLPs'
derived = dict(type='ensemble', of='mlp', seeds=[0, 1000])  # added to the seed
