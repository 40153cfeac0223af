"""What of a run goes to the Hub: which folder, with which card and curves. Asked for before anything is sent, and when it is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.engine import takeaway
from workbench.engine.jobs.base import Tools
from workbench.engine.names import KEPT_BACK_LOSS, TRAINING_LOSS
from workbench.export.card import answers_of
from workbench.export.curves import CURVES, draw_curves
from workbench.hub.push import PushPlan, plan_push

What = Literal["adapter", "merged"]


def plan_of(tools: Tools, run_id: str, what: What, repo_id: str, *, private: bool, answers: bool) -> PushPlan:
    """What a push would send, to whom, and who would see it; nothing is sent. Asks the Hub, for ten seconds at most.

    Args:
        what: the adapter, or the newest model folder that was made of the run (of a full tuning its model).
        answers: whether the person's own questions with the answers before and after stand in the card.

    Raises:
        WorkbenchError: there is nothing of that kind yet, or those of `plan_push`.
    """
    folder = _folder(tools, run_id, what)
    token, source = tools.tokens.current(), tools.source
    if "/" not in repo_id:  # whose name it is, the card has to say
        repo_id = plan_push(folder, repo_id, token, source, private).repo_id
    curves = draw_curves(_curves(tools, run_id))
    texts = {"README.md": _card(tools, run_id, what, folder, repo_id, answers, curves is not None)}
    if curves is not None:
        texts[CURVES] = curves
    return plan_push(folder, repo_id, token, source, private, texts=texts)


def _folder(tools: Tools, run_id: str, what: What) -> Path:
    result = takeaway.result(tools.store, run_id)
    if what == "adapter":
        return takeaway.adapter(tools.store, run_id)
    if result.name == "model":
        return result
    exports = tools.store.path(run_id) / "exports"
    made = [path for path in exports.glob("*") if path.is_dir() and not path.is_symlink() and path.name[0] != "."]
    if not made:
        raise WorkbenchError(
            Text("no model folder was made of this run yet", "这个运行还没有生成模型文件夹"),
            Text("Make it on the Export tab first, or push the adapter.", "请先在“导出”页生成，或改为推送适配器。"),
            code="no_result",
        )
    return max(made, key=lambda path: path.stat().st_mtime)


def _curves(tools: Tools, run_id: str) -> dict[str, list[tuple[float, float]]]:
    events = [event for event in tools.store.log(run_id).after() if event["type"] == "metrics"]
    named = {TRAINING_LOSS.en: "loss", KEPT_BACK_LOSS.en: "eval_loss"}
    return {
        name: [(event["step"], event[key]) for event in events if event.get(key) is not None]
        for name, key in named.items()
    }


def _card(tools: Tools, run_id: str, what: What, folder: Path, repo_id: str, answers: bool, curves: bool) -> str:
    samples = [event for event in tools.store.log(run_id).after() if event["type"] == "sample"] if answers else []
    base = tools.models.resolve(tools.store.config(run_id).model.base, allow_paths=True)
    return takeaway.card(
        tools.store,
        run_id,
        base,
        tools.data,
        "adapter" if what == "adapter" else "model",
        folder,
        repo_id=repo_id,
        curves=CURVES if curves else None,
        answers=answers_of((event["step"], event["question"], event["answer"]) for event in samples),
    )
