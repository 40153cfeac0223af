"""The workbench's checks: `python -m tests` runs them all, on a bare machine too. None of them needs a network."""
