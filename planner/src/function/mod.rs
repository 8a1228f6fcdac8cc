//! The functions that SQL can call.

mod aggregate;
mod list;
mod map;
mod mark;
mod moment;
mod number;
mod own;
mod pattern;
mod rank;
mod series;
mod size;
mod time;
mod time_text;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

pub use aggregate::maintained;
pub(crate) use list::joins_lists;
pub(crate) use map::{MAP, map_written_out};
pub(crate) use mark::{
    CAST, CELL, brief, divisor, in_brief, in_cast, in_cell, is_divisor, may_be_null, of_syntax, without_may_be_null,
};

/// DataFusion's functions that are left out: they are about DataFusion itself or its files, or about types and metadata
/// that we do not have.
const LEFT_OUT: &[&str] = &[
    "arrow_cast",
    "arrow_field",
    "arrow_metadata",
    "arrow_try_cast",
    "arrow_typeof",
    "cast_to_type",
    "file_row_index",
    "input_file_name",
    "try_cast_to_type",
    "union_extract",
    "union_tag",
    "version",
    "with_metadata",
];

/// Our own scalar functions, which replace DataFusion's of the same names or are additions.
const OURS: &[&own::Definition] = &[
    &list::CONCAT,
    &list::HAS,
    &list::HAS_ALL,
    &list::HAS_ANY,
    &list::INTERSECT,
    &list::LENGTH,
    &list::SORT,
    &number::ABS,
    &number::CEIL,
    &number::FLOOR,
    &number::GREATEST,
    &number::LEAST,
    &number::NULLIF,
    &number::POWER,
    &number::ROUND,
    &number::SIGN,
    &number::SQRT,
    &number::TRUNC,
    &number::XOR,
    &pattern::REGEXP_LIKE,
    &pattern::REGEXP_REPLACE,
    &time::ADD_DAYS,
    &time::ADD_TIME,
    &time::DATE_BIN,
    &time::DATE_PART,
    &time::DATE_TRUNC,
    &time::MAKE_DATE,
    &time::TIMEZONE,
    &time_text::TO_CHAR,
    &time_text::TO_TIMESTAMP,
    &time_text::TO_TIMESTAMP_MICROS,
    &time_text::TO_TIMESTAMP_MILLIS,
    &time_text::TO_TIMESTAMP_NANOS,
    &time_text::TO_TIMESTAMP_SECONDS,
    &time_text::TO_UNIXTIME,
];

/// Returns the operator `||` on two lists.
pub(crate) fn join_of_lists() -> &'static Arc<ScalarUDF> {
    static JOIN: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| own::function(&list::JOIN));
    &JOIN
}

/// All functions by name and alias.
pub struct Registry {
    scalars: BTreeMap<String, Arc<ScalarUDF>>,
    aggregates: BTreeMap<String, Arc<AggregateUDF>>,
    windows: BTreeMap<String, Arc<WindowUDF>>,
}

/// Returns the functions, which are the same for every session.
pub fn registry() -> &'static Registry {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::build);
    &REGISTRY
}

impl Registry {
    fn build() -> Self {
        let mut registry = Registry { scalars: BTreeMap::new(), aggregates: BTreeMap::new(), windows: BTreeMap::new() };
        for function in SessionStateDefaults::default_scalar_functions() {
            if !LEFT_OUT.contains(&function.name()) {
                registry.add_scalar(size::checked(moment::in_microseconds(function)));
            }
        }
        for definition in OURS {
            registry.add_scalar(own::function(definition));
        }
        for function in SessionStateDefaults::default_aggregate_functions() {
            registry.add_aggregate(function);
        }
        for function in aggregate::all() {
            registry.add_aggregate(function);
        }
        for function in SessionStateDefaults::default_window_functions().into_iter().map(rank::signed) {
            for name in function.aliases().iter().cloned().chain([function.name().to_owned()]) {
                registry.windows.insert(name, Arc::clone(&function));
            }
        }
        registry
    }

    fn add_scalar(&mut self, function: Arc<ScalarUDF>) {
        for name in function.aliases().iter().cloned().chain([function.name().to_owned()]) {
            self.scalars.insert(name, Arc::clone(&function));
        }
    }

    fn add_aggregate(&mut self, function: Arc<AggregateUDF>) {
        for name in function.aliases().iter().cloned().chain([function.name().to_owned()]) {
            self.aggregates.insert(name, Arc::clone(&function));
        }
    }

    /// Returns the scalar function with this name, which must be in lower case.
    pub fn scalar(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.scalars.get(name).cloned()
    }

    /// Returns the aggregate function with this name, which must be in lower case.
    pub fn aggregate(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.aggregates.get(name).cloned()
    }

    /// Returns the window function with this name, which must be in lower case.
    pub fn window(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.windows.get(name).cloned()
    }

    /// Returns the own name of the function that `name` calls, if `name` is only an alias of it; `is_window` says whether
    /// the call has OVER.
    pub(crate) fn own_name(&self, name: &str, is_window: bool) -> Option<String> {
        let own = if let Some(function) = self.scalars.get(name) {
            function.name()
        } else if let Some(function) = self.aggregates.get(name) {
            function.name()
        } else {
            self.windows.get(name).filter(|_| is_window)?.name()
        };
        (own != name).then(|| own.to_owned())
    }

    /// Returns all names of scalar functions.
    pub fn scalar_names(&self) -> Vec<String> {
        self.scalars.keys().cloned().collect()
    }

    /// Returns all names of aggregate functions.
    pub fn aggregate_names(&self) -> Vec<String> {
        self.aggregates.keys().cloned().collect()
    }

    /// Returns all names of window functions.
    pub fn window_names(&self) -> Vec<String> {
        self.windows.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
