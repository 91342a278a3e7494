"""Checks infra/terraform without the provider, which no package registry has: it has to parse, every
variable, local value and resource that is referred to has to be declared, and every argument has to be one
that the provider knows, with all that it requires. What the provider knows is taken from the types that are
published for it.

    python infra/checks/terraform.py [FOLDER-OF-TYPES]
"""

import pathlib
import re
import sys

import hcl2

from faults import end, fault, ok, skipped

ROOT = pathlib.Path("infra/terraform")
# Of any resource, whatever its type.
META = {"count", "depends_on", "for_each", "lifecycle", "provider", "connection", "provisioner", "timeouts"}
INTERFACE = re.compile(r"^export interface (\w+)(?: extends \S+)? \{$(.*?)^\}$", re.S | re.M)
MEMBER = re.compile(r"\{@link \S+#(\w+) \S+\}(?:(?!\*/).)*\*/\s*readonly \w+(\??): ([^;]+);", re.S)


class Types:
    """The arguments of resources and data sources."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.modules: dict[str, dict] = {}

    def module(self, name: str) -> dict | None:
        if name not in self.modules:
            file = self.folder / name / "index.d.ts"
            self.modules[name] = self.parse(file.read_text()) if file.exists() else None
        return self.modules[name]

    @staticmethod
    def parse(text: str) -> dict:
        interfaces = {}
        for name, body in INTERFACE.findall(text):
            members = {}
            for argument, optional, kind in MEMBER.findall(body):
                nested = re.search(r"\w+", kind).group()
                members[argument] = (not optional, nested)
            interfaces[name] = members
        return interfaces

    def arguments(self, kind: str, data: bool) -> tuple[dict, dict] | None:
        words = kind.removeprefix("aws_").split("_")
        interfaces = self.module(("data-aws-" if data else "") + "-".join(words))
        if interfaces is None:
            return None
        # The first one is the resource's own; the others are of blocks within it.
        configs = [name for name in interfaces if name.endswith("Config")]
        return interfaces, interfaces[configs[0]]


def plain(block: dict) -> dict:
    """Without what the parser adds about comments and lines."""
    return {key.strip('"'): value for key, value in block.items() if not key.startswith("__")}


def blocks(value: object) -> list[dict]:
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, dict)]


def arguments(where: str, block: dict, members: dict, interfaces: dict, top: bool) -> None:
    given = set()
    for name, value in plain(block).items():
        if name == "dynamic":
            for dynamic in blocks(value):
                for inner, body in plain(dynamic).items():
                    given.add(inner)
                    for content in blocks(plain(body)["content"]):
                        nested(where, inner, content, members, interfaces)
            continue
        given.add(name)
        if top and name in META:
            continue
        if name not in members:
            fault(f"{where}: there is no argument {name}")
        elif members[name][1] in interfaces:
            for inner in blocks(value):
                nested(where, name, inner, members, interfaces)
    for name, (required, _) in members.items():
        if required and name not in given:
            fault(f"{where}: the argument {name} is missing")


def nested(where: str, name: str, block: dict, members: dict, interfaces: dict) -> None:
    if name not in members:
        fault(f"{where}: there is no block {name}")
    elif members[name][1] in interfaces:
        arguments(f"{where}.{name}", block, interfaces[members[name][1]], interfaces, False)


def declared(files: dict[pathlib.Path, dict]) -> set[str]:
    names = set()
    for parsed in files.values():
        for block in parsed.get("variable", []):
            names |= {f"var.{name}" for name in plain(block)}
        for block in parsed.get("locals", []):
            names |= {f"local.{name}" for name in plain(block)}
        for block in parsed.get("module", []):
            names |= {f"module.{name}" for name in plain(block)}
        for key, prefix in (("resource", ""), ("data", "data.")):
            for block in parsed.get(key, []):
                for kind, named in plain(block).items():
                    names |= {f"{prefix}{kind}.{name}" for name in plain(named)}
    return names


REFERENCE = re.compile(r"(?<![\w.\"-])((?:var|local|module)\.\w+|(?:data\.)?aws_\w+\.\w+)")


def folder(path: pathlib.Path, types: Types | None) -> int:
    files = {}
    for file in sorted(path.glob("*.tf")):
        try:
            files[file] = hcl2.loads(file.read_text())
        except Exception as error:
            fault(f"{file} cannot be parsed: {str(error).splitlines()[0]}")
    names = declared(files)
    checked = 0
    for file, parsed in files.items():
        for reference in sorted(set(REFERENCE.findall(re.sub(r"#.*", "", file.read_text())))):
            if reference not in names:
                fault(f"{file}: {reference} is not declared")
        for key, data in (("resource", False), ("data", True)):
            for block in parsed.get(key, []):
                for kind, named in plain(block).items():
                    for name, body in plain(named).items():
                        if types is None:
                            continue
                        known = types.arguments(kind, data)
                        if known is None:
                            fault(f"{file}: the provider has no {'data source' if data else 'resource'} {kind}")
                            continue
                        checked += 1
                        arguments(f"{file}: {kind}.{name}", body, known[1], known[0], True)
    return checked


def main() -> None:
    types = Types(pathlib.Path(sys.argv[1])) if len(sys.argv) > 1 else None
    for path in [ROOT, *sorted((ROOT / "examples").iterdir())]:
        checked = folder(path, types)
        if types:
            ok(f"{path}: {checked} resources and data sources have the arguments that the provider knows")
        else:
            ok(f"{path} parses")
    if types is None:
        skipped("arguments of Terraform's resources: there is no npm to get their types with")
    end()


main()
