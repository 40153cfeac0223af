"""How the Chat tab asks a run that made no writer: only the tuned side can judge, and what to write differs."""

from __future__ import annotations

from workbench.config.tasks import CAUSAL, CLASSIFICATION, REWARD, Task
from workbench.config.text import Text
from workbench.methods import METHODS

_HOW = {
    CLASSIFICATION: Text(
        "This run made a model that sorts texts. Write a text, and it says the labels with how sure it is. Before its training it "
        "knew no labels, so only the tuned side answers.",
        "这个运行得到的是分类模型。写一段文本，它会给出标签和把握。训练之前它不认识这些标签，所以只有微调后的一侧会回答。",
    ),
    REWARD: Text(
        "This run made a model that judges answers. Write a question, then a line with ---, then an answer, and it says a score. "
        "Only the tuned side answers.",
        "这个运行得到的是打分模型。先写问题，再单独一行写 ---，然后写回答，它会给出分数。只有微调后的一侧会回答。",
    ),
}


def task_of(method: str) -> Task:
    """What a run's model is there for."""
    known = METHODS.get(method)
    return known.task if known is not None else CAUSAL


def how_to_ask(method: str) -> Text | None:
    """What to write to a run that judges; None for one that writes."""
    return _HOW.get(task_of(method))
