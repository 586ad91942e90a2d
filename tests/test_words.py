"""The words of the code base, counted: docstrings in dialect, functions that begin with a verb.

`python tests/test_words.py farm/engine web/pages` lists the offenders of these folders, or of all.

What counts as a docstring: that of a function, a method or a class; a module's tells a story and may
open as it likes. It opens in dialect if its first word is one of `DIALECT`.

What counts as a function: every `def` of a module or a class, by its first word; an underscore in front
does not matter. Left aside, because a verb would be wrong or the name is not ours to choose, are

- properties, which are nouns, and dunders;
- functions inside functions;
- what a framework calls by its decorator: a route and a click command are named for their endpoint and
  for the word that a person types, a validator for the rule that it holds;
- hooks that a framework finds by name, such as `init_app` or `forward`;
- constructors of values: `from_...`, conversions `to_...` and `as_...`, and functions that return the
  very class whose name they bear, such as `settings() -> Settings`.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("farm", "workers", "web")

# Percent. Both only improve: who is better by more than the slack moves the bound along.
SLACK = 3.0
MOST_DIALECT_DOCSTRINGS = 1.0
LEAST_VERB_FIRST = 95.0

DIALECT = frozenset({"How", "Of", "That", "What", "When", "Where", "Whether", "Who"})
CONVERSIONS = frozenset({"as", "from", "to"})
HOOKS = frozenset(
    {
        "init_app",  # Flask's extensions
        "on_json_loading_failed",  # werkzeug
        "forward", "backward",  # torch.autograd.Function, and whatever is worked through like one
        "process_result_value",  # SQLAlchemy's TypeDecorator
        "pre_validate",  # WTForms
        "when_ready", "post_worker_init",  # gunicorn
        "pipeline", "immediate_execute_command",  # redis-py
        "run",  # threading.Thread
        "main",  # Python's own word for where a program begins
    }
)  # fmt: skip
REGISTRARS = """
after_request app_context_processor app_errorhandler app_template_filter before_request command connect
delete errorhandler field_serializer field_validator get group listens_for model_serializer
model_validator patch post put register register_error_handler result_callback route task
teardown_appcontext
"""
VERBS = """
acknowledge adapt add admit advance allocate allow allows answer apply ask average await beat become
begin blend build call can cancel capitalise carry catch chain change check choose classify clean close
collect combine compare complete compose compress compute configure confirm connect convert convolve copy
count create crop cut decay decide decode decompress delete depends derive describe differentiate
divide download drain draw drop dump earn encode end enlarge ensure erase escape estimate exchange
execute expand expire explain explore extract factorise fail fetch fill filter find finish fit fold
forbid foretell forget format get group grow guess handle has hash hide identify index inflate
install interpolate invalidate invoke is iterate join keep kill lay leave limit list load lock log
look make map mark match may measure mend merge mix move multiply must name normalise note offload
open pack pad paint parse pass pause plan poll pool post predict prepare print provide put quantise
quote rank rate read rebuild receive reclaim recolour recompute record redact refuse release
remember remove rename render renew repeat replace report requeue require reserve reset resize
resolve respond restore restrict resume retry revive revoke rewrite round run sample save scale
select send serve set settle shorten show shrink sign simplify sort space spend split spread square
start step stop store stylize submit subtract succeed sum supervise sweep sync take tidy translate
trim try turn undo unpack unpool update upgrade use verify wait wake warm warn warp watch weigh were
withdraw withhold write
"""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


@dataclass(frozen=True)
class Found:
    """A docstring or a function that was counted."""

    # Relative to the root.
    path: str
    line: int
    # The function's or class's name, with the class in front.
    name: str
    # The docstring's first line, or "" for a function's name.
    text: str
    fine: bool

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.name}" + (f": {self.text}" if self.text else "")


def docstrings(folders: tuple[str, ...] = FOLDERS) -> list[Found]:
    """Find every docstring of a function, method or class below these folders."""
    return [
        Found(path, node.lineno, name, text.splitlines()[0], first_word(text) not in DIALECT)
        for path, name, node, _ in definitions(folders)
        if (text := ast.get_docstring(node))
    ]


def functions(folders: tuple[str, ...] = FOLDERS) -> list[Found]:
    """Find every function and method below these folders whose name is ours to choose."""
    return [
        Found(path, node.lineno, name, "", begins_with_verb(node.name))
        for path, name, node, nested in definitions(folders)
        if isinstance(node, Function) and not nested and not is_left_aside(node)
    ]


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def definitions(folders: tuple[str, ...]) -> Iterator[tuple[str, str, Definition, bool]]:
    """Yield each definition with its file, its full name and whether it lies inside a function."""
    for path in sorted(path for folder in folders for path in sorted_modules(ROOT / folder)):
        for name, node, nested in walk(parse(path), "", nested=False):
            yield str(path.relative_to(ROOT)), name, node, nested


def sorted_modules(path: Path) -> list[Path]:
    return [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))


def walk(node: ast.AST, prefix: str, *, nested: bool) -> Iterator[tuple[str, Definition, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition):
            name = prefix + child.name
            yield name, child, nested
            yield from walk(child, f"{name}.", nested=nested or isinstance(child, Function))
        else:
            yield from walk(child, prefix, nested=nested)


def first_word(text: str) -> str:
    return text.split(maxsplit=1)[0].rstrip(".,:;")


def begins_with_verb(name: str) -> bool:
    return name.strip("_").split("_")[0] in VERBS.split()


def is_left_aside(node: Function) -> bool:
    """Check whether the name is a framework's, a property's or a constructor's; see the module."""
    return (
        node.name in HOOKS
        or (node.name.startswith("__") and node.name.endswith("__"))
        or node.name.strip("_").split("_")[0] in CONVERSIONS
        or any(is_registrar_or_property(decorator) for decorator in node.decorator_list)
        or returns_its_namesake(node)
    )


def is_registrar_or_property(decorator: ast.expr) -> bool:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
    return name in {"property", "cached_property", "setter"} or name in REGISTRARS.split()


def returns_its_namesake(node: Function) -> bool:
    """Recognise `recipe_options() -> RecipeOptions`, also where it may return None."""
    returned = node.returns
    if isinstance(returned, ast.BinOp):
        returned = returned.left
    name = returned.attr if isinstance(returned, ast.Attribute) else getattr(returned, "id", "")
    return bool(name) and node.name.replace("_", "") == name.replace("_", "").lower()


def percent(found: list[Found]) -> float:
    """Return the percentage of the fine ones, to one decimal."""
    return round(100 * sum(each.fine for each in found) / max(1, len(found)), 1)


def offenders(found: list[Found]) -> str:
    return "\n".join(str(each) for each in found if not each.fine)


@pytest.mark.slow
@pytest.mark.xdist_group("words")
def test_docstrings_open_with_a_verb_or_a_noun_of_the_field() -> None:
    found = docstrings()
    share = round(100 - percent(found), 1)
    assert share >= MOST_DIALECT_DOCSTRINGS - SLACK, f"Tighten MOST_DIALECT_DOCSTRINGS to {share}."
    assert share <= MOST_DIALECT_DOCSTRINGS, (
        f"{share} % of the docstrings open with {', '.join(sorted(DIALECT))}; "
        f"{MOST_DIALECT_DOCSTRINGS} % may. "
        f"Open with a verb (Return, Store, Check) or with the thing itself:\n{offenders(found)}"
    )


@pytest.mark.slow
@pytest.mark.xdist_group("words")  # which reads each file once for both
def test_functions_begin_with_a_verb() -> None:
    found = functions()
    share = percent(found)
    assert share <= LEAST_VERB_FIRST + SLACK, f"Tighten LEAST_VERB_FIRST to {share}."
    assert share >= LEAST_VERB_FIRST, (
        f"{share} % of the functions begin with a verb; {LEAST_VERB_FIRST} % must. "
        f"Name what the function does, or add the verb to VERBS if it is one:\n{offenders(found)}"
    )


def test_the_verbs_are_sorted_and_said_once() -> None:
    words = VERBS.split()
    assert words == sorted(set(words))


def main(folders: tuple[str, ...]) -> None:
    """Write the offenders below the folders, and the shares that the bounds could be tightened to."""
    for title, found in (("docstrings", docstrings(folders)), ("functions", functions(folders))):
        sys.stdout.write(
            f"# {title}: {percent(found)} % of {len(found)} are fine\n{offenders(found)}\n\n"
        )
    if folders == FOLDERS:
        dialect, verbs = round(100 - percent(docstrings()), 1), percent(functions())
        sys.stdout.write(f"MOST_DIALECT_DOCSTRINGS: {dialect} (bound {MOST_DIALECT_DOCSTRINGS})\n")
        sys.stdout.write(f"LEAST_VERB_FIRST: {verbs} (bound {LEAST_VERB_FIRST})\n")


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or FOLDERS)
