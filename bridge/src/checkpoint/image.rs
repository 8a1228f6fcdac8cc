//! Writes and reads an image as a folder: the files of all entries, and then the manifest, which completes it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use laminardb_planner::Params;

use super::file::{self, Stored, read_rows, write_rows};
use super::manifest::{Described, Manifest, Parameters};
use super::{Image, ImageSource, Item, Verified};
use crate::error::Error;
use laminardb_dataflow::CancelToken;

const MANIFEST: &str = "manifest.json";

/// Returns the name of the file for the rows of the catalogue's entry number `entry`.
fn rows_file(entry: usize) -> String {
    format!("relation_{entry}.arrow")
}

fn defaults_file(entry: usize) -> String {
    format!("defaults_{entry}.arrow")
}

fn parameters_file(entry: usize) -> String {
    format!("parameters_{entry}.arrow")
}

/// Writes an image into the empty folder `folder`, through to the disk.
pub(super) fn write(folder: &Path, id: u64, image: &ImageSource, cancel: &CancelToken) -> Result<(), Error> {
    let mut entries = Vec::with_capacity(image.items.len());
    for (number, item) in image.items.iter().enumerate() {
        entries.push(match item {
            Item::Base { base, schema, defaults, rows } => Described::Base {
                base: base.clone(),
                rows: write_rows(folder, rows_file(number), schema, rows.iter(), cancel)?,
                defaults: write_defaults(folder, number, schema, defaults, cancel)?,
            },
            Item::View { view, params } => {
                Described::View { view: view.clone(), parameters: write_parameters(folder, number, params, cancel)? }
            }
        });
    }
    let manifest = Manifest { id, time: image.time, entries };
    file::write_bytes(&folder.join(MANIFEST), &manifest.to_bytes())?;
    file::sync_folder(folder)
}

/// Writes the defaults of the columns that have one, under the columns' names, which are distinct.
fn write_defaults(
    folder: &Path,
    number: usize,
    schema: &Schema,
    defaults: &[Option<ArrayRef>],
    cancel: &CancelToken,
) -> Result<Option<Stored>, Error> {
    let names = schema.fields().iter().map(|field| field.name().clone());
    let given = names.zip(defaults).filter_map(|(name, value)| value.as_ref().map(|value| (name, Arc::clone(value))));
    write_values(folder, defaults_file(number), given.collect(), cancel)
}

fn write_parameters(
    folder: &Path,
    number: usize,
    params: &Params,
    cancel: &CancelToken,
) -> Result<Option<Parameters>, Error> {
    let (positional, named) = params.to_arrays()?;
    let names = named.iter().map(|(name, _)| name.clone()).collect();
    let numbered = positional.into_iter().enumerate().map(|(idx, value)| ((idx + 1).to_string(), value));
    let stored = write_values(folder, parameters_file(number), numbered.chain(named).collect(), cancel)?;
    Ok(stored.map(|stored| Parameters { named: names, stored }))
}

/// Writes values, which are arrays of one row, as one row; writes no file if there are none.
fn write_values(
    folder: &Path,
    name: String,
    values: Vec<(String, ArrayRef)>,
    cancel: &CancelToken,
) -> Result<Option<Stored>, Error> {
    if values.is_empty() {
        return Ok(None);
    }
    let fields: Vec<Field> =
        values.iter().map(|(name, value)| Field::new(name, value.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let columns = values.into_iter().map(|(_, value)| value).collect();
    let row = RecordBatch::try_new(Arc::clone(&schema), columns)
        .map_err(|error| Error::Internal(format!("values of one row are none: {error}")))?;
    write_rows(folder, name, &schema, std::iter::once(row), cancel).map(Some)
}

/// Reads the image in `folder`. Fails if it is damaged or its id is not `id`.
pub(super) fn read(folder: &Path, id: u64, cancel: &CancelToken) -> Result<Verified, Error> {
    let path = folder.join(MANIFEST);
    let damaged = |why: String| Error::CheckpointFailed(format!("{} is damaged: {why}", path.display()));
    let bytes = fs::read(&path).map_err(|error| file::failed("read", &path, &error))?;
    let manifest = Manifest::from_bytes(&bytes).map_err(damaged)?;
    if manifest.id != id {
        return Err(damaged(format!("it is of checkpoint {}", manifest.id)));
    }
    let mut items = Vec::with_capacity(manifest.entries.len());
    for (number, described) in manifest.entries.into_iter().enumerate() {
        items.push(read_item(folder, number, described, cancel)?);
    }
    Ok(Image { time: manifest.time, items })
}

fn read_item(
    folder: &Path,
    number: usize,
    described: Described,
    cancel: &CancelToken,
) -> Result<Item<Vec<RecordBatch>>, Error> {
    match described {
        Described::Base { base, rows, defaults } => {
            let (schema, rows) = read_named(folder, rows_file(number), &rows, cancel)?;
            let fields = schema.fields().len();
            let positions = base.primary_key.iter().copied().chain(base.follow.map(|(column, _)| column));
            // Positions come from the manifest, rows from another file; they need not fit together.
            if positions.into_iter().any(|column| column >= fields) {
                return Err(Error::CheckpointFailed(format!("{} has no such column", base.name)));
            }
            let defaults = match &defaults {
                Some(stored) => defaults_in(&read_values(folder, defaults_file(number), stored, cancel)?, &schema),
                None => vec![None; fields],
            };
            Ok(Item::Base { base, schema, defaults, rows })
        }
        Described::View { view, parameters } => {
            let params = match parameters {
                Some(Parameters { named, stored }) => {
                    parameters_in(&read_values(folder, parameters_file(number), &stored, cancel)?, named)?
                }
                None => Params::none(),
            };
            Ok(Item::View { view, params })
        }
    }
}

/// Reads the rows of a file, which must have the name that `write` gives it.
fn read_named(
    folder: &Path,
    name: String,
    stored: &Stored,
    cancel: &CancelToken,
) -> Result<(SchemaRef, Vec<RecordBatch>), Error> {
    if stored.file != name {
        return Err(Error::CheckpointFailed(format!("the manifest names the file {}, not {name}", stored.file)));
    }
    read_rows(folder, stored, cancel)
}

/// Returns the default of each column from a row that holds them under the columns' names.
fn defaults_in(row: &RecordBatch, schema: &Schema) -> Vec<Option<ArrayRef>> {
    schema.fields().iter().map(|field| row.column_by_name(field.name()).map(Arc::clone)).collect()
}

/// Returns the parameters in a row: the positional ones, then those with the given names.
fn parameters_in(row: &RecordBatch, names: Vec<String>) -> Result<Params, Error> {
    let unnamed = row.num_columns().checked_sub(names.len());
    let unnamed = unnamed.ok_or_else(|| Error::CheckpointFailed("a view has more names than values".to_owned()))?;
    let (positional, named) = row.columns().split_at(unnamed);
    let named: Vec<_> = names.into_iter().zip(named.iter().map(Arc::clone)).collect();
    Ok(Params::from_arrays(positional, &named)?)
}

/// Reads a file of values, which must have one row.
fn read_values(folder: &Path, name: String, stored: &Stored, cancel: &CancelToken) -> Result<RecordBatch, Error> {
    let (_, mut batches) = read_named(folder, name, stored, cancel)?;
    match (batches.pop(), batches.pop()) {
        (Some(row), None) if row.num_rows() == 1 => Ok(row),
        _ => Err(Error::CheckpointFailed(format!(
            "{} is damaged: it is not one row",
            folder.join(&stored.file).display()
        ))),
    }
}
