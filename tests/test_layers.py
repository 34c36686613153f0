"""Holds the architecture: rooms in a row, each importing only what stands to its left; no cycles; a light start."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec
from pathlib import Path

import pytest

PACKAGE = "metricdef"
ROOT = Path(__file__).resolve().parents[1] / PACKAGE

# From left to right. A room is a package or a module directly under metricdef/.
ROOMS = (
    "errors",
    "stats",
    "metrics",
    "definitions",
    "compiler",
    "warehouses",
    "analysis",
    "jobs",
    "governance",
    "review",
    "reports",
    "api",
    "demo",
    "cli",
    "__main__",
)

# Drivers that may be absent, or cost more than the rest of a command: imported by the function that needs them.
NEVER_AT_MODULE_LEVEL = {"chdb", "duckdb", "psycopg", "pyspark", "scipy", "snowflake"}

# What `metricdef --help` must do without.
NEVER_FOR_HELP = {"duckdb", "jinja2", "numpy", "pyarrow", "pydantic", "scipy", "snowflake", "sqlglot", "yaml"}


@dataclass(frozen=True)
class Import:
    """`target` is the module that gets loaded; `at_load` tells whether importing the importer is enough for that."""

    source: str
    line: int
    target: str
    at_load: bool

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


def module_name(path: Path, root: Path) -> str:
    parts = (root.name, *path.relative_to(root).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def walk(node: ast.AST, *, at_load: bool = True) -> Iterator[tuple[ast.AST, bool]]:
    """Every node that can run, with whether it runs when the module is loaded; type-checking blocks never do."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and is_type_checking(child.test):
            for statement in child.orelse:
                yield statement, at_load
                yield from walk(statement, at_load=at_load)
            continue
        yield child, at_load
        inside_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from walk(child, at_load=at_load and not inside_function)


def imports_of(path: Path, root: Path, modules: set[str]) -> Iterator[Import]:
    source = module_name(path, root)
    package = source if path.name == "__init__.py" else source.rpartition(".")[0]
    for node, at_load in walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(source, node.lineno, alias.name, at_load)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                anchor = ".".join(parts[: len(parts) - node.level + 1])
                base = f"{anchor}.{base}" if base else anchor
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                # `from package import module` loads the module; `from module import name` loads only the first part.
                target = whole if whole in modules or base.split(".")[0] != root.name else base
                yield Import(source, node.lineno, target, at_load)
        elif isinstance(node, ast.Call) and is_import_call(node.func):
            match node.args:
                case [ast.Constant(value=str(name)), *_]:
                    yield Import(source, node.lineno, package + name if name.startswith(".") else name, at_load)
                case _:
                    pass


def is_import_call(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)
    return name in {"import_module", "__import__"}


def read(root: Path) -> tuple[set[str], list[Import]]:
    return whole() if root == ROOT else parsed(root)


@cache
def whole() -> tuple[set[str], list[Import]]:
    return parsed(ROOT)


def parsed(root: Path) -> tuple[set[str], list[Import]]:
    paths = sorted(root.rglob("*.py"))
    modules = {module_name(path, root) for path in paths}
    return modules, [found for path in paths for found in imports_of(path, root, modules)]


def room_of(module: str) -> str:
    """The room of a module of the package; the package itself is the empty room."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def layer_faults(root: Path, rooms: tuple[str, ...] = ROOMS) -> list[str]:
    modules, imports = read(root)
    place = {room: position for position, room in enumerate(rooms)}
    faults = [
        f"{module} is in no room: add it to ROOMS, or move it"
        for module in sorted(modules)
        if room_of(module) and room_of(module) not in place
    ]
    for found in imports:
        here, there = room_of(found.source), room_of(found.target)
        if found.target.split(".")[0] != root.name or here not in place:
            continue
        # The package itself, as in `from metricdef import __version__`, is to everybody's left.
        if there and place.get(there, len(rooms)) > place[here]:
            faults.append(f"{found}: {there} is to the right of {here}")
    return faults


def root_faults(root: Path) -> list[str]:
    """The package's own __init__ offers names of all rooms, so it may load none of them before it is asked."""
    return [
        str(found)
        for found in read(root)[1]
        if found.source == root.name and found.at_load and found.target.startswith(f"{root.name}.")
    ]


def cycle(root: Path) -> list[str]:
    """A ring of modules that import each other, also inside functions; empty when there is none."""
    modules, imports = read(root)
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for found in imports:
        # The package's own __init__ offers names of every room on demand (see root_faults).
        if found.source != root.name and found.target in modules and found.target != found.source:
            graph[found.source].add(found.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def heavy_faults(root: Path) -> list[str]:
    return [
        str(found) for found in read(root)[1] if found.at_load and found.target.split(".")[0] in NEVER_AT_MODULE_LEVEL
    ]


def test_a_room_imports_only_rooms_to_its_left():
    assert layer_faults(ROOT) == []


def test_the_package_itself_loads_no_room():
    assert root_faults(ROOT) == []


def test_no_modules_import_each_other_in_a_ring():
    assert cycle(ROOT) == []


def test_no_driver_is_imported_at_module_level():
    assert heavy_faults(ROOT) == []


def test_help_loads_no_heavy_library():
    if find_spec("metricdef.cli.main") is None:
        pytest.skip("there is no command line yet")
    program = (
        "import sys\n"
        "from metricdef.cli.main import main\n"
        "sys.argv = ['metricdef', '--help']\n"
        "try:\n"
        "    code = main()\n"
        "except SystemExit as stop:\n"
        "    code = stop.code\n"
        "import json\n"
        "sys.stderr.write(json.dumps([code, sorted({name.partition('.')[0] for name in sys.modules})]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    code, loaded = json.loads(done.stderr)
    assert code in (0, None)
    assert "metricdef" in done.stdout
    assert sorted(NEVER_FOR_HELP & set(loaded)) == []


# --- the checks themselves find what they look for ----------------------------------------------------------------------


@pytest.fixture
def package(tmp_path):
    def write(**files: str) -> Path:
        root = tmp_path / "shop"
        for name, text in {"__init__": "", **files}.items():
            path = root.joinpath(*name.split("__sub__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return root

    return write


ROW = ("left", "middle", "right")


@pytest.mark.parametrize(
    "text",
    [
        "import shop.right",
        "from shop import right",
        "from shop.right import thing",
        "from . import right",
        "from .right import thing",
        "def f():\n    from shop.right import thing",
        "from importlib import import_module\ndef f():\n    import_module('shop.right')",
        "try:\n    import shop.right\nexcept ImportError:\n    pass",
    ],
)
def test_an_import_to_the_right_is_found(package, text):
    root = package(left="", middle=text, right="thing = 1")
    assert [fault.rpartition(": ")[2] for fault in layer_faults(root, ROW)] == ["right is to the right of middle"]


def test_imports_to_the_left_and_for_types_are_fine(package):
    text = "from shop.left import thing\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import shop.right\n"
    assert layer_faults(package(left="thing = 1", middle=text, right=""), ROW) == []


def test_a_module_outside_the_rooms_is_found(package):
    assert layer_faults(package(attic=""), ROW) == ["shop.attic is in no room: add it to ROOMS, or move it"]


def test_a_relative_import_inside_a_package_is_resolved(package):
    root = package(left__sub____init__="", left__sub__a="from ..right import thing", right="thing = 1")
    assert layer_faults(root, ROW) == ["shop.left.a:1 imports shop.right: right is to the right of left"]


def test_an_eager_root_is_found_and_a_lazy_one_is_not(package):
    assert root_faults(package(__init__="from shop.left import thing", left="thing = 1"))
    lazy = "def __getattr__(name):\n    from shop.left import thing\n    return thing\n"
    assert root_faults(package(__init__=lazy)) == []


def test_a_ring_is_found_even_inside_functions(package):
    ring = package(left="from shop import middle", middle="def f():\n    import shop.left")
    assert set(cycle(ring)) == {"shop.left", "shop.middle"}


def test_a_driver_at_module_level_is_found_and_elsewhere_is_not(package):
    eager = "class A:\n    import duckdb\ntry:\n    from snowflake import connector\nexcept ImportError:\n    pass\n"
    assert [fault.rpartition(" ")[2] for fault in heavy_faults(package(left=eager))] == [
        "duckdb",
        "snowflake.connector",
    ]
    lazy = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import duckdb\ndef f():\n    import scipy.stats\n"
    assert heavy_faults(package(left=lazy)) == []
