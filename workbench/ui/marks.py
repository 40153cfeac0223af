"""Problems at their fields: one value for all of the form, and the script that puts each sentence where it belongs.

A place of its own at every field would be a component each, sent with the page although nearly all of them stay empty.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import gradio as gr

# A field may be drawn later than its problem is known (its section just opens) or anew: what is drawn is watched.
_PLACE = """said => {
  const marks = window.workbenchMarks ??= { said: {} };
  const input = field => field.querySelector('input, textarea');
  marks.said = JSON.parse(said || '{}');
  marks.place ??= () => {
    for (const [name, words] of Object.entries(marks.said)) {
      const field = document.getElementById(`field-${name}`), id = `problem-${name}`;
      if (!field) continue;
      let place = document.getElementById(id);
      if (!place) {
        place = Object.assign(document.createElement('div'), { id, className: 'problem' });
        place.append(document.createElement('p'));
        place.firstChild.setAttribute('role', 'alert');
        field.append(place);
      }
      if (place.textContent !== words) place.firstChild.textContent = words;
      input(field)?.setAttribute('aria-invalid', 'true');
      input(field)?.setAttribute('aria-describedby', id);
    }
  };
  for (const place of document.querySelectorAll('.field > .problem')) {
    if (place.id.slice('problem-'.length) in marks.said) continue;
    for (const name of ['aria-invalid', 'aria-describedby']) input(place.parentElement)?.removeAttribute(name);
    place.remove();
  }
  if (!marks.watch) {
    marks.watch = new MutationObserver(() => {
      if (Object.keys(marks.said).length) marks.soon ??= requestAnimationFrame(() => { marks.soon = null; marks.place(); });
    });
    marks.watch.observe(document.body, { childList: true, subtree: true });
  }
  marks.place();
}"""


class Marks:
    """The sentences that stand at fields now; made inside the page's layout."""

    def __init__(self) -> None:
        self.said = gr.Textbox("", visible=False)
        """By the name of the field, as JSON."""
        self.said.change(None, self.said, None, js=_PLACE)

    @staticmethod
    def value(sentences: Mapping[str, str]) -> str:
        """For `said`: a sentence a field, by the end of the field's id (`field-<name>`)."""
        return json.dumps(sentences, ensure_ascii=False) if sentences else ""
