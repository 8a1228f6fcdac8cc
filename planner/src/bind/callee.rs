//! Calls functions by their own names in place of their aliases, before DataFusion plans the calls.
//!
//! DataFusion gives a call by an alias a name that repeats the text of the arguments, and asks twice for its type. Where
//! such calls are nested, both double at each level.

use sqlparser::ast::{Function, FunctionArguments, Ident, ObjectNamePart};

use crate::function::{MAP, registry};
use crate::statement::Name;

/// Renames the function of a call to its own name. `map` becomes [`MAP`] if it has two arguments and `make_map` if it
/// has more, because DataFusion plans the arguments of `map` twice.
pub(super) fn rename(function: &mut Function) {
    let [ObjectNamePart::Identifier(ident)] = function.name.0.as_mut_slice() else { return };
    let name = Name::of(ident).value;
    let own = match (name.as_str(), &function.args) {
        ("map", FunctionArguments::List(list)) if list.args.len() == 2 => Some(MAP.to_owned()),
        ("map", FunctionArguments::List(list)) if list.args.len() > 2 => Some("make_map".to_owned()),
        _ => registry().own_name(&name, function.over.is_some()),
    };
    if let Some(own) = own {
        *ident = Ident { value: own, quote_style: Some('"'), span: ident.span };
    }
}
