"""What notebooks and terminals show of a connection, its topology and a plan."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import laminardb
import pytest

SVG = "{http://www.w3.org/2000/svg}"
STEERING = "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F))))
STEERING += "\u2066\u2067\u2068\u2069\ufeff\ufff9\ufffa\ufffb"
NASTY = """<script>alert("x")</script> & 'y' \\ #1 `z`"""


class _Tags(HTMLParser):
    """Fails on a tag that is closed in the wrong place, and keeps the text of the cells."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.seen.add(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open:
            self.cells[-1] += data


def tags(html: str) -> _Tags:
    parser = _Tags()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    assert "script" not in parser.seen
    return parser


def rows(html: str) -> list[list[str]]:
    cells = tags(html).cells
    return [cells[start : start + 7] for start in range(0, len(cells), 7)]


@pytest.fixture
def graph(sensors: laminardb.Connection) -> laminardb.Connection:
    """Relations of every kind, one of which is read over two layers."""
    sensors.execute("CREATE TABLE devices (device VARCHAR, room VARCHAR, PRIMARY KEY (device))")
    sensors.insert("devices", {"device": "sensor_a", "room": "hall"})
    sensors.execute("CREATE VIEW warm AS SELECT device, value FROM sensors WHERE value > 43")
    sensors.execute(
        "CREATE MATERIALIZED VIEW rooms AS SELECT room, avg(value) AS mean FROM warm JOIN devices USING (device) GROUP BY room"
    )
    sensors.execute("CREATE STREAM both AS SELECT r.mean, s.ts FROM rooms r JOIN sensors s ON r.mean = s.value")
    return sensors


def test_a_connection_shows_its_relations(graph: laminardb.Connection) -> None:
    html = graph._repr_html_()
    assert "Connection(open)" in html
    # Writes that come while the engine is busy may share a time.
    assert re.search("created, 2 sources and tables, 2 views kept up to date, 4 rows written, time [12],", html)
    assert rows(html) == [
        ["sensors", "source", "3", "", "", "ts BIGINT, device VARCHAR, value DOUBLE", ""],
        ["devices", "table", "1", "device", "", "device VARCHAR, room VARCHAR", ""],
        [
            "warm",
            "view",
            "",
            "",
            "",
            "device VARCHAR, value DOUBLE",
            "SELECT device, value FROM sensors WHERE value > 43",
        ],
        [
            "rooms",
            "stream",
            "1",
            "",
            "",
            "room VARCHAR, mean DOUBLE",
            "SELECT room, avg(value) AS mean FROM warm JOIN devices USING (device) GROUP BY …",
        ],
        [
            "both",
            "stream",
            "1",
            "",
            "",
            "mean DOUBLE, ts BIGINT",
            "SELECT r.mean, s.ts FROM rooms r JOIN sensors s ON r.mean = s.value",
        ],
    ]


def test_an_empty_a_stopped_and_a_closed_connection_show_that(conn: laminardb.Connection) -> None:
    assert "<table>" not in conn._repr_html_()
    conn.create_table("t", {"a": "int64"})
    conn.shutdown()
    assert "stopped" in conn._repr_html_()
    assert rows(conn._repr_html_()) == [["t", "source", "?", "", "", "?", ""]]
    conn.close()
    assert conn._repr_html_() == "<p><b>Connection(closed)</b></p>"


def test_a_view_that_cannot_be_read_does_not_keep_the_rest_from_being_shown(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64"})
    conn.execute("CREATE STREAM broken AS SELECT a * 9223372036854775807 AS b FROM t")
    conn.insert("t", {"a": 2})
    assert [row[:3] for row in rows(conn._repr_html_())] == [["t", "source", "1"], ["broken", "stream", "?"]]


def test_the_overview_says_how_many_relations_it_leaves_out(conn: laminardb.Connection) -> None:
    for number in range(102):
        conn.create_table(f"t{number}", {"a": "int64"})
    html = conn._repr_html_()
    assert len(rows(html)) == 100
    assert "2 more relations not shown" in html


def test_names_and_sql_are_escaped_everywhere(conn: laminardb.Connection) -> None:
    conn.create_table(NASTY, {NASTY: "int64"})
    conn.execute('CREATE STREAM "a<b" AS SELECT * FROM "{}" WHERE 1 < 2'.format(NASTY.replace('"', '""')))
    assert rows(conn._repr_html_())[0][0] == NASTY
    topology = conn.topology()
    drawing = ElementTree.fromstring(topology._repr_html_())
    assert "script" not in {element.tag.removeprefix(SVG) for element in drawing.iter()}
    assert [element.text for element in drawing.iter(f"{SVG}title")] == [
        NASTY,
        'SELECT * FROM "{}" WHERE 1 < 2'.format(NASTY.replace('"', '""')),
    ]
    assert re.findall(r'label="((?:[^"\\]|\\.)*)"', topology.to_dot()) == [
        NASTY.replace("\\", "\\\\").replace('"', '\\"'),
        "a<b",
    ]
    label = topology.to_mermaid().splitlines()[1].split('"')[1]
    assert re.sub(r"#(\d+);", lambda match: chr(int(match[1])), label) == NASTY


def test_a_topology_is_drawn_from_left_to_right(graph: laminardb.Connection) -> None:
    html = graph.topology()._repr_html_()
    assert html.startswith("<svg ")
    assert not re.search(r"href|url\(|@import|<script|<image", html)
    assert html.count("http") == 1, "the name space alone: nothing is fetched"
    drawing = ElementTree.fromstring(html)
    width, height = float(drawing.attrib["width"]), float(drawing.attrib["height"])
    boxes = {}
    for group in drawing.iter(f"{SVG}g"):
        if (box := group.find(f"{SVG}rect")) is not None:
            name = group.findall(f"{SVG}text")[0].text
            boxes[name] = [float(box.attrib[key]) for key in ("x", "y", "width", "height")]
    assert sorted(boxes) == ["both", "devices", "rooms", "sensors", "warm"]
    for name, (x, y, w, h) in boxes.items():
        assert min(x, y) >= 0, name
        assert x + w <= width + 1, name
        assert y + h <= height + 1, name
        for other, (x2, y2, w2, h2) in boxes.items():
            apart = x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y
            assert name == other or apart, f"{name} covers {other}"
    for edge in graph.topology().edges:
        assert boxes[edge.from_node][0] + boxes[edge.from_node][2] < boxes[edge.to_node][0]
    curves = [path.attrib["d"] for path in drawing.iter(f"{SVG}path") if "C" in path.attrib["d"]]
    # devices -> rooms passes one layer, sensors -> both two; they bend in each.
    assert len(curves) == len(graph.topology().edges) + 3


def test_a_topology_as_text(graph: laminardb.Connection) -> None:
    assert graph.topology().to_mermaid() == (
        "flowchart LR\n"
        '    n0[/"sensors"/]\n'
        '    n1[("devices")]\n'
        '    n2(["warm"])\n'
        '    n3["rooms"]\n'
        '    n4["both"]\n'
        "    n0 --> n2\n    n2 --> n3\n    n1 --> n3\n    n3 --> n4\n    n0 --> n4\n"
    )
    dot = graph.topology().to_dot()
    assert dot.startswith("digraph topology {\n  rankdir=LR;\n")
    assert '  n1 [label="devices", shape=cylinder];\n' in dot
    assert "  n0 -> n4;\n" in dot
    assert dot.endswith("}\n")


def test_an_empty_topology(conn: laminardb.Connection) -> None:
    topology = conn.topology()
    assert topology.to_mermaid() == "flowchart LR\n"
    assert topology.to_dot() == "digraph topology {\n  rankdir=LR;\n  node [shape=box];\n}\n"
    assert topology._repr_html_() == "<p>PipelineTopology(nodes=0, edges=0)</p>"


def test_a_plan_is_text_that_notebooks_show_with_its_lines(sensors: laminardb.Connection) -> None:
    plan = sensors.explain("SELECT device, count(*) FROM sensors WHERE device < 'x<y' GROUP BY device")
    assert isinstance(plan, str)
    lines = [
        row[0]
        for row in sensors.sql("EXPLAIN SELECT device, count(*) FROM sensors WHERE device < 'x<y' GROUP BY device")
    ]
    assert plan == "\n".join(lines)
    html = plan._repr_html_()  # type: ignore[attr-defined]
    assert html.startswith("<pre>")
    assert "x&lt;y" in html
    tags(html)


def steers(text: str) -> set[str]:
    """The characters of a text that act on what shows it, but for line breaks."""
    return set(text) & set(STEERING) - {"\n"}


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def test_a_table_of_values_steers_no_terminal(conn: laminardb.Connection, capsys: pytest.CaptureFixture[str]) -> None:
    # NUL is no character of SQL text.
    name = f"a{STEERING[1:]}b"
    result = conn.sql(f"SELECT ? AS {quoted(name)}, ? AS l, ? AS s", [STEERING, [STEERING], {"x": STEERING}])
    result.show()
    shown = capsys.readouterr().out
    assert steers(shown) == set()
    assert r"\x00\x01" in shown
    assert len(shown.splitlines()) == 6
    assert steers(result._repr_html_()) == set()
    assert result.fetchone() == (STEERING, [STEERING], {"x": STEERING})


@pytest.mark.parametrize(
    ("character", "shown"), [("\x1b", r"\x1b"), ("\x9b", r"\x9b"), ("\u202e", r"\u202e"), ("\n", r"\n")]
)
def test_a_character_that_steers_is_shown_as_its_escape(
    conn: laminardb.Connection, capsys: pytest.CaptureFixture[str], character: str, shown: str
) -> None:
    conn.sql("SELECT ? AS v", [f"a{character}b\\"]).show()
    assert f"| a{shown}b\\\\ |" in capsys.readouterr().out


def test_names_and_errors_steer_no_terminal(conn: laminardb.Connection) -> None:
    name = f"r{STEERING[1:]}"
    conn.execute(f"CREATE TABLE {quoted(name)} (k BIGINT PRIMARY KEY, {quoted('c' + name)} BIGINT)")
    created = conn.execute(f"CREATE STREAM {quoted('s' + name)} AS SELECT k FROM {quoted(name)}")
    shown = [created, conn.sources()[0], conn.streams()[0], conn.writer(name), conn.metrics()]
    shown += [
        conn.source_metrics(name),
        conn.stream_metrics("s" + name),
        *conn.topology().nodes,
        *conn.topology().edges,
    ]
    shown += [laminardb.mv(conn, name)]
    for each in shown:
        assert steers(repr(each)) == set(), repr(each)
    for text in (conn._repr_html_(), conn.topology()._repr_html_(), conn.topology().to_dot()):
        assert steers(text) <= {"\t"}
    ElementTree.fromstring(conn.topology()._repr_html_())
    with pytest.raises(laminardb.SchemaError) as error:
        conn.insert("nope" + name, {"a": 1})
    assert steers(str(error.value)) <= {"\t"}


@pytest.mark.usefixtures("pa")
def test_a_schema_steers_no_terminal(conn: laminardb.Connection) -> None:
    name = STEERING[1:]
    conn.execute(f"CREATE TABLE t ({quoted(name)} BIGINT)")
    assert steers(repr(laminardb.mv(conn, "t").schema())) <= {"\t"}


def test_wide_characters_and_marks_stand_in_line(
    conn: laminardb.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    conn.sql(
        "SELECT * FROM (VALUES ('日本', 1), ('e\u0301', 2), ('😀a', 3), ('abcde', 4)) AS t(\"名前\", n) ORDER BY n"
    ).show()
    assert capsys.readouterr().out.splitlines()[:-1] == [
        "+-------+---+",
        "| 名前  | n |",
        "+-------+---+",
        "| 日本  | 1 |",
        "| e\u0301     | 2 |",
        "| 😀a   | 3 |",
        "| abcde | 4 |",
        "+-------+---+",
    ]
