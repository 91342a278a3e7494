"""Checks what no schema says of infra/compose/compose.yaml: that containers are locked down, that ports are
open on this machine only, and that what is mounted from the repository is there.

    python infra/checks/compose.py
"""

import pathlib

import yaml

from faults import end, fault, ok

FOLDER = pathlib.Path("infra/compose")


def look(name: str, service: dict) -> None:
    wanted = {
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
    }
    for key, value in wanted.items():
        if service.get(key) != value:
            fault(f"{name}: {key} is not {value}")
    for key in ("user", "mem_limit", "pids_limit"):
        if key not in service:
            fault(f"{name}: no {key}")
    version = service["image"].rpartition(":")[2]
    if version in ("", "latest") or "/" in version:
        fault(f"{name}: the image {service['image']} has no version")
    for port in service.get("ports", []):
        if not port.startswith("127.0.0.1:"):
            fault(f"{name}: the port {port} is open to other machines")
    # The images of StreamSync that serve have a health check of their own.
    serves = service["restart"] != "no"
    if serves and "healthcheck" not in service and "build" not in service:
        fault(f"{name}: no healthcheck")
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if not source.startswith("./state/") and source != "./state" and not (FOLDER / source).exists():
            fault(f"{name}: there is no {source}")


def dashboards(grafana: dict) -> None:
    """The folder that Grafana is told to read is the one that is mounted."""
    mounted = {volume.split(":")[1] for volume in grafana["volumes"]}
    for file in (FOLDER / "../grafana/provisioning/dashboards").glob("*.y*ml"):
        for provider in yaml.safe_load(file.read_text())["providers"]:
            if provider["options"]["path"] not in mounted:
                fault(f"grafana: {file.resolve()} reads {provider['options']['path']}, where nothing is mounted")


def main() -> None:
    compose = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    for name, service in compose["services"].items():
        look(name, service)
        for secret in service.get("secrets", []):
            if secret not in compose["secrets"]:
                fault(f"{name}: there is no secret {secret}")
        for other in service.get("depends_on", {}):
            if other not in compose["services"]:
                fault(f"{name}: there is no service {other}")
    dashboards(compose["services"]["grafana"])
    ok(f"{len(compose['services'])} services are locked down")
    end()


main()
