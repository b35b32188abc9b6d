# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The page's parts, and what happens when they are used."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .page_events import Changes, PageEvents
from .wording import escape

if TYPE_CHECKING:
    import gradio as gr

__all__ = ['build_page']

#: Seconds for which a photo is kept after the last look at it, and uploads at most.
KEPT = 3600
EMPTY = '<p class="placeholder">Labels appear here once there is a photo.</p>'
#: Tabs under the answer, for models without and with label paths.
TABS = {
    False: dict(every='All labels', maps='Heat maps', near='Near labels'),
    True: dict(
        tree='Paths',
        every='All labels',
        maps='Heat maps',
        near='Near labels',
        others='Other answers',
    ),
}
WISHES = dict(
    forbidden=('Must not contain', 'Labels that the answer may not hold.'),
    required=('Must contain', 'Labels that the answer has to hold.'),
    known=('Known labels', 'Labels that are settled already. "Find more" fills this in.'),
)
METHODS = {'Grad-CAM': 'grad_cam', 'Deconvolution': 'deconvolution'}


def build_page(events: PageEvents, name: str) -> 'gr.Blocks':
    """Lay out the page.

    Args:
        events: What it does.
        name: What the model is called.

    Returns:
        Gradio's page, not served yet. Gradio fetches nothing from an address for a client: in
        place of an upload, an address is an error.
    """
    import gradio as gr

    classes, has_paths = list(events.questions.classes), events.questions.has_paths
    with gr.Blocks(
        title='Labels of a photo', analytics_enabled=False, delete_cache=(600, KEPT)
    ) as page:
        part: dict[str, Any] = {}
        method: Any = None
        part['visit'] = gr.State(
            None,
            time_to_live=KEPT,
            delete_callback=lambda visit: visit is not None and visit.photo.discard(),
        )
        gr.HTML(_head(name, classes), elem_classes='page-head')
        with gr.Row(elem_id='layout'):
            with gr.Column(elem_id='give', min_width=280):
                part['drop'] = gr.File(
                    label='Photo', file_types=['image'], height=132, elem_id='drop'
                )
                part['message'] = gr.HTML(elem_id='message')
                part['photo'] = gr.HTML(elem_id='photo')
            with gr.Column(elem_id='answer', min_width=280):
                part['labels'] = gr.HTML(EMPTY, elem_id='labels')
                with gr.Tabs():
                    for key, label in TABS[has_paths].items():
                        with gr.Tab(label):
                            if key == 'maps':
                                method = gr.Radio(
                                    list(METHODS.items()), value='grad_cam', show_label=False
                                )
                            part[key] = gr.HTML(elem_id=key)
            with gr.Column(elem_id='wish', min_width=280, visible=has_paths):
                with gr.Group():
                    for key, (label, info) in WISHES.items():
                        part[key] = gr.Dropdown(
                            classes, multiselect=True, label=label, info=info, elem_id=key
                        )
                with gr.Row():
                    more = gr.Button('Find more', variant='primary', elem_id='find-more')
                    reset = gr.Button('Start again', elem_id='reset')
                part['more'] = gr.CheckboxGroup(visible=False, elem_id='more')
        _connect(events, part, method, more, reset)
    for block in page.blocks.values():
        block.async_move_resource_to_block_cache = _keep_inside(block)
    return page


def _connect(events: PageEvents, part: dict[str, Any], method: Any, more: Any, reset: Any) -> None:
    """Say what calls what. All that asks the model waits in one queue."""
    visit, tick = part['visit'], part['more']
    lists = [part['known'], part['required'], part['forbidden']]
    shared = dict(
        concurrency_id='model',
        concurrency_limit=1,
        api_visibility='private',
        outputs=list(part.values()),
        show_progress_on=[part['labels']],
    )
    answers = [
        part['drop'].upload(
            _with_parts(events.upload, part), [part['drop'], visit], preprocess=False, **shared
        ),
        more.click(_with_parts(events.find_more, part), [visit, *lists[1:]], **shared),
        reset.click(_with_parts(events.settle_nothing, part), [visit], **shared),
        tick.input(_with_parts(events.change, part), [visit, *lists, tick], **shared),
    ]
    for one in lists:
        answers.append(
            one.input(
                _with_parts(events.change, part),
                [visit, *lists],
                trigger_mode='always_last',
                **shared,
            )
        )
    attend = dict(shared, show_progress_on=[part['maps']])
    for one in answers:
        one.then(_with_parts(events.attend, part), [visit, method], **attend)
    method.input(_with_parts(events.attend, part), [visit, method], **attend)


def _with_parts(event: Callable[..., Changes], part: dict[str, Any]) -> Callable[..., dict]:
    """An event of Gradio's: its answer by component, and the likely labels as a component."""
    import gradio as gr

    def run(*args: Any) -> dict:
        changes = {**event(*args)}
        if 'more' in changes:
            shown = changes['more']
            changes['more'] = gr.update(value=[], visible=shown is not None, **(shown or {}))
        if changes.get('labels') == '':
            changes['labels'] = EMPTY
        return {part[key]: value for key, value in changes.items() if key in part}

    return run


def _keep_inside(block: Any) -> Callable:
    """The block's own way to take a file, but not from an address."""
    take = block.async_move_resource_to_block_cache

    async def take_upload(path: Any) -> str | None:
        if '://' in str(path):
            raise ValueError('an address stands where an upload should')
        return await take(path)

    return take_upload


def _head(name: str, classes: list[str]) -> str:
    return (
        f'<h1>What is in the photo?</h1><p>Drop a photo, and the model <b>{escape(name)}</b> names '
        f'what it sees, with {len(classes):,} labels to choose from. The photo goes to this server '
        'alone, which deletes it an hour after the last look at it.</p>'
    )
