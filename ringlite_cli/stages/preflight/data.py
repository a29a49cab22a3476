"""The data that stages will read: the first rows of every source, the parts of mixes, and an evaluation's tasks."""

from collections.abc import Iterable, Iterator, Mapping

from ringlite_cli.errors import UserError
from ringlite_cli.problems import DOMAINS, route
from ringlite_cli.recipe.graph import HARNESS, is_set
from ringlite_cli.recipe.schema import CurateStage, EvalStage, RlStage, Source
from ringlite_cli.stages.base import Context, Finding
from ringlite_cli.stages.preflight.made_sets import made_set
from ringlite_cli.stages.preflight.verifying import routes_are_open, routes_of_domains

_FIRST = 64
"""Rows of a source that are read at first."""
_MORE = 20_000
"""Rows that are read where the first ones lack something that later ones may have."""


def sources_can_be_read(context: Context) -> Iterator[Finding]:
    """Read the first rows of every source, with its adapter and columns; check the domains that its sets ask for."""
    section: CurateStage = context.section
    found: dict[str, set[str] | None] = {}
    for number, source in enumerate(section.sources):
        key = f"stages.{context.name}.sources.{number}"
        try:
            domains, faults = _domains_of(source, section.max_unreadable)
        except UserError as error:
            yield Finding(key, str(error))
            domains, faults = None, []
        yield from (Finding(key, fault, fatal=False) for fault in faults)
        for split in source.splits:
            known = found.get(split, set())
            found[split] = None if known is None or domains is None else known | domains
    for name, wanted in section.sets.items():
        for keyword, shares in (("rows", wanted.rows), ("mix", wanted.mix)):
            lacking = _lacking(shares or {}, found.get(wanted.split))
            if lacking:
                there = ", ".join(sorted(found[wanted.split] or ())) or "none"
                key = f"stages.{context.name}.sets.{name}.{keyword}"
                yield Finding(key, f"no source of split {wanted.split!r} has rows of {lacking}", f"domains are {there}")
    named = {source.route for source in section.sources if source.route}
    yield from routes_are_open(context, named | routes_of_domains(set().union(*(d for d in found.values() if d))))


def _lacking(shares: Iterable[str], domains: set[str] | None) -> str:
    """The first named domain that is not there; '' where all are, or where the domains are not known for sure."""
    if domains is None:
        return ""
    return next((part for part in shares if part in DOMAINS and part not in domains), "")


def _domains_of(source: Source, max_unreadable: float) -> tuple[set[str] | None, list[str]]:
    """The domains of a source's rows, None where they are not known for sure; and what may be wrong with it.

    Raises UserError where it can't be read, or lacks a column in every row.
    """
    from ringlite_cli.data.generators import GENERATORS

    if source.gym is not None:
        return {source.domain or "logic"}, []
    if source.generator:
        generator = GENERATORS.get(source.generator)
        domain = source.domain or (generator.domain if generator else None)
        return {domain} if domain else None, []
    if not _is_here(source):
        return ({source.domain} if source.domain else None), []
    first = _read_first(source, _FIRST, max_unreadable)
    if not first.faults and not first.unreadable and source.domain:
        return {source.domain}, []
    more = _read_first(source, _MORE, max_unreadable)
    if more.is_whole or more.unreadable == more.rows:
        more.check()
        return more.domains, []
    return ({source.domain} if source.domain else None), [
        f"{fault} (of the first {_MORE:,} rows)" for fault in more.faults
    ]


def _is_here(source: Source) -> bool:
    """Return whether a source lies on this machine; one of the hub is asked for by the stage alone."""
    from ringlite_cli.data.sources import local_path

    return local_path(source) is not None


class _Rows:
    """Some first rows of a source. is_whole: there are no more."""

    def __init__(self, source: Source, limit: int, max_unreadable: float) -> None:
        from ringlite_cli.data.sources import read_first

        wanted = min(limit, source.rows or limit)
        self._source, self._max = source, max_unreadable
        loaded, self._counted = read_first(source, wanted)
        self.rows, self.unreadable = self._counted.rows_in, self._counted.unreadable
        self.faults = list(self._counted.faults)
        self.domains = {row.problem.domain for row in loaded.rows}
        self.is_whole = self.rows < limit or self.rows == source.rows

    def check(self) -> None:
        """Raise UserError where these rows, taken as all there are, can't be curated."""
        from ringlite_cli.data.sources import check_readable

        check_readable(self._source, [self._counted], self._max)


def _read_first(source: Source, limit: int, max_unreadable: float) -> _Rows:
    return _Rows(source, limit, max_unreadable)


def mix_is_in_the_set(context: Context) -> Iterator[Finding]:
    """Check that every part of an RL stage's `domain_mix`, and its `where`, is found in its set of problems."""
    from ringlite_cli.train.rl.prompts import check_mix
    from ringlite_cli.where import labels_there, matches

    section: RlStage = context.section
    key = f"stages.{context.name}"
    problems = made_set(context, section.data)
    if problems is None:
        yield from _mix_of_recipe(context, section)
        return
    chosen = [problem for problem in problems if matches(problem, section.where)]
    if not chosen:
        yield Finding(f"{key}.where", f"no problem of {section.data} fits", labels_there(problems))
        return
    try:
        check_mix(chosen, section.domain_mix)
    except UserError as error:
        yield Finding(f"{key}.domain_mix", error.what, error.hint)


def _mix_of_recipe(context: Context, section: RlStage) -> Iterator[Finding]:
    """The same by what the recipe says of a set that is not made yet."""
    stage, _, name = section.data.partition(".")
    curate = context.recipe.stages.get(stage)
    wanted = curate.sets.get(name) if isinstance(curate, CurateStage) else None
    parts: Mapping[str, float] | None = (wanted.rows or wanted.mix) if wanted else None
    if not parts or not all(part in DOMAINS for part in parts):
        return
    if lacking := _lacking(section.domain_mix or {}, set(parts)):
        key = f"stages.{context.name}.domain_mix"
        yield Finding(key, f"the set {section.data} has no rows of {lacking}", f"its domains are {', '.join(parts)}")


def tasks_have_data(context: Context) -> Iterator[Finding]:
    """Load the benchmarks of an evaluation, as the stage will."""
    from ringlite_cli.evals.harness import check_tasks
    from ringlite_cli.evals.tasks import load_task

    section: EvalStage = context.section
    key = f"stages.{context.name}.tasks"
    theirs = [task for task in section.tasks if task.startswith(HARNESS)]
    if theirs:
        try:
            check_tasks(theirs)
        except UserError as error:
            yield Finding(key, str(error), of_machine=True)
    routes: set[str] = set()
    for task in section.tasks:
        if task in theirs:
            continue
        try:
            revision = section.revisions.get(task)
            problems = (made_set(context, task) or []) if is_set(task) else load_task(task, revision=revision)
            routes |= {route(problem) for problem in problems}
        except UserError as error:
            yield Finding(key, str(error), of_machine=True)
    yield from routes_are_open(context, routes)


def traces_can_be_read(context: Context) -> Iterator[Finding]:
    """Read the first rows of traces from outside the run, as SFT will, and look for a response in them."""
    from ringlite_cli.data.sources import local_path
    from ringlite_cli.data.traces import first_traces, source_of

    given = context.section.data
    if isinstance(given, str):
        return
    key = f"stages.{context.name}.data"
    try:
        source = source_of(given)
        if local_path(source) is None:
            return  # one of the hub is asked for by the stage alone
        found = first_traces(given, _FIRST)
        if not found.problems:
            found = first_traces(given, _MORE)
    except UserError as error:
        yield Finding(key, str(error))
        return
    if not found.problems:
        why = f" ({found.why})" if found.why else ""
        what = f"none of the first {found.rows:,} rows has a trace{why}"
        yield Finding(key, what, "name the column of the responses: columns: {prompt: ..., trace: ...}")
