# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The host's hub finds this project's models, whoever is imported first, from any install."""

import re
import shutil
from pathlib import Path

import mmpretrain
import pytest
from forked_tool import run_forked
from mmengine.config import Config
from mmpretrain.apis import ModelHub
from modelindex.load_model_index import load
from tiny_run import ROOT

from cnnrnn_mm.model_hub import find_model_index, register_models
from cnnrnn_mm.models import CNNRNNHead

BESIDE = pytest.mark.skipif(
    not (ROOT / 'cnnrnn_mm').is_dir(), reason='needs the source of the package beside the tests'
)
STEMS = sorted(path.stem for path in (ROOT / 'configs').glob('*.py'))
FIGURES = ('mAP', 'C-F1', 'O-F1', 'exact match', 'law broken')
#: Where the header has its mAP over the classes of the split, the index says so.
OF_SPLIT = 'mAP of 209 classes'

ASK = """
import sys
{first}
import mmpretrain
from mmengine.config import Config
ours = mmpretrain.list_models('cnnrnn*')
assert 'cnnrnn_demo' in ours and len(ours) == len(set(ours)), ours
from mmpretrain.apis import ModelHub
cfg = ModelHub.get('cnnrnn_demo').config
assert cfg.model.head.type == 'cnnrnn_mm.CNNRNNHead'
assert mmpretrain.list_models('resnet50_8xb32_in1k'), "the host's own are gone"
print(cfg.filename)
"""
FIRST = {
    'ours first': "import cnnrnn_mm\nassert 'mmpretrain' not in sys.modules, 'import is slow'",
    'host first': 'import mmpretrain\nimport cnnrnn_mm',
    'by its prefix': 'from mmpretrain.registry import MODELS\n'
    "assert MODELS.get('cnnrnn_mm.CNNRNNHead') is not None",
    'twice': 'import cnnrnn_mm.model_hub as hub\nhub.register_models()\nimport mmpretrain\n'
    'hub.register_models()\nhub.register_models()',
}


def ask(first, folder):
    """What a process of its own finds; a package in ``folder`` comes before the checkout's."""
    script = folder / 'ask.py'
    script.write_text(ASK.format(first=first))
    done = run_forked(script, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def entries():
    index = load(str(ROOT / 'model-index.yml'))
    return {model.name: model for model in index.models}


@BESIDE
@pytest.mark.parametrize('way', ['ours first', 'by its prefix'])
def test_found_from_a_checkout(tmp_path, way):
    # an editable install has links in .mim, which lead here too
    assert Path(ask(FIRST[way], tmp_path)).resolve() == ROOT / 'configs' / 'cnnrnn_demo.py'


@BESIDE
@pytest.mark.parametrize(('kind', 'way'), [('wheel', 'host first'), ('editable', 'twice')])
def test_found_from_an_install(tmp_path, kind, way):
    """What ``setup.py`` lays out under ``.mim``: copies for a wheel, links for an editable one."""
    ignored = shutil.ignore_patterns('__pycache__', '.mim')
    shutil.copytree(ROOT / 'cnnrnn_mm', tmp_path / 'cnnrnn_mm', ignore=ignored)
    mim = tmp_path / 'cnnrnn_mm' / '.mim'
    mim.mkdir()
    if kind == 'wheel':
        shutil.copytree(ROOT / 'configs', mim / 'configs', ignore=ignored)
        shutil.copy(ROOT / 'model-index.yml', mim)
    else:
        (mim / 'configs').symlink_to(ROOT / 'configs')
        (mim / 'model-index.yml').symlink_to(ROOT / 'model-index.yml')
    assert ask(FIRST[way], tmp_path) == str(mim / 'configs' / 'cnnrnn_demo.py')


def test_package_without_index_registers_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr('cnnrnn_mm.model_hub.__file__', str(tmp_path / 'pkg' / 'model_hub.py'))
    assert find_model_index() is None
    before = dict(ModelHub._models_dict)
    register_models()
    assert ModelHub._models_dict == before


def test_every_config_is_listed_once_and_can_be_got():
    register_models()
    register_models()
    known = mmpretrain.list_models()
    folder = find_model_index().parent / 'configs'
    assert set(STEMS) <= set(known) and len(known) == len(set(known))
    for stem in STEMS:
        found = ModelHub.get(stem).config
        assert isinstance(found, Config)
        assert Path(found.filename).resolve() == (folder / f'{stem}.py').resolve()
    model = mmpretrain.get_model('cnnrnn_demo', head=dict(postprocessor=dict(beam_size=2)))
    assert isinstance(model.head, CNNRNNHead)
    assert model.head.postprocessor.options['beam_size'] == 2
    measured = mmpretrain.list_models(task='Multi-Label Classification')
    assert 'cnnrnn_demo' in measured and 'cnnrnn_vgg16_voc' not in measured


def test_index_is_sound_and_has_an_entry_for_each_config():
    index = load(str(ROOT / 'model-index.yml'))
    assert index.check(silent=True) == []
    assert sorted(model.name for model in index.models) == STEMS
    for model in index.models:
        assert model.config == f'configs/{model.name}.py' and model.weights is None
        family = 'RLSD' if model.name.startswith('rlsd') else 'CNN-RNN'
        assert model.in_collection == family
    index.build_models_with_collections()
    papers = {model.full_model.paper['URL'] for model in index.models}
    assert papers == {'https://arxiv.org/abs/1604.04573', 'https://arxiv.org/abs/1612.01082'}


@pytest.mark.parametrize('stem', STEMS)
def test_figures_are_those_of_the_configs_header(stem):
    header = (ROOT / 'configs' / f'{stem}.py').read_text().split('_base_')[0]
    header = re.sub(r'\s*\n#\s*', ' ', header)
    results = entries()[stem].results
    if 'Not run: needs' in header:
        assert results is None
        return
    (result,) = results
    assert result.task == 'Multi-Label Classification'
    assert ('test' in result.dataset) == ('Test split' in header)
    expected = {}
    for name in FIGURES:
        found = re.search(rf'\b{name} (\d+\.\d)', header)  # the first: the config as it stands
        if found:
            of_split = name == 'mAP' and re.search(rf'{found[0]} [^,]*\(over the 209', header)
            expected[OF_SPLIT if of_split else name] = float(found[1])
    assert expected and dict(result.metrics) == expected


def test_figures_are_those_of_the_readmes_tables():
    """Rows that name a config, in tables with these columns."""
    known, compared = entries(), 0
    columns = []
    for line in (ROOT / 'README.md').read_text().splitlines():
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        if not line.startswith('|'):
            columns = []
        elif not columns:
            columns = cells
        named = re.search(r'\]\(configs/(\w+)\.py\)', line)
        if line.startswith('|') and named and 'config' in columns:
            metrics = dict(known[named[1]].results[0].metrics)
            for column, cell in zip(columns, cells, strict=True):
                if column in metrics:
                    assert float(cell) == metrics[column], (named[1], column)
                    compared += 1
    assert compared >= 15
