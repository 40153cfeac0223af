"""How the starter model is made: its world, the text generator, the tokenizer and the training loop."""
