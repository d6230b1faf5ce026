"""WHERE clauses of users, as SQL of our own: only what is known to be harmless gets through.

A clause is parsed by DuckDB's parser, and written anew from what that found, node by node: columns
of the view `tasks`, parameters (`params.lr`), metrics (`metrics.loss`, `metrics.loss.min`),
operators, some functions. Literals become bound values. Nothing of the user's text is in the SQL
that is carried out, and nothing in it takes longer than to look at every task once.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ..core.errors import UsageError
from .parser import DEEPEST, Node, Unparsed, parse

# Split: a list of so many words in quotes and commas reads worse.
COLUMNS = frozenset(
    """
    task name queue priority state user host tags params entry commit branch snapshot key
    parent retries timeout project gpus gpu_memory nodes gang gang_rank attempts failures
    losses agent enqueued claimed started ended wait_seconds run_seconds exit_code outcome
    cause evidence abort_reason progress_done progress_total progress_text origin rank class
    archived array_id array_index array_size
    """.split()  # noqa: SIM905
)
"""Those of the view `tasks`."""

METRIC = {"last": "value", "min": "min", "max": "max", "first": "first"}
"""What may be asked of a metric, and its column in `metric_latest`."""

FUNCTIONS = frozenset(
    """
    abs ceil contains date_part date_trunc ends_with even floor greatest isfinite isnan least
    len length list_contains list_has_all list_has_any list_value ln log10 log2 lower ltrim
    now nullif position regexp_full_match regexp_matches round rtrim sign sqrt starts_with
    strlen substr substring suffix prefix to_days to_hours to_minutes to_seconds to_weeks
    to_months to_years trim trunc upper
    """.split()  # noqa: SIM905
)
"""Functions that take time and memory in proportion to what they are given, or less."""

OPERATORS = {
    "+": "+",
    "-": "-",
    "*": "*",
    "/": "/",
    "//": "//",
    "%": "%",
    "||": "||",
    "~~": "LIKE",
    "!~~": "NOT LIKE",
    "~~*": "ILIKE",
    "!~~*": "NOT ILIKE",
    "~~~": "GLOB",
    "->>": "->>",
    "&&": "&&",
    "@>": "@>",
}
_COMPARISONS = {
    "COMPARE_EQUAL": "=",
    "COMPARE_NOTEQUAL": "<>",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
    "COMPARE_DISTINCT_FROM": "IS DISTINCT FROM",
    "COMPARE_NOT_DISTINCT_FROM": "IS NOT DISTINCT FROM",
}
_CONJUNCTIONS = {"CONJUNCTION_AND": " AND ", "CONJUNCTION_OR": " OR "}
_AFTER = {"OPERATOR_IS_NULL": "IS NULL", "OPERATOR_IS_NOT_NULL": "IS NOT NULL"}
_TYPES = frozenset(
    ["BIGINT", "BOOLEAN", "DATE", "DOUBLE", "FLOAT", "INTEGER", "INTERVAL", "TIMESTAMP", "VARCHAR"]
)
_NUMBERS = frozenset({"INTEGER", "NUMERIC"})
_ARITHMETIC = frozenset(["+", "-", "*", "/", "//", "%"])

MOST_METRICS = 8
"""Each costs a look at every metric there is."""


class Clause(msgspec.Struct, frozen=True):
    """SQL that is ours, and the values bound in it."""

    sql: str
    values: dict[str, Any]


def where(text: str, prefix: str = "where") -> Clause:
    """The clause as SQL for a query on `tasks`; `prefix` begins the names of its values.

    Raises `UsageError`, with one sentence on what is not understood or not allowed.
    """
    if not text.strip():
        return Clause("true", {})
    writer = _Writer(prefix)
    sql = writer.write(_parse(text), 0)
    return Clause(sql, writer.values)


def order(text: str, word: str, prefix: str = "sort") -> Clause:
    """A column, a parameter or a metric to sort by; `word` is ASC or DESC, and what is missing
    comes last either way. Raises `UsageError`."""
    node = _parse(text)
    if node.get("class") != "COLUMN_REF":
        raise _refused(f"{text!r} is no column")
    writer = _Writer(prefix)
    keys = writer.keys(node["column_names"])
    return Clause(", ".join(f"{key} {word} NULLS LAST" for key in keys), writer.values)


def _parse(text: str) -> Node:
    try:
        return parse(text)
    except Unparsed as error:
        raise _refused(str(error)) from error


# --- writing it anew ----------------------------------------------------------------------------


class _Writer:
    """Writes SQL for nodes; what it has no way to write is refused."""

    def __init__(self, prefix: str) -> None:
        self.values: dict[str, Any] = {}
        self._prefix = prefix
        self._metrics = 0

    def bind(self, value: Any) -> str:
        name = f"{self._prefix}_{len(self.values)}"
        self.values[name] = value
        return f"${name}"

    def write(self, node: Node, depth: int) -> str:
        if depth > DEEPEST:
            raise _refused("its conditions are too deep in each other")
        write = _NODES.get(node.get("class", ""))
        if write is None:
            raise _refused(_cannot(node))
        return write(self, node, depth + 1)

    def all(self, nodes: Sequence[Node], depth: int) -> list[str]:
        return [self.write(node, depth) for node in nodes]

    # --- names --------------------------------------------------------------------------------

    def column(self, names: Sequence[str]) -> str:
        match [names[0].lower(), *names[1:]]:
            case [name] if name in COLUMNS:
                return f'tasks."{name}"'
            case ["params", name]:
                return f"(tasks.params->>{self.bind(name)})"
            case ["metrics" | "metric", *rest] if rest:
                return self._metric(rest)
            case ["tasks", name] if name.lower() in COLUMNS:
                return f'tasks."{name.lower()}"'
        raise _refused(_unknown(".".join(names)))

    def _metric(self, names: Sequence[str]) -> str:
        *name, last = names
        if not name or last not in METRIC:
            name, last = list(names), "last"
        self._metrics += 1
        if self._metrics > MOST_METRICS:
            raise _refused(f"it asks for more than {MOST_METRICS} metrics")
        if len(name) > 1:
            raise _refused(f'a metric\'s name with a dot stands in quotes: "{".".join(name)}"')
        return (
            f"(SELECT m.{METRIC[last]} FROM metric_latest m"
            f" WHERE m.task = tasks.task AND m.name = {self.bind(name[0])})"
        )

    def keys(self, names: Sequence[str]) -> list[str]:
        """What a column sorts by: a parameter by its number where it is one, else by its text."""
        sql = self.column(names)
        return [f"try_cast({sql} AS DOUBLE)", sql] if names[0].lower() == "params" else [sql]

    def compared(self, nodes: Sequence[Node], depth: int) -> list[str]:
        """Things that are compared with each other: a parameter with numbers is a number."""
        if any(_is_number(node) for node in nodes):
            return self.numbers(nodes, depth)
        return self.all(nodes, depth)

    def numbers(self, nodes: Sequence[Node], depth: int) -> list[str]:
        """Things that are reckoned with: a parameter is a number."""
        return [
            f"try_cast({self.write(node, depth)} AS DOUBLE)"
            if _is_text_of_parameter(node)
            else self.write(node, depth)
            for node in nodes
        ]


def _column(writer: _Writer, node: Node, depth: int) -> str:
    return writer.column(node["column_names"])


def _constant(writer: _Writer, node: Node, depth: int) -> str:
    literal = node["literal"]
    kind, text = literal.get("kind"), literal.get("text")
    match kind:
        case "STRING":
            return writer.bind(text)
        case "INTEGER" if len(text) <= 18:
            return writer.bind(int(text))
        case "INTEGER" | "NUMERIC":
            return writer.bind(float(text))
        case "BOOLEAN":
            return writer.bind(text.lower() == "true")
        case "NULL_LITERAL":
            return "NULL"
    raise _refused(f"{text!r} cannot stand in it")


def _comparison(writer: _Writer, node: Node, depth: int) -> str:
    operator = _COMPARISONS.get(node["type"])
    if operator is None:
        raise _refused(_cannot(node))
    left, right = writer.compared([node["left"], node["right"]], depth)
    return f"({left} {operator} {right})"


def _between(writer: _Writer, node: Node, depth: int) -> str:
    value, low, high = writer.compared([node["input"], node["lower"], node["upper"]], depth)
    return f"({value} BETWEEN {low} AND {high})"


def _conjunction(writer: _Writer, node: Node, depth: int) -> str:
    return f"({_CONJUNCTIONS[node['type']].join(writer.all(node['children'], depth))})"


def _operator(writer: _Writer, node: Node, depth: int) -> str:
    kind, children = node["type"], node["children"]
    if kind in ("COMPARE_IN", "COMPARE_NOT_IN"):
        value, *among = writer.compared(children, depth)
        word = "IN" if kind == "COMPARE_IN" else "NOT IN"
        return f"({value} {word} ({', '.join(among)}))"
    parts = writer.all(children, depth)
    if kind == "OPERATOR_NOT":
        return f"(NOT {parts[0]})"
    if kind in _AFTER:
        return f"({parts[0]} {_AFTER[kind]})"
    if kind == "OPERATOR_COALESCE":
        return f"coalesce({', '.join(parts)})"
    if kind == "ARRAY_EXTRACT":
        return f"({parts[0]})[{parts[1]}]"
    raise _refused(_cannot(node))


def _function(writer: _Writer, node: Node, depth: int) -> str:
    name = node["function_name"].lower()
    if any(node.get(key) for key in ("distinct", "filter", "export_state")) or (
        node.get("order_bys") or {}
    ).get("orders"):
        raise _refused(f"{name} cannot be asked like this")
    if len(node["qualified_name"]["path"]) > 1:
        raise _refused(f"{name} is not to be had from elsewhere")
    arguments = [one["expression"] for one in node["arguments"]]
    if node.get("is_operator") and name in _ARITHMETIC:
        parts = writer.numbers(arguments, depth)
    else:
        parts = writer.all(arguments, depth)
    if node.get("is_operator"):
        operator = OPERATORS.get(name)
        if operator is None or len(parts) > 2:
            raise _refused(f"the operator {name} cannot stand in it")
        return f"({f' {operator} '.join(parts)})" if len(parts) == 2 else f"({operator} {parts[0]})"
    if name == "now" and not parts:
        return "_now()"
    if name not in FUNCTIONS:
        raise _refused(f"the function {name} cannot stand in it", sorted(FUNCTIONS), name)
    return f"{name}({', '.join(parts)})"


def _cast(writer: _Writer, node: Node, depth: int) -> str:
    kind = node["type_expr"]["type_name"].upper()
    if kind not in _TYPES or node["type_expr"].get("children"):
        raise _refused(f"the type {kind} cannot stand in it")
    return f"try_cast({writer.write(node['child'], depth)} AS {kind})"


def _case(writer: _Writer, node: Node, depth: int) -> str:
    whens = (
        f"WHEN {writer.write(one['when_expr'], depth)} THEN {writer.write(one['then_expr'], depth)}"
        for one in node["case_checks"]
    )
    return f"(CASE {' '.join(whens)} ELSE {writer.write(node['else_expr'], depth)} END)"


_NODES: dict[str, Callable[[_Writer, Node, int], str]] = {
    "COLUMN_REF": _column,
    "CONSTANT": _constant,
    "COMPARISON": _comparison,
    "BETWEEN": _between,
    "CONJUNCTION": _conjunction,
    "OPERATOR": _operator,
    "FUNCTION": _function,
    "CAST": _cast,
    "CASE": _case,
}


def _is_number(node: Node) -> bool:
    if node.get("class") == "FUNCTION" and node.get("is_operator"):
        return any(_is_number(one["expression"]) for one in node["arguments"])
    return node.get("class") == "CONSTANT" and node["literal"].get("kind") in _NUMBERS


def _is_text_of_parameter(node: Node) -> bool:
    return node.get("class") == "COLUMN_REF" and node["column_names"][0].lower() == "params"


# --- what is wrong with it ----------------------------------------------------------------------


def _refused(why: str, among: Sequence[str] = (), written: str = "") -> UsageError:
    near = difflib.get_close_matches(written, among, 1, 0.75) if written else []
    return UsageError(
        "this condition cannot be used",
        why=why,
        fix=f"did you mean {near[0]}?" if near else "such as: state = 'failed' AND params.lr > 0.1",
    )


def _cannot(node: Node) -> str:
    what = {
        "SUBQUERY": "a query inside",
        "STAR": "*",
        "LAMBDA": "a function of one's own",
        "WINDOW": "a window",
        "PARAMETER": "a value to be filled in",
        "POSITIONAL_REFERENCE": "a column's number",
        "COLLATE": "COLLATE",
    }.get(str(node.get("class")), "this expression")
    return f"{what} cannot stand in it"


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), sorted(COLUMNS), 1)
    if near:
        return f"there is no column {name}; did you mean {near[0]}?"
    return f"there is no column {name}: text stands in quotes, parameters are params.{name}"
