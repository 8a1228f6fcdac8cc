//! `RowReader`: reads single rows that are no dicts: dataclasses, named tuples and mappings.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple, PyType};

use super::scalar::is_pandas;

/// A column's name and what is given for it: a value, or all values of the column.
pub(super) type Cell<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

/// What an object holds that can be a row.
pub(super) enum Row<'py> {
    /// The keys and values of a mapping.
    Mapping(Vec<Cell<'py>>),
    /// The fields of a dataclass or a named tuple.
    Fields(Vec<Cell<'py>>),
}

/// Reads rows; keeps what it knows about the class of the last dataclass, since most rows have the same one.
#[derive(Default)]
pub(super) struct RowReader<'py> {
    dataclass: Option<(Bound<'py, PyType>, Vec<Bound<'py, PyString>>)>,
}

impl<'py> RowReader<'py> {
    /// Returns what `value` holds, or `None` if it is no row. An exception of the value's own code is passed on.
    pub(super) fn read(&mut self, value: &Bound<'py, PyAny>) -> PyResult<Option<Row<'py>>> {
        let class = value.get_type();
        if let Some((known, names)) = &self.dataclass
            && known.is(&class)
        {
            return attributes(value, names).map(Some);
        }
        // A class is no row, though it may have all attributes that its instances have.
        if value.is_instance_of::<PyType>() {
            return Ok(None);
        }
        let py = value.py();
        if class.hasattr(intern!(py, "__dataclass_fields__"))? {
            let names = field_names(&class)?;
            let row = attributes(value, &names);
            self.dataclass = Some((class, names));
            return row.map(Some);
        }
        if class.hasattr(intern!(py, "_fields"))? {
            return named_tuple(value);
        }
        if class.hasattr(intern!(py, "keys"))? && class.hasattr(intern!(py, "__getitem__"))? {
            return mapping(value, &class);
        }
        Ok(None)
    }
}

/// Returns the names of a dataclass's fields, without its class variables.
fn field_names<'py>(class: &Bound<'py, PyType>) -> PyResult<Vec<Bound<'py, PyString>>> {
    let py = class.py();
    let fields = py.import(intern!(py, "dataclasses"))?.call_method1(intern!(py, "fields"), (class,))?;
    let name = |field: PyResult<Bound<'py, PyAny>>| Ok(field?.getattr(intern!(py, "name"))?.cast_into::<PyString>()?);
    fields.try_iter()?.map(name).collect()
}

fn attributes<'py>(value: &Bound<'py, PyAny>, names: &[Bound<'py, PyString>]) -> PyResult<Row<'py>> {
    let cell = |name: &Bound<'py, PyString>| Ok((name.clone().into_any(), value.getattr(name)?));
    names.iter().map(cell).collect::<PyResult<_>>().map(Row::Fields)
}

/// Reads a sequence that has the names of its values in `_fields`: a named tuple, or a row of SQLAlchemy.
fn named_tuple<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Row<'py>>> {
    let Ok(names) = value.getattr(intern!(value.py(), "_fields"))?.cast_into::<PyTuple>() else { return Ok(None) };
    let class = value.get_type();
    if !class.hasattr(intern!(value.py(), "__getitem__"))? || !class.hasattr(intern!(value.py(), "__len__"))? {
        return Ok(None);
    }
    let values = value.try_iter()?.collect::<PyResult<Vec<_>>>()?;
    if values.len() != names.len() {
        return Ok(None);
    }
    Ok(Some(Row::Fields(names.iter().zip(values).collect())))
}

/// Reads anything with `keys()` and `[]`. A Series of pandas is none: it is a column more often than a row, and what is
/// missing in it is NaN.
fn mapping<'py>(value: &Bound<'py, PyAny>, class: &Bound<'py, PyType>) -> PyResult<Option<Row<'py>>> {
    if is_pandas(class.module()?.to_str()?) {
        return Ok(None);
    }
    let keys = value.call_method0(intern!(value.py(), "keys"))?;
    let cell = |key: PyResult<Bound<'py, PyAny>>| {
        let key = key?;
        let of_key = value.get_item(&key)?;
        Ok((key, of_key))
    };
    keys.try_iter()?.map(cell).collect::<PyResult<_>>().map(|cells| Some(Row::Mapping(cells)))
}
