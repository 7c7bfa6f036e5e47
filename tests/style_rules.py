"""Rules that ruff does not know; `python tests/style_rules.py FILES` lists what breaks them."""

import ast
import sys
from pathlib import Path

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
LONGEST_FUNCTION = 60  # lines
LONGEST_TEST_NAME = 60  # characters


def is_nested(comprehension):
    "Whether a comprehension holds another one, or has two loops."
    inner = list(ast.walk(comprehension))[1:]
    return len(comprehension.generators) > 1 or any(isinstance(node, COMPREHENSIONS) for node in inner)


def is_packed_assignment(node):
    "Whether a statement gives three or more things to as many names in one tuple."
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Tuple):
        return False
    return isinstance(node.targets[0], ast.Tuple) and len(node.value.elts) > 2


def is_for_its_side_effects(node):
    "Whether a statement is a comprehension whose value nobody takes."
    return isinstance(node, ast.Expr) and isinstance(node.value, COMPREHENSIONS)


def broken_rule(node) -> str:
    "The rule that a node of the syntax tree breaks; empty when it breaks none."
    if isinstance(node, COMPREHENSIONS) and is_nested(node):
        return "nested comprehension"
    if is_packed_assignment(node):
        return "three assignments in one"
    if is_for_its_side_effects(node):
        return "comprehension for its side effects"
    if isinstance(node, ast.IfExp) and isinstance(node.orelse, ast.IfExp):
        return "chained conditional"
    if isinstance(node, ast.FunctionDef):
        if node.end_lineno - node.lineno >= LONGEST_FUNCTION:
            return f"function of more than {LONGEST_FUNCTION} lines"
        if node.name.startswith("test_") and len(node.name) > LONGEST_TEST_NAME:
            return f"name of a test longer than {LONGEST_TEST_NAME} characters"
    return ""


def broken_rules(source: str):
    "Yields (line, rule) for every place in a piece of code that breaks a rule."
    for node in ast.walk(ast.parse(source)):
        rule = broken_rule(node)
        if rule:
            yield node.lineno, rule


if __name__ == "__main__":
    for name in sys.argv[1:]:
        for line, rule in broken_rules(Path(name).read_text(encoding="utf-8")):
            print(f"{name}:{line}: {rule}")
