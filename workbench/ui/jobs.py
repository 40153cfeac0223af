"""Everything that runs or waits, in one live piece: a list that the chip in the header opens, with Cancel and Resume.

It is the same on every tab, after a reload, and in a second window: it is made from what lies on the disk, whichever process
does the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from workbench.config.text import Text, size
from workbench.engine.job_views import TRAIN, JobView
from workbench.engine.session import Session
from workbench.ui import html
from workbench.ui.live import Live

PIECE, ONE, ROW = "jobs", "job", "job-row"
DOWNLOAD = "download"
OVER_SHOWN = 5  # jobs that are over, the newest that nobody has dismissed

COURSES = 4  # shown on a tab

CANCEL = Text("Cancel", "取消")
_STOP = Text("Stop and save", "停止并保存")
_RESUME = Text("Resume", "继续")
_DISMISS = Text("Dismiss", "移除")
_LEFT = Text("{time} left", "剩余 {time}")
_NOTHING = Text("Nothing runs and nothing waits.", "没有进行中或等待中的任务。")
_BEGUN = Text(
    "The download has begun: the bar at the top shows how far it is, and the Model tab, too.",
    "已开始下载，进度见页面顶部和“模型”页。",
)
_DONE_AGAIN = Text("It goes on from what is there, or is done again.", "会从已有的部分继续，或重新做一次。")


class JobPieces:
    """Declares the pieces `jobs` (all of them), `job` and `job-row` (one, by its id), and what their buttons do."""

    def __init__(self, engine: Session, live: Live) -> None:
        self.engine = engine
        live.piece(PIECE, self.list)
        live.piece(ONE, self.one)
        live.piece(ROW, self.row)
        live.deed("cancel", engine.stop)
        live.deed("resume", engine.resume_job)
        live.deed("dismiss", engine.dismiss)
        live.deed(DOWNLOAD, self.download)

    def list(self, key: str, lang: str) -> html.Markup:
        """What runs and waits, then what came to an end lately and was not dismissed."""
        jobs = self.engine.jobs()
        over = [job for job in jobs if not job.active and not job.dismissed][:OVER_SHOWN]
        shown = [*(job for job in jobs if job.active), *over]
        if not shown:
            return html.note(_NOTHING.to(lang))
        return html.join(row(job, lang) for job in shown)

    def download(self, repository: str) -> Text:
        """Begin the download of a model, and say where its progress is seen."""
        self.engine.download(repository)
        return _BEGUN

    def one(self, key: str, lang: str) -> html.Markup:
        """How far one is, for the tab that has begun it and has a button to stop it; empty when it is over."""
        job = self.engine.job(key)
        return bar(job, lang) if job.active else html.Markup("")

    def row(self, key: str, lang: str) -> html.Markup:
        """The same with a button to cancel it."""
        job = self.engine.job(key)
        return row(job, lang) if job.active else html.Markup("")


def row(job: JobView, lang: str) -> html.Markup:
    """One job with its buttons."""
    if job.active:
        words = (_STOP if job.kind == TRAIN else CANCEL).to(lang)
        buttons = button("cancel", job.id, words, job.stopping.to(lang), off=job.status == "stopping")
        return html.Markup(f'<div class="job">{bar(job, lang)}<div class="deeds">{buttons}</div></div>')
    why = job.error.to(lang) if job.error is not None else ""
    buttons = html.join(
        [
            button("resume", job.id, _RESUME.to(lang), _DONE_AGAIN.to(lang)) if job.resumable else "",
            button("dismiss", job.id, _DISMISS.to(lang), ""),
        ]
    )
    said = f'<p class="note">{html.esc(why)}</p>' if why else ""
    return html.Markup(
        f'<div class="job over"><div class="state"><b>{html.esc(job.title.to(lang))}</b>'
        f"<span>{html.esc(job.state.to(lang))}</span></div>{said}"
        f'<div class="deeds">{buttons}</div></div>'
    )


def course(live: Live, jobs: Iterable[JobView], lang: str, done: Callable[[JobView], Text]) -> html.Markup:
    """How far the newest of these jobs are, and what became of them: for the tab that starts them.

    Args:
        done: what is said of one that came to its end.
    """
    parts = []
    for job in [job for job in jobs if not job.dismissed][:COURSES]:
        if job.active:
            parts.append(html.card("", live.slot(ROW, job.id, lang)))
        elif job.status == "completed":
            parts.append(html.note(html.linked(done(job).to(lang))))
        else:
            parts.append(html.card("", row(job, lang)))
    return html.join(parts)


def bar(job: JobView, lang: str) -> html.Markup:
    """Title, what it does now, how far it is, and how long it will take."""
    far = [job.words.to(lang) if job.words is not None and job.status == "running" else job.state.to(lang)]
    if job.words is not None and job.status == "queued":
        far = [job.words.to(lang)]
    if job.unit == "bytes" and job.total:
        far.append(f"{size(job.done)} / {size(job.total)}")
    if job.seconds_left is not None:
        far.append(_LEFT.with_(time=html.duration(job.seconds_left)).to(lang))
    share = job.share if job.status != "queued" else 0.0
    return html.progress(share, job.title.to(lang), " · ".join(far))


def button(deed: str, key: str, words: str, about: str = "", off: bool = False, then: str = "") -> html.Markup:
    """A button that does a deed of the live pieces (`Live.deed`), wherever it stands.

    Args:
        then: id of a button of the page that is pressed when it is done.
    """
    return html.Markup(
        f'<button type="button" class="plain" data-deed="{deed}" data-key="{html.esc(key)}" '
        f'data-then="{html.esc(then)}" title="{html.esc(about)}"{" disabled" if off else ""}>{html.esc(words)}</button>'
    )
