"""Makes sources smaller for boards before they are compiled: MicroPython keeps every name of a module in its heap.

Owns: folding integer constants into where they are used, also over modules; leaving out what only people, editors and
type checkers read (details of refusals, `if TYPE_CHECKING`).
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
    _drop_unused(modules, plain, numbers)
    return {
        name: ast.unparse(ast.fix_missing_locations(tree)) + "\n" if name in plain else sources[name]
        for name, tree in modules.items()
    }


# ---------------------------------------------------------------- what boards do not read


def _leave_out(tree: ast.Module) -> None:
    tree.body = [line for line in tree.body if not _is_for_checkers(line)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "WireError":
            node.args = node.args[:1]
            node.keywords = []


def _is_for_checkers(line: ast.stmt) -> bool:
    names = [line.test] if isinstance(line, ast.If) else line.targets if isinstance(line, ast.Assign) else []
    return any(isinstance(name, ast.Name) and name.id == "TYPE_CHECKING" for name in names)


# ---------------------------------------------------------------- which names are numbers


def _numbers(modules: Modules) -> Numbers:
    found: Numbers = {}
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
    known = {key.rpartition(".")[2]: value for key, value in numbers.items() if key.rpartition(".")[0] == module}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            source = _absolute(node, module)
            for alias in node.names:
                name = alias.asname or alias.name
                if f"{source}.{alias.name}" in numbers:
                    known[name] = numbers[f"{source}.{alias.name}"]
                inside = f"{source}.{alias.name}."
                known |= {f"{name}.{key[len(inside) :]}": n for key, n in numbers.items() if key.startswith(inside)}
    return known


def _absolute(node: ast.ImportFrom, module: str) -> str:
    if not node.level:
        return node.module or ""
    package = module.rsplit(".", node.level)[0]
    return f"{package}.{node.module}" if node.module else package


def _value(node: ast.expr, known: Numbers) -> int | None:
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) is int else None
    if isinstance(node, ast.Name | ast.Attribute):
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
        self._known = _known(module, tree, numbers)
        # A name that a function binds for itself is another one there; such names are left alone everywhere.
        counts = Counter(_bound(tree))
        self._known = {name: number for name, number in self._known.items() if counts[name.partition(".")[0]] <= 1}

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._number(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if isinstance(node.value, ast.Name) and ast.unparse(node) in self._known:
            return self._number(node)
        self.generic_visit(node)
        return node

    def _number(self, node: ast.Name | ast.Attribute) -> ast.expr:
        number = self._known.get(ast.unparse(node))
        if number is None or not isinstance(node.ctx, ast.Load):
            return node
        return ast.Constant(number)


def _drop_unused(modules: Modules, plain: Modules, numbers: Numbers) -> None:
    """Imports of numbers first, then their definitions, where nobody names them any more."""
    for module, tree in plain.items():
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        _Imports(module, numbers, used).visit(tree)
    named = Counter(name for tree in modules.values() for name in _named(tree))
    for module, tree in plain.items():
        tree.body = [line for line in tree.body if not _is_spare(line, module, numbers, named)]


def _named(tree: ast.Module) -> Iterator[str]:
    """Names as somebody might still ask for them: loads, attributes, imports, texts."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _is_spare(line: ast.stmt, module: str, numbers: Numbers, named: Counter[str]) -> bool:
    if not isinstance(line, ast.Assign) or len(line.targets) != 1:
        return False
    target = line.targets[0]
    names = target.elts if isinstance(target, ast.Tuple) else [target]
    return all(isinstance(name, ast.Name) and f"{module}.{name.id}" in numbers and not named[name.id] for name in names)


class _Imports(ast.NodeTransformer):
    def __init__(self, module: str, numbers: Numbers, used: set[str]) -> None:
        self._module, self._numbers, self._used = module, numbers, used

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | None:
        source = _absolute(node, self._module)
        node.names = [
            alias
            for alias in node.names
            if (alias.asname or alias.name) in self._used or f"{source}.{alias.name}" not in self._numbers
        ]
        return node if node.names else None
