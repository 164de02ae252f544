"""Names in a piece of code: which it binds, which it uses, and which name something that it may change as it runs.

The last is told from syntax alone, so it is more rather than less: `for width in (8, 16): WIDTHS.append(width)` may
change `WIDTHS`, and what `width` takes its values from.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
COMPOUND = (ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.If, ast.Match)

# Calls of these change nothing that they are given. What the first give holds nothing of it either; what the others
# give does: `list(KINDS)[0].width = 8` changes a kind.
_OF_VALUES = (
    *("abs", "all", "any", "bool", "float", "hasattr", "id", "int", "isinstance", "issubclass", "len", "print"),
    *("range", "repr", "round", "str", "sum"),
)
_OF_OBJECTS = (
    *("dict", "enumerate", "frozenset", "getattr", "iter", "list", "max", "min", "reversed", "set", "sorted"),
    *("super", "tuple", "zip"),
)
QUIET = dict.fromkeys(_OF_VALUES, False) | dict.fromkeys(_OF_OBJECTS, True)
BUILT_IN = frozenset(dir(builtins))
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Use(NamedTuple):
    """That code may change something, and under what name.

    Attributes:
        name: '' if only the attribute is known.
        attribute: of it, if one is asked for.
        how: "object" if what has the name is changed; "call" if it is what a call of it changes, "result" what that
            gives, "subclass" what it does as a class derives from it, "metaclass" what it does as it makes a class.
    """

    name: str
    attribute: str = ""
    how: str = "object"


# By name, whether what a call gives holds what it was given; such a call changes nothing.
Quiet = Mapping[str, bool]


def binds(node: ast.AST, *, changed: bool = True) -> Iterator[str]:
    """Names that a statement binds in its own scope, and with `changed` those whose attributes or items it sets."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names if alias.name != "*")
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
        if changed and (base := base_name(node)):
            yield base
    elif not isinstance(node, (*FUNCTIONS, *COMPREHENSIONS)):  # these have scopes of their own
        for child in ast.iter_child_nodes(node):
            yield from binds(child, changed=changed)
        if isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name


def names(node: ast.AST) -> set[str]:
    """Names that are used and not bound within: what must come from the module, or is built in."""
    if isinstance(node, ast.Name):
        return {node.id}
    inner = set[str]().union(*map(names, ast.iter_child_nodes(node)))
    if isinstance(node, FUNCTIONS):
        body = node.body if isinstance(node.body, list) else [node.body]
        own = {name for statement in body for name in binds(statement, changed=False)}
        own -= {
            name for statement in body for n in ast.walk(statement) if isinstance(n, ast.Global) for name in n.names
        }
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        own |= {argument.arg for argument in arguments if argument is not None}
        around = [*node.args.defaults, *node.args.kw_defaults, *getattr(node, "decorator_list", ())]
        return (inner - own) | set[str]().union(*(names(part) for part in around if part is not None))
    if isinstance(node, COMPREHENSIONS):
        return inner - {name for generator in node.generators for name in binds(generator.target)}
    return inner


def base_name(node: ast.AST) -> str:
    """The name that attributes and items are asked of; '' if it is none."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def running(statement: ast.AST) -> Iterator[ast.AST]:
    """All that runs when a statement of a module does: functions in it are only defined."""
    yield statement
    parts = ast.iter_child_nodes(statement)
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        arguments = statement.args
        defaults = [*arguments.defaults, *(default for default in arguments.kw_defaults if default is not None)]
        parts = iter([*statement.decorator_list, *defaults])
    for part in parts:
        yield from running(part)


def value(node: ast.AST | None, quiet: Quiet) -> set[Use]:
    """What the value of an expression may be, hold or be part of."""
    if isinstance(node, ast.Name):
        return {Use(node.id)}
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return {Use(node.value.id, node.attr)}
    if isinstance(node, ast.Call):
        handed_on = quiet.get(base_name(node.func), True)
        return _called(node.func, "result", quiet) | (_given(node, quiet) if handed_on else set())
    if isinstance(node, COMPREHENSIONS):
        made = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        found = set[Use]().union(*(value(part, quiet) for part in made))
        targets = {name for generator in node.generators for name in binds(generator.target)}
        if any(use.name in targets for use in found):
            found |= set[Use]().union(*(value(generator.iter, quiet) for generator in node.generators))
        return {use for use in found if use.name not in targets}
    if node is None or isinstance(node, ast.JoinedStr | ast.Compare | ast.Lambda):
        return set()
    parts = [node.value] if isinstance(node, ast.Subscript) else ast.iter_child_nodes(node)
    return set[Use]().union(*(value(part, quiet) for part in parts))


def changes(nodes: Iterable[ast.AST], quiet: Quiet) -> Iterator[Use]:
    """What these parts of code may change when they run, each by itself."""
    for node in nodes:
        if isinstance(node, ast.Call):
            yield from _called(node.func, "call", quiet)
            if isinstance(node.func, ast.Attribute):
                yield Use("", node.func.attr, "call")
            if base_name(node.func) not in quiet:
                yield from _given(node, quiet)
        elif isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            yield from value(node.value, quiet)
        elif isinstance(node, ast.AugAssign):
            yield from value(node.target, quiet)
        elif isinstance(node, ast.Global):
            yield from map(Use, node.names)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                yield from _called(decorator, "call", quiet)
        if isinstance(node, ast.ClassDef):
            yield from (*bases(node, "subclass", quiet), *metaclass(node, quiet))


def bases(node: ast.ClassDef, how: str, quiet: Quiet) -> set[Use]:
    """What a class derives from, which is used as the class is."""
    return {use._replace(how=how) for base in node.bases for use in value(base, quiet)}


def metaclass(node: ast.ClassDef, quiet: Quiet) -> set[Use]:
    """What makes a class."""
    makers = [keyword.value for keyword in node.keywords if keyword.arg == "metaclass"]
    return {use._replace(how="metaclass") for maker in makers for use in value(maker, quiet)}


def origins(nodes: Iterable[ast.AST], quiet: Quiet) -> dict[str, set[Use]]:
    """Of each name that these parts of code give a value, or something to hold, what that may be."""
    found: dict[str, set[Use]] = {}
    for node in nodes:
        given: list[tuple[ast.AST | None, ast.AST | None]] = []
        if isinstance(node, ast.Assign):
            given = [(target, node.value) for target in node.targets]
        elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr):
            given = [(node.target, node.value)]
        elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            given = [(node.target, node.iter)]
        elif isinstance(node, ast.withitem):
            given = [(node.optional_vars, node.context_expr)]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and (base := base_name(node.func)):
            found.setdefault(base, set()).update(_given(node, quiet))
        for target, source in given:
            for name in binds(target) if target is not None else ():
                found.setdefault(name, set()).update(value(source, quiet))
    return found


def of_function(node: Function, quiet: Quiet, *, changed: bool, returned: bool) -> Iterator[Use]:
    """What a call may change, or return, of what is not the function's own.

    Args:
        node: its definition. What it does to its arguments is not told: whoever calls it knows what these are.
        quiet: see `Quiet`.
        changed, returned: which of the two.
    """
    nodes = [inner for statement in node.body for inner in ast.walk(statement)]
    waiting = list(changes(nodes, quiet)) if changed else []
    if returned:
        parts = [n.value for n in nodes if isinstance(n, ast.Return | ast.Yield | ast.YieldFrom)]
        waiting += [use for part in parts for use in value(part, quiet)]
    within, free, seen = origins(nodes, quiet), names(node), set[Use]()
    while waiting:
        if (use := waiting.pop()) not in seen:
            seen.add(use)
            waiting += within.get(use.name, ())
            if not use.name or use.name in free:
                yield use


def _called(function: ast.expr, how: str, quiet: Quiet) -> set[Use]:
    """What is called: a name, a name's attribute, or something of a longer expression."""
    if isinstance(function, ast.Name):
        return {Use(function.id, "", how)}
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return {Use(function.value.id, function.attr, how)}
    return value(function.value if isinstance(function, ast.Attribute) else function, quiet)


def _given(call: ast.Call, quiet: Quiet) -> set[Use]:
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    return set[Use]().union(*(value(part, quiet) for part in given))
