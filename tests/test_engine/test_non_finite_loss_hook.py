# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""NaN losses and gradients: named, kept away from the weights, counted."""

import itertools
import math

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from tiny_run import TRAIN, VAL, load_config

from cnnrnn_mm.engine.hooks import NonFiniteLossHook
from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import CNNRNNHead

#: Six steps of two images; the running statistics of batch normalisation learn, too.
EXTRA = """
train_dataloader.update(batch_size=2)
train_cfg = dict(by_epoch=True, max_epochs=1)
val_cfg = val_dataloader = val_evaluator = None
model['backbone'].update(norm_eval=False)
"""


@pytest.fixture(scope='session')
def photos(voc_folder, tmp_path_factory):
    root = tmp_path_factory.mktemp('finite') / 'voc'
    return voc_folder(root, {'train': TRAIN[:12], 'val': VAL})


@pytest.fixture
def make_runner(photos, tmp_path):
    """``make_runner(extra, **options of the hook)``, in ``tmp_path / 'work'``."""
    count = itertools.count()

    def make(extra='', **options):
        text = f'{EXTRA}{extra}\ndefault_hooks.update(non_finite_loss=dict({options!r}))\n'
        cfg = load_config(photos, tmp_path, text)
        cfg.experiment_name = f'{tmp_path.name}-{next(count)}'
        return Runner.from_cfg(cfg)

    return make


class Watch(Hook):
    """Copies of all weights, statistics and momenta after each step, and the images of each."""

    priority = 'LOWEST'

    def __init__(self):
        self.states, self.paths = [], []

    def before_train(self, runner):
        self.states.append(self.state(runner))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.states.append(self.state(runner))
        self.paths.append([sample.img_path for sample in data_batch['data_samples']])

    @staticmethod
    def state(runner):
        momenta = runner.optim_wrapper.optimizer.state.values()
        return [
            *(value.clone() for value in runner.model.state_dict().values()),
            *(one['momentum_buffer'].clone() for one in momenta),
        ]

    def changed(self):
        """For each step, whether it changed anything."""
        pairs = itertools.pairwise(self.states)
        return [
            len(before) != len(after)
            or not all(torch.equal(*pair) for pair in zip(before, after, strict=True))
            for before, after in pairs
        ]


def spoil(monkeypatch, steps, factor=math.nan):
    """Multiply the loss of these steps (from 0) by ``factor``, and with NaN all features, too."""
    counter, loss = itertools.count(), CNNRNNHead.loss

    def spoilt(self, *args, **kwargs):
        losses = loss(self, *args, **kwargs)
        if next(counter) in steps:
            losses['loss'] = losses['loss'] * factor
        return losses

    monkeypatch.setattr(CNNRNNHead, 'loss', spoilt)


def train(runner):
    watch = Watch()
    runner.register_hook(watch)
    runner.train()
    return watch


@pytest.mark.parametrize(('factor', 'value'), [(math.nan, 'nan'), (math.inf, 'inf')])
def test_stop_names_the_batch_and_keeps_the_weights(make_runner, monkeypatch, factor, value):
    spoil(monkeypatch, [2], factor)
    runner, watch = make_runner(), Watch()
    runner.register_hook(watch)
    batches = []
    monkeypatch.setattr(
        Watch,
        'before_train_iter',
        lambda self, runner, batch_idx, data_batch: batches.append(data_batch),
    )
    with pytest.raises(UsageError) as error:
        runner.train()
    line = str(error.value)
    assert f'loss is {value} in iteration 3 (epoch 1)' in line
    paths = [sample.img_path for sample in batches[2]['data_samples']]
    assert f'its batch of 2 images is {", ".join(paths)}' in line
    assert '\n' not in line
    watch.states.append(Watch.state(runner))
    assert watch.changed() == [True, True, False]


def test_skip_leaves_the_step_out_and_counts(make_runner, monkeypatch, tmp_path):
    spoil(monkeypatch, [1, 4])
    watch = train(make_runner(action='skip'))
    assert watch.changed() == [True, False, True, True, False, True]
    assert all(torch.isfinite(one).all() for one in watch.states[-1])
    saved = torch.load(tmp_path / 'work' / 'epoch_1.pth', weights_only=True)
    assert saved['message_hub']['runtime_info']['skipped_steps'] == 2
    (log,) = (tmp_path / 'work').glob('*/*.log')
    text = log.read_text()
    assert 'loss is nan in iteration 2 (epoch 1)' in text
    assert watch.paths[4][1] in text.split('iteration 5 (epoch 1)')[1].splitlines()[0]
    assert '2 steps of this training were left out' in text


def test_a_run_without_bad_steps_is_untouched(make_runner):
    """The same weights with the hook as without it, bit by bit."""
    watched = train(make_runner(action='skip'))
    alone = train(make_runner('\ndefault_hooks.update(non_finite_loss=None)\n'))
    assert all(watched.changed())
    for ours, theirs in zip(watched.states[-1], alone.states[-1], strict=True):
        assert torch.equal(ours, theirs)


def test_too_many_in_a_row_end_the_run(make_runner, monkeypatch):
    """One good step between resets the count."""
    spoil(monkeypatch, [0, 1, 3, 4, 5])
    with pytest.raises(UsageError, match=r'iteration 6 .*more than most_in_a_row=2 steps'):
        make_runner(action='skip', most_in_a_row=2).train()


def test_finite_loss_with_infinite_gradients(make_runner, monkeypatch):
    """The gradient of a square root at zero; the loss does not show it."""
    loss = CNNRNNHead.loss

    def rooted(self, *args, **kwargs):
        losses = loss(self, *args, **kwargs)
        weight = next(self.parameters())
        losses['loss'] = losses['loss'] + (weight * 0.0).sum().sqrt()
        return losses

    monkeypatch.setattr(CNNRNNHead, 'loss', rooted)
    runner = make_runner()
    with pytest.raises(UsageError, match=r'the gradients are not finite \(loss is \d'):
        runner.train()
    assert all(torch.isfinite(one).all() for one in runner.model.state_dict().values())
    runner = make_runner(check_gradients=False)
    with pytest.raises(UsageError, match='loss is nan in iteration 2 '):
        runner.train()


def test_accumulated_gradients_are_left_out_together(make_runner, monkeypatch):
    """Steps are made of two batches; one of the second pair is bad, whichever."""
    for bad in (2, 3):
        with monkeypatch.context() as patch:
            spoil(patch, [bad])
            watch = train(
                make_runner('\noptim_wrapper.update(accumulative_counts=2)\n', action='skip')
            )
        weights = [states[0] for states in watch.states]
        changed = [not torch.equal(*pair) for pair in itertools.pairwise(weights)]
        assert changed == [False, True, False, False, False, True]
        assert all(torch.isfinite(one).all() for one in watch.states[-1])


def test_the_batch_is_saved(make_runner, monkeypatch, tmp_path):
    spoil(monkeypatch, [1])
    watch = train(make_runner(action='skip', save=True))
    (path,) = (tmp_path / 'work' / 'bad_batches').iterdir()
    assert path.name == 'epoch_1_iter_2_rank_0.pth'
    batch = torch.load(path, weights_only=True)
    assert batch['img_paths'] == watch.paths[1]
    assert math.isnan(batch['losses']['loss'])
    assert torch.stack(list(batch['inputs'])).shape == (2, 3, 32, 32)
    assert [len(labels) for labels in batch['gt_labels']] == [
        len(set(TRAIN[int(path[-8:-4])])) for path in watch.paths[1]
    ]


class ScaledWrapper(OptimWrapper):
    """As AmpOptimWrapper with a scaler, which needs a GPU there: infinite gradients, no step."""

    loss_scaler = object()
    scale = 1.0

    def backward(self, loss, **kwargs):
        super().backward(loss * self.scale, **kwargs)

    def step(self, **kwargs):
        gradients = [p.grad for p in self._parameters()]
        for gradient in gradients:
            gradient /= self.scale
        if all(gradient.isfinite().all() for gradient in gradients):
            super().step(**kwargs)
        type(self).scale = 1.0

    def _parameters(self):
        return [p for group in self.param_groups for p in group['params'] if p.grad is not None]


def scaled_runner(make_runner, **options):
    runner = make_runner(**options)
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.optim_wrapper = ScaledWrapper(wrapper.optimizer)
    return runner


def test_infinite_gradients_of_a_loss_scale_are_normal(make_runner, monkeypatch):
    monkeypatch.setattr(ScaledWrapper, 'scale', math.inf)  # for the first step
    watch = train(scaled_runner(make_runner))
    weights = [states[0] for states in watch.states]
    changed = [not torch.equal(*pair) for pair in itertools.pairwise(weights)]
    assert changed == [False, True, True, True, True, True]


def test_a_bad_loss_under_a_loss_scale_is_seen(make_runner, monkeypatch):
    """The scaler leaves the step out in silence; the next step is not spoilt."""
    spoil(monkeypatch, [1])
    with pytest.raises(UsageError, match='loss is nan in iteration 2 '):
        train(scaled_runner(make_runner))
    spoil(monkeypatch, [])
    spoil(monkeypatch, [1])
    watch = train(scaled_runner(make_runner, action='skip'))
    assert watch.changed() == [True, False, True, True, True, True]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(action='ignore'), "action is 'ignore': set it to 'stop' or 'skip'"),
        (dict(most_in_a_row=0), 'most_in_a_row is 0: set it to 1 or more'),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(UsageError, match=message):
        NonFiniteLossHook(**options)


def test_all_processes_leave_a_step_out_together(make_runner, monkeypatch, tmp_path):
    """The other process says so in step 3; this one's own numbers are good."""
    from cnnrnn_mm.engine.hooks import non_finite_loss_hook as module

    counter, asked = itertools.count(), []

    def all_reduce(flag, op):
        asked.append((flag.item(), op))
        flag.fill_(max(flag.item(), int(next(counter) == 2)))

    runner = make_runner(action='skip')
    monkeypatch.setattr(module, 'get_world_size', lambda: 2)
    monkeypatch.setattr(module, 'all_reduce', all_reduce)
    watch = train(runner)
    assert asked == [(0, 'max')] * 6
    assert watch.changed() == [True, True, False, True, True, True]
    (log,) = (tmp_path / 'work').glob('*/*.log')
    assert 'loss or gradients of another process are not finite in iteration 3' in log.read_text()
