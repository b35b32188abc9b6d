# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A prediction, as the inferencer gives it, in HTML. Nothing here knows a model or Gradio.

Every name goes through :func:`escape`. An entry is what ``MultiLabelInferencer`` gives for a photo.
"""

from collections.abc import Collection, Mapping, Sequence

from .uploaded_photo import UploadedPhoto
from .wording import escape, interval, percent, times

__all__ = [
    'alternatives_html',
    'labels_html',
    'marginals_html',
    'message_html',
    'photo_html',
]

#: Colours of regions, in the order of the labels, of Okabe and Ito, which colour-blind readers can
#: tell apart.
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9')

#: Photos of fewer pixels a side are enlarged without smoothing.
SMALL = 160


def message_html(text: str, kind: str = 'error') -> str:
    """A line that says what went wrong ('error') or what to do ('hint')."""
    role = 'alert' if kind == 'error' else 'status'
    return f'<div class="message {kind}" role="{role}">{escape(text)}</div>' if text else ''


def photo_html(photo: UploadedPhoto, entry: Mapping) -> str:
    """The photo, with the regions of its labels where the model has some."""
    width, height = photo.size
    small = ' small' if max(width, height) < SMALL else ''
    boxes, pairs = [], zip(entry['labels'], entry.get('regions') or (), strict=False)
    for place, (label, box) in enumerate(pairs):
        if box is None:
            continue
        left, top, right, bottom = (min(max(100 * edge, 0), 100) for edge in box)
        boxes.append(
            f'<span class="region" title="{escape(label)}" style="left:{left:.2f}%;top:{top:.2f}%;'
            f'width:{right - left:.2f}%;height:{bottom - top:.2f}%;'
            f'--mark:{COLOURS[place % len(COLOURS)]}"><b>{place + 1}</b></span>'
        )
    note = '<p class="note">A box is where the model found the label of that number.</p>'
    return (
        f'<figure class="photo{small}"><div class="frame"><img src="{photo.picture}" '
        f'alt="the photo">{"".join(boxes)}</div><figcaption>{escape(photo.name)} · '
        f'{width:,} × {height:,} pixels</figcaption></figure>{note if boxes else ""}'
    )


def labels_html(entry: Mapping, known: Collection[str] = ()) -> str:
    """The answer: labels in path order with their probabilities, and how sure it is."""
    if entry.get('path_prob') is None:
        return _scores(entry) + (
            '<p class="note">This model scores each label by itself, so there is no order of '
            'labels, and no probability of all of them together.</p>'
        )
    chips, note = _steps(entry, known), ''
    if entry['labels'] != entry['path']:
        note = '<p class="note">The model answers with:</p>' + _scores(entry)
        note += '<p class="note">Its most probable path of labels is another:</p>'
    return (
        f'{note}{chips}<p class="note">The model names labels one after another. Under each: its '
        'probability, given the photo and the labels before it; under <i>end</i>: that no more '
        f'labels follow.</p><dl class="facts">{"".join(_facts(entry))}</dl>'
    )


def _steps(entry: Mapping, known: Collection[str]) -> str:
    steps = entry['step_probs']
    chips = [
        _chip(place, label, 'known' if label in known else percent(step))
        for place, (label, step) in enumerate(zip(entry['path'], steps, strict=False), start=1)
    ]
    end = f'<li class="chip end"><span>end</span><em>{percent(steps[-1])}</em></li>'
    nothing = '' if chips else '<p>The model names nothing in this photo.</p>'
    return f'{nothing}<ol class="chips">{"".join(chips)}{end}</ol>'


def _facts(entry: Mapping) -> list[str]:
    facts = [_fact('These labels in this order', percent(entry['path_prob']))]
    if entry.get('set_prob') is not None:
        facts.append(_fact('These labels in any order', interval(*entry['set_prob'])))
    if entry.get('proven'):
        proof = '<span class="yes">proven:</span> no allowed answer is more probable'
    else:
        proof = (
            f'<span class="no">not proven:</span> another answer could be up to '
            f'{times(entry["gap"])} as probable'
            if entry.get('gap') is not None
            else '<span class="no">not proven</span>'
        )
    return [*facts, _fact('Most probable answer', proof)]


def _fact(name: str, value: str) -> str:
    return f'<div><dt>{name}</dt><dd>{value}</dd></div>'


def _chip(place: int, label: str, below: str) -> str:
    colour = COLOURS[(place - 1) % len(COLOURS)]
    return (
        f'<li class="chip" style="--mark:{colour}"><b>{place}</b><span>{escape(label)}</span>'
        f'<em>{below}</em></li>'
    )


def _scores(entry: Mapping) -> str:
    scores = {one['label']: one['score'] for one in entry['marginals']}
    chips = [
        _chip(place, label, percent(scores[label]))
        for place, label in enumerate(entry['labels'], start=1)
    ]
    nothing = '' if chips else '<p>No label has a score that is high enough.</p>'
    return f'{nothing}<ol class="chips">{"".join(chips)}</ol>'


def marginals_html(entry: Mapping, fixed: Mapping[str, str]) -> str:
    """All labels with their probabilities, best first.

    Args:
        entry: The prediction.
        fixed: Labels that the visitor settled, and how: 'known', 'required' or 'forbidden'.
    """
    rows, bounded = [], False
    for one in entry['marginals']:
        lower, upper, band, note = one.get('lower'), one.get('upper'), '', ''
        if one['label'] in fixed:
            note = fixed[one['label']]
        elif lower is not None and upper is not None:
            bounded, note = True, interval(lower, upper)
            band = (
                f'<i class="band" style="left:{100 * lower:.2f}%;'
                f'width:{max(100 * (upper - lower), 0.4):.2f}%"></i>'
            )
        rows.append(
            f'<tr><th scope="row">{escape(one["label"])}</th><td class="number">'
            f'{percent(one["score"])}</td><td class="bar"><div><i class="fill" '
            f'style="width:{100 * one["score"]:.2f}%"></i>{band}</div></td>'
            f'<td class="bounds">{note}</td></tr>'
        )
    last = '<th scope="col">certified</th>' if bounded else '<th scope="col"></th>'
    note = 'How probable it is that the photo has the label, whatever the others are.'
    if bounded:
        note += (
            ' The bar is the score that the model gives. The dark line shows between which bounds '
            'the probability under the label paths is certain to lie; a model that also scores '
            'each label by itself mixes both, so its bar may end beside the line.'
        )
    return (
        f'<p class="note">{note}</p><div class="scroll" tabindex="0"><table><thead><tr>'
        '<th scope="col">label</th><th scope="col">probability</th><th></th>'
        f'{last}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def alternatives_html(entry: Mapping) -> str:
    """The next best answers."""
    others: Sequence[Mapping] = entry.get('alternatives') or ()
    if not others:
        return '<p class="note">There are no other answers to show.</p>'
    rows = [
        f'<tr><td class="number">{percent(one["prob"])}</td>'
        f'<td>{escape(" → ".join(one["labels"])) or "<i>nothing</i>"}</td></tr>'
        for one in others
    ]
    return (
        '<p class="note">The next most probable answers, as labels in the order in which the model '
        'names them.</p><table><thead><tr><th scope="col">probability</th><th scope="col">labels'
        f'</th></tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )
