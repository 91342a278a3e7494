"""Checks the Helm chart with Helm's own engine: lints it, renders it with the files of infra/helm/values,
compares that with infra/helm/golden, and validates it against the schemas of Kubernetes.

    python infra/checks/chart.py [--write] OUT

Custom resources go to the folder OUT, as TypeScript to be checked against their types.
"""

import difflib
import json
import pathlib
import sys

import kubernetes_validate
import yaml

from faults import end, fault, ok, skipped

try:
    import helm_python as helm
except ImportError:
    helm = None

CHART = pathlib.Path("infra/helm/streamsync")
VALUES = pathlib.Path("infra/helm/values")
GOLDEN = pathlib.Path("infra/helm/golden")
STORAGE_CLASS = pathlib.Path("infra/terraform/storage-class.yaml")
# The oldest that the chart is for, and the newest that there is a schema of.
KUBERNETES = ("1.30", "1.37")
# Kinds that Kubernetes does not have, and the modules of their types.
CUSTOM = {
    "ScaledObject": "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject",
    "ServiceMonitor": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor",
    "PrometheusRule": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule",
}
IMAGE = {"image": {"repository": "registry/streamsync"}}
# Everything that can be switched on; without a golden file, as it has the alerts, which change by themselves.
EVERYTHING = {
    **IMAGE,
    "settlement": {
        "enabled": True,
        "network": "network",
        "routers": ["router"],
        "keypairSecret": {"name": "settler"},
        "rpcSecret": {"name": "solana"},
    },
    "ingest": {"enabled": True, "args": ["--rpc", "https://node", "--last", "100"]},
    "keda": {"enabled": True, "prometheus": {"authentication": "prometheus"}},
    "worker": {"volume": {"persistent": False}, "priorityClassName": "high"},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "networkPolicy": {"traces": {"port": 4318}},
    "config": {"compactor": {"promise_s": 86400}, "telemetry": {"trace_ratio": 0.5}},
}
# What must not be taken: a secret among the settings, what nobody reads, what cannot be.
REFUSED = [
    {"image": {"repository": ""}},
    {"keda": {"enabled": True, "scaleToZero": True}},
    {"config": {"redis": {"url": "redis://:secret@redis"}}},
    {"config": {"bucket": {"url": "s3://lake", "secret_access_key": "secret"}}},
    {"worker": {"memroyBytes": 1}},
    {"worker": {"identity": {"mode": "none"}}},
    {"settlement": {"enabled": True}},
    {"ingest": {"enabled": True}},
]


def render(chart: "helm.Chart", values: dict) -> str:
    """All manifests, in the order of their files."""
    rendered = chart.render(values, name="streamsync", namespace="streamsync")
    manifests = []
    for file, text in sorted(rendered.items()):
        if file.endswith("NOTES.txt") or not any(yaml.load_all(text, yaml.CSafeLoader)):
            continue
        manifests.append(f"# {file}\n{text.strip().removeprefix('---').strip()}\n")
    return "---\n".join(manifests)


def compare(name: str, text: str, write: bool) -> None:
    golden = GOLDEN / f"{name}.yaml"
    if write:
        golden.write_text(text)
        ok(f"{golden} is written")
        return
    was = golden.read_text() if golden.exists() else ""
    if was == text:
        ok(f"{golden} is as rendered")
        return
    changes = difflib.unified_diff(was.splitlines(), text.splitlines(), str(golden), "rendered", lineterm="")
    fault(f"{golden} differs from what is rendered; scripts/check-infra --write renews it\n" + "\n".join(changes))


def validate(name: str, text: str, custom: list[dict]) -> None:
    validated = 0
    for document in yaml.load_all(text, yaml.CSafeLoader):
        if not document:
            continue
        if document["kind"] in CUSTOM:
            custom.append(document)
            continue
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                where = ".".join(str(step) for step in error.path)
                fault(f"{name}: {document['kind']} {document['metadata']['name']}: {where}: {error.message}")
        validated += 1
    ok(f"{name}: {validated} objects are of Kubernetes {' and '.join(KUBERNETES)}")


def write_types(out: pathlib.Path, custom: list[dict]) -> None:
    """A literal of a type may have no property that the type has not, at any depth."""
    lines = [f'import type {{ I{kind} }} from "{module}";' for kind, module in CUSTOM.items()]
    for number, document in enumerate(custom):
        lines.append(f"export const object{number}: I{document['kind']} = {json.dumps(document, indent=2)};")
    (out / "custom.ts").write_text("\n".join(lines) + "\n")


def main() -> None:
    write = "--write" in sys.argv
    out = pathlib.Path(sys.argv[-1])
    (out / "custom.ts").unlink(missing_ok=True)
    if helm is None:
        skipped("the chart: Helm's engine is not published for this machine")
        end()
    custom: list[dict] = []
    with helm.Chart.load(CHART) as chart:
        for file in sorted(VALUES.glob("*.yaml")):
            values = yaml.safe_load(file.read_text())
            report = helm.lint(CHART, values, strict=True)
            for message in report["messages"]:
                if message["severity"] > 1:
                    fault(f"{file}: {message['path']}: {message['error']}")
            text = render(chart, values)
            compare(file.stem, text, write)
            validate(file.stem, text, custom)
        validate("everything", render(chart, EVERYTHING), custom)
        validate(str(STORAGE_CLASS), STORAGE_CLASS.read_text(), custom)
        for values in REFUSED:
            try:
                render(chart, IMAGE | values)
                fault(f"the chart takes {values}")
            except helm.HelmError:
                pass
        ok(f"{len(REFUSED)} wrong values are refused")
    write_types(out, custom)
    end()


main()
