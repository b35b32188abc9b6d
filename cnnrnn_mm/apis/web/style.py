# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""How the page looks: one style sheet, fonts of the reader's own system, light and dark."""

__all__ = ['FONTS', 'MONO_FONTS', 'STYLE']

FONTS = ('system-ui', '-apple-system', 'Segoe UI', 'Roboto', 'Noto Sans', 'sans-serif')
MONO_FONTS = ('ui-monospace', 'Consolas', 'DejaVu Sans Mono', 'monospace')

STYLE = """
.gradio-container { max-width: 1240px !important; margin: 0 auto !important;
  --body-text-color-subdued: #5b6470; --block-info-text-color: #5b6470;
  --border-color-primary: #d5dae0; }
.dark.gradio-container, .dark .gradio-container {
  --body-text-color-subdued: #a9b2bd; --block-info-text-color: #a9b2bd;
  --border-color-primary: #3c434d; }
.gradio-container h1 { font-size: 1.6rem; margin: 0.2rem 0; font-weight: 650; }
.page-head p { margin: 0 0 0.4rem; color: var(--body-text-color-subdued); }
#layout { display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 7fr); gap: 16px;
  grid-template-areas: "give answer" "wish answer"; grid-template-rows: auto 1fr; }
#give { grid-area: give; } #answer { grid-area: answer; } #wish { grid-area: wish; }
#layout > * { min-width: 0 !important; }
#message:not(:has(.message)), #photo:not(:has(img)), #tree:not(:has(p)), #every:not(:has(p)),
#maps:not(:has(p, .message)), #near:not(:has(p)), #others:not(:has(p)) { display: none; }
#labels, #tree, #every, #maps, #near, #others { background: var(--block-background-fill);
  border: 1px solid var(--border-color-primary); border-radius: var(--radius-lg);
  padding: 16px 18px !important; min-height: 60px; }
#layout .html-container, .page-head .html-container { padding: 0 !important; }
.page-head { padding: 0 2px !important; }
.note { color: var(--body-text-color-subdued); font-size: 0.86rem; line-height: 1.4;
  margin: 0 0 0.6rem; }
.message { border-radius: var(--radius-md); padding: 10px 14px; line-height: 1.4;
  overflow-wrap: anywhere; }
.message.error { background: #fdecea; color: #7f1d1d; border: 1px solid #f3b4ae; }
.message.hint { background: #e8f1fb; color: #12395f; border: 1px solid #b5d2ef; }
.dark .message.error { background: #46191a; color: #ffd9d6; border-color: #7f2f2c; }
.dark .message.hint { background: #14304d; color: #d5e7fa; border-color: #2c5580; }
#photo .note { text-align: center; margin: 4px 0 0; }
.photo { margin: 0; }
.photo { text-align: center; }
.photo .frame { position: relative; display: inline-block; max-width: 100%; line-height: 0; }
.photo img { max-width: 100%; max-height: 400px; min-width: 200px;
  border-radius: var(--radius-md); }
.photo.small img { width: 240px; image-rendering: pixelated; }
.photo figcaption { text-align: center; font-size: 0.82rem; margin-top: 6px; line-height: 1.3;
  color: var(--body-text-color-subdued); overflow-wrap: anywhere; }
.photo .region { position: absolute; border: 2px solid var(--mark);
  box-shadow: 0 0 0 1px rgb(255 255 255 / 75%); }
.photo .region b { position: absolute; left: 0; top: 0; background: var(--mark); color: #fff;
  font-size: 0.75rem; line-height: 1.25; padding: 0 5px; }
.chips { list-style: none; display: flex; flex-wrap: wrap; gap: 8px; padding: 0 !important;
  margin: 0 0 0.4rem !important; }
.chip { display: grid; grid-template-columns: auto auto; column-gap: 8px; align-items: center;
  border: 1px solid var(--border-color-primary); border-left: 5px solid var(--mark, #888);
  border-radius: var(--radius-md); padding: 5px 12px 5px 9px; margin: 0 !important;
  background: var(--background-fill-secondary); max-width: 100%; }
.chip b { grid-row: 1 / 3; font-size: 1.05rem; color: var(--body-text-color-subdued); }
.chip span { font-weight: 650; font-size: 1.05rem; line-height: 1.25; overflow-wrap: anywhere; }
.chip em { grid-column: 2; font-style: normal; font-size: 0.83rem; line-height: 1.25;
  color: var(--body-text-color-subdued); font-variant-numeric: tabular-nums; }
.chip.end { border: none; background: none; padding-left: 4px; }
.chip.end span, .chip.end em { grid-column: 1; font-weight: 400; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 10px;
  margin: 0.7rem 0 0; }
.facts div:last-child { min-width: min(260px, 100%); }
.facts dt { font-size: 0.83rem; color: var(--body-text-color-subdued); }
.facts dd { margin: 0; font-weight: 600; line-height: 1.35; font-variant-numeric: tabular-nums; }
.facts .yes { color: #0b7a53; } .facts .no { color: #a15c00; }
.dark .facts .yes { color: #4fd1a1; } .dark .facts .no { color: #f0b45c; }
.scroll { max-height: 420px; overflow-y: auto; }
#answer table { width: 100%; border: none !important; border-collapse: collapse; margin: 0;
  font-size: 0.92rem; }
#answer thead, #answer tbody, #answer tr { border: none !important; }
#answer th, #answer td { text-align: left; padding: 4px 8px; border: none !important;
  font-weight: 400; overflow-wrap: break-word;
  border-bottom: 1px solid var(--border-color-primary) !important; }
#answer thead th { position: sticky; top: 0; z-index: 1; font-size: 0.8rem;
  color: var(--body-text-color-subdued); background: var(--block-background-fill); }
#answer .number, #answer .bounds { white-space: nowrap; font-variant-numeric: tabular-nums; }
#answer .bounds, #answer .around { color: var(--body-text-color-subdued); font-size: 0.84rem; }
#answer .bar { width: 38%; min-width: 70px; }
.bar div { position: relative; height: 12px; border-radius: 3px;
  background: var(--border-color-primary); }
.bar i { position: absolute; display: block; }
.bar .fill { left: 0; top: 0; bottom: 0; background: #56a0d3; border-radius: 3px; }
.bar .band { top: 4px; height: 4px; background: var(--body-text-color); border-radius: 2px; }
#tree img { display: block; max-width: 100%; height: auto; border-radius: var(--radius-sm); }
.maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); gap: 12px; }
.maps figure { margin: 0; }
.maps img { width: 100%; border-radius: var(--radius-sm); }
.maps figcaption { font-size: 0.86rem; line-height: 1.3; overflow-wrap: anywhere; }
.placeholder { color: var(--body-text-color-subdued); padding: 1.6rem 1rem; text-align: center; }
@media (max-width: 720px) {
  .gradio-container .main { padding: 10px !important; }
  .gradio-container h1 { font-size: 1.3rem; }
  #layout { grid-template-columns: minmax(0, 1fr); grid-template-rows: none;
    grid-template-areas: "give" "answer" "wish"; }
  #labels, #tree, #every, #maps, #near, #others { padding: 12px !important; }
  #answer .bounds, #every thead th:nth-child(4), #near .bar, #near thead th:nth-child(3) {
    display: none; }
  .maps { grid-template-columns: repeat(2, minmax(0, 1fr)); }
}
"""
