//! The manifest of an image, as JSON: what the image holds, and how to verify that it is complete.
//!
//! The file is exactly one object, `{"checksum":"<16 hex digits>","manifest":<body>}`; the checksum is that of the
//! body's bytes.

use laminardb_dataflow::Time;
use laminardb_planner::RelationKind;
use laminardb_planner::statement::OnError;
use serde_json::{Map, Value, json};

use super::file::{Stored, checksum};
use super::{BaseImage, ViewImage};

/// The format that is written, and the only one that is read.
const FORMAT: u64 = 1;

const BEFORE_CHECKSUM: &[u8] = b"{\"checksum\":\"";
const CHECKSUM_DIGITS: usize = 16;
const BEFORE_BODY: &[u8] = b"\",\"manifest\":";
const AFTER_BODY: &[u8] = b"}\n";

/// Greatest time that an image may have: the times that follow a restore must fit above it.
const LAST_TIME: Time = Time(u64::MAX / 2);

/// The contents of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) id: u64,
    pub(super) time: Time,
    pub(super) entries: Vec<Described>,
}

/// An entry of the catalogue and the files that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Described {
    Base { base: BaseImage, rows: Stored, defaults: Option<Stored> },
    View { view: ViewImage, parameters: Option<Parameters> },
}

/// The values bound in a view: the positional ones, then those with the names in `named`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) named: Vec<String>,
    pub(super) stored: Stored,
}

/// Result of reading a manifest; the error says what is wrong with it.
type ManifestResult<T> = Result<T, String>;

impl Manifest {
    /// Returns the manifest as the bytes of its file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let body = json!({
            "format": FORMAT,
            "id": self.id,
            "time": self.time,
            "entries": self.entries.iter().map(Described::to_json).collect::<Vec<_>>(),
        });
        let body = body.to_string().into_bytes();
        [BEFORE_CHECKSUM, checksum(&body).as_bytes(), BEFORE_BODY, &body, AFTER_BODY].concat()
    }

    /// Reads a manifest from the bytes of its file; fails if any byte was changed.
    pub(super) fn from_bytes(bytes: &[u8]) -> ManifestResult<Self> {
        let body = body_of(bytes)?;
        let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let body = object(&body)?;
        let format = number(body, "format")?;
        if format != FORMAT {
            return Err(format!("its format is {format}, this version reads {FORMAT}"));
        }
        let time = Time(number(body, "time")?);
        if time > LAST_TIME {
            return Err(format!("its time is {time}"));
        }
        let entries = list(body, "entries")?.iter().map(Described::from_json).collect::<ManifestResult<_>>()?;
        Ok(Manifest { id: number(body, "id")?, time, entries })
    }
}

/// Returns the body of the file; fails if the checksum does not match.
fn body_of(bytes: &[u8]) -> ManifestResult<&[u8]> {
    let rest = bytes.strip_prefix(BEFORE_CHECKSUM).ok_or("it does not begin as one")?;
    let (sum, rest) = rest.split_at_checked(CHECKSUM_DIGITS).ok_or("it is cut off")?;
    let rest = rest.strip_prefix(BEFORE_BODY).ok_or("it does not begin as one")?;
    let body = rest.strip_suffix(AFTER_BODY).ok_or("it is cut off")?;
    if checksum(body).as_bytes() == sum { Ok(body) } else { Err("its checksum is another".to_owned()) }
}

impl Described {
    fn to_json(&self) -> Value {
        match self {
            Described::Base { base, rows, defaults } => json!({
                "kind": base.kind.keyword(),
                "name": base.name,
                "primary_key": base.primary_key,
                "json_columns": base.json_columns,
                "watermark": base.watermark,
                // As text, since a delay may exceed the range of JSON numbers.
                "follow": base.follow.map(|(column, delay)| json!({"column": column, "delay": delay.to_string()})),
                "total_events": base.total_events,
                "rows": stored_json(rows),
                "defaults": defaults.as_ref().map(stored_json),
            }),
            Described::View { view, parameters } => json!({
                "kind": view.kind.keyword(),
                "name": view.name,
                "columns": view.columns,
                "query": view.query,
                "placeholders_before": view.placeholders_before,
                "on_error": match view.on_error {
                    OnError::Fail => "fail",
                    OnError::Skip => "skip",
                },
                "parameters": parameters.as_ref().map(|parameters| {
                    json!({"named": parameters.named, "values": stored_json(&parameters.stored)})
                }),
            }),
        }
    }

    fn from_json(value: &Value) -> ManifestResult<Self> {
        let entry = object(value)?;
        let (kind, name) = (kind_of(text(entry, "kind")?)?, text(entry, "name")?.to_owned());
        if kind.is_view() {
            let on_error = match text(entry, "on_error")? {
                "fail" => OnError::Fail,
                "skip" => OnError::Skip,
                other => return Err(format!("on_error is {other}")),
            };
            let columns = list(entry, "columns")?.iter().map(string).collect::<ManifestResult<_>>()?;
            let (query, placeholders_before) = (text(entry, "query")?.to_owned(), count(entry, "placeholders_before")?);
            let parameters = |value: &Value| -> ManifestResult<Parameters> {
                let parameters = object(value)?;
                let named = list(parameters, "named")?.iter().map(string).collect::<ManifestResult<_>>()?;
                Ok(Parameters { named, stored: stored(field(parameters, "values")?)? })
            };
            let parameters = optional(entry, "parameters")?.map(parameters).transpose()?;
            let view = ViewImage { name, kind, columns, query, placeholders_before, on_error };
            return Ok(Described::View { view, parameters });
        }
        let follow = |value: &Value| -> ManifestResult<(usize, i128)> {
            let follow = object(value)?;
            let delay = text(follow, "delay")?.parse().map_err(|_| "a delay is no number".to_owned())?;
            Ok((count(follow, "column")?, delay))
        };
        let position = |value: &Value| {
            let position = value.as_u64().and_then(|position| usize::try_from(position).ok());
            position.ok_or_else(|| "a column is no number".to_owned())
        };
        let watermark = |value: &Value| value.as_i64().ok_or_else(|| "a watermark is no number".to_owned());
        let base = BaseImage {
            name,
            kind,
            primary_key: list(entry, "primary_key")?.iter().map(position).collect::<ManifestResult<_>>()?,
            // Images written before there were such columns do not have it.
            json_columns: match entry.get("json_columns") {
                Some(_) => list(entry, "json_columns")?.iter().map(position).collect::<ManifestResult<_>>()?,
                None => Vec::new(),
            },
            watermark: optional(entry, "watermark")?.map(watermark).transpose()?,
            follow: optional(entry, "follow")?.map(follow).transpose()?,
            total_events: number(entry, "total_events")?,
        };
        let defaults = optional(entry, "defaults")?.map(stored).transpose()?;
        Ok(Described::Base { base, rows: stored(field(entry, "rows")?)?, defaults })
    }
}

fn kind_of(keyword: &str) -> ManifestResult<RelationKind> {
    use RelationKind::{MaterializedView, Source, Stream, Table, View};
    let kinds = [Source, Table, View, Stream, MaterializedView];
    kinds.into_iter().find(|kind| kind.keyword() == keyword).ok_or_else(|| format!("{keyword} is no kind of relation"))
}

fn stored_json(stored: &Stored) -> Value {
    let Stored { file, bytes, rows, checksum } = stored;
    json!({"file": file, "bytes": bytes, "rows": rows, "checksum": checksum})
}

fn stored(value: &Value) -> ManifestResult<Stored> {
    let stored = object(value)?;
    Ok(Stored {
        file: text(stored, "file")?.to_owned(),
        bytes: number(stored, "bytes")?,
        rows: number(stored, "rows")?,
        checksum: text(stored, "checksum")?.to_owned(),
    })
}

fn object(value: &Value) -> ManifestResult<&Map<String, Value>> {
    value.as_object().ok_or_else(|| "an object is missing".to_owned())
}

fn field<'a>(object: &'a Map<String, Value>, name: &str) -> ManifestResult<&'a Value> {
    object.get(name).ok_or_else(|| format!("{name} is missing"))
}

/// Returns the field, or `None` if it is null.
fn optional<'a>(object: &'a Map<String, Value>, name: &str) -> ManifestResult<Option<&'a Value>> {
    field(object, name).map(|value| (!value.is_null()).then_some(value))
}

fn list<'a>(object: &'a Map<String, Value>, name: &str) -> ManifestResult<&'a Vec<Value>> {
    field(object, name)?.as_array().ok_or_else(|| format!("{name} is no list"))
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> ManifestResult<&'a str> {
    field(object, name)?.as_str().ok_or_else(|| format!("{name} is no text"))
}

fn string(value: &Value) -> ManifestResult<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| "a name is no text".to_owned())
}

fn number(object: &Map<String, Value>, name: &str) -> ManifestResult<u64> {
    field(object, name)?.as_u64().ok_or_else(|| format!("{name} is no number"))
}

fn count(object: &Map<String, Value>, name: &str) -> ManifestResult<usize> {
    usize::try_from(number(object, name)?).map_err(|_| format!("{name} is out of range"))
}
