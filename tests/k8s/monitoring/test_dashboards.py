"""Dashboards that people can read: a unit, thresholds and one line for each panel, and queries that Prometheus understands."""

import json
import re

import pytest
import yaml

from k8s.monitoring import GENERATED, RULES, command, generate
from k8s.monitoring.generate import stale_files
from k8s.monitoring.panels import all_expressions, read_dashboards
from service import metrics as monitoring
from service.commands.cxr import main
from tests.support.promtool import needs_promtool, promtool

MODELS = {each.uid: json.loads((GENERATED / f"{each.uid}.json").read_text("utf-8")) for each in read_dashboards()}
PANELS = [
    pytest.param(panel, id=f"{uid}-{panel['title']}")
    for uid, model in MODELS.items()
    for panel in model["panels"]
    if panel["type"] != "row"
]


def test_there_are_the_four_of_them():
    assert [model["title"] for model in MODELS.values()] == [
        f"Chest X-ray: {name}" for name in ("Service", "Model", "Drift", "Quality")
    ]


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_has_a_unit_thresholds_and_one_line_that_explains_it(panel):
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"] in {"short", "s", "reqps", "percentunit"}
    steps = defaults["thresholds"]["steps"]
    assert len(steps) >= 2 and steps[0]["value"] is None
    assert [step["value"] for step in steps[1:]] == sorted(step["value"] for step in steps[1:])
    assert 20 < len(panel["description"]) < 120 and panel["description"].endswith(".")


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_panels_do_not_overlap_and_fill_their_rows(model):
    taken = set()
    for panel in model["panels"]:
        position = panel["gridPos"]
        assert position["x"] + position["w"] <= 24
        cells = {
            (x, y)
            for x in range(position["x"], position["x"] + position["w"])
            for y in range(position["y"], position["y"] + position["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_every_variable_of_a_query_is_a_choice_of_its_dashboard(model):
    offered = {each["name"] for each in model["templating"]["list"]} | {"__rate_interval"}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(model["panels"]))) <= offered


RULES_OF = [rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]]


def exported():
    """Names of all series that the service exports."""
    metrics = [each for name, each in vars(monitoring).items() if name.isupper() and hasattr(each, "describe")]
    families = [family.name for each in metrics for family in each.describe()]
    return {f"{name}{suffix}" for name in families for suffix in ("", "_total", "_bucket", "_sum", "_count")}


def test_queries_and_rules_name_only_metrics_and_rules_that_exist():
    """A metric that nobody exports makes a panel that is empty for ever."""
    texts = [expression for _, _, expression in all_expressions()] + [str(rule["expr"]) for rule in RULES_OF]
    named = {name for text in texts for name in re.findall(r"\bcxr[_:][a-z0-9_:]+[a-z0-9]", text)}
    assert named <= {rule["record"] for rule in RULES_OF if "record" in rule} | exported()


@needs_promtool
def test_every_query_is_promql(tmp_path):
    filled = [expression.replace("$__rate_interval", "1m") for _, _, expression in all_expressions()]
    queries = [{"record": f"query_{number}", "expr": expression} for number, expression in enumerate(filled)]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "one", "rules": queries}]}))
    checked = promtool("check", "rules", str(path))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_generated_files_are_up_to_date():
    assert stale_files() == {}


def test_files_that_are_out_of_date_are_named_and_written(tmp_path, monkeypatch, capsys):
    for module in (command, generate):
        monkeypatch.setattr(module, "GENERATED", tmp_path / "generated")
    assert main(["dashboards", "--check"]) == 1
    assert "chest-xray-drift.json" in capsys.readouterr().err
    assert main(["dashboards"]) == 0 and main(["dashboards", "--check"]) == 0
