"""Data sets: reading files, recognising formats, the library of shipped and own sets, and turning rows into tokens.

Nothing here imports torch, transformers or datasets when it is loaded; `tokens` is handed a tokenizer and uses it.
Files are read and checked row by row by this package itself, so that every complaint carries a file name and a number.
"""
