"""How long statements are planned: EXPLAIN over empty tables. `--rows` is the number of literals, columns or terms."""

from __future__ import annotations

from measure import Table, rows_asked

import laminardb

TABLES = (
    "CREATE TABLE part (p_partkey BIGINT PRIMARY KEY, p_type VARCHAR)",
    "CREATE TABLE supplier (s_suppkey BIGINT PRIMARY KEY, s_nationkey BIGINT)",
    "CREATE TABLE customer (c_custkey BIGINT PRIMARY KEY, c_nationkey BIGINT)",
    "CREATE TABLE nation (n_nationkey BIGINT PRIMARY KEY, n_name VARCHAR, n_regionkey BIGINT)",
    "CREATE TABLE region (r_regionkey BIGINT PRIMARY KEY, r_name VARCHAR)",
    "CREATE TABLE orders (o_orderkey BIGINT PRIMARY KEY, o_custkey BIGINT, o_orderdate DATE)",
    """CREATE TABLE lineitem (l_orderkey BIGINT, l_linenumber BIGINT, l_partkey BIGINT, l_suppkey BIGINT,
        l_extendedprice DECIMAL(15, 2), l_discount DECIMAL(15, 2), PRIMARY KEY (l_orderkey, l_linenumber))""",
)

CUSTOMERS = "SELECT n_name, count(*) AS n FROM customer JOIN nation ON c_nationkey = n_nationkey GROUP BY n_name"

# Query 8 of TPC-H: eight tables, a subquery, a CASE.
MARKET_SHARE = """SELECT o_year, sum(CASE WHEN nation = 'BRAZIL' THEN volume ELSE 0 END) / sum(volume) AS mkt_share
    FROM (SELECT extract(year FROM o_orderdate) AS o_year, l_extendedprice * (1 - l_discount) AS volume,
            n2.n_name AS nation
        FROM part, supplier, lineitem, orders, customer, nation n1, nation n2, region
        WHERE p_partkey = l_partkey AND s_suppkey = l_suppkey AND l_orderkey = o_orderkey AND o_custkey = c_custkey
            AND c_nationkey = n1.n_nationkey AND n1.n_regionkey = r_regionkey AND r_name = 'AMERICA'
            AND s_nationkey = n2.n_nationkey AND o_orderdate BETWEEN DATE '1995-01-01' AND DATE '1996-12-31'
            AND p_type = 'ECONOMY ANODIZED STEEL') all_nations
    GROUP BY o_year"""


def main() -> None:
    """Runs all cases."""
    count = rows_asked(__doc__, 500)
    numbers = ", ".join(map(str, range(count)))
    columns = ", ".join(f"c_nationkey * {number} + c_custkey AS x{number}" for number in range(count))
    terms = " OR ".join(f"c_custkey % {number + 2} = 1 AND c_nationkey > {number}" for number in range(count // 5))
    cases = (
        ("a constant", "SELECT 1 AS one"),
        ("a row by its key", "SELECT * FROM customer WHERE c_custkey = 7"),
        ("an aggregate of a join", CUSTOMERS),
        ("TPC-H query 8", MARKET_SHARE),
        (f"{count:,} literals", f"SELECT c_custkey FROM customer WHERE c_nationkey IN ({numbers})"),
        (f"{count:,} columns", f"SELECT {columns} FROM customer"),
        (f"{count // 5:,} terms of OR", f"SELECT c_custkey FROM customer WHERE {terms}"),
    )
    with laminardb.open(":memory:") as conn:
        for table in TABLES:
            conn.execute(table)
        results = Table("Planning (rows: statements)")
        for case, query in cases:
            results.time(case, 1, lambda query=query: conn.explain(query), repeat=15)  # type: ignore[misc]


if __name__ == "__main__":
    main()
