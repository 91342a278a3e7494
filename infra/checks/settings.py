"""Checks the settings that infra/ gives: each has to be one that the configuration knows, as a process
refuses to start with any other. Where the command is built, it also judges the values.

    python infra/checks/settings.py [COMMAND]
"""

import pathlib
import re
import subprocess
import sys

import yaml

from faults import end, fault, ok, skipped

INFRA = pathlib.Path("infra")
SETTING = re.compile(r"\bSTREAMSYNC_([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)__([A-Z0-9_]*[A-Z0-9])\b")


def known() -> set[str]:
    """The paths of all settings, as `router.listen`, read from the source of the configuration."""
    sources = [pathlib.Path("core/src/config.rs"), *pathlib.Path("core/src/config").glob("*.rs")]
    structs: dict[str, dict[str, str]] = {}
    for source in sources:
        for name, body in re.findall(r"pub struct (\w+) \{(.*?)\n\}", source.read_text(), re.S):
            structs[name] = dict(re.findall(r"^    pub (\w+): (.+),$", body, re.M))

    def paths(struct: str) -> set[str]:
        found = set()
        for field, kind in structs[struct].items():
            if kind in structs:
                found |= {f"{field}.{path}" for path in paths(kind)}
            else:
                found.add(field)
        return found

    return paths("Config")


def named() -> dict[str, set[str]]:
    """The settings that files name, and where."""
    found: dict[str, set[str]] = {}
    for file in sorted(INFRA.rglob("*")):
        if not file.is_file() or file.is_symlink() or "state" in file.relative_to(INFRA).parts:
            continue
        try:
            text = file.read_text()
        except UnicodeDecodeError:
            continue
        for section, name in SETTING.findall(text):
            path = f"{section}.{name}".lower().replace("__", ".")
            found.setdefault(path, set()).add(str(file))
    return found


def containers() -> list[tuple[str, dict[str, str]]]:
    """The environments of the chart's and of Compose's containers. Secrets have a value that fits."""
    secret = {"STREAMSYNC_REDIS__URL": "redis://:secret@redis:6379", "STREAMSYNC_SETTLEMENT__RPC_URL": "https://node"}
    environments = []
    for file in sorted(INFRA.glob("helm/golden/*.yaml")):
        documents = [document for document in yaml.safe_load_all(file.read_text()) if document]
        maps = {d["metadata"]["name"]: d["data"] for d in documents if d["kind"] == "ConfigMap"}
        for document in documents:
            template = document.get("spec", {}).get("jobTemplate", document).get("spec", {}).get("template")
            for container in (template or {}).get("spec", {}).get("containers", []):
                environment = {}
                for source in container["envFrom"]:
                    environment |= maps[source["configMapRef"]["name"]]
                for variable in container.get("env") or []:
                    value = variable.get("value", secret.get(variable["name"], "secret"))
                    environment[variable["name"]] = value.replace("$(POD_IP)", "10.0.0.5")
                environments.append((f"{file}: {container['name']}", environment))
    compose = INFRA / "compose/compose.yaml"
    for name, service in yaml.safe_load(compose.read_text())["services"].items():
        environment = dict(service.get("environment", {}))
        # A secret of another machine.
        if environment.pop("STREAMSYNC_CONFIG", None):
            environments.append((f"{compose}: {name}", environment))
    return environments


def judge(command: pathlib.Path) -> None:
    judged = containers()
    refused = 0
    for where, environment in judged:
        settings = {name: value for name, value in environment.items() if name.startswith("STREAMSYNC_")}
        settings = {name: str(value) for name, value in settings.items()}
        checked = subprocess.run([command, "config", "check"], env=settings, capture_output=True, text=True)
        if checked.returncode:
            refused += 1
            fault(f"{where}: {checked.stderr.strip()}")
    ok(f"{command.name} config check takes the settings of {len(judged) - refused} of {len(judged)} containers")


def main() -> None:
    settings = known()
    used = named()
    for path, files in sorted(used.items()):
        # Maps, as keep_days, have keys of their own.
        if path not in settings and path.rsplit(".", 1)[0] not in settings:
            fault(f"there is no setting {path}: {', '.join(sorted(files))}")
    ok(f"{len(used)} settings are named, of {len(settings)} that there are")
    if len(sys.argv) < 2 or not pathlib.Path(sys.argv[1]).is_file():
        skipped("values of settings: the command is not built (cargo build)")
    else:
        command = pathlib.Path(sys.argv[1]).resolve()
        sources = [pathlib.Path("core/src/config.rs"), *pathlib.Path("core/src/config").glob("*.rs")]
        if command.stat().st_mtime < max(source.stat().st_mtime for source in sources):
            skipped(f"values of settings: {sys.argv[1]} is older than the configuration (cargo build)")
        elif subprocess.run([command, "--version"], env={}, capture_output=True).returncode:
            # Built in another checkout, whose libraries are gone.
            skipped(f"values of settings: {sys.argv[1]} does not start here (cargo build)")
        else:
            judge(command)
    end()


main()
