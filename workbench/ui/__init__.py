"""The page. The only folder that imports gradio; nothing else in the workbench imports this folder."""
