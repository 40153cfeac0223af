"""What every tab gets: the engine, the reader's language, the page's shared choices, its clock, and its manners.

A tab calls `shell.engine` and nothing behind it. It shows texts with `shell.text(Text(...))` and makes HTML with
`text.to(shell.lang(request))`. Handlers are wrapped in `shell.safe`, so that a `WorkbenchError` becomes a message for people.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.engine.session import Session
from workbench.ui.language import Words, language_of
from workbench.ui.live import Live

log = logging.getLogger(__name__)

# Encrypts nothing that is secret: the browser's store holds ids only. Fixed, so that they survive a restart.
_STORE_KEY = "workbench-choices"
_PROBLEM = Text("This did not work", "操作未成功")
_BUG = Text(
    "The workbench made a mistake ({kind}). Your runs are safe. Try again; if it happens again, restart the workbench "
    "and look into its log.",
    "工作台内部出错了（{kind}）。你的运行不受影响。请重试；若再次出现，请重启工作台并查看日志。",
)
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


BESIDE = 50  # milliseconds in which several choices make one beat


@dataclass
class _Part:
    """One of the handlers that share an event of the page."""

    handler: Callable[..., Any]
    inputs: list[Any]
    outputs: list[Any]


@dataclass
class Shell:
    """Passed to every tab; made inside the page's `gr.Blocks`.

    Args:
        engine: the one engine of this process.
        page: the page.
        default_lang: for readers whose browser names neither English nor Chinese.
    """

    engine: Session
    page: gr.Blocks
    default_lang: str = "en"
    words: Words = field(default_factory=Words)
    tabs: gr.Tabs = field(init=False)
    shared: dict[str, Any] = field(default_factory=dict)
    """Components that a tab lends to others, e.g. `shared["train.method"]`; read in `bind`, never in `build`."""

    def __post_init__(self) -> None:
        self._ticks: list[_Part] = []
        self._loads: list[_Part] = []
        self._loaded: list[tuple[str, list[Any]]] = []
        self.model = gr.BrowserState("starter", storage_key="workbench-model", secret=_STORE_KEY)
        self.dataset = gr.BrowserState("", storage_key="workbench-dataset", secret=_STORE_KEY)
        self.run = gr.BrowserState("", storage_key="workbench-run", secret=_STORE_KEY)
        # Here and not on its tab: what lies on a tab that was never opened is not read from the browser.
        self.form = gr.BrowserState("", storage_key="workbench-form", secret=_STORE_KEY)
        """The visitor's id, under which the engine keeps the draft of the run (`workbench.ui.drafting`)."""
        self.tab = gr.BrowserState("", storage_key="workbench-tab", secret=_STORE_KEY)
        """The tab that was open last; a reload (the language switch is one) opens it again."""
        self.live = Live(self._state)
        self._unseen: list[gr.Button] = []
        self.beat = self.unseen("beat")

    # -- language ---------------------------------------------------------------------------------------------------

    def text(self, text: Text) -> Any:
        """`text` for a component: label, info, placeholder, button, Markdown, accordion, choice name.

        Only for texts known when the page is built. A text with values made later (a name, a number) is
        `text.to(shell.lang(request))`.
        """
        return self.words.marker(text)

    def lang(self, request: gr.Request | None) -> str:
        """The reader's language, "en" or "zh", for HTML, toasts and values that change."""
        return language_of(request, self.default_lang)

    # -- pieces of a tab ----------------------------------------------------------------------------------------------

    def lead(self, text: Text) -> gr.Markdown:
        """The sentence at the top of a tab that says what it is for."""
        return gr.Markdown(self.text(text), elem_classes="lead")

    def next_button(self, text: Text, tab_id: str, elem_id: str | None = None, filled: bool = True) -> gr.Button:
        """The button at the end of a tab, which opens the next one; `filled` unless the tab has something to do first."""
        look: dict[str, Any] = {"variant": "primary"} if filled else {"elem_classes": "outlined"}
        with gr.Row(elem_classes="next-row"):
            button = gr.Button(self.text(text), scale=0, min_width=200, elem_id=elem_id, **look)
        button.click(lambda: self.go(tab_id), outputs=self.tabs, **QUIET)
        return button

    def go(self, tab_id: str) -> Any:
        """What a handler returns for the output `shell.tabs` in order to open a tab."""
        return gr.Tabs(selected=tab_id)

    def unseen(self, elem_id: str) -> gr.Button:
        """A button that only scripts press (`press`).

        The style sheet hides it: Gradio does not draw what is invisible, nor what lies on a tab that was never opened.
        """
        button = gr.Button("", elem_id=elem_id, elem_classes="unseen", render=False)
        self._unseen.append(button)
        return button

    def place_unseen(self) -> None:
        """Put those buttons on the page; called once, by the page, outside the tabs."""
        for button in self._unseen:
            button.render()

    # -- clock --------------------------------------------------------------------------------------------------------

    def on_tick(self, handler: Callable[..., Any], inputs: Sequence[Any] = (), outputs: Sequence[Any] = ()) -> None:
        """Call `handler` when runs came, went or changed their state, and once a second while the reader does something.

        For what only changes then; what moves while people just look (a step, a loss) is a live piece (`shell.live`).
        All handlers of the page share one request. The handler is quick, takes `inputs` in order (and
        `request: gr.Request` where it wants), and returns one value per output, or `gr.skip()` when nothing changed. An
        output belongs to one tick handler only.
        """
        self._ticks.append(_Part(handler, list(inputs), list(outputs)))

    def on_load(self, handler: Callable[..., Any], inputs: Sequence[Any] = (), outputs: Sequence[Any] = ()) -> None:
        """Call `handler` when somebody opens or reloads the page; as with `on_tick`, all share one request and no output."""
        self._loads.append(_Part(handler, list(inputs), list(outputs)))

    def after_load(self, js: str, inputs: Sequence[Any]) -> None:
        """Run a script with these values when the page shows what its load handlers answered."""
        self._loaded.append((js, list(inputs)))

    def start_clock(self) -> None:
        """Bind the collected handlers to the page and to the beat; called once, by the page, after everything is built."""
        call, inputs, outputs = _together("load", self._loads)
        loaded = self.page.load(self.safe(call), inputs, outputs, **QUIET)
        for js, given in self._loaded:
            loaded.then(None, given, None, js=js)
        call, inputs, outputs = _together("beat", self._ticks)
        self.beat.click(self.safe(call), inputs, outputs, trigger_mode="always_last", **QUIET)
        # What a page remembers comes from the browser piece by piece: that is one beat, not one for each.
        chosen = {item._id: item.change for item in inputs if isinstance(item, gr.BrowserState)}
        gr.on([*chosen.values()], None, None, None, js=_BEAT_SOON % {"wait": BESIDE, "press": press(self.beat)})

    def _state(self) -> Any:
        """What decides whether tick handlers look again."""
        running = self.engine.status().running  # for a moment after its end it still is
        runs = [(run.id, run.name, run.status, run.started, run.has_result) for run in self.engine.runs()]
        jobs = [(job.id, job.status, job.dismissed) for job in self.engine.jobs()]
        return running and running.id, runs, jobs

    # -- manners ------------------------------------------------------------------------------------------------------

    def safe(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a handler (a function or a generator): what goes wrong reaches the reader as a sentence.

        A handler that takes any number of values (`*values`) asks for the request as a keyword: gradio gives it to
        positional parameters only, so it is given here.
        """
        asked = inspect.signature(handler).parameters.get("request")
        keyword = asked is not None and asked.kind is inspect.Parameter.KEYWORD_ONLY

        def told(error: BaseException) -> gr.Error:
            lang = self.lang(current_request())
            if isinstance(error, WorkbenchError):
                return toast(error.to(lang), _PROBLEM.to(lang))
            log.exception("handler %s", getattr(handler, "__qualname__", handler), exc_info=error)
            return toast(_BUG.with_(kind=type(error).__name__).to(lang), _PROBLEM.to(lang))

        if inspect.isgeneratorfunction(handler):

            @functools.wraps(handler)
            def stream(*args: Any, **kwargs: Any) -> Any:
                if keyword:
                    kwargs.setdefault("request", current_request())
                try:
                    yield from handler(*args, **kwargs)
                except (gr.Error, GeneratorExit):
                    raise
                # The page's boundary: the reader gets a sentence, the log the traceback. A library that wants to end
                # the program would end the server's loop.
                except (Exception, SystemExit) as error:
                    raise told(error) from None

            return stream

        @functools.wraps(handler)
        def call(*args: Any, **kwargs: Any) -> Any:
            if keyword:
                kwargs.setdefault("request", current_request())
            try:
                return handler(*args, **kwargs)
            except gr.Error:
                raise
            except (Exception, SystemExit) as error:  # see above
                raise told(error) from None

        return call

    def info(self, text: Text, request: gr.Request | None = None) -> None:
        """A small message in the corner. Needs a handler that is queued (not `queue=False`)."""
        lang = self.lang(request or current_request())
        gr.Info(text.to(lang), title=Text("Done", "完成").to(lang))

    def warn(self, text: Text, request: gr.Request | None = None) -> None:
        """The same, for something that went differently than expected."""
        lang = self.lang(request or current_request())
        gr.Warning(text.to(lang), title=Text("Please note", "请注意").to(lang))


def made_html(value: str = "", **options: Any) -> gr.HTML:
    """A place for HTML made by the workbench. Without Gradio's script for clicks, which the page would hold once for each."""
    return gr.HTML(value, padding=False, js_on_load=None, **options)


def press(button: gr.Button) -> str:
    """The script that presses a button of `Shell.unseen`: `event.then(None, None, None, js=press(button))`."""
    return f"() => {{ document.querySelector('button#{button.elem_id}')?.click() }}"


_BEAT_SOON = """() => {
  clearTimeout(window.workbenchBeat);
  window.workbenchBeat = setTimeout(%(press)s, %(wait)d);
}"""


def toast(message: str, title: str) -> gr.Error:
    """An error message for the corner of the page; raise it."""
    return gr.Error(message, title=title, print_exception=False, duration=15)


def current_request() -> gr.Request | None:
    """The request that is being answered, also where the handler does not take it."""
    from gradio.context import LocalContext

    return LocalContext.request.get(None)


def _together(name: str, parts: list[_Part]) -> tuple[Callable[..., Any], list[Any], list[Any]]:
    """One handler for all, called `name`, its inputs and its outputs. What goes wrong in one is logged and changes nothing."""
    outputs = [item for part in parts for item in part.outputs]
    if len({item._id for item in outputs}) < len(outputs):
        raise ValueError("two handlers of one event want to write the same component")

    def call(*values: Any) -> Any:
        request, results, position = current_request(), [], 0
        for part in parts:
            given = values[position : position + len(part.inputs)]
            position += len(part.inputs)
            try:
                results += _as_list(_call(part.handler, given, request), len(part.outputs))
            except WorkbenchError:  # what it shows was deleted meanwhile, say
                results += [gr.skip()] * len(part.outputs)
            except Exception:  # the boundary: the others go on
                log.exception("handler %s", getattr(part.handler, "__qualname__", part.handler))
                results += [gr.skip()] * len(part.outputs)
        if all(_is_skip(result) for result in results):
            return gr.skip()
        return results if len(results) != 1 else results[0]

    call.__name__ = name
    return call, [item for part in parts for item in part.inputs], outputs


def _call(handler: Callable[..., Any], given: Sequence[Any], request: gr.Request | None) -> Any:
    if "request" in inspect.signature(handler).parameters:
        return handler(*given, request=request)
    return handler(*given)


def _is_skip(result: Any) -> bool:
    return isinstance(result, dict) and result == gr.skip()


def _as_list(result: Any, count: int) -> list[Any]:
    if count == 0:
        return []
    if _is_skip(result):
        return [gr.skip()] * count
    return [result] if count == 1 else list(result)
