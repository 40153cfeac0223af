"""What libraries say about themselves reaches no terminal and no run's log; what goes wrong does."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import workbench.methods  # noqa: F401 - which a config names
from tests.homes import make_home, tiny_config
from workbench.bootstrap import ROOT
from workbench.config.presets import dump

NOISE = """
def noise():
    import logging, os, sys, warnings
    from transformers.utils import logging as library
    warnings.warn("harmless warning", FutureWarning)
    warnings.warn("harmless warning", UserWarning)
    warnings.warn_explicit("harmless warning", RuntimeWarning, "some.py", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("harmless warning", DeprecationWarning)
    for name in ("bitsandbytes.backends.cpu.ops", "trl.trainer", "peft.tuners", "accelerate", "datasets", "torch", "any"):
        logging.getLogger(name).warning("harmless: Failed to load CPU gemm_4bit_forward")
    library.get_logger("transformers.trainer").warning_once("harmless advice")
    for _ in library.tqdm(range(2), desc="harmless bar"):
        pass
"""


def python(code: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """What a Python of its own says, with the workbench's folder as the place where it starts."""
    command = [sys.executable, *flags, "-c", textwrap.dedent(code)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=300)


def test_only_errors_are_printed_and_warnings_for_those_who_ask_for_them():
    code = """
    import logging, warnings
    from workbench.config.chatter import silence
    silence()
    warnings.warn("advice")
    logging.getLogger("some.library").warning("advice")
    logging.getLogger("some.library").error("a real one")
    """
    assert python(code).stderr == "a real one\n"
    assert "UserWarning: advice" in python(code, "-W", "default").stderr


def test_the_command_line_says_only_what_the_workbench_says(tmp_path):
    home = make_home(tmp_path / "home")
    (home / "run.yaml").write_text(dump(tiny_config(optimization={"max_steps": 1})))
    code = f"""
import json, sys
{NOISE}
from workbench.engine import events
append = events.EventLog.append
def watched(log, event):
    if isinstance(event, events.Metrics):
        noise()
    return append(log, event)
events.EventLog.append = watched
from workbench import commands
from workbench.__main__ import main
said = []
say = commands._Teller._say
commands._Teller._say = staticmethod(lambda text: (said.append(text), say(text)))
code = main(["train", r"{home / "run.yaml"}", "--home", r"{home}", "--lang", "en"])
print(json.dumps(said))
sys.exit(code)
"""
    ended = python(code)
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout.splitlines()[-1])
    assert said[0] == "waiting" and said[-1] == "finished" and "Training ..." in said
    assert ended.stderr.splitlines() == said
    (log,) = home.glob("runs/*/log.txt")
    text = log.read_text()
    assert "harmless" not in text and "Warning" not in text and "training ended at step 1" in text
