# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""How the searches scale: time an image against labels, beams and batch size."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, ScalarFormatter
from points import Row

__all__ = ['plot_scaling']

#: Colour (Okabe and Ito's, told apart by colour-blind readers), marker and line of each method.
STYLES = {
    'loop_paths': ('#999999', 'x', '-'),
    'loop_images': ('#999999', '+', '--'),
    'textbook': ('#D55E00', 's', '-'),
    'hugging_face': ('#CC79A7', 'D', '-'),
    'generic': ('#E69F00', '^', '-'),
    'cold': ('#56B4E9', 'v', '-'),
    'warm': ('#0072B2', 'o', '-'),
    'seen': ('#0072B2', '.', ':'),
    'best_first': ('#009E73', 'P', '-'),
}
AXES = (
    ('num_labels', 'labels C'),
    ('beam_size', 'beams B'),
    ('batch_size', 'images a batch N'),
)


def plot_scaling(path: Path, rows: Sequence[Row], centre: dict[str, int], title: str) -> None:
    """Draw one panel an axis, the other two at the centre; y is milliseconds an image.

    Args:
        path: The PNG.
        rows: Rows of one kind of weights.
        centre: C, B and N at the centre, by the names of :class:`Row`.
        title: What was run.
    """
    figure, panels = plt.subplots(1, 3, figsize=(13, 5.2), sharey=True, layout='constrained')
    for panel, (axis, label) in zip(panels, AXES, strict=True):
        others = {key: centre[key] for key, _ in AXES if key != axis}
        chosen = [row for row in rows if all(getattr(row, k) == v for k, v in others.items())]
        _draw(panel, chosen, axis)
        panel.set_xlabel(f'{label}   ({", ".join(_fixed(k, v) for k, v in others.items())})')
    panels[0].set_ylabel('milliseconds an image, less is better')
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc='outside lower center', ncols=4, frameon=False)
    figure.suptitle(title, x=0.01, ha='left', fontsize=11)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _draw(panel: Axes, rows: Sequence[Row], axis: str) -> None:
    values = sorted({getattr(row, axis) for row in rows})
    for method, (colour, marker, line) in STYLES.items():
        points = sorted((getattr(row, axis), row) for row in rows if row.method == method)
        if not points:
            continue
        places = [place for place, _ in points]
        images = [row.batch_size for _, row in points]
        middle = [row.ms / n for (_, row), n in zip(points, images, strict=True)]
        low = [row.ms_min / n for (_, row), n in zip(points, images, strict=True)]
        high = [row.ms_max / n for (_, row), n in zip(points, images, strict=True)]
        panel.plot(
            places, middle, color=colour, marker=marker, linestyle=line, label=points[0][1].name
        )
        panel.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
    _draw_backbones(panel, rows, axis)
    panel.set_xscale('log')
    panel.set_yscale('log')
    panel.xaxis.set_major_locator(FixedLocator(values))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(ScalarFormatter())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
    panel.grid(axis='y', color='#dddddd', linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[['top', 'right']].set_visible(False)


def _draw_backbones(panel: Axes, rows: Sequence[Row], axis: str) -> None:
    """The forward time of each backbone, for scale."""
    if not rows:
        return
    for name, line in zip(rows[0].backbone_share, ((0, (1, 1.5)), (0, (4, 2))), strict=False):
        times = {
            getattr(row, axis): row.ms / row.backbone_share[name] / row.batch_size for row in rows
        }
        places = sorted(times)
        panel.plot(
            places,
            [times[place] for place in places],
            color='black',
            linewidth=1,
            linestyle=line,
            label=f'{name} forward',
        )


def _fixed(axis: str, value: int) -> str:
    return f'{dict(num_labels="C", beam_size="B", batch_size="N")[axis]} = {value}'
