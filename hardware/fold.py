"""Makes sources smaller for boards before they are compiled: MicroPython keeps every name of a module in its heap.

Owns: folding integer constants into where they are used, also over modules; leaving out constants that nothing on a
board names, and what only people, hosts and type checkers look at (details of refusals, how messages show and compare).
Refuses: a name that is bound anywhere else or asked for by its text, numbers that would be objects of their own, and
files with native code, which are left as they are.
Invariant: what is left behaves as before, but for the words in a refusal's detail.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

Modules = dict[str, ast.Module]
Numbers = dict[str, int]  # "module.NAME" -> value

FOR_HOSTS = ("__eq__", "__hash__", "__repr__", "__str__", "words")  # methods by which messages are looked at
KINDS = ("Bytes", "Int", "List", "Map", "Name", "OrNull", "Row", "Text", "Uint", "range")  # calls without effect
SMALL = 1 << 30  # integers below are no objects on 32-bit boards
_FOLDS = {
    ast.Add: int.__add__,
    ast.Sub: int.__sub__,
    ast.Mult: int.__mul__,
    ast.LShift: int.__lshift__,
    ast.BitOr: int.__or__,
    ast.FloorDiv: int.__floordiv__,
}


def fold(sources: dict[str, str]) -> dict[str, str]:
    """New sources by module name ("firmware.meter")."""
    modules = {name: ast.parse(text) for name, text in sources.items()}
    plain = {name: tree for name, tree in modules.items() if "viper" not in sources[name]}
    for tree in plain.values():
        _leave_out(tree)
    numbers = _numbers(plain)
    for name, tree in plain.items():
        _Fold(name, tree, numbers).visit(tree)
    _drop_unused(modules, plain)
    return {
        name: ast.unparse(ast.fix_missing_locations(tree)) + "\n" if name in plain else sources[name]
        for name, tree in modules.items()
    }


# ---------------------------------------------------------------- what boards do not look at


def _leave_out(tree: ast.Module) -> None:
    tree.body = [line for line in tree.body if not _is_for_checkers(line)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "WireError":
            node.args = node.args[:1]
            node.keywords = []
        elif isinstance(node, ast.ClassDef):
            node.body = [line for line in node.body if not _is_for_hosts(line)] or [ast.Pass()]


def _is_for_hosts(line: ast.stmt) -> bool:
    return isinstance(line, ast.FunctionDef) and line.name in FOR_HOSTS


def _is_for_checkers(line: ast.stmt) -> bool:
    names = [line.test] if isinstance(line, ast.If) else line.targets if isinstance(line, ast.Assign) else []
    return any(isinstance(name, ast.Name) and name.id == "TYPE_CHECKING" for name in names)


# ---------------------------------------------------------------- which names are numbers


def _numbers(modules: Modules) -> Numbers:
    found = dict(_places(modules))
    while True:
        before = len(found)
        for module, tree in modules.items():
            bound = Counter(_bound(tree))
            known = _known(module, tree, found)
            for name, value in _assignments(tree):
                number = _value(value, known)
                if bound[name] == 1 and number is not None and abs(number) < SMALL:
                    found[f"{module}.{name}"] = number
        if len(found) == before:
            return found


def _places(modules: Modules) -> Iterator[tuple[str, int]]:
    """What X.index("b") comes to where X = Name("a", "b")."""
    for module, tree in modules.items():
        for name, value in _assignments(tree):
            if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "Name":
                for place, word in enumerate(value.args):
                    yield f"{module}.{name}.index({ast.unparse(word)})", place


def _bound(tree: ast.Module) -> Iterator[str]:
    """Every name that is bound anywhere in a module, in functions too, once for each time."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield node.asname or node.name
        elif isinstance(node, ast.Global):
            yield from node.names


def _assignments(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for line in tree.body:
        if not isinstance(line, ast.Assign) or len(line.targets) != 1:
            continue
        target, value = line.targets[0], line.value
        if isinstance(target, ast.Name):
            yield target.id, value
        elif isinstance(target, ast.Tuple) and all(isinstance(name, ast.Name) for name in target.elts):
            for name, part in zip(target.elts, _parts(value, len(target.elts)), strict=False):
                yield name.id, part  # type: ignore[attr-defined]


def _parts(value: ast.expr, count: int) -> list[ast.expr]:
    if isinstance(value, ast.Tuple):
        return value.elts
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "range":
        return [ast.Constant(number) for number in range(count)] if len(value.args) == 1 else []
    return []


def _known(module: str, tree: ast.Module, numbers: Numbers) -> Numbers:
    """The numbers that names, and names behind a dot, stand for in one module."""
    prefixes = {f"{module}.": ""}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                prefixes[f"{_absolute(node, module)}.{alias.name}"] = alias.asname or alias.name
    known = {}
    for key, number in numbers.items():
        for prefix, name in prefixes.items():
            rest = key[len(prefix) :] if key.startswith(prefix) else None
            if rest is not None and (not name or not rest or rest.startswith(".")):
                known[name + rest] = number
    return known


def _absolute(node: ast.ImportFrom, module: str) -> str:
    if not node.level:
        return node.module or ""
    package = module.rsplit(".", node.level)[0]
    return f"{package}.{node.module}" if node.module else package


def _value(node: ast.expr, known: Numbers) -> int | None:
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) is int else None
    if isinstance(node, ast.Name | ast.Attribute | ast.Call):
        return known.get(ast.unparse(node))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = _value(node.operand, known)
        return None if number is None else -number
    if isinstance(node, ast.BinOp) and type(node.op) in _FOLDS:
        left, right = _value(node.left, known), _value(node.right, known)
        return None if left is None or right is None else _FOLDS[type(node.op)](left, right)
    return None


# ---------------------------------------------------------------- putting numbers in, taking names out


class _Fold(ast.NodeTransformer):
    def __init__(self, module: str, tree: ast.Module, numbers: Numbers) -> None:
        # A name that a function binds for itself is another one there; such names are left alone everywhere.
        counts = Counter(_bound(tree))
        known = _known(module, tree, numbers)
        self._known = {name: number for name, number in known.items() if counts[name.partition(".")[0]] <= 1}

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.Name | ast.Attribute | ast.Call):
            number = self._known.get(ast.unparse(node))
            if number is not None and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
                return ast.Constant(number)
        return super().visit(node)  # type: ignore[no-any-return]


def _drop_unused(modules: Modules, plain: Modules) -> None:
    """Assignments without effect and imports of ours that nobody names; each may be the last user of others."""
    while True:
        named = {name for module, tree in modules.items() for name in _named(module, tree, modules)}
        spare = 0
        for module, tree in plain.items():
            used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
            imports = _Imports(module, modules, named, used)
            imports.visit(tree)
            kept = [line for line in tree.body if not _is_spare(line, module, named)]
            spare += imports.spare + len(tree.body) - len(kept)
            tree.body = kept
        if not spare:
            return


def _named(module: str, tree: ast.Module, modules: Modules) -> Iterator[str]:
    """What somebody asks for: "module.NAME" where that can be told, else ".NAME", which may be anybody's."""
    aliases = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                aliases[alias.asname or alias.name] = f"{_absolute(node, module)}.{alias.name}"
                yield f"{_absolute(node, module)}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield f"{module}.{node.id}"
        elif isinstance(node, ast.Attribute):
            behind = aliases.get(node.value.id, "") if isinstance(node.value, ast.Name) else ""
            yield f"{behind}.{node.attr}" if behind in modules else f".{node.attr}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield f".{node.value}"


def _is_spare(line: ast.stmt, module: str, named: set[str]) -> bool:
    if not isinstance(line, ast.Assign) or len(line.targets) != 1 or not _has_no_effect(line.value):
        return False
    target = line.targets[0]
    names = target.elts if isinstance(target, ast.Tuple) else [target]
    return all(isinstance(name, ast.Name) and not {f"{module}.{name.id}", f".{name.id}"} & named for name in names)


def _has_no_effect(value: ast.expr) -> bool:
    calls = [node for node in ast.walk(value) if isinstance(node, ast.Call)]
    return all(isinstance(call.func, ast.Name) and call.func.id in KINDS for call in calls)


class _Imports(ast.NodeTransformer):
    def __init__(self, module: str, modules: Modules, named: set[str], used: set[str]) -> None:
        self._module, self._modules, self._named, self._used = module, modules, named, used
        self.spare = 0

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | None:
        source = _absolute(node, self._module)
        if source not in self._modules:
            return node
        kept = [alias for alias in node.names if not self._is_spare(alias, source)]
        self.spare += len(node.names) - len(kept)
        node.names = kept
        return node if kept else None

    def _is_spare(self, alias: ast.alias, source: str) -> bool:
        name = alias.asname or alias.name
        if name in self._used or f"{source}.{alias.name}" in self._modules:  # importing a module may be the point
            return False
        return not {f"{self._module}.{name}", f".{name}"} & self._named
