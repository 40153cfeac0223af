"""A chat template tried out in a process of its own, which may hang, swell or crash without harm. See `templates.py`.

Started as a script, with the template as UTF-8 on its standard input and the folders of jinja2 as its arguments. Imports
the standard library and jinja2 only, so that it starts in a tenth of a second. Prints READY once it is able to begin,
and at the end what became of the template: one of FINE, LONG, MEMORY, SLOW, UNSAFE, EMPTY, DEAF and MUTE.
"""

from __future__ import annotations

import faulthandler
import json
import math
import sys
import time
from datetime import datetime
from typing import Any

READY, FINE, LONG, MEMORY, SLOW, UNSAFE = "ready", "fine", "long", "memory", "slow", "unsafe"
EMPTY, DEAF, MUTE = "empty", "deaf", "mute"

# Processor time for everything, where the system limits it (not on Windows): a busy computer takes none of it away.
CPU_SECONDS = 4
# Time on the clock: the only limit on Windows, and the last resort where processor time is limited.
WALL_SECONDS, LAST_SECONDS = 10, 20
ONE_SECONDS = 1.0  # processor time for one conversation; a usual template needs a thousandth of it
MEMORY_BYTES = 512 * 1024**2
OUTPUT_CHARACTERS = 1_000_000

_LONG_TEXT = "A long message, 一段很长的文字。\n" * 500
CONVERSATIONS: list[list[dict[str, str]]] = [
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Where is the lighthouse? 灯塔在哪里？"},
        {"role": "assistant", "content": "Behind the dunes."},
    ],
    [{"role": "user", "content": "Which harbour?"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Which harbour?"}],
    [
        {"role": ("user", "assistant")[turn % 2], "content": f"<think>\nTurn {turn}\n</think>\n\nAnswer {turn}"}
        for turn in range(12)
    ],
    [{"role": "user", "content": f"Read: {_LONG_TEXT}"}, {"role": "assistant", "content": f"Written: {_LONG_TEXT}"}],
    [{"role": "assistant", "content": ""}],
]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def environment() -> Any:
    """The sandbox in which transformers renders chat templates (5.23, `utils/chat_template_utils.py`)."""
    import jinja2.ext
    import jinja2.nodes
    import jinja2.sandbox
    import jinja2.utils

    class Generation(jinja2.ext.Extension):
        tags = {"generation"}

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return jinja2.nodes.CallBlock(self.call_method("_inside"), [], [], body).set_lineno(line)

        def _inside(self, caller: Any) -> Any:
            return caller()

    class Dict:
        def __call__(self, *args: Any, **kwargs: Any) -> dict:
            return dict(*args, **kwargs)

        def fromkeys(self, *args: Any, **kwargs: Any) -> dict:
            return dict.fromkeys(*args, **kwargs)

    class Namespace(jinja2.utils.Namespace):
        def __init__(*args: Any, **kwargs: Any) -> None:  # as in jinja2: `self` may be among the names
            made = dict(*args[1:], **kwargs)
            jinja2.utils.Namespace.__init__(args[0])
            for name, value in made.items():
                args[0][name] = value

        def __setitem__(self, name: str, value: Any) -> None:
            if isinstance(name, str) and name.startswith("_"):
                raise jinja2.exceptions.SecurityError(name)
            super().__setitem__(name, value)

    def tojson(
        value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
    ) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message: Any) -> None:
        raise jinja2.exceptions.TemplateError(message)

    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    made.globals["dict"] = Dict()
    made.globals["namespace"] = Namespace
    return made


def try_out(text: str) -> str:
    """What becomes of a template: compiled, and rendered for every conversation with and without the answer's header.

    That it refuses conversations is its good right; only one that does nothing but break the sandbox's rules is UNSAFE.
    What it renders has to hold the words of at least some conversation: those of the user (or it is DEAF), and the answers
    (or it is MUTE).
    """
    try:
        template = environment().from_string(text)
        done = [
            (conversation, *_render(template, conversation, header))
            for conversation in CONVERSATIONS
            for header in (False, True)
        ]
    except MemoryError:
        return MEMORY
    except Exception:  # noqa: BLE001 - not a template at all; that is said when a conversation has to be rendered
        return FINE
    words = [word for _, word, _ in done]
    bad = [word for word in words if word not in (FINE, UNSAFE)]
    if bad or FINE not in words:
        return bad[0] if bad else UNSAFE
    return _loses([(conversation, shown) for conversation, _, shown in done if shown is not None])


def _loses(rendered: list[tuple[list[dict[str, str]], str]]) -> str:
    """EMPTY, DEAF or MUTE where that is true of all conversations that a template has rendered; else FINE."""
    if rendered and not any(text.strip() for _, text in rendered):
        return EMPTY
    for role, verdict in (("user", DEAF), ("assistant", MUTE)):
        said = [
            turn["content"].strip() in text
            for conversation, text in rendered
            for turn in conversation
            if turn["role"] == role and turn["content"]
        ]
        if said and not any(said):
            return verdict
    return FINE


def _render(template: Any, conversation: list[dict[str, str]], header: bool) -> tuple[str, str | None]:
    """What becomes of one conversation, and its text, where it was rendered."""
    from jinja2.exceptions import SecurityError

    values = {"messages": conversation, "tools": None, "documents": None, "add_generation_prompt": header, **TOKENS}
    began, length, pieces, whole = time.process_time(), 0, [], False
    try:
        for piece in template.generate(values):
            length += len(piece)
            if length > OUTPUT_CHARACTERS:
                return LONG, None
            pieces.append(piece)
        whole = True
    except SecurityError:
        return UNSAFE, None
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001, S110 - whatever it raises is a refusal
        pass
    if time.process_time() - began > ONE_SECONDS:
        return SLOW, None
    return (MEMORY, None) if _peak() > MEMORY_BYTES else (FINE, "".join(pieces) if whole else None)


def _peak() -> int:
    """Bytes that this process has held at most, on macOS, which takes a limit of memory and does not keep to it.

    Not on Linux, which does: there the figure begins with that of the process that started this one.
    """
    if sys.platform != "darwin":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def limit(memory: int, processor: int, clock: int) -> None:
    """Let the system end this process: it does so even in the middle of one long instruction, and without a parent.

    Args:
        memory: bytes that it may have.
        processor: seconds that it may compute from now on; said again, they are counted anew.
        clock: seconds that may pass from now on; said again, they are counted anew.
    """
    faulthandler.dump_traceback_later(clock, exit=True)
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = {
        resource.RLIMIT_CORE: 0,  # nobody wants the remains
        resource.RLIMIT_CPU: math.ceil(time.process_time()) + processor - 1,
        resource.RLIMIT_AS: memory,
    }
    for kind, wanted in limits.items():
        hard = resource.getrlimit(kind)[1]
        try:
            resource.setrlimit(kind, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
        except (ValueError, OSError):  # macOS does not take every value of a limit that it knows by name
            continue


def main() -> None:
    """Try out the template on standard input."""
    sys.path += sys.argv[1:]
    environment()  # everything is imported before the clock starts
    limit(MEMORY_BYTES, CPU_SECONDS, WALL_SECONDS if sys.platform == "win32" else LAST_SECONDS)
    print(READY, flush=True)
    text = sys.stdin.buffer.read().decode("utf-8", "surrogatepass")
    print(try_out(text), flush=True)


if __name__ == "__main__":
    main()
