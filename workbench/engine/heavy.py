"""The libraries that take seconds to import: beside the page, which is already open, and by one thread at a time.

They import each other in circles (transformers, accelerate, peft). Of two threads that begin at different ends of such a circle
one finds a module that is only half there, and what it was about to do fails.
"""

from __future__ import annotations

import logging
import threading

_importing = threading.Lock()
_begun = threading.Event()


def warm_up() -> None:
    """Begin to import them in the background, so that the first run starts sooner."""
    _begun.set()
    threading.Thread(target=_load, name="warm-up", daemon=True).start()


def ready() -> None:
    """Call this before anything is done that imports them: wait for the thread that does, where `warm_up` was called.

    Without it (a command, which does one thing) nothing is imported here, but only what is needed, where it is needed.
    """
    if _begun.is_set():
        _load()


def _load() -> None:
    with _importing:
        try:
            import peft  # noqa: F401
            import torch  # noqa: F401
            from trl import DPOTrainer, SFTTrainer  # noqa: F401
        except ImportError:
            logging.getLogger("workbench").exception("a training library is missing")
