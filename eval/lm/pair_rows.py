"""Many (context, continuation) pairs as rows of tokens in which nothing is read twice.

A row is a context with its continuations behind it, each without its last token, which is only
predicted. Rows that begin alike (the examples of a few-shot benchmark) share a prefix, which is
read once for all of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LEAST_SHARED = 16
"""Tokens that rows must share to be read behind one prefix."""

LEAST_SAVED = 1024
"""Tokens that a shared prefix must save: it costs a pass, and batches of its own."""

Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A context and its continuations with the numbers of the pairs that ask for each.

    `starts` says where in `tokens` each continuation begins; of one of a single token nothing is
    fed.
    """

    tokens: list[int]
    n_context: int
    continuations: list[tuple[Tokens, list[int]]]
    starts: list[int]

    @property
    def n_predicted(self) -> int:
        return sum(len(tokens) for tokens, _ in self.continuations)

    @property
    def n_pairs(self) -> int:
        return sum(len(numbers) for _, numbers in self.continuations)

    @property
    def is_plain(self) -> bool:
        """Whether ordinary causal attention reads it: one continuation at most is fed."""
        return sum(len(tokens) > 1 for tokens, _ in self.continuations) < 2


def rows_of(pairs: Sequence[tuple[Tokens, Tokens]], most_tokens: int, packed: bool) -> list[Row]:
    """Rows of all pairs; equal pairs are asked once.

    Args:
        pairs: (context, continuation) token ids, neither empty.
        most_tokens: The longest row that may hold several continuations.
        packed: Whether continuations of several tokens may share a row.
    """
    asked: dict[Tokens, dict[Tokens, list[int]]] = {}
    for number, (context, continuation) in enumerate(pairs):
        asked.setdefault(context, {}).setdefault(continuation, []).append(number)
    rows = []
    for context, continuations in asked.items():
        waiting: list[tuple[Tokens, list[int]]] = []
        length, n_fed = len(context), 0
        # Short ones first: those of one token are fed nothing and so fit into any row.
        for one in sorted(continuations.items(), key=lambda one: len(one[0])):
            fed = len(one[0]) - 1
            if waiting and fed and n_fed and (not packed or length + fed > most_tokens):
                rows.append(_row(context, waiting))
                waiting, length, n_fed = [], len(context), 0
            waiting.append(one)
            length, n_fed = length + fed, n_fed + bool(fed)
        rows.append(_row(context, waiting))
    return rows


def _row(context: Tokens, continuations: list[tuple[Tokens, list[int]]]) -> Row:
    tokens, starts = list(context), []
    for continuation, _ in continuations:
        starts.append(len(tokens))
        tokens += continuation[:-1]
    return Row(tokens, len(context), continuations, starts)


def clusters(rows: Sequence[Row]) -> Iterator[tuple[int, list[Row]]]:
    """(length of the shared prefix, rows): 0 for the rows that share too little, which come last.

    A row leaves at least one token of its context behind the prefix, so that something is read.
    """
    alone: list[Row] = []
    for shared, cluster in _alike(rows):
        if shared * (len(cluster) - 1) >= LEAST_SAVED:
            yield shared, cluster
        else:
            alone += cluster
    if alone:
        yield 0, alone


def _alike(rows: Sequence[Row]) -> Iterator[tuple[int, list[Row]]]:
    """Runs of rows in order of their contexts, each with the length of what its rows share."""
    cluster: list[Row] = []
    shared = 0
    for row in sorted(rows, key=lambda row: row.tokens[: row.n_context]):
        if cluster:
            common = _common(cluster[-1], row)
            joined = common if len(cluster) == 1 else min(shared, common)
            # A row that would halve what the others share begins a run of its own.
            if joined < max(LEAST_SHARED, shared / 2 if len(cluster) > 1 else 0):
                yield shared, cluster
                cluster, joined = [], 0
            shared = joined
        cluster.append(row)
    if cluster:
        yield shared, cluster


def _common(one: Row, other: Row) -> int:
    most = min(one.n_context, other.n_context) - 1
    a, b = one.tokens, other.tokens
    if a[:most] == b[:most]:
        return most
    return next(i for i in range(most) if a[i] != b[i])


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Rows that need no mask of their own first, then by length, so that batches pad little."""
    return sorted(rows, key=lambda row: (row.is_plain, len(row.tokens)), reverse=True)


def batch_end(
    rows: Sequence[Row], start: int, n_prefix: int, most_tokens: float, most_predicted: float
) -> int:
    """Where the batch ends that begins at `start` of ordered rows: at least one row later."""
    first = rows[start]
    width, predicted = len(first.tokens) - n_prefix, first.n_predicted
    for end in range(start + 1, len(rows)):
        row = rows[end]
        predicted += row.n_predicted
        full = (end + 1 - start) * width > most_tokens or predicted > most_predicted
        if full or row.is_plain != first.is_plain:
            return end
    return len(rows)
