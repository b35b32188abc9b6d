# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Axis letters: N photos, B regions, C labels, D size of the space, F feature size."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.models import MultiLabelClsHead, MultiLabelLinearClsHead
from region_cases import make_regions
from sklearn.metrics.pairwise import cosine_similarity
from tiny_run import CLASSES, VAL, load_config

from cnnrnn_mm.apis.joint_embedding import JointEmbedding
from cnnrnn_mm.apis.trained_model import TrainedModel
from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import CNNRNNHead, LinearLabelHead, RLSDHead

N, C, F, D = 5, 4, 6, 7
FEATURES = torch.randn(N, F, generator=torch.Generator().manual_seed(2))


def make_head(decoder='LabelDecoder', kind=CNNRNNHead, **options):
    """A head with weights that lie apart, whose label path says nothing: U_o is 0."""
    torch.manual_seed(1)
    if kind is CNNRNNHead:
        options['decoder'] = dict(type=decoder, **options.pop('more', {}))
    head = kind(C, F, embed_dims=D, hidden_dims=3, **options)
    for weight in head.parameters():
        torch.nn.init.normal_(weight, std=0.7)
    inner = getattr(head.decoder, 'inner', head.decoder)
    torch.nn.init.zeros_(inner.output_projection.weight)
    if decoder == 'ChainDecoder':
        head.decoder.set_order('given', range(C))
    return head.eval()


def embed(head, space=None, classes=CLASSES):
    model = torch.nn.Module()
    model.head = head
    return JointEmbedding(TrainedModel(model, tuple(classes), [], Config(), ''), space)


def scores_of(embedding, vectors):
    """(N, C) as :meth:`nearest_labels` gives them."""
    found = torch.zeros(len(vectors), C)
    for row, vector in enumerate(vectors):
        for one in embedding.nearest_labels(vector, C):
            found[row, one.id] = one.closeness
    return found


def test_joint_space_by_hand():
    head = make_head()
    embedding = embed(head)
    assert embedding.space == 'joint'
    table = head.decoder.embedding.weight.tolist()
    project = head.decoder.image_projection
    vectors = embedding.photo_vectors((FEATURES,))
    for row, feature in enumerate(FEATURES.tolist()):
        drive = [
            sum(w * x for w, x in zip(line, feature, strict=True)) + b
            for line, b in zip(project.weight.tolist(), project.bias.tolist(), strict=True)
        ]
        image = np.tanh(drive)
        found = embedding.nearest_labels(vectors[row], C)
        expected = {k: float(np.dot(table[k], image)) for k in range(C)}
        assert [one.id for one in found] == sorted(expected, key=lambda k: -expected[k])
        assert [one.closeness for one in found] == pytest.approx(
            sorted(expected.values(), reverse=True), rel=1e-5
        )


@torch.no_grad()
@pytest.mark.parametrize('activation', ['tanh', 'relu', 'identity'])
def test_joint_score_is_the_heads_where_the_path_says_nothing(activation):
    head = make_head(activation=activation)
    embedding = embed(head)
    expected = head((FEATURES,))[:, 0, :C]
    torch.testing.assert_close(scores_of(embedding, embedding.photo_vectors((FEATURES,))), expected)


@torch.no_grad()
@pytest.mark.parametrize('decoder', ['SkipDecoder', 'ChainDecoder', 'LabelDecoder'])
def test_classifier_score_is_the_marginal_branchs_logit(decoder):
    head = make_head(decoder, marginal=dict(hidden_dims=9))
    embedding = embed(head, 'classifier')
    expected = head.marginal_branch(FEATURES)
    torch.testing.assert_close(scores_of(embedding, embedding.photo_vectors((FEATURES,))), expected)
    # What the model has its single labels' scores from is what is asked by default.
    assert embed(head).space == ('joint' if decoder == 'LabelDecoder' else 'classifier')


@torch.no_grad()
def test_shares_of_skip_and_chain_add_up_to_their_scores():
    head = make_head('SkipDecoder', marginal=dict())
    both = [embed(head, space) for space in ('joint', 'classifier')]
    joint, logits = (scores_of(one, one.photo_vectors((FEATURES,))) for one in both)
    expected = head((FEATURES,))[:, 0, :C]
    torch.testing.assert_close(joint + head.decoder.skip_scale * logits, expected)

    head = make_head('ChainDecoder', marginal=dict(), more=dict(read_image=True))
    both = [embed(head, space) for space in ('joint', 'classifier')]
    joint, logits = (scores_of(one, one.photo_vectors((FEATURES,))) for one in both)
    image, _ = head.read_images((FEATURES,))
    expected = head.decoder.logits(torch.zeros(N, D), image) - head.decoder.classifier.bias
    torch.testing.assert_close(joint + head.decoder.skip_scale * logits, expected)


@torch.no_grad()
def test_of_regions_the_whole_image_counts():
    head = make_head(kind=RLSDHead, marginal=dict(hidden_dims=3), start_from_region=False)
    regions = make_regions([3, 1], size=F)
    image, _ = head.read_images((regions,))
    start = torch.full((2, 1), head.vocabulary.start)
    expected = head.decoder.region_scores(image, start)[0][:, 0, 0, :C]
    joint = embed(head)
    torch.testing.assert_close(scores_of(joint, joint.photo_vectors((regions,))), expected)
    logits = embed(head, 'classifier')
    torch.testing.assert_close(
        scores_of(logits, logits.photo_vectors((regions,))),
        head.marginal_branch(regions.features[:, 0]),
    )


@torch.no_grad()
@pytest.mark.parametrize('kind', [MultiLabelLinearClsHead, LinearLabelHead])
def test_linear_heads_compare_by_their_logits(kind):
    head = kind(C, F).eval()
    torch.nn.init.normal_(head.fc.weight)
    torch.nn.init.normal_(head.fc.bias)
    embedding = embed(head)
    assert embedding.space == 'classifier'
    expected = head((FEATURES,))
    torch.testing.assert_close(scores_of(embedding, embedding.photo_vectors((FEATURES,))), expected)


def test_labels_are_compared_by_the_cosine_of_centred_rows():
    embedding = embed(make_head())
    rows = embedding.labels.numpy().astype(float)
    expected = cosine_similarity(rows - rows.mean(0))
    np.testing.assert_allclose(embedding.closeness_of_labels().numpy(), expected, atol=1e-5)
    for label in range(C):
        found = embedding.nearest_labels(label, 99)
        others = sorted(set(range(C)) - {label}, key=lambda one: -expected[label, one])
        assert [one.id for one in found] == others
        assert found == embedding.nearest_labels(CLASSES[label], 99)
        assert embedding.nearest_labels(label, 1) == found[:1]


@torch.no_grad()
def test_what_the_softmax_does_not_see_changes_no_neighbour():
    """A vector added to all rows of U_l, END's too: the same probabilities, the same neighbours."""
    head = make_head()
    before, near = head((FEATURES,)).softmax(-1), embed(head).closeness_of_labels()
    head.decoder.embedding.weight.add_(torch.randn(D))
    torch.testing.assert_close(head((FEATURES,)).softmax(-1), before)
    torch.testing.assert_close(embed(head).closeness_of_labels(), near)


@torch.no_grad()
def test_nearest_photos_are_those_with_the_largest_score():
    embedding = embed(make_head('SkipDecoder', marginal=dict()))
    photos = embedding.photo_vectors((FEATURES[[0, 1, 2, 1, 3]],))
    scores = scores_of(embedding, photos)
    for label in range(C):
        found = embedding.nearest_photos(label, photos, 9)
        expected = np.argsort(-scores[:, label].numpy(), kind='stable')
        assert [one.id for one in found] == expected.tolist()  # of equal ones the first is first
        values = [one.closeness for one in found]
        assert values == pytest.approx(scores[expected, label].tolist(), rel=1e-5)
        assert embedding.nearest_photos(CLASSES[label], photos, 2) == found[:2]


@pytest.mark.parametrize(
    ('ask', 'message'),
    [
        (lambda one: one.nearest_labels('persons'), "label 'persons' .* do you mean person?"),
        (lambda one: one.nearest_labels('qqq'), "label 'qqq' .*: check its spelling"),
        (lambda one: one.nearest_labels(-1), r'label -1 is outside 0\.\.3'),
        (lambda one: one.nearest_photos(4, torch.zeros(1, D)), r'label 4 is outside 0\.\.3'),
        (lambda one: one.nearest_labels(0, 0), 'k is 0: ask for at least one'),
        (lambda one: one.nearest_labels(torch.zeros(D), -1), 'k is -1'),
    ],
)
def test_wrong_questions(ask, message):
    embedding = embed(make_head())
    with pytest.raises(UsageError, match=message):
        ask(embedding)


def test_heads_without_the_space():
    with pytest.raises(UsageError, match='ChainDecoder has no joint space .*: take classifier'):
        embed(make_head('ChainDecoder', marginal=dict()), 'joint')
    with pytest.raises(UsageError, match='LabelDecoder has no classifier space .*: take joint'):
        embed(make_head(), 'classifier')
    with pytest.raises(UsageError, match='MultiLabelLinearClsHead has no joint .*: take classif'):
        embed(MultiLabelLinearClsHead(C, F), 'joint')
    with pytest.raises(UsageError, match='MultiLabelClsHead has no joint space'):
        embed(MultiLabelClsHead())
    with pytest.raises(UsageError, match="space is 'both': choose from joint, classifier"):
        embed(make_head(), 'both')


def test_photos_are_read_alike_in_any_batch_and_bad_ones_are_named(voc_folder, tmp_path):
    from mmengine.registry import init_default_scope
    from mmpretrain.registry import MODELS

    root = voc_folder(tmp_path / 'voc', {'train': VAL, 'val': VAL})
    cfg = load_config(root, tmp_path)
    init_default_scope(cfg.default_scope)
    model = MODELS.build({**cfg.model, 'data_preprocessor': cfg.data_preprocessor}).eval()
    pipeline = cfg.test_dataloader.dataset.pipeline
    embedding = JointEmbedding(TrainedModel(model, CLASSES, pipeline, cfg, ''))
    photos = sorted(str(one) for one in (root / 'JPEGImages').iterdir())
    bad = tmp_path / 'bad.jpg'
    bad.write_text('no picture')
    one = embedding.read_photos([photos[0], bad, *photos[1:]], batch_size=1)
    many = embedding.read_photos([*photos[:2], bad, *photos[2:]], batch_size=5)
    assert one.names == many.names == photos
    assert list(one.errors) == [str(bad)] and 'bad.jpg' in one.errors[str(bad)]
    torch.testing.assert_close(one.vectors, many.vectors)
    assert one.vectors.std(0).min() > 0  # no two photos are one
    none = embedding.read_photos(bad)
    assert none.vectors.shape == (0, 8) and none.names == []
