"""Functions some of whose arguments are known: what depends on these alone is computed beforehand,
branches that are not taken are left out, and calls of short functions are replaced by their bodies.

It knows as much of Python as the functions that prepare images need: branches, loops over known
values, assignments, and calls, by position, of functions of the same module without side effects.
"""

from __future__ import annotations

import ast
import copy
import inspect
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, cast

# What may be called beforehand.
PURE: Mapping[str, object] = {"isinstance": isinstance, "max": max, "min": min, "math": math}
PLAIN = (type(None), bool, int, float, str)
# Operations that change nothing if the right side is 1: sides are rounded after a division.
WITH_ONE = (ast.Mult, ast.Div, ast.FloorDiv)


class _UnknownError(Exception):
    """An expression cannot be computed beforehand."""


class Program:
    """A module's functions, specialized as they are asked for."""

    def __init__(
        self, module: ModuleType, late: Mapping[str, str], comment: Callable[[object], str]
    ) -> None:
        """`late` has expressions that stay unknown, each with the one that replaces it; `comment`
        describes a known value for which a loop's body is written."""
        tree = ast.parse(inspect.getsource(module))
        self.sources = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        self.late = {name: ast.parse(text, mode="eval").body for name, text in late.items()}
        self.comment = comment
        plain = {n: v for n, v in vars(module).items() if isinstance(v, dict | type)}
        self.globals: dict[str, object] = {**plain, **PURE}
        self.named: dict[str, ast.FunctionDef] = {}
        """Functions that may be called, by name."""
        self._made: dict[str, ast.FunctionDef] = {}

    def specialized(self, name: str, known: Mapping[str, object]) -> ast.FunctionDef:
        """Return a function of the module without its known parameters."""
        key = f"{name} {dict(known)}"
        if key not in self._made:
            made = _Specializer(self, known).function(self.sources[name])
            made.name = name.lstrip("_")
            same = sum(other.rstrip("_0123456789") == made.name for other in self.named)
            made.name += f"_{same + 1}" if same else ""
            self.named[made.name] = self._made[key] = made
        return self._made[key]

    def functions(self, *names: str) -> list[ast.FunctionDef]:
        """Return these functions and all that they call, each before those that call it."""
        found: list[ast.FunctionDef] = []
        for name in names:
            calls = (node for node in ast.walk(self.named[name]) if isinstance(node, ast.Call))
            called = [
                one for one in (ast.unparse(call.func) for call in calls) if one in self.named
            ]
            needed = [*self.functions(*called), self.named[name]]
            found += [function for function in needed if function not in found]
        return found


class _Specializer(ast.NodeTransformer):
    """Specializes one function."""

    def __init__(self, program: Program, known: Mapping[str, object]) -> None:
        self.program, self.known = program, dict(known)
        self._late = dict(program.late)
        self._stored: Counter[str] = Counter()
        self._unknown: set[str] = set()

    def function(self, source: ast.FunctionDef) -> ast.FunctionDef:
        found = copy.deepcopy(source)
        found.args.args = [a for a in found.args.args if a.arg not in self.known]
        self._stored = Counter(_names(found, ast.Store))
        self._unknown = {*self._stored, *(argument.arg for argument in found.args.args)}
        found.body = self._block(found.body)
        return cast("ast.FunctionDef", _WithoutUnused(found).visit(plain(found)))

    def _block(self, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        for statement in statements:
            found += self._statement(statement)
            if found and isinstance(found[-1], ast.Return | ast.Raise):
                break
        return found

    def _statement(self, node: ast.stmt) -> list[ast.stmt]:
        if isinstance(node, ast.Assert):
            return []
        if isinstance(node, ast.If):
            test = self.visit(node.test)
            if isinstance(test, ast.Constant):
                return self._block(node.body if test.value else node.orelse)
            return [ast.If(test, self._block(node.body), self._block(node.orelse))]
        if isinstance(node, ast.With):
            return [ast.With([self.visit(item) for item in node.items], self._block(node.body))]
        if isinstance(node, ast.For):
            return self._unrolled(node)
        made = self.visit(node)
        if not isinstance(made, ast.Assign):
            return [made]
        before, last = self._in_place(made)
        return before if self._is_known(last) else [*before, last]

    def _unrolled(self, node: ast.For) -> list[ast.stmt]:
        assert isinstance(node.target, ast.Name)
        values = cast("Iterable[object]", self._computed(node.iter))
        self._unknown.discard(node.target.id)
        found: list[ast.stmt] = []
        for value in values:
            self.known[node.target.id] = value
            found.append(ast.Expr(ast.Constant(f"# {self.program.comment(value)}")))
            found += self._block(copy.deepcopy(node.body))
        return found

    def _in_place(self, node: ast.Assign) -> tuple[list[ast.stmt], ast.Assign]:
        """Return an assignment, and what stands before it in place of the call of a function, if
        names mean the same in both."""
        call, (target,) = node.value, node.targets
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
            return [], node
        function = self.program.named.get(call.func.id)
        if function is None:
            return [], node
        *body, last = copy.deepcopy(_undocumented(function))
        parameters = [argument.arg for argument in function.args.args]
        # Names of this function that the other one would overwrite.
        taken = {*_names(function, ast.Store)} & self._unknown - {*_names(target, ast.Store)}
        returns = any(isinstance(part, ast.Return) for one in body for part in ast.walk(one))
        is_alike = [ast.unparse(argument) for argument in call.args] == parameters
        if returns or taken or not is_alike or not (isinstance(last, ast.Return) and last.value):
            return [], node
        return body, ast.Assign([target], last.value)

    def _is_known(self, node: ast.Assign) -> bool:
        """Return whether an assignment can be left out, and remember its values."""
        (target,) = node.targets
        if ast.unparse(target) == ast.unparse(node.value):
            return True
        names = list(_names(target, ast.Store))
        is_plain = ast.unparse(target).strip("()") == ", ".join(names)
        if not is_plain or any(self._stored[name] > 1 for name in names):
            return False
        if self._is_constant(node.value) and len(names) == 1:
            self._late[names[0]] = node.value
            return True
        try:
            values = ast.literal_eval(node.value)
        except ValueError:
            return False
        self.known.update(zip(names, values if len(names) > 1 else [values], strict=True))
        self._unknown.difference_update(names)
        return True

    def _is_constant(self, node: ast.expr) -> bool:
        """Return whether an expression is a module's attribute, such as `np.float32`."""
        while isinstance(node, ast.Attribute):
            node = node.value
            if isinstance(node, ast.Name):
                return node.id not in self._unknown
        return False

    def _computed(self, node: ast.expr) -> object:
        """Return the value of an expression. Raises _UnknownError."""
        for part in ast.walk(node):
            if ast.unparse(part) in self._late:
                raise _UnknownError
            if isinstance(part, ast.Name):
                unknown = part.id in self._unknown
                if unknown or part.id not in {*self.known, *self.program.globals}:
                    raise _UnknownError
        code = compile(ast.fix_missing_locations(ast.Expression(node)), "<known>", "eval")
        return eval(code, {**self.program.globals, **self.known})

    def visit(self, node: ast.AST) -> Any:
        """Return a node with all that is known computed."""
        if not isinstance(node, ast.expr) or isinstance(node, ast.JoinedStr | ast.FormattedValue):
            return super().visit(node)
        if (late := self._late.get(ast.unparse(node))) is not None:
            return copy.deepcopy(late)
        return self._plain(node) or self._plain(made := super().visit(node)) or made

    def _plain(self, node: ast.AST) -> ast.expr | None:
        """Return a known expression's value as an expression, None if that cannot be."""
        if isinstance(node, ast.Constant) or not isinstance(node, ast.expr):
            return node if isinstance(node, ast.Constant) else None
        try:
            value = self._computed(node)
        except _UnknownError:
            return None
        parts = value if isinstance(value, tuple) else (value,)
        # Infinity and nan are no expressions.
        is_plain = all(
            isinstance(v, PLAIN) and repr(v) not in ("inf", "-inf", "nan") for v in parts
        )
        return ast.parse(repr(value), mode="eval").body if is_plain else None

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        test = self.visit(node.test)
        if isinstance(test, ast.Constant):
            return self.visit(node.body if test.value else node.orelse)
        return self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        """Leave out what does not decide: `None or height` is `height`."""
        *values, last = (self.visit(value) for value in node.values)
        left: list[ast.expr] = []
        for value in values:
            if not isinstance(value, ast.Constant):
                left.append(value)
            elif bool(value.value) == isinstance(node.op, ast.Or):
                last = value
                break
        return ast.BoolOp(node.op, [*left, last]) if left else last

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        left, right = node.left, node.right
        if isinstance(right, ast.Constant) and right.value == 1 and isinstance(node.op, WITH_ONE):
            return left
        is_zero = isinstance(left, ast.Constant) and left.value == 0
        return right if is_zero and isinstance(node.op, ast.Add) else node

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        self.generic_visit(node)
        return ast.Constant(str(node.value.value)) if isinstance(node.value, ast.Constant) else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Call the specialized function, or put its expression in the call's place if it has no
        other statement."""
        if not (isinstance(node.func, ast.Name) and node.func.id in self.program.sources):
            self.generic_visit(node)
            if ast.unparse(node.func) == "getattr" and isinstance(node.args[1], ast.Constant):
                return ast.Attribute(node.args[0], str(node.args[1].value), ast.Load())
            return node
        name = node.func.id
        known: dict[str, object] = {}
        given: dict[str, ast.expr] = {}
        parameters = self.program.sources[name].args.args
        for parameter, argument in zip(parameters, node.args, strict=True):
            made = self.visit(argument)
            if isinstance(made, ast.Constant):
                known[parameter.arg] = made.value
            elif isinstance(made, ast.Name) and made.id in self.known:
                known[parameter.arg] = self.known[made.id]
            else:
                given[parameter.arg] = made
        function = self.program.specialized(name, known)
        first, *more = _undocumented(function)
        if isinstance(first, ast.Return) and first.value and not more:
            return _Placed(given).visit(copy.deepcopy(first.value))
        return ast.Call(ast.Name(function.name, ast.Load()), [*given.values()], [])


class _Placed(ast.NodeTransformer):
    """Puts expressions in the place of names."""

    def __init__(self, expressions: Mapping[str, ast.expr]) -> None:
        self.expressions = expressions

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.expressions.get(node.id, node)


class _WithoutUnused(ast.NodeTransformer):
    """Leaves out assignments to names that a function does not read."""

    def __init__(self, function: ast.FunctionDef) -> None:
        self.read = {*_names(function, ast.Load)}

    def visit_Assign(self, node: ast.Assign) -> ast.Assign | None:
        (target,) = node.targets
        names = [*_names(target, ast.Store)]
        return node if not names or self.read.intersection(names) else None


def _names(node: ast.AST, context: type[ast.expr_context]) -> Iterator[str]:
    """Yield the names that are read in a tree, or those that are written."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, context):
            yield part.id


def _undocumented(function: ast.FunctionDef) -> list[ast.stmt]:
    return function.body[ast.get_docstring(function) is not None :]


def plain(function: ast.FunctionDef) -> ast.FunctionDef:
    """Return a function without annotations, with the first paragraph of its docstring."""
    for node in ast.walk(function):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
    said = ast.get_docstring(function)
    if said is not None:
        first = said.partition("\n\n")[0]
        function.body[0] = ast.Expr(ast.Constant(" ".join(first.split())))
    return function
