"""Fine-tuning workbench: one training engine, one page, one command line."""

__version__ = "0.1.0"
