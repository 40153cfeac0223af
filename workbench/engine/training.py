"""One training job, from the config to the saved result. Imports torch; loaded by the worker thread only.

Order of things: load, read, build the trainer, train (or go on from a checkpoint), save. It listens for Stop in each.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import PrinterCallback, ProgressCallback, TrainerState
from transformers.training_args import ParallelMode

from workbench.adapters import ADAPTERS
from workbench.adapters.lora import ALL, lora_of
from workbench.config.errors import StopRequested, WorkbenchError
from workbench.config.run import RunConfig
from workbench.config.tasks import CAUSAL, REWARD
from workbench.config.text import Text, listed
from workbench.data.library import Loaded
from workbench.data.notices import row_numbers
from workbench.data.tokens import TemplateRefusal
from workbench.engine.boundary import logger
from workbench.engine.callback import RunCallback
from workbench.engine.changes import check_same_rows, told
from workbench.engine.checks import check_device, named_layers, refuse
from workbench.engine.desk import Desk
from workbench.engine.events import Event, ProblemFound, Stage
from workbench.engine.fitting import Machine, shape_of_folder, tokens_of_rows, with_checkpointing
from workbench.engine.hardware import memory, physical_cores
from workbench.engine.own_questions import ask
from workbench.engine.plan import EVALUATION_ROWS, StepPlan, kept_back, plan_of, plan_steps
from workbench.engine.saving import save_result
from workbench.methods import METHODS
from workbench.methods.arguments import common_arguments
from workbench.methods.base import Parts
from workbench.methods.course import Course
from workbench.models.adapter_targets import left_out, problems_of_layers
from workbench.models.assembly import PEFT_TASKS, Head, lay_adapter, load_for
from workbench.models.generation_settings import read_generation_settings
from workbench.models.loading import check_vocabulary, load_tokenizer, pick_device, pick_dtype
from workbench.models.quick_lora import quicken

_NOT_ASKED = Text(
    "A reward model writes no answers, so your own questions are not asked.",
    "奖励模型不写回答，所以不会提问你自己的问题。",
)
REPORT_SECONDS = 0.5


@dataclass
class TrainingJob:
    """What a training needs to know and whom it tells.

    Args:
        config: the run.
        folder: the run's folder.
        base: folder of the base model.
        base_name: its id, for the adapter's own config.
        examples: normalised rows of the training data.
        evaluation: rows of a separate evaluation set, or None to keep a share of `examples` back.
        emit: takes events.
        stop: set when the person pressed Stop.
        checkpoint: where to go on from, or None to begin.
        desk: others ask the model here while it trains.
        sets: the data sets that the rows come from, to name a row by its number in its file.
    """

    config: RunConfig
    folder: Path
    base: Path
    base_name: str
    examples: list[dict[str, Any]]
    evaluation: list[dict[str, Any]] | None
    emit: Callable[[Event], Any]
    stop: threading.Event
    checkpoint: Path | None = None
    desk: Desk = field(default_factory=Desk)
    sets: tuple[Loaded | None, ...] = ()

    @property
    def kinds(self) -> tuple[str, str]:
        """Of the training and of the evaluation data; the method's usual one where no set is named."""
        usual = METHODS[self.config.method.kind].data_kinds[0]
        train, evaluation = (*(loaded.info.kind if loaded is not None else None for loaded in self.sets), None, None)[
            :2
        ]
        return train or usual, evaluation or train or usual


@dataclass(frozen=True)
class Outcome:
    """How a training ended: stopped or not, after which step of how many, with which last numbers, and whether any weight changed."""

    stopped: bool
    step: int
    total_steps: int
    loss: float | None
    eval_loss: float | None
    learned: bool


@dataclass(frozen=True)
class Prepared:
    """A training of which everything is loaded, read and built."""

    trainer: Any
    tokenizer: Any
    callback: RunCallback


def train(job: TrainingJob) -> Outcome:
    """Run the job.

    Raises:
        StopRequested: Stop was pressed before the first step.
        WorkbenchError: something a person can put right.
    """
    ready = prepare(job)
    trainer = ready.trainer
    _run(trainer, job, ready.callback)
    job.emit(_stage("saving", Text("Saving the result", "正在保存结果")))
    method = METHODS[job.config.method.kind]
    writes, labels = method.task == CAUSAL, method.labels(job.examples)
    save_result(trainer, ready.tokenizer, job.folder, job.base, job.base_name, writes=writes, labels=labels)
    state = trainer.state
    stopped = job.stop.is_set() and state.global_step < state.max_steps
    last = ready.callback.last
    numbers = last.get("loss"), last.get("eval_loss")
    return Outcome(stopped, state.global_step, state.max_steps, *numbers, learned=trainer.learned())


def prepare(job: TrainingJob) -> Prepared:
    """Load the model, read the data, build the trainer. Raises as `train` does."""
    config = job.config
    torch.set_num_threads(config.precision.threads or physical_cores())
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    _check_stop(job)
    job.emit(_stage("loading", Text("Loading the model", "正在加载模型")))
    device = pick_device()
    check_device(config, device)
    dtype = pick_dtype(config.precision.dtype, device)
    tokenizer = load_tokenizer(job.base)
    method = METHODS[config.method.kind]
    labels = method.labels(job.examples)
    head = Head(method.task, labels, tokenizer.pad_token_id, config.optimization.seed)
    model = load_for(job.base, _weights_dtype(config, dtype), config.model.quantization, device, head)
    check_vocabulary(model, tokenizer)
    writes = method.task == CAUSAL
    if method.task == REWARD and config.evaluation.questions:
        job.emit(ProblemFound(_NOT_ASKED.as_dict(), field="evaluation.questions"))
    if writes and config.evaluation.questions and (said := read_generation_settings(job.base).notice()):
        job.emit(ProblemFound(said.as_dict(), field="evaluation.questions"))
    if (lora := lora_of(config.adapter)) is not None:
        refuse(named_layers(lora, _layers(model), model.config.model_type) or problems_of_layers(lora, model))
    _check_stop(job)

    train_rows, eval_rows = split(job.examples, job.evaluation, config)
    job.emit(_stage("reading", Text("Reading the data", "正在读取数据"), 0, len(train_rows) + len(eval_rows)))
    callback = RunCallback(
        job.emit,
        job.stop,
        config.checkpoints.keep,
        ask_questions=lambda model, step: None if method.task == REWARD else ask(job, model, tokenizer, step),
        findings=lambda: method.findings(trainer),
        serve=lambda model: job.desk.serve(model, tokenizer, job.stop),
    )
    trainer = _build(job, model, tokenizer, (train_rows, eval_rows), (device, dtype), callback, labels)
    _check_stop(job)
    return Prepared(trainer, tokenizer, callback)


def _run(trainer: Any, job: TrainingJob, callback: RunCallback) -> None:
    """Train from the beginning or from the checkpoint; nothing is left to train when that holds the last step."""
    if job.checkpoint is not None:
        before, course = trainer.go_on(job.checkpoint)
        _tell_changes(trainer, job, before, course)
        if course.finished:
            # The trainer looks at its last step only after another one.
            trainer._load_from_checkpoint(str(job.checkpoint))
            trainer.state = TrainerState.load_from_json(str(job.checkpoint / TRAINER_STATE_NAME))
            trainer.state.max_steps = trainer.state.global_step
            return
    try:
        trainer.train(resume_from_checkpoint=str(job.checkpoint) if job.checkpoint else None)
    except StopRequested:
        if trainer.state.global_step == 0:
            raise
        _save_checkpoint(trainer, callback)  # stopped in the middle of an evaluation: the step itself was whole


def _tell_changes(trainer: Any, job: TrainingJob, before: Course, course: Course) -> None:
    """Say what is different about a run that goes on; its plan of evaluations and checkpoints follows."""
    check_same_rows(before, len(trainer.train_dataset))
    text = told(before, course, job.config)
    if text is not None:
        job.emit(ProblemFound(text.as_dict()))
        logger.info("%s", text.to("en"))
    _follow(trainer, plan_of(job.config, course.total))


def _follow(trainer: Any, plan: StepPlan) -> None:
    """Log, check and save as a plan says."""
    trainer.args.logging_steps, trainer.args.save_steps = plan.log_every, plan.save_every
    if trainer.args.eval_steps is not None:
        trainer.args.eval_steps = plan.evaluate_every


def split(
    examples: list[dict[str, Any]], evaluation: list[dict[str, Any]] | None, config: RunConfig
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows to learn and rows to check with. The same seed keeps the same rows back; at least one row is left to learn."""
    if config.data.max_rows:
        examples = examples[: config.data.max_rows]
    if evaluation is not None:
        return examples, evaluation[:EVALUATION_ROWS]
    places = kept_back(config, len(examples))
    kept = set(places)
    return [row for i, row in enumerate(examples) if i not in kept], [examples[i] for i in places]


def _build(
    job: TrainingJob,
    model: Any,
    tokenizer: Any,
    rows: tuple[list, list],
    place: tuple[str, str],
    callback: RunCallback,
    labels: tuple[str, ...],
) -> Any:
    config, (train_rows, eval_rows), (device, dtype) = job.config, rows, place
    plan = plan_steps(config, len(train_rows))
    arguments = common_arguments(
        config,
        job.folder / "checkpoints",
        device=device,
        dtype=dtype,
        plan=plan,
        evaluates=bool(eval_rows),
        checkpointing=_checkpointing(job, model, place),
    )
    set_seed(config.optimization.seed)  # the adapter's first weights are random
    method = METHODS[config.method.kind]
    adapter = adapter_config(config, _left_out(job, model))
    if method.task != CAUSAL and adapter is not None:
        model = lay_adapter(model, adapter)
    parts = Parts(
        config=config,
        model=model,
        tokenizer=tokenizer,
        train=train_rows,
        evaluation=eval_rows,
        arguments=arguments,
        callbacks=[callback],
        stop=job.stop,
        progress=_now_and_then(
            lambda done, total: job.emit(_stage("reading", Text("Reading the data", "正在读取数据"), done, total))
        ),
        report=lambda text: job.emit(ProblemFound(text.as_dict())),
        row_numbers=lambda examples: row_numbers(job.sets, examples),
        peft_config=adapter,
        kinds=job.kinds,
        labels=labels,
    )
    try:
        trainer = method.build_trainer(parts)
    except TemplateRefusal as refusal:
        raise refusal.in_file(*job.sets) from refusal
    _follow(trainer, plan_steps(config, len(trainer.train_dataset)))  # rows were left out, or laid together
    for printer in (PrinterCallback, ProgressCallback):  # they print to the terminal what we report as events
        trainer.remove_callback(printer)
    if device.startswith("cuda") and trainer.args.parallel_mode == ParallelMode.NOT_DISTRIBUTED:
        # With several cards in one process the trainer would split batches among them; one run, one card.
        trainer.args._n_gpu = 1
        trainer._train_batch_size = trainer.args.train_batch_size
    for weight in trainer.model.parameters():
        if weight.requires_grad and weight.dtype != torch.float32:
            weight.data = weight.data.float()  # what learns is held in fp32: small steps would vanish in 16 bits
    if device == "cpu":
        quicken(trainer.model)
    return trainer


def _layers(model: Any) -> dict[str, int]:
    """A loaded model's layers with the dimensions of their largest weight."""
    own = {name: layer.parameters(recurse=False) for name, layer in model.named_modules()}
    return {name: max((weight.ndim for weight in weights), default=0) for name, weights in own.items()}


def _left_out(job: TrainingJob, model: Any) -> list[str]:
    """The layers that `all-linear` leaves out because no adapter works on them; they are named."""
    adapter = lora_of(job.config.adapter)
    names = left_out(model) if adapter is not None and adapter.target_modules == [ALL] else []
    if names:
        said = Text(
            "no adapter works on these layers of this model, so they stay as they are: {names}",
            "以下层无法加适配器，将保持原样：{names}",
        ).with_(names=listed(sorted({name.rpartition(".")[2] for name in names})))
        job.emit(ProblemFound(said.as_dict(), field="adapter.target_modules"))
    return names


def adapter_config(config: RunConfig, left_out: list[str] | None = None) -> Any:
    """peft's config of a run's adapter, or None for full tuning; `left_out` are linear layers that can't have an adapter."""
    task = PEFT_TASKS[METHODS[config.method.kind].task]
    return ADAPTERS[config.adapter.kind].config(config.adapter, left_out or [], task)


def _checkpointing(job: TrainingJob, model: Any, place: tuple[str, str]) -> bool:
    """Whether `auto` has to be on: only where memory would not suffice without, the quarter of speed that it costs is paid."""
    device, dtype = place
    shape = shape_of_folder(job.base, sum(weight.numel() for weight in model.parameters()))
    machine = Machine(device, dtype != "fp32", memory())
    settled = with_checkpointing(shape, job.config, machine, tokens_of_rows(job.config, job.examples))
    return settled.precision.activation_checkpointing == "on"


def _weights_dtype(config: RunConfig, dtype: str) -> str:
    """Frozen weights are held in the precision of the computation; weights that learn are held in fp32."""
    return "fp32" if config.adapter.whole else dtype


def _save_checkpoint(trainer: Any, callback: RunCallback) -> None:
    trainer._save_checkpoint(trainer.model, None)  # the trainer has no public way to save outside its loop
    callback.on_save(trainer.args, trainer.state, trainer.control)


def _check_stop(job: TrainingJob) -> None:
    if job.stop.is_set():
        raise StopRequested


def _stage(name: str, text: Text, done: int | None = None, total: int | None = None) -> Stage:
    return Stage(name, text.as_dict(), done, total)


def _now_and_then(report: Callable[[int, int], Any]) -> Callable[[int, int], None]:
    """`report` for work in many small pieces: twice a second at most, and when all is done."""
    last = [0.0]

    def progress(done: int, total: int) -> None:
        now = time.monotonic()
        if done >= total or now - last[0] >= REPORT_SECONDS:
            last[0] = now
            report(done, total)

    return progress


def check_rows(rows: list[dict[str, Any]]) -> None:
    """Refuse an empty set before anything is loaded."""
    if not rows:
        raise WorkbenchError(
            Text("the training data has no usable row", "训练数据里没有可用的样本"),
            Text(
                "Look at the Data page: it lists what is wrong with each row.",
                "请看“数据”页，那里列出了每条样本的问题。",
            ),
            field="data.train",
        )
