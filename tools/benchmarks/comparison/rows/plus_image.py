# What labels say about each other may depend on the image.
title = 'plus, image inside'

model = dict(head=dict(activation='tanh', decoder=dict(read_image=True)))
