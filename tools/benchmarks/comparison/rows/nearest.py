# The labels of the nearest training photo, by the cosine of the cached features.
title = 'nearest photo'
needs = 'cached features'
derived = dict(type='nearest')
