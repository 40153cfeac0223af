"""An exported adapter as other people use it: transformers and peft in a process of its own, without the workbench."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
base, adapter, question, longest = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(adapter)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).eval()
inputs = tokenizer.apply_chat_template([{"role": "user", "content": question}], add_generation_prompt=True,
                                       return_dict=True, return_tensors="pt")
output = model.generate(**inputs, max_new_tokens=int(longest), do_sample=False)
sys.stdout.reconfigure(encoding="utf-8")
print(tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))
"""


def plain_answer(base: Path, adapter: Path, question: str, longest: int) -> str:
    """The greedy answer to one question, of at most `longest` tokens."""
    command = [sys.executable, "-c", SCRIPT, str(base), str(adapter), question, str(longest)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True)
    return done.stdout.rstrip("\n")
