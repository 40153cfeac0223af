"""Chat templates that hang, swell or try to get out are refused in time, and good ones are not."""

import json
import logging
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests import template_zoo
from tests.tiny_models import TEMPLATE, make_tokenizer
from workbench.config.errors import WorkbenchError
from workbench.models import template_probe, templates
from workbench.models.starter.recipe.chat_format import CHAT_TEMPLATE
from workbench.models.templates import check_template, folder_template

LOOP, END = "{% for i in range(99999) %}", "{% endfor %}"
CHATML = (
    "{%- if messages[0]['role'] == 'system' -%}{%- set rest = messages[1:] -%}{%- else -%}{%- set rest = messages -%}"
    "{%- endif -%}{% for m in rest %}{{ '<|im_start|>' + m.role + '\n' + m.content | trim + '<|im_end|>\n' }}"
    "{% if loop.last %}{% continue %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{{ bos_token + '[INST] ' + m.content + ' [/INST]' if m.role == 'user' else m.content + eos_token }}{% endfor %}"
)
# Everything else that templates use: a namespace, the date, JSON, a macro, thoughts cut off, keys that are not there.
RICH = (
    "{% macro show(m) %}{{ m.content.split('</think>')[-1].lstrip('\n') }}{% endmacro %}"
    "{% set ns = namespace(found=false, last=messages|length - 1) %}{{ strftime_now('%d %b %Y') }}"
    "{% for m in messages[::-1] %}{% if m.role == 'user' and not ns.found %}{% set ns.found = true %}{% endif %}"
    "{% endfor %}{% for m in messages %}{% if tools %}{{ tools | tojson(indent=2) }}{% endif %}{{ dict(a=1) | tojson }}"
    "{% if m.role == 'assistant' %}{% generation %}{{ show(m) }}{% endgeneration %}{% else %}{{ show(m) }}{% endif %}"
    "{% if m.tool_calls is defined %}{{ m.tool_calls }}{% endif %}{% endfor %}"
)
GOOD = {
    "starter": CHAT_TEMPLATE,
    "tiny": TEMPLATE,
    "chatml": CHATML,
    "llama2": LLAMA2,
    "rich": RICH,
    "refuses everything": "{{ raise_exception('no') }}",
    "no template at all": "{% if",
    "calls itself for ever": "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
}
BAD = {
    "a silent loop": (LOOP + LOOP + END + END, "come to an end"),
    "a loop in a filter": ("{{ lipsum(n=100000000) }}", "come to an end"),
    "a loop that writes": (LOOP + LOOP + "a" + END + END, "1,000,000 characters"),
    "a large text": ("{{ 'a' * 2000000000 }}", "512 MB"),
    "a large text that is not written": ("{% set x = 'a' * 2000000000 %}", "512 MB"),
    "a text that doubles": ("{% set n = namespace(x='a') %}" + LOOP + "{% set n.x = n.x * 2 %}" + END, "512 MB"),
    "a wide number": ("{{ '%09999999999d' % 1 }}", "512 MB"),
    "a long template": ("a" * 1_000_001, "longer than 1,000,000"),
}
ROLES = "{% for m in messages %}<{{ m.role }}>"
USER, ASSISTANT = (
    "{% if m.role == 'user' %}{{ m.content }}{% endif %}",
    "{% if m.role == 'assistant' %}{{ m.content }}{% endif %}",
)
LOST = {
    "nothing at all": ("{# nothing #}", "writes nothing"),
    "blanks": ("{% for m in messages %}\n  {% endfor %}", "writes nothing"),
    "a wrong key": ("{% for m in messages %}{{ m.value }}{% endfor %}", "writes nothing"),
    "a loop over another list": ("{% for m in conversations %}{{ m.content }}{% endfor %}", "writes nothing"),
    "a constant": ("Hello! <|end|>", "everything that a user says"),
    "roles only": (ROLES + "{% endfor %}", "everything that a user says"),
    "answers only": (ROLES + ASSISTANT + "{% endfor %}", "everything that a user says"),
    "other words": (ROLES + "{{ m.content | length }}{% endfor %}", "everything that a user says"),
    "questions only": (ROLES + USER + "{% endfor %}", "all answers"),
    "the last question": ("{{ messages[0].content if messages[0].role == 'user' }}", "all answers"),
    "a key of another library": (ROLES + USER + "{{ m.text }}{% endfor %}", "all answers"),
}
ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__class__.__base__.__subclasses__() }}",
    "{{ lipsum.__globals__['os'].popen('touch {marker}').read() }}",
    "{{ cycler.__init__.__globals__.os.popen('touch {marker}').read() }}",
    "{{ raise_exception.__globals__['json'].decoder.scanner.re.sys.modules['os'].system('touch {marker}') }}",
    "{{ namespace(__class__=1).__class__.__init__ }}",
]


@pytest.fixture(autouse=True)
def forgetful(monkeypatch):
    """Every test tries templates out anew."""
    monkeypatch.setattr(templates, "_verdicts", {})


def refusal(text):
    with pytest.raises(WorkbenchError) as caught:
        check_template(text)
    assert (caught.value.code, caught.value.field) == ("bad_template", "model.base")
    assert caught.value.hint and "模板" in caught.value.to("zh")
    return caught.value.to("en")


def children():
    return [child for child in psutil.Process().children() if template_probe.__file__ in child.cmdline()]


@pytest.mark.parametrize("name", GOOD)
def test_a_template_that_comes_to_an_end_is_accepted(name):
    check_template(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_a_template_that_hangs_or_swells_is_refused_and_its_process_is_gone(name):
    text, reason = BAD[name]
    if "512" in reason and sys.platform == "win32":
        pytest.skip("Windows has no limit for a process's memory that it could set itself")
    before, began = psutil.Process().memory_info().rss, time.monotonic()
    assert reason in refusal(text)
    assert time.monotonic() - began < templates.LONGEST_SECONDS
    assert psutil.Process().memory_info().rss - before < 100 * 1024**2
    assert not children()
    began = time.monotonic()
    assert reason in refusal(text)
    assert time.monotonic() - began < 0.05


@pytest.mark.parametrize("name", LOST)
def test_a_template_that_loses_all_that_is_said_is_refused(name):
    text, reason = LOST[name]
    assert reason in refusal(text)


@pytest.mark.parametrize("name", sorted(template_zoo.ZOO))
def test_templates_that_lose_some_words_are_known_by_the_rows_and_not_refused(name):
    check_template(template_zoo.ZOO[name].template)


@pytest.mark.parametrize("escape", ESCAPES)
def test_a_template_that_tries_to_get_out_is_refused(tmp_path, escape):
    marker = tmp_path / "marker"
    assert "must not do" in refusal(escape.replace("{marker}", str(marker)))
    assert not marker.exists()


def test_a_forbidden_call_in_some_conversations_only_is_no_reason():
    check_template("{% if messages[0].role == 'system' %}{{ messages.pop(0) }}{% endif %}" + TEMPLATE)


def test_the_sandbox_is_the_one_of_transformers():
    from transformers.utils.chat_template_utils import render_jinja_template

    sandbox = template_probe.environment()
    for name in ("starter", "tiny", "chatml", "rich"):
        for messages in template_probe.CONVERSATIONS:
            values = {"add_generation_prompt": True, **template_probe.TOKENS}
            expected = render_jinja_template([messages], chat_template=GOOD[name], **values)[0][0]
            template = sandbox.from_string(GOOD[name])
            assert template.render(messages=messages, tools=None, documents=None, **values) == expected


def test_the_other_process_knows_neither_torch_nor_transformers_nor_the_workbench():
    code = (
        "import runpy, sys\n"
        f"runpy.run_path({template_probe.__file__!r})['try_out']('{{{{ messages }}}}')\n"
        "print([name for name in ('torch', 'transformers', 'numpy', 'workbench') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_template_is_tried_out_once_even_by_several_at_a_time(monkeypatch):
    started = []
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **options: started.append(args) or real(*args, **options))
    threads = [threading.Thread(target=check_template, args=(CHATML,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check_template(CHATML)
    assert len(started) == 1


@pytest.mark.parametrize(
    "program",
    [
        "print('no jinja2')",
        "import os; os.kill(os.getpid(), 9)",
        "import os; print('ready', flush=True); os.kill(os.getpid(), 9)",
        None,
    ],
)
def test_a_process_that_could_not_begin_says_nothing_about_the_template(monkeypatch, tmp_path, program):
    script = tmp_path / "script.py"
    script.write_text(program or "")
    with monkeypatch.context() as patch:
        patch.setattr(template_probe, "__file__", str(script))
        if program is None:
            patch.setattr(sys, "executable", str(tmp_path / "no-python"))
        with pytest.raises(WorkbenchError) as caught:
            check_template(CHATML)
    assert (caught.value.code, caught.value.field) == ("template_untried", "model.base")
    check_template(CHATML)


def test_a_process_that_crashes_or_never_ends_condemns_the_template(monkeypatch, tmp_path):
    script = tmp_path / "script.py"
    monkeypatch.setattr(template_probe, "__file__", str(script))
    script.write_text("import os; print('ready', flush=True); os.abort()")
    assert "crash" in refusal(CHATML)
    script.write_text("import time; print('ready', flush=True); time.sleep(60)")
    monkeypatch.setattr(templates, "LONGEST_SECONDS", 1)
    assert "come to an end" in refusal(LLAMA2)
    assert not children()


@pytest.mark.parametrize("ended", ["by the process itself", "from here"])
def test_what_only_the_clock_says_of_a_template_is_not_remembered(monkeypatch, tmp_path, ended):
    """A computer that sleeps or is held up makes a good one late."""
    text = CHATML + f"{{# {ended} #}}"
    script = tmp_path / "script.py"
    script.write_text(
        "import faulthandler, time; print('ready', flush=True); "
        f"faulthandler.dump_traceback_later({0.2 if ended == 'by the process itself' else 60}, exit=True); time.sleep(60)"
    )
    with monkeypatch.context() as patch:
        patch.setattr(template_probe, "__file__", str(script))
        patch.setattr(templates, "LONGEST_SECONDS", 2)
        assert "come to an end" in refusal(text)
    check_template(text)


def test_without_limits_of_the_system_the_clock_ends_the_process(monkeypatch, tmp_path):
    # As on Windows: no module `resource`.
    script = tmp_path / "script.py"
    text = Path(template_probe.__file__).read_text(encoding="utf-8")
    changed = text.replace("import resource", "raise ImportError").replace(
        "LAST_SECONDS = 10, 20", "LAST_SECONDS = 1, 1"
    )
    assert changed.count("raise ImportError") and "= 1, 1" in changed
    script.write_text(changed)
    monkeypatch.setattr(template_probe, "__file__", str(script))
    assert "come to an end" in refusal(BAD["a silent loop"][0])
    check_template(CHATML)


def test_a_refusal_is_in_the_log(caplog):
    with caplog.at_level(logging.WARNING):
        refusal("{{ 'a' * 2000000000 }}")
    assert "memory" in caplog.text


@pytest.fixture
def folder(tmp_path):
    make_tokenizer(tmp_path)
    return tmp_path


def write_config(folder, template):
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": template}))


NAMED = [{"name": "default", "template": CHATML}, {"name": "tool_use", "template": "{{ 'a' * 2000000000 }}"}]
OTHERS = [{"name": "rag", "template": CHATML}, {"name": "tool_use", "template": CHATML}]


@pytest.mark.parametrize(
    ("template", "used"),
    [(CHATML, CHATML), (NAMED, CHATML), (OTHERS, None), (None, None), ("", None)],
    ids=["one", "named", "no default", "none", "empty"],
)
def test_the_template_in_a_folder_is_the_one_that_is_used(folder, template, used):
    from workbench.models.loading import _used_template, load_tokenizer

    assert folder_template(folder) == TEMPLATE == _used_template(load_tokenizer(folder))
    write_config(folder, template)
    assert folder_template(folder) == used
    assert (_used_template(load_tokenizer(folder)) or None) == used


def test_a_tokenizer_with_a_bomb_is_not_loaded(folder):
    from workbench.models.loading import load_tokenizer

    def code():
        with pytest.raises(WorkbenchError) as caught:
            load_tokenizer(folder)
        return caught.value.code

    write_config(folder, [{"name": "default", "template": "{{ 'a' * 2000000000 }}"}])
    assert code() == "bad_template"
    write_config(folder, CHATML)
    extra = folder / "additional_chat_templates"
    extra.mkdir()
    (extra / "default.jinja").write_text("{{ 'b' * 2000000000 }}")
    assert code() == "bad_template"
    (extra / "default.jinja").unlink()
    write_config(folder, 5)
    assert code() == "broken_tokenizer"


def test_a_good_template_is_good_however_much_memory_this_process_holds():
    held = b"x" * (template_probe.MEMORY_BYTES + 100 * 1024**2)
    check_template(CHATML + f"{{# with {len(held)} bytes #}}")
