"""What a run is: the checked configuration, its presets, and the errors and texts that everything else uses.

Nothing is imported here, so that the start-up can read `text` and `errors` on a Python without any package.
"""
