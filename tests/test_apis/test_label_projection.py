# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import sys

import numpy as np
import pytest

from cnnrnn_mm.apis.label_projection import METHODS, project_labels
from cnnrnn_mm.errors import UsageError


def cosines(vectors):
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors @ vectors.T


def distances(points):
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def test_pca_of_what_is_flat_keeps_all_distances():
    turn = np.random.default_rng(0).uniform(0, 2 * np.pi, 12)
    vectors = np.stack([np.cos(turn), np.sin(turn)], 1)
    points, trust = project_labels(cosines(vectors), 'pca')
    np.testing.assert_allclose(distances(points), distances(vectors), atol=1e-6)
    assert trust == pytest.approx(1)


@pytest.mark.parametrize('method', METHODS)
def test_groups_stay_groups(method):
    generator = np.random.default_rng(1)
    centres = 4 * np.eye(3, 8)
    vectors = np.repeat(centres, 10, axis=0) + generator.normal(size=(30, 8))
    points, trust = project_labels(cosines(vectors), method)
    apart = distances(points)
    np.fill_diagonal(apart, np.inf)
    assert (apart.argmin(1) // 10 == np.arange(30) // 10).mean() > 0.9
    assert 0.75 < trust <= 1
    again, _ = project_labels(cosines(vectors), method)
    np.testing.assert_array_equal(points, again)


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('count', [1, 2, 3, 4, 6])
def test_few_labels(method, count):
    points, trust = project_labels(
        cosines(np.random.default_rng(2).normal(size=(count, 5))), method
    )
    assert points.shape == (count, 2) and np.isfinite(points).all()
    assert (trust is None) == (count < 4)
    assert count == 1 or distances(points)[~np.eye(count, dtype=bool)].min() > 0


def test_missing_library_and_unknown_method(monkeypatch):
    with pytest.raises(UsageError, match="method is 'umap': choose from tsne, pca"):
        project_labels(np.eye(4), 'umap')
    monkeypatch.setitem(sys.modules, 'sklearn.manifold', None)
    with pytest.raises(UsageError, match=r"needs scikit-learn: .*pip install '\.\[explain\]'"):
        project_labels(np.eye(4))
