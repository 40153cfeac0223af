"""The data sets that come with the workbench, and the recipe that makes them."""
