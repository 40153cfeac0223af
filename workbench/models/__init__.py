"""Base models: what is known, what is on disk, how one is loaded, and the starter that ships with the workbench."""
