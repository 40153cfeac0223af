"""From the widget to the disk: what stands in the form is what stands in the run's `config.yaml`."""

from __future__ import annotations

import pytest
import yaml

from tests.homes import make_home, write_jsonl
from tests.made_runs import ROWS
from tests.test_ui_page import Asked, filled
from workbench.config.run import RunConfig
from workbench.engine import Engine, checks
from workbench.methods import METHODS
from workbench.ui.form import KIND
from workbench.ui.page import build


@pytest.mark.parametrize("kind", sorted(METHODS))
def test_every_widget_set_to_another_value_is_found_in_config_yaml(tmp_path, monkeypatch, kind):
    engine = Engine(make_home(tmp_path / "home"))
    try:
        # Any mix of values is wanted here, also ones that this computer could not train; the run itself is not.
        monkeypatch.setattr(checks, "check", lambda *args, **options: checks.Checked([], None, None, None))
        monkeypatch.setattr(engine._board._lanes["device"], "put", lambda run_id: None)
        monkeypatch.setattr(engine, "_with_whole_paths", lambda config, checked: config)
        monkeypatch.setattr(engine.models, "resolve", lambda *args: engine.models.list()[0])
        rows = write_jsonl(tmp_path / "rows.jsonl", ROWS[METHODS[kind].data_kinds[0]](12))
        loaded = type(engine.data)(engine.home).load(rows, allow_paths=True)
        monkeypatch.setattr(engine.data, "load", lambda *args, **options: loaded)
        page = build(engine)
        values, wanted = filled(page.shell.shared["train.form"], kind)
        begin, _, _ = page.shell.shared["train.begin"]
        begin("", {}, *values, request=Asked())
        (run,) = engine.runs()
        written = yaml.safe_load((engine.store.path(run.id) / "config.yaml").read_text(encoding="utf-8"))
        for path, value in wanted.items():
            section, _, name = path.partition(".")
            assert written[section][name] == value, path
        default = RunConfig().values()
        same = [
            p for p, v in wanted.items() if p != KIND and default.get(p.split(".")[0], {}).get(p.split(".")[1]) == v
        ]
        assert same == []
    finally:
        engine.close()
