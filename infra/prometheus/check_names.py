#!/usr/bin/env python3
"""Checks that alerts and dashboards name only what there is.

- every metric in an alert, its tests or a dashboard is in docs/METRICS.md, with the labels and values
  that are asked for, and is used as its kind is;
- every alert has a severity, the annotations, a section in docs/OPERATIONS.md that its runbook_url
  points to, and every such section an alert;
- every alert has a test in which it fires and one in which it does not.

promtool has checked the files' form before; the YAML is read line by line in the one form that they have.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HANDBOOK = "docs/OPERATIONS.md"
# Made by Prometheus itself.
PROMETHEUS_OWN = {"up", "ALERTS"}
SEVERITIES = {"critical", "warning"}

# Whatever stands in an expression and is no metric, besides functions, which a bracket follows.
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
LABEL_LIST = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)")
MATCHERS = re.compile(r"\{[^{}]*\}")
RANGE = re.compile(r"\[[^\]]*\]")
NUMBER = re.compile(r"(?<![A-Za-z_:])\d[\w.]*")
IDENTIFIER = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*(?!\s*\(|[A-Za-z0-9_:])")
WORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "offset", "bool", "inf", "nan"}
# Labels that Prometheus gives, and the one of a histogram's buckets.
GIVEN_LABELS = {"job", "instance", "le"}
SELECTOR = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)\{([^{}]*)\}")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
NAME_MATCHER = re.compile(r'__name__\s*=~?\s*"([^"]*)"')


def metrics_of(expression):
    """The metrics that an expression of PromQL names."""
    named = set()
    for names in NAME_MATCHER.findall(expression):
        named.update(names.removesuffix(".*").removesuffix("_") for names in names.split("|"))
    for pattern in (STRING, LABEL_LIST, MATCHERS, RANGE, NUMBER):
        expression = pattern.sub(" ", expression)
    return {word for word in IDENTIFIER.findall(expression) if word.lower() not in WORDS}, named


class Metric:
    """A row of docs/METRICS.md."""

    def __init__(self, kind, labels):
        self.kind = kind
        # The values of each label; none where they are not listed, or others may come.
        self.labels = {}
        for part in filter(None, (part.strip() for part in labels.split(";"))):
            name, _, values = part.partition(":")
            closed = " or " not in values
            self.labels[name.strip("` ")] = set(re.findall(r"`([^`]+)`", values)) if closed else set()


def documented():
    """Every metric of docs/METRICS.md by its name."""
    metrics = {}
    faults = []
    for line in (ROOT / "docs/METRICS.md").read_text().splitlines():
        row = re.match(r"\| `([a-z0-9_]+)` \| (\w+) \|([^|]*)\|", line)
        if not row:
            continue
        name, kind, labels = row.groups()
        if kind not in {"counter", "gauge", "histogram"}:
            faults.append(f"docs/METRICS.md: {name} is a {kind}, which is no kind")
        if (kind == "counter") != name.endswith("_total"):
            faults.append(f"docs/METRICS.md: {name} is a {kind}: counters, and only they, end in _total")
        if name in metrics:
            faults.append(f"docs/METRICS.md: {name} is there twice")
        metrics[name] = Metric(kind, labels)
    return metrics, faults


def unknown_names(where, expression, metrics):
    """What is wrong with the metrics and labels that an expression names."""
    used, prefixes = metrics_of(expression)
    for name in sorted(used):
        metric = find(name, metrics)
        if name in PROMETHEUS_OWN:
            continue
        if metric is None:
            yield f"{where}: {name} is not in docs/METRICS.md"
        elif metric.kind == "histogram" and name in metrics:
            yield f"{where}: {name} is a histogram: take its _bucket, _sum or _count"
    for prefix in sorted(prefixes):
        if not any(name.startswith(prefix) for name in metrics):
            yield f"{where}: nothing in docs/METRICS.md begins with {prefix}"
    for name, matchers in SELECTOR.findall(expression):
        metric = find(name, metrics)
        for label, value in MATCHER.findall(matchers) if metric else ():
            if label in GIVEN_LABELS:
                continue
            if label not in metric.labels:
                yield f"{where}: {name} has no label {label} in docs/METRICS.md"
            elif metric.labels[label] and not set(value.split("|")) <= metric.labels[label]:
                yield f"{where}: {name} has no {label} {value} in docs/METRICS.md"


def find(name, metrics):
    """The metric that a series is of."""
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    if base in metrics and metrics[base].kind == "histogram":
        return metrics[base]
    return metrics.get(name)


def alerts():
    """Every alert of alerts.yml, as its name and its lines."""
    text = (ROOT / "infra/prometheus/alerts.yml").read_text()
    # Comments say why; they may name what they like.
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    parts = re.split(r"^ *- alert: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2]))


def expression_of(rule):
    """The expression of a rule, in one line or folded over several."""
    found = re.search(r"^ +expr: (?:>-\n)?(.*?)(?=^ +(?:for|labels): )", rule, re.MULTILINE | re.DOTALL)
    return found.group(1) if found else ""


def check_alerts(metrics):
    """What is wrong with the alerts."""
    headings = re.findall(r"^#+ (.*)$", (ROOT / HANDBOOK).read_text(), re.MULTILINE)
    # As GitHub makes anchors of headings.
    anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}
    tests = (ROOT / "infra/prometheus/alerts_test.yml").read_text()
    names = [name for name, _ in alerts()]
    if not names:
        yield "infra/prometheus/alerts.yml: there are no alerts"
    for name, rule in alerts():
        where = f"infra/prometheus/alerts.yml: {name}"
        if names.count(name) > 1:
            yield f"{where}: is there {names.count(name)} times"
        yield from unknown_names(where, expression_of(rule), metrics)
        severity = re.search(r"severity: (\w+)", rule)
        if not severity or severity.group(1) not in SEVERITIES:
            yield f"{where}: the severity has to be one of {', '.join(sorted(SEVERITIES))}"
        for annotation in ("summary", "description", "runbook_url"):
            if not re.search(rf"^ +{annotation}: \S", rule, re.MULTILINE):
                yield f"{where}: there is no {annotation}"
        if "$value" not in rule and "absent(" not in rule and "== 0" not in expression_of(rule):
            yield f"{where}: the description has no number: say {{{{ $value }}}}"
        anchor = name.lower()
        if f"runbook_url: {HANDBOOK}#{anchor}\n" not in rule:
            yield f"{where}: the runbook_url has to be {HANDBOOK}#{anchor}"
        if anchor not in anchors:
            yield f"{where}: {HANDBOOK} has no section {name}"
        of_name = re.compile(rf'expr: \'ALERTS\{{alertname="{name}",[^\n]*exp_samples: \[(.*?)\] \}}\n', re.DOTALL)
        expected = [bool(samples.strip()) for samples in of_name.findall(tests)]
        if True not in expected:
            yield f"{where}: no test in infra/prometheus/alerts_test.yml shows that it fires"
        if False not in expected:
            yield f"{where}: no test in infra/prometheus/alerts_test.yml shows that it does not fire"
    for title in headings:
        if title.startswith("StreamSync") and title not in names and " " not in title:
            yield f"{HANDBOOK}: there is no alert {title}"
    for series in re.findall(r"series: '([^']*)'", tests):
        yield from unknown_names("infra/prometheus/alerts_test.yml", series, metrics)


def check_dashboards(metrics):
    """What is wrong with the metrics in dashboards."""
    files = sorted((ROOT / "infra/grafana/dashboards").glob("*.json"))
    if not files:
        yield "infra/grafana/dashboards: there are no dashboards"
    for file in files:
        board = json.loads(file.read_text())
        where = str(file.relative_to(ROOT))
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                yield from unknown_names(f"{where}: {panel['title']}", target["expr"], metrics)
        for annotation in board["annotations"]["list"]:
            yield from unknown_names(f"{where}: {annotation['name']}", annotation["expr"], metrics)
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                selector = re.fullmatch(r"label_values\((.*), \w+\)", variable["query"]["query"])
                yield from unknown_names(f"{where}: ${variable['name']}", selector.group(1), metrics)


def main():
    metrics, faults = documented()
    faults += check_alerts(metrics)
    faults += check_dashboards(metrics)
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        return 1
    print(f"{len(alerts())} alerts and all dashboards name only what is among {len(metrics)} metrics")
    return 0


if __name__ == "__main__":
    sys.exit(main())
