# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmengine.config import Config

from cnnrnn_mm.apis.resuming import set_start
from cnnrnn_mm.errors import UsageError


@pytest.fixture
def folder(tmp_path):
    """``folder(*names)`` makes checkpoints in a work dir and gives its path."""

    def make(*names):
        (tmp_path / 'work').mkdir(exist_ok=True)
        for name in names:
            torch.save({'state_dict': {}, 'meta': {}}, tmp_path / 'work' / name)
        return str(tmp_path / 'work')

    return make


def start(work_dir, said, **more):
    """(resume, load_from, warning) of a run; ``said`` is what --resume says."""
    cfg = Config(dict(work_dir=work_dir, **more))
    warning = set_start(cfg, said)
    return cfg.get('resume', False), cfg.get('load_from'), warning


def test_without_resume_nothing_changes(folder):
    work = folder('epoch_1.pth', 'given.pth')
    assert start(work, None) == (False, None, None)
    given = f'{work}/given.pth'
    assert start(work, None, load_from=given) == (False, given, None)
    assert start(work, None, load_from=given, resume=True) == (True, given, None)


def test_the_last_one_counts(folder, tmp_path):
    work = folder('epoch_1.pth', 'epoch_2.pth', 'given.pth')
    (tmp_path / 'work' / 'last_checkpoint').write_text(f'{work}/epoch_1.pth')
    expected = (True, f'{work}/epoch_1.pth', None)
    assert start(work, 'auto') == expected
    assert start(work, 'auto', load_from=f'{work}/given.pth') == expected
    assert start(work, None, resume=True) == expected
    assert start(work, f'{work}/epoch_2.pth') == (True, f'{work}/epoch_2.pth', None)


@pytest.mark.parametrize('names', [(), ('best_score_epoch_3.pth', 'other.pth')])
def test_nothing_to_resume_is_said(folder, names):
    work = folder('given.pth', *names)
    line = f'nothing to resume: {work} holds no checkpoint: this training starts at the beginning'
    assert start(work, 'auto') == (False, None, line)
    assert start(f'{work}/none', 'auto')[2] == line.replace(work, f'{work}/none')
    assert start(work, None, resume=True) == (False, None, line)
    given = f'{work}/given.pth'
    found = start(work, 'auto', load_from=given)
    assert found == (False, given, f'{line}, with the weights of {given}')


@pytest.mark.parametrize('kind', ['epoch', 'iter'])
def test_checkpoints_that_no_file_names_are_not_written_over(folder, kind):
    work = folder(f'{kind}_9.pth', f'{kind}_10.pth', 'best_epoch_30.pth', f'.{kind}_11.pth.saving')
    resume, path, said = start(work, 'auto')
    assert (resume, path) == (True, f'{work}/{kind}_10.pth')
    assert said == f'{work} has no file last_checkpoint: resuming from {path}'


def test_a_checkpoint_that_is_not_there(folder, tmp_path):
    work = folder()
    with pytest.raises(UsageError, match='none.pth does not exist: check the path'):
        start(work, f'{work}/none.pth')
    (tmp_path / 'work' / 'last_checkpoint').write_text(f'{work}/epoch_5.pth')
    with pytest.raises(UsageError, match='epoch_5.pth does not exist'):
        start(work, 'auto')
