//! `Cells`: says what the single values of one source are, for the columns that are built from them.

use std::borrow::Cow;

use arrow::datatypes::Schema;

use super::exact::Number;
use super::refused::Why;
use super::time::Moment;

/// A source of single values, such as JSON text or Python.
///
/// Columns call the method of their type for each value. It returns `None` for NULL, and the value if it is of the kind
/// that the column holds, in a form that all sources share; the column then stores exactly that value or refuses it.
/// The method refuses values of other kinds itself, because sources differ in what they take and in what they say.
pub trait Cells: Copy + 'static {
    /// One value.
    type Cell<'a>;

    /// Why a value is refused.
    type Refusal: From<Why>;

    /// Returns the value for a column of booleans.
    fn boolean(self, cell: &Self::Cell<'_>) -> Result<Option<bool>, Self::Refusal>;

    /// Returns the value for a column of integers.
    fn integer<'a>(self, cell: &'a Self::Cell<'_>) -> Result<Option<Number<'a>>, Self::Refusal>;

    /// Returns the value for a column of floats.
    #[inline]
    fn float<'a>(self, cell: &'a Self::Cell<'_>) -> Result<Option<Number<'a>>, Self::Refusal> {
        self.integer(cell)
    }

    /// Returns the value for a column of decimals.
    #[inline]
    fn decimal<'a>(self, cell: &'a Self::Cell<'_>) -> Result<Option<Number<'a>>, Self::Refusal> {
        self.integer(cell)
    }

    /// Returns the value for a column of text.
    fn text<'a>(self, cell: &'a Self::Cell<'_>) -> Result<Option<Cow<'a, str>>, Self::Refusal>;

    /// Returns the value for a column that was declared JSON: text as it is, and other values as their JSON text.
    fn json<'a>(self, cell: &'a Self::Cell<'_>) -> Result<Option<Cow<'a, str>>, Self::Refusal>;

    /// Returns the value for a column of bytes.
    fn bytes<'a>(self, cell: &'a Self::Cell<'_>) -> Result<Option<Cow<'a, [u8]>>, Self::Refusal>;

    /// Returns the value for a column of dates.
    fn date(self, cell: &Self::Cell<'_>) -> Result<Option<Moment>, Self::Refusal> {
        self.timestamp(cell)
    }

    /// Returns the value for a column of times of day: microseconds since midnight.
    fn time(self, cell: &Self::Cell<'_>) -> Result<Option<i64>, Self::Refusal>;

    /// Returns the value for a column of timestamps, with or without a zone.
    fn timestamp(self, cell: &Self::Cell<'_>) -> Result<Option<Moment>, Self::Refusal>;

    /// Calls `each` for the elements of a list, in their order; returns `false` for NULL.
    fn elements(
        self,
        cell: &Self::Cell<'_>,
        each: impl FnMut(&Self::Cell<'_>) -> Result<(), Self::Refusal>,
    ) -> Result<bool, Self::Refusal>;

    /// Calls `each` for the members of a struct, with the position of the field of `schema` that has the member's name;
    /// fields may be left out. Refuses members without a field. Returns `false` for NULL.
    fn members(
        self,
        cell: &Self::Cell<'_>,
        schema: &Schema,
        each: impl FnMut(usize, &Self::Cell<'_>) -> Result<(), Self::Refusal>,
    ) -> Result<bool, Self::Refusal>;

    /// Refuses every value but NULL: the column has a type of which nothing can be given.
    fn null(self, cell: &Self::Cell<'_>) -> Result<(), Self::Refusal>;
}
