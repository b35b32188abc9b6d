# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The file of torch.export gives what the module gives, in batches of any size."""

import pytest
import torch
from test_onnx_export import build, paths_head, photos

from cnnrnn_mm.apis.export import torch_file
from cnnrnn_mm.apis.export.onnx_file import prepare_export, to_pixels
from cnnrnn_mm.apis.export.torch_file import save_torch_export
from cnnrnn_mm.errors import UsageError


@pytest.fixture(scope='module')
def module():
    return prepare_export(build(paths_head()), 3)[0]


def test_file_gives_what_the_module_gives(module, tmp_path):
    out = tmp_path / 'model.pt2'
    save_torch_export(module, photos(4), out)
    assert [path.name for path in tmp_path.iterdir()] == ['model.pt2']
    loaded = torch.export.load(out).module()
    for count in (1, 3, 7):  # none is the size it was traced with
        pixels = to_pixels(photos(count))
        with torch.no_grad():
            given, expected = loaded(pixels), module(pixels)
        assert len(given) == len(expected) == len(module.output_names)
        for one, other in zip(given, expected, strict=True):
            assert len(one) == count
            torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_another_program_is_not_written(module, tmp_path, monkeypatch):
    class Other:
        def module(self):
            return lambda pixels: [values + 1 for values in module(pixels)]

    monkeypatch.setattr(torch_file.torch.export, 'load', lambda path: Other())
    with pytest.raises(UsageError, match='of the exported program differs: nothing was written'):
        save_torch_export(module, photos(2), tmp_path / 'model.pt2')
    assert not list(tmp_path.iterdir())


def test_another_ending(module, tmp_path):
    with pytest.raises(UsageError, match=r'model.onnx does not end in \.pt2'):
        save_torch_export(module, photos(2), tmp_path / 'model.onnx')
