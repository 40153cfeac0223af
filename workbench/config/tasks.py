"""What a model is there for: to write, to sort texts, or to score answers. The names are the field's; no other place lists them."""

from __future__ import annotations

from typing import Literal

Task = Literal["causal", "classification", "reward"]

CAUSAL: Task = "causal"
"""Writes the next token."""
CLASSIFICATION: Task = "classification"
"""Says which of several labels a text has."""
REWARD: Task = "reward"
"""Says with one number how good an answer is."""
