# SPDX-License-Identifier: BSD-3-Clause
"""The status page: HTML without scripts, in which nothing of a directory is markup.

Every text goes through :func:`text`; DNs and values may hold anything.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from html import escape

from ...changelog import SinkState
from ...entries.printable import printable
from ..output.nagios import span
from ..output.report import counted
from . import plot
from .view import Line, ShownChange, ShownParked, View

_OPEN = 5
"""The number of changes that are shown at once."""
_SIGNS = {"+": "plus", "-": "minus", "~": "tilde"}
_STAGES = {
    "persist": ("in step", "good"),
    "refresh": ("refreshing", "warn"),
    "standby": ("stands by", "good"),
    "connecting": ("connecting", "warn"),
    "disconnected": ("disconnected", "bad"),
    "failed": ("failed", "bad"),
}
_STEADY = ("persist", "standby")


def text(words: object) -> str:
    """Return *words* as text in HTML, also in the value of an attribute."""
    return escape(printable(str(words)), quote=True)


def name(dn: str) -> str:
    """Return a DN as text, which may be wrapped after each comma."""
    return f'<span class="dn">{text(dn).replace(",", ",<wbr>")}</span>'


def render(views: Sequence[View], now: datetime) -> str:
    """Return the page: first the streams that somebody should look at."""
    ordered = sorted(views, key=lambda view: view.stats.stage in _STEADY)
    body = "".join(part for view in ordered for part in _stream(view))
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="robots" content="noindex"><title>syncrepl-client</title>'
        '<link rel="stylesheet" href="style.css"></head><body>'
        f"<header><h1>syncrepl-client</h1>{_summary(views)}"
        f'<small><time datetime="{now.isoformat(timespec="seconds")}">'
        f'{now:%Y-%m-%d %H:%M:%S}</time> &middot; <a href="">reload</a> &middot; '
        '<a href="metrics">metrics</a></small></header>'
        f"<main>{body}</main></body></html>\n"
    )


def _summary(views: Sequence[View]) -> str:
    steady = sum(view.stats.stage in _STEADY for view in views)
    sinks = [sink for view in views for sink in view.shown.sinks]
    parked = sum(sink.parked for sink in sinks)
    pills = [_pill(f"{steady} of {counted(len(views), 'stream')} in step",
                   "good" if steady == len(views) else "bad")]  # fmt: skip
    if any(sink.lost for sink in sinks):
        pills.append(_pill("changes lost", "bad"))
    if parked:
        pills.append(_pill(f"{parked:,} parked", "warn"))
    return " ".join(pills)


def _pill(words: str, kind: str = "") -> str:
    return f'<span class="{f"pill {kind}".strip()}">{text(words)}</span>'


# --- a stream


def _stream(view: View) -> Iterator[str]:
    words, kind = _STAGES.get(view.stats.stage, (view.stats.stage, ""))
    yield f'<section><div class="top"><h2>{text(view.name)}</h2>{_pill(words, kind)}</div>'
    yield f'<p class="soft"><code>{text(view.search)}</code></p>'
    for error in filter(None, (view.error, view.shown.error)):
        yield f'<p class="error">{text(error)}</p>'
    facts = (
        f"<div><dt>{text(name)}</dt><dd>{text(fact)}</dd></div>" for name, fact in _facts(view)
    )
    yield f"<dl>{''.join(facts)}</dl>"
    yield _figure(view)
    yield from _sinks(view)
    if view.shown.has_log:
        yield "<h3>Last changes</h3>"
        changes = list(map(_change, view.shown.changes))
        yield _list("ol", changes[:_OPEN]) or '<p class="soft">none</p>'
        if changes[_OPEN:]:
            older = _list("ol", changes[_OPEN:])
            yield f"<details><summary>{len(changes) - _OPEN} older ones</summary>{older}</details>"
    yield "</section>"


def _facts(view: View) -> Iterator[tuple[str, str]]:
    stats = view.stats
    yield "entries", f"{stats.entries:,}"
    yield "lag of the last change", "unknown" if stats.lag is None else span(max(0.0, stats.lag))
    yield "last message", _ago(stats.last_message)
    yield "changes", f"{sum(stats.changes.values()):,}"
    yield "reconnects", f"{stats.reconnects:,}"
    if stats.term is not None:
        yield "term", f"{stats.term:,}"
    yield "failures of the callback", f"{stats.callback_errors:,}"


def _ago(moment: "float | None") -> str:
    return "none" if moment is None else f"{span(max(0.0, time.time() - moment))} ago"


def _figure(view: View) -> str:
    known = [bar.lag for bar in view.bars if bar.lag is not None]
    most = f"at most {span(max(0.0, *known))}" if known else "no change"
    away = "; red: away" if any(bar.away for bar in view.bars) else ""
    return (
        f"<figure>{plot.lag(view.bars)}<figcaption><span>an hour ago</span>"
        f"<span>lag of changes: {text(most)}{away}</span><span>now</span></figcaption></figure>"
    )


# --- sinks


def _sinks(view: View) -> Iterator[str]:
    states = {sink.name: sink for sink in view.shown.sinks}
    names = dict.fromkeys((*view.failing, *states))
    if names:
        yield "<h3>Sinks</h3>"
        yield _list("ul", (_sink(each, states.get(each), view) for each in names))


def _sink(called: str, sink: "SinkState | None", view: View) -> str:
    error = view.failing.get(called)
    parts = [f"<strong>{text(called)}</strong>"]
    if sink is None:
        parts.append(_pill("not begun"))
    else:
        parts += [_progress(sink)]
        parts += [_pill(f"{sink.parked:,} parked", "warn")] if sink.parked else []
        parts += [_pill(f"{sink.lost:,} lost", "bad")] if sink.lost else []
        if sink.snapshot is not None:
            parts.append(_pill(f"snapshot: {sink.snapshot.sent:,} sent"))
        parts.append(f'<span class="soft">position {sink.position:,}</span>')
    if called not in view.failing:
        parts.append('<span class="soft">not sent to by this service</span>')
    shown = f'<div class="top">{" ".join(parts)}</div>'
    if error is not None:
        shown += f'<p class="error">{text(error)}</p>'
    rows = [row for row in view.shown.parked if row.sink == called]
    if rows and sink is not None:
        some = f"the first {len(rows)} of " if len(rows) < sink.parked else ""
        shown += (
            f"<details><summary>parked: {some}{counted(sink.parked, 'change')}</summary>"
            f"{_list('ul', map(_parked, rows))}</details>"
        )
    return shown


def _progress(sink: SinkState) -> str:
    if not sink.behind:
        return _pill("up to date", "good")
    age = sink.age or 0.0
    return _pill(f"{sink.behind:,} behind, {span(age)}", "warn" if age > 60 else "")


def _parked(row: ShownParked) -> str:
    released = " (released)" if row.released else ""
    return f"{_time(row.time)} {row.seq} {name(row.name)}<p>{text(row.reason)}{released}</p>"


# --- changes


def _change(change: ShownChange) -> str:
    lines = "\n".join(map(_line, change.lines))
    shown = f'<div class="top">{_time(change.time)} {_pill(change.kind)} {name(change.name)}</div>'
    return f"{shown}<pre>{lines}</pre>" if lines else shown


def _line(line: Line) -> str:
    words = text(f"{line.sign} {line.text}")
    kind = _SIGNS.get(line.sign)
    return words if kind is None else f'<span class="{kind}">{words}</span>'


def _time(moment: datetime) -> str:
    return (
        f'<time datetime="{moment.isoformat(timespec="seconds")}">{moment:%Y-%m-%d %H:%M:%S}</time>'
    )


def _list(tag: str, items: Iterable[str]) -> str:
    inner = "".join(f"<li>{item}</li>" for item in items)
    return f"<{tag}>{inner}</{tag}>" if inner else ""
