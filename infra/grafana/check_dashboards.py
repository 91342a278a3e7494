#!/usr/bin/env python3
"""Checks the form of the dashboards, as far as that goes without Grafana, and prints the queries of
their panels as recording rules, which `promtool check rules` can read.

A dashboard has variables for data source, job and instance, and uses no others. A panel has a title, a
description, a unit, a place that no other has, and queries with legends.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# The schema of Grafana 10.4; later ones take it and bring it up to date themselves.
SCHEMA = 39
COLUMNS = 24
# Those that are in use, by the names that Grafana knows them by.
UNITS = {
    "Bps", "bytes", "cps", "dateTimeFromNow", "none", "ops", "percentunit", "reqps", "rowsps", "s", "short",
}
TYPES = {"timeseries", "stat", "heatmap", "table"}
VARIABLES = ["datasource", "job", "instance"]
# What Grafana puts in the place of its variables.
BUILT_IN = {"__rate_interval": "5m", "__interval": "1m", "__range": "1h"}
LABEL_VALUES = re.compile(r"label_values\((.+), \w+\)")
VARIABLE = re.compile(r"\$\{?(\w+)\}?")


def check_panel(panel):
    """What is wrong with a panel."""
    if panel["type"] not in TYPES:
        yield f"{panel['type']} is not among {', '.join(sorted(TYPES))}"
    if not panel.get("description", "").endswith("."):
        yield "the description has to be sentences"
    if panel.get("datasource") != SOURCE:
        yield "the data source has to be the variable"
    unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit")
    if unit not in UNITS:
        yield f"the unit {unit} is not among {', '.join(sorted(UNITS))}"
    targets = panel.get("targets", [])
    if not targets:
        yield "there is no query"
    if len({target.get("refId") for target in targets}) != len(targets):
        yield "two queries have one refId"
    for target in targets:
        if not target.get("expr"):
            yield "a query has no expr"
        if not target.get("legendFormat"):
            yield "a query has no legend"
        if target.get("datasource") != SOURCE:
            yield "the data source of a query has to be the variable"
        if 'job=~"$job"' not in target.get("expr", "") or 'instance=~"$instance"' not in target.get("expr", ""):
            yield "a query leaves out $job or $instance"


def check_places(panels):
    """Which panels lie over others, or outside."""
    taken = {}
    for panel in panels:
        place = panel["gridPos"]
        if place["x"] < 0 or place["w"] < 1 or place["h"] < 1 or place["x"] + place["w"] > COLUMNS:
            yield f"{panel['title']}: lies outside"
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                other = taken.setdefault((x, y), panel)
                if other is not panel:
                    yield f"{panel['title']}: lies over {other['title']}"
                    return


def check_board(board):
    """What is wrong with a dashboard."""
    for field in ("uid", "title", "description"):
        if not board.get(field):
            yield f"there is no {field}"
    if board.get("schemaVersion") != SCHEMA:
        yield f"the schemaVersion has to be {SCHEMA}"
    names = [variable["name"] for variable in board["templating"]["list"]]
    if names != VARIABLES:
        yield f"the variables have to be {', '.join(VARIABLES)}"
    panels = board["panels"]
    if len({panel["id"] for panel in panels}) != len(panels):
        yield "two panels have one id"
    yield from check_places(panels)
    panels = [panel for panel in panels if panel["type"] != "row"]
    if len({panel["title"] for panel in panels}) != len(panels):
        yield "two panels have one title"
    for panel in panels:
        yield from (f"{panel['title']}: {fault}" for fault in check_panel(panel))
    known = {*VARIABLES, *BUILT_IN}
    for name in sorted(set(VARIABLE.findall(json.dumps(board))) - known):
        # `$__all` is the choice of everything, and no variable.
        if name != "__all":
            yield f"there is no variable ${name}"


def filled(expression):
    """An expression with something in the place of each variable."""
    return VARIABLE.sub(lambda found: BUILT_IN.get(found.group(1), ".*"), expression)


def main():
    faults, rules, uids = [], [], set()
    for file in sorted((ROOT / "infra/grafana/dashboards").glob("*.json")):
        board = json.loads(file.read_text())
        where = file.relative_to(ROOT)
        faults += [f"{where}: {fault}" for fault in check_board(board)]
        if board.get("uid") in uids:
            faults.append(f"{where}: another dashboard has the uid {board['uid']}")
        uids.add(board.get("uid"))
        for variable in board["templating"]["list"]:
            query = variable.get("query")
            query = query.get("query", "") if isinstance(query, dict) else ""
            if found := LABEL_VALUES.fullmatch(query):
                labels = {"dashboard": file.stem, "variable": variable["name"]}
                rules.append({"record": "variable", "labels": labels, "expr": filled(found.group(1))})
            elif variable["type"] == "query":
                faults.append(f"{where}: the variable {variable['name']} asks for no label_values")
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                labels = {"dashboard": file.stem, "panel": panel["title"], "query": target["refId"]}
                rules.append({"record": "panel", "labels": labels, "expr": filled(target.get("expr", ""))})
    if not rules:
        faults.append("infra/grafana/dashboards: there are no queries")
    for fault in faults:
        print(fault, file=sys.stderr)
    # JSON is YAML.
    json.dump({"groups": [{"name": "dashboards", "rules": rules}]}, sys.stdout, indent=2)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
