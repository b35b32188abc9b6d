# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Where in a backbone positions still are positions, and tokens as maps.

Axis letters: N images, L tokens, C channels, h, w sides of a map.
"""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from ...errors import UsageError

__all__ = ['find_layer', 'tapped']

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)
Size = tuple[int, int]


def find_layer(model: BaseModel, inputs: Tensor, name: str | None = None) -> tuple[str, nn.Module]:
    """The layer whose output Grad-CAM weighs.

    By default the backbone's own output, where that is a map. Transformers that give a class token
    have none: the last norm in front of the last attention is taken, as the host's tool does;
    behind it the image's tokens no longer reach the class token. Transformers without one that
    give a mean: their last norm of tokens. Other backbones: the last layer that gave a map.

    Args:
        model: With a ``backbone``.
        inputs: (N, 3, H, W) to try it on.
        name: Of the layer in ``model.named_modules()``; None for the default.

    Returns:
        Name and layer.

    Raises:
        UsageError: If there is no such layer, or it gives no map.
    """
    modules, given = dict(model.named_modules()), _outputs(model, inputs)
    if name is not None:
        _check_name(name, modules, given)
        return name, modules[name]
    if given.get('backbone') != 'map':
        name = _last_norm(modules, given, before_attention=_extra_tokens(model) > 0)
        maps = [one for one, kind in given.items() if kind == 'map']
        name = maps[-1] if name is None and maps else name
    else:
        name = 'backbone'
    if name is None:
        raise UsageError(
            f'no layer of {type(model.backbone).__name__} gives a map: heat maps need one'
        )
    return name, modules[name]


def _check_name(name: str, modules: dict[str, nn.Module], given: dict[str, str]) -> None:
    if name in given:
        return
    stem = name
    while stem and not any(one.startswith(f'{stem}.') for one in given):
        stem = stem.rpartition('.')[0]
    level = stem.count('.') + 1 if stem else 0
    fits = [one for one in given if one.count('.') == level and one.startswith(stem)]
    problem = 'gives no map and no tokens' if name in modules else 'is not in the model'
    shown = ', '.join((fits or list(given))[-8:]) or 'no layer that does'
    raise UsageError(f"layer '{name}' {problem}: take one such as {shown}")


def _last_norm(
    modules: dict[str, nn.Module], given: dict[str, str], before_attention: bool
) -> str | None:
    """The last norm that gives tokens; of those in front of the last attention, if asked."""
    tokens = [name for name, kind in given.items() if kind == 'tokens']
    if before_attention:
        places = [k for k, name in enumerate(tokens) if 'Attention' in type(modules[name]).__name__]
        tokens = tokens[: places[-1]] if places else tokens
    norms = [name for name in tokens if isinstance(modules[name], NORMS)]
    return norms[-1] if norms else None


@contextmanager
def tapped(model: BaseModel, layer: nn.Module, size: Size) -> Iterator[nn.Module]:
    """Let the output of a layer pass, as a map (N, C, h, w), through a module that is yielded.

    The module changes nothing; hooks on it see the map, whatever form the layer gives it. Forward
    passes of other threads stay as they are.

    Args:
        model: With a ``backbone``.
        layer: One of the model's modules.
        size: Height and width of the input; tokens lie on a grid of about that shape.
    """
    tap, thread, extra = nn.Identity(), threading.get_ident(), _extra_tokens(model)

    def pass_through(_: nn.Module, __: Any, output: Any) -> Any:
        if threading.get_ident() != thread:
            return None
        place, tensor = _pick(output)
        if tensor is None:
            raise UsageError(f'a {type(layer).__name__} gives no map: heat maps need one')
        if tensor.dim() == 4:
            changed = tap(tensor).clone()  # the layer behind may work in place
        else:
            grid = _layout(tensor.shape[1], extra, size)
            if grid is None:
                raise UsageError(f'a {type(layer).__name__} gives no map: heat maps need one')
            rest, h, w = grid
            maps = tensor[:, rest:].transpose(1, 2).unflatten(2, (h, w))  # (N, C, h, w)
            tokens = tap(maps).flatten(2).transpose(1, 2)
            changed = torch.cat([tensor[:, :rest], tokens], 1)
        if place is None:
            return changed
        return type(output)([*output[:place], changed, *output[place + 1 :]])

    handle = layer.register_forward_hook(pass_through)
    try:
        yield tap
    finally:
        handle.remove()


def _pick(output: Any) -> tuple[int | None, Tensor | None]:
    """The last tensor of an output that has positions, and its place in a tuple."""
    if isinstance(output, Tensor):
        return None, output if output.dim() in (3, 4) else None
    if isinstance(output, (tuple, list)):
        for place in reversed(range(len(output))):
            if isinstance(output[place], Tensor) and output[place].dim() in (3, 4):
                return place, output[place]
    return None, None


def _outputs(model: BaseModel, inputs: Tensor) -> dict[str, str]:
    """Which layers of the backbone give a 'map' or 'tokens', in the order in which they end."""
    given: dict[str, str] = {}
    thread, extra = threading.get_ident(), _extra_tokens(model)
    size = (inputs.shape[-2], inputs.shape[-1])

    def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def look(_: nn.Module, __: Any, output: Any) -> None:
            if threading.get_ident() != thread:
                return
            given.pop(name, None)
            tensor = _pick(output)[1]
            if tensor is None or len(tensor) != len(inputs):
                return
            if tensor.dim() == 4:
                if tensor.shape[2] * tensor.shape[3] > 1:
                    given[name] = 'map'
            elif _layout(tensor.shape[1], extra, size) is not None:
                given[name] = 'tokens'

        return look

    named = model.backbone.named_modules(prefix='backbone')
    handles = [module.register_forward_hook(watch(name)) for name, module in named]
    try:
        with torch.no_grad():
            model.backbone(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return given


def _extra_tokens(model: BaseModel) -> int:
    """Tokens of a transformer that stand in front of those of the image."""
    return int(getattr(model.backbone, 'num_extra_tokens', 0) or 0)


def _layout(length: int, extra: int, size: Size) -> tuple[int, int, int] | None:
    """How L tokens lie on the input: tokens in front, rows, columns; None where they do not.

    The grid whose shape is nearest to the input's, with the extra tokens in front or, as in a
    patch embedding, without.
    """
    fits = []
    for rest in {extra, 0}:
        for h in range(1, length - rest + 1):
            if (length - rest) % h == 0:
                w = (length - rest) // h
                fits.append((abs(math.log(h / w * size[1] / size[0])), rest, h, w))
    if not fits:
        return None
    off, rest, h, w = min(fits)
    # Patches are square, but the last row or column may lack up to one.
    return (rest, h, w) if off <= 1 / h + 1 / w and h * w > 1 else None
