# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Labels on a plane, near labels near each other.

Axis letter: C labels.
"""

import numpy as np

from ..errors import UsageError

__all__ = ['METHODS', 'project_labels']

METHODS = ('tsne', 'pca')
#: Neighbours that the trustworthiness looks at, and t-SNE's perplexity, where there are labels
#: enough.
NEIGHBORS, PERPLEXITY = 5, 30


def project_labels(
    closeness: np.ndarray, method: str = 'tsne', seed: int = 0
) -> tuple[np.ndarray, float | None]:
    """Places on a plane for labels of which the cosines are known.

    Args:
        closeness: (C, C) cosines.
        method: ``'tsne'`` (van der Maaten and Hinton, JMLR 2008) keeps neighbours together best;
            ``'pca'`` shows the two directions of most variance.
        seed: Of t-SNE's start.

    Returns:
        (C, 2), and the trustworthiness (Venna and Kaski, ICANN 2001) of the nearest 5, in [0, 1]: 1
        where the labels nearest on the plane are the nearest; None for fewer than 4 labels.

    Raises:
        UsageError: If scikit-learn is missing or the method is unknown.
    """
    if method not in METHODS:
        raise UsageError(f"the map's method is '{method}': choose from {', '.join(METHODS)}")
    try:
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE, trustworthiness
    except ImportError:
        raise UsageError(
            "the map of labels needs scikit-learn: install it with pip install '.[explain]'"
        ) from None
    count = len(closeness)
    if count < 3:
        return np.stack([np.arange(count, dtype=float), np.zeros(count)], 1), None
    # Squared distances between the vectors of length 1, but for a factor of 2.
    distances = np.clip(1 - np.asarray(closeness, dtype=np.float64), 0, None)
    np.fill_diagonal(distances, 0)
    if method == 'pca':  # of any vectors with these products
        values, vectors = np.linalg.eigh(np.asarray(closeness, dtype=np.float64))
        points = PCA(2, svd_solver='full').fit_transform(vectors * np.sqrt(values.clip(0)))
    else:
        points = TSNE(
            metric='precomputed',
            init='random',
            perplexity=min(PERPLEXITY, (count - 1) / 3),
            random_state=seed,
        ).fit_transform(distances)
    near = min(NEIGHBORS, (count - 1) // 2)
    if count < 4:
        return points, None
    trust = trustworthiness(distances, points, n_neighbors=near, metric='precomputed')
    return points, float(trust)
