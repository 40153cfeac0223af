"""The starter model: a tiny bilingual chat model that ships with the workbench, and the recipe that makes it."""
