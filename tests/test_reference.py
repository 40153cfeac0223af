"""The list of settings in the documents is the one that the code declares."""

from workbench.reference import PAGE, render


def test_the_list_of_settings_is_not_stale():
    assert PAGE.read_text(encoding="utf-8") == render(), "run: python -m workbench.reference"
