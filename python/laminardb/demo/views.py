"""The tables and views of the demo, as SQL."""

from __future__ import annotations

TABLES = {
    "airlines": "carrier VARCHAR, name VARCHAR, PRIMARY KEY (carrier)",
    "planes": "tailnum VARCHAR, year BIGINT, manufacturer VARCHAR, model VARCHAR, seats BIGINT, PRIMARY KEY (tailnum)",
    "weather": (
        "origin VARCHAR, time_hour TIMESTAMP, temp DOUBLE, wind_speed DOUBLE, precip DOUBLE, visib DOUBLE, "
        "PRIMARY KEY (origin, time_hour)"
    ),
    "flights": (
        "id BIGINT, time_hour TIMESTAMP, hour BIGINT, carrier VARCHAR, flight BIGINT, tailnum VARCHAR, "
        "origin VARCHAR, dest VARCHAR, dep_delay BIGINT, arr_delay BIGINT, air_time BIGINT, distance BIGINT, "
        "PRIMARY KEY (id)"
    ),
}

VIEWS = {
    # A filter.
    "very_late": "SELECT id, carrier, flight, origin, dest, arr_delay FROM flights WHERE arr_delay > 180",
    # An aggregate per carrier and hour of the day.
    "carrier_hour": (
        "SELECT carrier, hour, count(*) AS flights, avg(dep_delay) AS mean_delay, max(dep_delay) AS worst_delay "
        "FROM flights GROUP BY carrier, hour"
    ),
    # A join of three.
    "flight_weather": (
        "SELECT f.id, a.name AS airline, f.origin, f.arr_delay, w.visib, w.wind_speed "
        "FROM flights f JOIN weather w ON f.origin = w.origin AND f.time_hour = w.time_hour "
        "JOIN airlines a ON f.carrier = a.carrier"
    ),
    # The ten worst routes.
    "worst_routes": (
        "SELECT origin, dest, avg(arr_delay) AS mean_delay, count(*) AS flights FROM flights "
        "GROUP BY origin, dest HAVING count(arr_delay) >= 50 ORDER BY mean_delay DESC, origin, dest LIMIT 10"
    ),
    # A view on a view.
    "airline_in_fog": (
        "SELECT airline, count(*) AS flights, avg(arr_delay) AS mean_delay, max(wind_speed) AS strongest_wind "
        "FROM flight_weather WHERE visib < 3.0 GROUP BY airline"
    ),
    # A LEFT JOIN: flights whose weather is not known.
    "without_weather": (
        "SELECT f.id, f.origin, f.time_hour FROM flights f "
        "LEFT JOIN weather w ON f.origin = w.origin AND f.time_hour = w.time_hour WHERE w.origin IS NULL"
    ),
    # The fleet at work, by maker.
    "makers": (
        "SELECT p.manufacturer, count(*) AS flights, count(DISTINCT f.tailnum) AS planes, sum(f.distance) AS miles "
        "FROM flights f JOIN planes p ON f.tailnum = p.tailnum GROUP BY p.manufacturer"
    ),
}

# Watched while rows arrive; the first one's changes are timed.
SUBSCRIBED = ("carrier_hour", "worst_routes", "airline_in_fog", "very_late")


def from_scratch(view: str) -> str:
    """The query of ``view`` over tables alone: views it reads are written out as common table expressions."""
    query = VIEWS[view]
    used = [other for other in VIEWS if other != view and other in query.replace(",", " ").split()]
    return "".join(f"WITH {other} AS ({VIEWS[other]}) " for other in used) + query
