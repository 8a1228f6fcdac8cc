"""What notebooks show: a connection as a table of its relations, a topology as a drawing, a plan as text in a frame.

Everything is text made here: no scripts, no links, no colours but those of the page and half-transparent ones, so that
it reads on light and on dark pages. Names and SQL are always escaped.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from ._laminardb import LaminarError, _visible

if TYPE_CHECKING:
    from ._laminardb import Connection, PipelineNode, PipelineTopology

_MOST_RELATIONS = 100
_CHARACTER, _ROW_HEIGHT, _BOX_HEIGHT, _GAP, _MARGIN = 7.3, 62.0, 42.0, 70.0, 8.0
_COLORS = {"source": "#2f9e5b", "table": "#3b7dd8", "view": "#8a8f98", "stream": "#d9822b"}


class Plan(str):
    """The text of a plan, which notebooks show with its lines."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return f"<pre>{escape(_visible(self))}</pre>"


def overview(conn: Connection) -> str:
    """The relations of a connection as an HTML table; never raises a laminardb error."""
    if conn.is_closed:
        return f"<p><b>{escape(repr(conn))}</b></p>"
    try:
        return _overview(conn)
    except LaminarError as error:
        return f"<p><b>{escape(repr(conn))}</b> {escape(str(error))}</p>"


def _overview(conn: Connection) -> str:
    metrics = conn.metrics()
    bases = {source.name: source for source in conn.sources()}
    nodes = conn.topology().nodes
    facts = [
        metrics.state,
        _count(metrics.source_count, "source or table", "sources and tables"),
        _count(metrics.stream_count, "view kept up to date", "views kept up to date"),
        _count(metrics.total_events_ingested, "row written", "rows written"),
        f"time {conn.current_time:,}",
        f"{metrics.memory_used_bytes:,} bytes",
    ]
    head = f"<p><b>{escape(repr(conn))}</b> {escape(', '.join(facts))}</p>"
    if not nodes:
        return head
    rows = []
    counts = _counts(conn, nodes[:_MOST_RELATIONS])
    for node in nodes[:_MOST_RELATIONS]:
        base = bases.get(node.name)
        cells = [
            node.name,
            node.node_type,
            counts.get(node.name, ""),
            ", ".join(base.primary_key) if base else "",
            (base.watermark_column or "") if base else "",
            _columns(conn, node),
            node.sql or "",
        ]
        rows.append("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in cells) + "</tr>")
    titles = ("name", "kind", "rows", "primary key", "watermark", "columns", "sql")
    table = "<table>\n<thead><tr>" + "".join(f"<th>{title}</th>" for title in titles) + "</tr></thead>\n<tbody>\n"
    hidden = len(nodes) - len(rows)
    more = f"\n<p>{hidden:,} more relations not shown</p>" if hidden else ""
    return head + "\n" + table + "\n".join(rows) + "\n</tbody>\n</table>" + more


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _counts(conn: Connection, nodes: list[PipelineNode]) -> dict[str, str]:
    """The numbers of rows at one time; if some cannot be read, those of the others each at its own."""
    counted = [node.name for node in nodes if node.node_type != "view"]
    if not counted:
        return {}
    try:
        selects = (f"SELECT {place}, count(*) FROM {_quoted(name)}" for place, name in enumerate(counted))
        return {counted[place]: f"{rows:,}" for place, rows in conn.sql(" UNION ALL ".join(selects))}
    except LaminarError:
        return {name: _rows(conn, name) for name in counted}


def _rows(conn: Connection, name: str) -> str:
    try:
        return "".join(f"{rows:,}" for (rows,) in conn.sql(f"SELECT count(*) FROM {_quoted(name)}"))
    except LaminarError:
        return "?"


def _columns(conn: Connection, node: PipelineNode) -> str:
    try:
        columns = conn.sql(f"DESCRIBE {_quoted(node.name)}").fetchall()
    except LaminarError:
        return "?"
    return ", ".join(f"{name} {data_type}" for name, data_type, *_ in columns)


def _cell(text: str) -> str:
    """Escaped text; what is long is cut, with the whole as a tooltip."""
    short = _clipped(text, 80)
    return escape(short) if short == text else f'<span title="{escape(_visible(text))}">{escape(short)}</span>'


def _clipped(text: str, most: int) -> str:
    line = _visible(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 1] + "…"


def _edges(topology: PipelineTopology) -> list[tuple[str, str]]:
    return list(dict.fromkeys((edge.from_node, edge.to_node) for edge in topology.edges))


def dot(topology: PipelineTopology) -> str:
    """The graph in the language of Graphviz."""
    shapes = {"source": "cds", "table": "cylinder", "view": "note"}

    def text(name: str) -> str:
        return _visible(" ".join(name.split())).replace("\\", "\\\\").replace('"', '\\"')

    ids = {node.name: f"n{place}" for place, node in enumerate(topology.nodes)}
    lines = ["digraph topology {", "  rankdir=LR;", "  node [shape=box];"]
    for node in topology.nodes:
        shape = f", shape={shapes[node.node_type]}" if node.node_type in shapes else ""
        lines.append(f'  {ids[node.name]} [label="{text(node.name)}"{shape}];')
    lines += [f"  {ids[start]} -> {ids[end]};" for start, end in _edges(topology)]
    return "\n".join([*lines, "}"]) + "\n"


def mermaid(topology: PipelineTopology) -> str:
    """The graph in the language of Mermaid."""
    shapes = {"source": ("[/", "/]"), "table": ("[(", ")]"), "view": ("([", "])")}

    def text(name: str) -> str:
        kept = (c if c.isalnum() or c in " _-.," else f"#{ord(c)};" for c in " ".join(name.split()))
        return "".join(kept)

    ids = {node.name: f"n{place}" for place, node in enumerate(topology.nodes)}
    lines = ["flowchart LR"]
    for node in topology.nodes:
        start, end = shapes.get(node.node_type, ("[", "]"))
        lines.append(f'    {ids[node.name]}{start}"{text(node.name)}"{end}')
    lines += [f"    {ids[start]} --> {ids[end]}" for start, end in _edges(topology)]
    return "\n".join(lines) + "\n"


@dataclass
class _Place:
    """Where a node, or the bend of an edge that passes a layer, is drawn."""

    node: PipelineNode | None
    layer: int
    before: list[_Place] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0


def _width(text: str) -> float:
    return _CHARACTER * sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _layers(topology: PipelineTopology) -> list[list[_Place]]:
    """The nodes by the length of the longest way to them; an edge over several layers bends in each."""
    places: dict[str, _Place] = {}
    layers: list[list[_Place]] = []

    def put(place: _Place) -> _Place:
        while len(layers) <= place.layer:
            layers.append([])
        layers[place.layer].append(place)
        return place

    reads: dict[str, list[str]] = {}
    for start, end in _edges(topology):
        reads.setdefault(end, []).append(start)
    # A relation only reads older ones, and the nodes are in the order of creation.
    for node in topology.nodes:
        inputs = [places[name] for name in reads.get(node.name, []) if name in places]
        layer = max((place.layer + 1 for place in inputs), default=0)
        place = _Place(node, layer, width=max(_width(_clipped(node.name, 28)), _width(node.node_type)) + 24)
        for source in inputs:
            for passed in range(source.layer + 1, layer):
                source = put(_Place(None, passed, [source]))
            place.before.append(source)
        places[node.name] = put(place)
    return layers


def _arranged(topology: PipelineTopology) -> tuple[list[list[_Place]], float, float]:
    """The layers with their coordinates, and the size of the whole."""
    layers = _layers(topology)
    height = max(map(len, layers)) * _ROW_HEIGHT
    x = _MARGIN
    for layer in layers:
        order = {id(place): number for number, place in enumerate(layer)}
        # Nodes stand at the mean height of what they read, which keeps most edges from crossing.
        layer.sort(
            key=lambda place: (
                sum(source.y for source in place.before) / len(place.before) if place.before else 0.0,
                order[id(place)],
            )
        )
        width = max(place.width for place in layer)
        top = _MARGIN + (height - len(layer) * _ROW_HEIGHT) / 2
        for number, place in enumerate(layer):
            place.x, place.y = x, top + number * _ROW_HEIGHT + _BOX_HEIGHT / 2
            place.width = width if place.node is None else place.width
        x += width + _GAP
    return layers, x - _GAP + _MARGIN, height - _ROW_HEIGHT + _BOX_HEIGHT + 2 * _MARGIN


def _box(node: PipelineNode, place: _Place) -> str:
    color = _COLORS.get(node.node_type, _COLORS["view"])
    middle = place.x + place.width / 2
    return (
        f"<g><title>{escape(_visible(node.sql or node.name))}</title>"
        f'<rect x="{place.x:.1f}" y="{place.y - _BOX_HEIGHT / 2:.1f}" width="{place.width:.1f}" '
        f'height="{_BOX_HEIGHT:.1f}" rx="6" fill="{color}" fill-opacity="0.18" stroke="{color}"/>'
        f'<text x="{middle:.1f}" y="{place.y - 2:.1f}" font-size="12">{escape(_clipped(node.name, 28))}</text>'
        f'<text x="{middle:.1f}" y="{place.y + 13:.1f}" font-size="10" fill-opacity="0.7">{node.node_type}</text></g>'
    )


def _line(source: _Place, target: _Place) -> str:
    """A curve, with a head where it meets a box; through a bend it goes straight."""
    start, end = source.x + source.width, target.x
    middle = (start + end) / 2
    path = (
        f"M{start:.1f} {source.y:.1f}C{middle:.1f} {source.y:.1f} {middle:.1f} {target.y:.1f} {end:.1f} {target.y:.1f}"
    )
    if target.node is None:
        path += f"h{target.width:.1f}"
        return f'<path d="{path}"/>'
    return f'<path d="{path}"/><path d="M{end - 7:.1f} {target.y - 4:.1f}l7 4l-7 4"/>'


def svg(topology: PipelineTopology) -> str:
    """The graph from left to right, from sources to the last views, as an inline SVG drawing."""
    if not topology.nodes:
        return f"<p>{escape(repr(topology))}</p>"
    layers, width, height = _arranged(topology)
    places = [place for layer in layers for place in layer]
    lines = "".join(_line(source, place) for place in places for source in place.before)
    boxes = "".join(_box(place.node, place) for place in places if place.node is not None)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(repr(topology))}" '
        'style="max-width:100%;height:auto" fill="currentColor" text-anchor="middle" font-family="monospace">'
        f'<g fill="none" stroke="currentColor" stroke-opacity="0.55" stroke-width="1.3">{lines}</g>{boxes}</svg>'
    )
