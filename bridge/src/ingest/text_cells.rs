//! `TextCells`: what the values of JSON and CSV text are.

use std::borrow::Cow;

use arrow::datatypes::Schema;

use super::cells::Cells;
use super::decimal::is_number;
use super::exact::{NUMBERS_ONLY, Number};
use super::iso;
use super::json_text::compact;
use super::names::{Unmatched, match_name};
use super::refused::{Reason, Why};
use super::time::Moment;
use super::value::Value;
use super::walk::{elements, is_json, members};

/// Values of JSON and CSV text. A JSON value has a kind; a CSV field is read as its column's type.
#[derive(Clone, Copy)]
pub(super) struct TextCells;

impl Cells for TextCells {
    type Cell<'a> = Value<'a>;
    type Refusal = Why;

    fn boolean(self, value: &Value<'_>) -> Result<Option<bool>, Why> {
        let is = |text: &str, names: [&str; 3]| names.iter().any(|name| text.eq_ignore_ascii_case(name));
        match value {
            Value::Null => Ok(None),
            Value::Bool(value) => Ok(Some(*value)),
            Value::Field(text) if is(text, ["true", "t", "1"]) => Ok(Some(true)),
            Value::Field(text) if is(text, ["false", "f", "0"]) => Ok(Some(false)),
            Value::Field(_) => Err("only true, false, t, f, 1 and 0 can be".into()),
            other => Err(refused(other, "only booleans can be")),
        }
    }

    fn integer<'a>(self, value: &'a Value<'_>) -> Result<Option<Number<'a>>, Why> {
        match value {
            Value::Null => Ok(None),
            Value::Number(text) | Value::Field(text) => Ok(Some(Number::Written(text))),
            other => Err(refused(other, NUMBERS_ONLY)),
        }
    }

    fn decimal<'a>(self, value: &'a Value<'_>) -> Result<Option<Number<'a>>, Why> {
        match value {
            // Programs write decimals as strings because JSON readers may turn numbers into doubles.
            Value::Text(text) if is_number(text) => Ok(Some(Number::Written(text))),
            other => self.integer(other),
        }
    }

    fn text<'a>(self, value: &'a Value<'_>) -> Result<Option<Cow<'a, str>>, Why> {
        match value {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(Cow::Borrowed(text))),
            Value::Field(text) => Ok(Some(Cow::Borrowed(text))),
            other => Err(refused(other, "only text can be")),
        }
    }

    fn json<'a>(self, value: &'a Value<'_>) -> Result<Option<Cow<'a, str>>, Why> {
        match value {
            Value::Bool(value) => Ok(Some(Cow::Borrowed(if *value { "true" } else { "false" }))),
            Value::Number(text) | Value::List(text) | Value::Object(text) => Ok(Some(Cow::Owned(compact(text)))),
            other => self.text(other),
        }
    }

    fn bytes<'a>(self, value: &'a Value<'_>) -> Result<Option<Cow<'a, [u8]>>, Why> {
        match value {
            Value::Null => Ok(None),
            other => Err(refused(other, "only bytes can be, and text has none")),
        }
    }

    fn date(self, value: &Value<'_>) -> Result<Option<Moment>, Why> {
        iso_text(value, iso::date)
    }

    fn time(self, value: &Value<'_>) -> Result<Option<i64>, Why> {
        iso_text(value, iso::time)
    }

    fn timestamp(self, value: &Value<'_>) -> Result<Option<Moment>, Why> {
        iso_text(value, iso::timestamp)
    }

    fn elements(self, value: &Value<'_>, mut each: impl FnMut(&Value<'_>) -> Result<(), Why>) -> Result<bool, Why> {
        let Some(list) = nested(value, '[', "only lists can be")? else { return Ok(false) };
        elements(list).try_for_each(|element| each(&element))?;
        Ok(true)
    }

    fn members(
        self,
        value: &Value<'_>,
        schema: &Schema,
        mut each: impl FnMut(usize, &Value<'_>) -> Result<(), Why>,
    ) -> Result<bool, Why> {
        let Some(object) = nested(value, '{', "only structs can be")? else { return Ok(false) };
        let unfit = |why: Unmatched| Why::Value(why.in_value());
        for (place, (name, member)) in members(object).enumerate() {
            let name = name.map_err(|torn| unfit(Unmatched::Unknown(torn.to_owned())))?;
            each(match_name(&name, place, schema).map_err(unfit)?, &member)?;
        }
        Ok(true)
    }

    fn null(self, value: &Value<'_>) -> Result<(), Why> {
        match value {
            Value::Null => Ok(()),
            other => Err(refused(other, "no text can be")),
        }
    }
}

/// Returns why a value is refused whose kind the column does not hold.
fn refused(value: &Value<'_>, why: Reason) -> Why {
    match value {
        Value::Torn(_) => "it has half of a surrogate pair, which is no text".into(),
        _ => why.into(),
    }
}

/// Parses the text of a date or time.
fn iso_text<T>(value: &Value<'_>, parse: impl Fn(&str) -> Result<T, Reason>) -> Result<Option<T>, Why> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::Text(text) => text,
        Value::Field(text) => *text,
        other => return Err(refused(other, "only ISO 8601 text can be")),
    };
    Ok(Some(parse(text)?))
}

/// Returns the text of a list or struct, which begins with `bracket`; also CSV fields hold it as JSON.
fn nested<'a>(value: &Value<'a>, bracket: char, why: Reason) -> Result<Option<&'a str>, Why> {
    match value {
        Value::Null => Ok(None),
        Value::List(text) | Value::Object(text) if text.starts_with(bracket) => Ok(Some(text)),
        Value::Field(text) if is_json(text) && text.trim_start().starts_with(bracket) => Ok(Some(text)),
        other => Err(refused(other, why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_decimals_and_no_other_numbers() {
        let read = |value: Value<'_>| {
            let number = TextCells.decimal(&value)?.expect("is not NULL");
            Ok::<_, Why>(number.decimal(5, 2)?)
        };
        let why = |value| match read(value) {
            Err(Why::Value(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(matches!(read(Value::Number("1.25")), Ok(125)));
        assert!(matches!(read(Value::Text("1.250".into())), Ok(125)));
        assert!(matches!(read(Value::Field("-1e2")), Ok(-10_000)));
        assert_eq!(why(Value::Text("x".into())), NUMBERS_ONLY);
        assert_eq!(why(Value::Bool(true)), NUMBERS_ONLY);
        assert!(matches!(TextCells.integer(&Value::Text("1".into())), Err(Why::Value(why)) if why == NUMBERS_ONLY));
    }
}
