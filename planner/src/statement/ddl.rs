//! Parses CREATE and DROP with our own grammar.

use sqlparser::ast::{
    BinaryOperator, ColumnOption, DataType, Expr, IndexColumn, OrderByExpr, OrderByOptions, PrimaryKeyConstraint,
    TableConstraint,
};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::parser::{ParseResult, StatementParser, is_word};
use super::{
    ColumnDefinition, CreateRelation, CreateTableAs, CreateView, Drop, Name, OnError, Statement, WatermarkDefinition,
    sql_type,
};
use crate::catalog::{RelationKind, find_name};
use crate::error::PlanError;

/// Words with which the supported column options begin.
const COLUMN_OPTIONS: [&str; 4] = ["NULL", "NOT", "DEFAULT", "PRIMARY"];

/// Words with which column options begin in other dialects; they are reported as unsupported, other words as mistakes.
const OTHER_COLUMN_OPTIONS: [&str; 28] = [
    "ALIAS",
    "AS",
    "ASC",
    "AUTOINCREMENT",
    "AUTO_INCREMENT",
    "CHARACTER",
    "CHARSET",
    "CHECK",
    "COLLATE",
    "COMMENT",
    "COMPRESSION",
    "DESC",
    "ENCODE",
    "EPHEMERAL",
    "GENERATED",
    "IDENTITY",
    "INVISIBLE",
    "KEY",
    "MASKING",
    "MATERIALIZED",
    "ON",
    "OPTIONS",
    "REFERENCES",
    "SRID",
    "STORAGE",
    "TAG",
    "UNIQUE",
    "WITH",
];

/// Words with which table options begin in other dialects.
const TABLE_OPTIONS: [&str; 33] = [
    "AS",
    "AUTO_INCREMENT",
    "CHARACTER",
    "CHARSET",
    "CLONE",
    "CLUSTER",
    "CLUSTERED",
    "COLLATE",
    "COMMENT",
    "COPY",
    "DATA",
    "DEFAULT",
    "DISTRIBUTED",
    "ENGINE",
    "INHERITS",
    "LIKE",
    "LOCATION",
    "ON",
    "OPTIONS",
    "ORDER",
    "PARTITION",
    "PARTITIONED",
    "PRIMARY",
    "ROW",
    "SORTED",
    "STORED",
    "STRICT",
    "TABLESPACE",
    "TBLPROPERTIES",
    "TTL",
    "USING",
    "WITH",
    "WITHOUT",
];

/// The part of a statement from CREATE up to the name.
struct Head {
    kind: RelationKind,
    or_replace: bool,
    if_not_exists: bool,
    name: Name,
}

/// The part of CREATE SOURCE or TABLE between the parentheses.
#[derive(Default)]
struct Elements {
    columns: Vec<ColumnDefinition>,
    keys: Vec<Vec<Name>>,
    watermark: Option<(Name, Option<Expr>)>,
}

impl StatementParser<'_> {
    /// Parses a name, which must have only one part.
    pub(super) fn name(&mut self) -> ParseResult<Name> {
        let ident = self.read(Parser::parse_identifier)?;
        if self.parser.peek_token_ref().token == Token::Period {
            return Err(PlanError::invalid(format!("{ident} is not known: names have no schema or catalog")).into());
        }
        if ident.value.is_empty() {
            return Err(PlanError::schema("a name cannot be empty").into());
        }
        Ok(Name::of(&ident))
    }

    pub(super) fn create(&mut self) -> ParseResult<Statement> {
        self.parser.advance_token();
        let or_replace = self.eat_all(&["OR", "REPLACE"]);
        for words in [&["SINK"][..], &["LOOKUP", "TABLE"]] {
            if self.eat_all(words) {
                let message = format!("CREATE {} needs a connector; there are none", words.join(" "));
                return Err(PlanError::Connector { message }.into());
            }
        }
        let Some(kind) = self.relation_kind() else { return self.refuse_next("CREATE") };
        let if_not_exists = self.eat_all(&["IF", "NOT", "EXISTS"]);
        if or_replace && if_not_exists {
            return Err(PlanError::invalid("OR REPLACE and IF NOT EXISTS exclude each other").into());
        }
        let name = self.name()?;
        let head = Head { kind, or_replace, if_not_exists, name };
        if kind.is_view() { self.create_view(head) } else { self.create_relation(head) }
    }

    fn relation_kind(&mut self) -> Option<RelationKind> {
        let kinds: [(&[&str], RelationKind); 5] = [
            (&["SOURCE"], RelationKind::Source),
            (&["TABLE"], RelationKind::Table),
            (&["VIEW"], RelationKind::View),
            (&["STREAM"], RelationKind::Stream),
            (&["MATERIALIZED", "VIEW"], RelationKind::MaterializedView),
        ];
        kinds.into_iter().find(|(words, _)| self.eat_all(words)).map(|(_, kind)| kind)
    }

    pub(super) fn drop_relation(&mut self) -> ParseResult<Statement> {
        self.parser.advance_token();
        if self.eat("SINK") {
            return Err(
                PlanError::Connector { message: "DROP SINK needs a connector; there are none".to_owned() }.into()
            );
        }
        let Some(kind) = self.relation_kind() else { return self.refuse_next("DROP") };
        let if_exists = self.eat_all(&["IF", "EXISTS"]);
        let name = self.name()?;
        let cascade = self.eat("CASCADE");
        if !cascade {
            self.eat("RESTRICT");
        }
        Ok(Statement::Drop(Drop { kind, name, if_exists, cascade }))
    }

    fn create_view(&mut self, head: Head) -> ParseResult<Statement> {
        let mut columns = Vec::new();
        if self.parser.consume_token(&Token::LParen) {
            let idents = self.read(|parser| parser.parse_comma_separated(Parser::parse_identifier))?;
            columns = idents.iter().map(Name::of).collect();
            self.read(|parser| parser.expect_token(&Token::RParen))?;
        }
        if is_word(&self.parser.peek_token_ref().token, "WITH") || is_word(&self.parser.peek_token_ref().token, "FROM")
        {
            return self.refuse_connector(&head);
        }
        self.expect("AS")?;
        let on_error = match self.cut_options() {
            Some(options) => self.view_options(&options, &head)?,
            None => OnError::default(),
        };
        let first = self.position();
        let query = self.query()?;
        let query_text = self.text_from(first).to_owned();
        let placeholders_before = self.placeholders_before(first);
        let Head { kind, or_replace, if_not_exists, name } = head;
        Ok(Statement::CreateView(CreateView {
            name,
            kind,
            columns,
            query,
            query_text,
            placeholders_before,
            or_replace,
            if_not_exists,
            on_error,
        }))
    }

    /// Removes `WITH ('key' = 'value', ...)` from the end of the statement; returns the tokens between the parentheses.
    ///
    /// They are removed before the query is parsed, because the grammar of queries would take them for table hints.
    fn cut_options(&mut self) -> Option<Vec<TokenWithSpan>> {
        let rest = self.rest();
        let open = rest.iter().rposition(|token| token.token == Token::LParen)?;
        let is_options = rest.last()?.token == Token::RParen
            && open >= 1
            && is_word(&rest[open - 1].token, "WITH")
            && matches!(rest.get(open + 1)?.token, Token::SingleQuotedString(_) | Token::Word(_))
            && rest.get(open + 2)?.token == Token::Eq;
        if !is_options {
            return None;
        }
        let start = self.position() + open - 1;
        let cut = self.cut(start);
        Some(cut[2..cut.len() - 1].to_vec())
    }

    fn view_options(&self, tokens: &[TokenWithSpan], head: &Head) -> ParseResult<OnError> {
        let mut on_error = None;
        for option in tokens.split(|token| token.token == Token::Comma) {
            let [key, eq, value] = option else { return Err(bad_options().into()) };
            let (Some(key), Token::Eq, Some(value)) = (word(&key.token), &eq.token, word(&value.token)) else {
                return Err(bad_options().into());
            };
            match (key.to_lowercase().as_str(), value.to_lowercase().as_str()) {
                ("connector", _) => return self.refuse_connector(head),
                ("on_error", _) if on_error.is_some() => {
                    return Err(PlanError::invalid("option 'on_error' is there twice").into());
                }
                ("on_error", "fail") => on_error = Some(OnError::Fail),
                ("on_error", "skip") => on_error = Some(OnError::Skip),
                ("on_error", other) => {
                    return Err(PlanError::invalid(format!("on_error is 'fail' or 'skip', not '{other}'")).into());
                }
                (other, _) => return Err(PlanError::invalid(format!("unknown option '{other}'")).into()),
            }
        }
        if head.kind == RelationKind::View {
            return Err(PlanError::invalid("a VIEW takes no options: it is not maintained").into());
        }
        Ok(on_error.unwrap_or_default())
    }

    fn refuse_connector<T>(&self, head: &Head) -> ParseResult<T> {
        let message = format!("{} {} needs a connector; there are none", head.kind.keyword(), head.name);
        Err(PlanError::Connector { message }.into())
    }

    fn create_relation(&mut self, head: Head) -> ParseResult<Statement> {
        if self.eat("AS") {
            return self.create_table_as(head);
        }
        if is_word(&self.parser.peek_token_ref().token, "FROM") {
            return self.refuse_connector(&head);
        }
        if !self.parser.consume_token(&Token::LParen) {
            return self.expected("( or AS");
        }
        let elements = self.elements()?;
        self.refuse_table_option(&head)?;
        Ok(Statement::CreateRelation(Box::new(relation_of(head, elements)?)))
    }

    /// Refuses options after the columns.
    fn refuse_table_option(&self, head: &Head) -> ParseResult<()> {
        let next = &self.parser.peek_token_ref().token;
        let asks_for_connector = || {
            let mut rest = self.rest().iter().filter_map(|token| word(&token.token));
            rest.any(|word| word.eq_ignore_ascii_case("connector"))
        };
        if is_word(next, "FROM") || is_word(next, "WITH") && asks_for_connector() {
            return self.refuse_connector(head);
        }
        match TABLE_OPTIONS.iter().find(|word| is_word(next, word)) {
            Some(option) => self.unsupported(&format!("CREATE {} with {option}", head.kind.keyword())),
            None => Ok(()),
        }
    }

    fn create_table_as(&mut self, head: Head) -> ParseResult<Statement> {
        let Head { kind, or_replace, if_not_exists, name } = head;
        if kind != RelationKind::Table {
            return Err(PlanError::invalid("CREATE SOURCE takes columns, not a query").into());
        }
        let first = self.position();
        let query = self.query()?;
        let query_text = self.text_from(first).to_owned();
        Ok(Statement::CreateTableAs(CreateTableAs { name, query, query_text, or_replace, if_not_exists }))
    }

    /// Parses columns, keys and the watermark, up to and including the closing parenthesis.
    fn elements(&mut self) -> ParseResult<Elements> {
        let mut elements = Elements::default();
        loop {
            if self.parser.peek_token_ref().token == Token::RParen && elements.columns.is_empty() {
                break;
            }
            if self.eat_all(&["WATERMARK", "FOR"]) {
                self.watermark(&mut elements)?;
            } else {
                let place = self.place();
                match self.read(Parser::parse_optional_table_constraint)? {
                    Some(constraint) => elements.keys.push(key_of(constraint, &place)?),
                    None => self.column(&mut elements)?,
                }
            }
            if !self.parser.consume_token(&Token::Comma) {
                break;
            }
        }
        if self.parser.consume_token(&Token::RParen) { Ok(elements) } else { self.expected(", or )") }
    }

    /// Parses a column and its options.
    fn column(&mut self, elements: &mut Elements) -> ParseResult<()> {
        let name = Name::of(&self.read(Parser::parse_identifier)?);
        if name.value.is_empty() {
            return Err(PlanError::schema("a column name cannot be empty").into());
        }
        let data_type = self.read(Parser::parse_data_type)?;
        let is_json = matches!(data_type, DataType::JSON | DataType::JSONB);
        let data_type = sql_type(&data_type).map_err(|error| PlanError::schema(format!("column {name}: {error}")))?;
        let name_of = name.value.clone();
        let mut definition = ColumnDefinition { name: name_of, data_type, is_json, nullable: true, default: None };
        let mut is_null_said = false;
        while let Some((option, place)) = self.column_option(&name)? {
            let repeated =
                |option: &str| PlanError::invalid(format!("column option {option} of {name} is there twice{place}"));
            match option {
                ColumnOption::Null | ColumnOption::NotNull if is_null_said => return Err(repeated("NULL").into()),
                ColumnOption::Default(_) if definition.default.is_some() => return Err(repeated("DEFAULT").into()),
                ColumnOption::Null | ColumnOption::NotNull => {
                    is_null_said = true;
                    definition.nullable = option == ColumnOption::Null;
                }
                ColumnOption::Default(expr) => definition.default = Some(expr),
                ColumnOption::PrimaryKey(key) => {
                    refuse_key_options(&key, &place)?;
                    elements.keys.push(vec![name.clone()]);
                }
                other => return Err(refused_option(&other.to_string(), &name, &place).into()),
            }
        }
        elements.columns.push(definition);
        Ok(())
    }

    /// Parses the next option of column `name`; returns it and its position as the end of a message, or `None` if there
    /// is no more. Options are parsed one by one, because the parser silently skips some words of other dialects.
    fn column_option(&mut self, name: &Name) -> ParseResult<Option<(ColumnOption, String)>> {
        let is_named = self.eat("CONSTRAINT");
        if is_named {
            self.name()?;
        }
        let Token::Word(next) = &self.parser.peek_token_ref().token else {
            return if is_named { self.expected("a constraint") } else { Ok(None) };
        };
        let (word, place) = (next.value.to_uppercase(), self.place());
        if OTHER_COLUMN_OPTIONS.contains(&word.as_str()) {
            return Err(refused_option(&word, name, &place).into());
        }
        if !COLUMN_OPTIONS.contains(&word.as_str()) {
            return self.expected(", or )");
        }
        match self.read(Parser::parse_optional_column_option)? {
            Some(option) => Ok(Some((option, place))),
            None => self.expected(", or )"),
        }
    }

    fn watermark(&mut self, elements: &mut Elements) -> ParseResult<()> {
        if elements.watermark.is_some() {
            return Err(PlanError::invalid("only one WATERMARK is possible").into());
        }
        let column = self.name()?;
        let delay = if self.eat("AS") { self.watermark_delay(&column)? } else { None };
        elements.watermark = Some((column, delay));
        Ok(())
    }

    /// Parses `column` or `column - delay`; returns the delay.
    fn watermark_delay(&mut self, column: &Name) -> ParseResult<Option<Expr>> {
        let is_column = |expr: &Expr| matches!(expr, Expr::Identifier(ident) if Name::of(ident) == *column);
        match self.read(Parser::parse_expr)? {
            expr if is_column(&expr) => Ok(None),
            Expr::BinaryOp { left, op: BinaryOperator::Minus, right } if is_column(&left) => Ok(Some(*right)),
            _ => Err(PlanError::invalid(format!("WATERMARK FOR {column} AS takes {column} - <constant>")).into()),
        }
    }
}

fn bad_options() -> PlanError {
    PlanError::invalid("options are written WITH ('name' = 'value', ...)")
}

fn word(token: &Token) -> Option<&str> {
    match token {
        Token::SingleQuotedString(text) => Some(text),
        Token::Word(word) => Some(&word.value),
        _ => None,
    }
}

fn key_of(constraint: TableConstraint, place: &str) -> Result<Vec<Name>, PlanError> {
    match constraint {
        TableConstraint::PrimaryKey(key) => {
            refuse_key_options(&key, place)?;
            key.columns.iter().map(|column| key_column(column, place)).collect()
        }
        other => Err(PlanError::invalid(format!("constraint {other} is not supported{place}"))),
    }
}

/// Refuses options of a PRIMARY KEY. The name of a constraint is accepted and ignored.
fn refuse_key_options(key: &PrimaryKeyConstraint, place: &str) -> Result<(), PlanError> {
    let PrimaryKeyConstraint { name: _, index_name, index_type, columns: _, index_options, characteristics } = key;
    let refused = match (index_name, index_type, index_options.first(), characteristics) {
        (None, None, None, None) => return Ok(()),
        (Some(name), ..) => name.to_string(),
        (_, Some(index_type), ..) => format!("USING {index_type}"),
        (_, _, Some(option), _) => option.to_string(),
        (.., Some(characteristics)) => characteristics.to_string(),
    };
    Err(PlanError::invalid(format!("PRIMARY KEY with {refused} is not supported{place}")))
}

fn refused_option(option: &str, column: &Name, place: &str) -> PlanError {
    PlanError::invalid(format!("column option {option} of {column} is not supported{place}"))
}

fn key_column(column: &IndexColumn, place: &str) -> Result<Name, PlanError> {
    let IndexColumn { column: OrderByExpr { expr, options, with_fill }, operator_class } = column;
    let OrderByOptions { asc, nulls_first } = options;
    if asc.is_some() || nulls_first.is_some() || with_fill.is_some() || operator_class.is_some() {
        return Err(PlanError::invalid(format!("PRIMARY KEY with {column} is not supported{place}")));
    }
    match expr {
        Expr::Identifier(ident) => Ok(Name::of(ident)),
        other => Err(PlanError::schema(format!("PRIMARY KEY takes columns, not {other}"))),
    }
}

fn relation_of(head: Head, elements: Elements) -> Result<CreateRelation, PlanError> {
    let Head { kind, or_replace, if_not_exists, name } = head;
    let Elements { mut columns, keys, watermark } = elements;
    if columns.is_empty() {
        return Err(PlanError::schema(format!("{} {name} needs at least one column", kind.keyword())));
    }
    for (idx, column) in columns.iter().enumerate() {
        if columns[..idx].iter().any(|other| other.name == column.name) {
            return Err(PlanError::schema(format!("column {} is there twice", column.name)));
        }
    }
    if keys.len() > 1 {
        return Err(PlanError::schema(format!("{name} has more than one PRIMARY KEY")));
    }
    if kind == RelationKind::Source && !keys.is_empty() {
        return Err(PlanError::schema(format!("SOURCE {name} cannot have a PRIMARY KEY; use CREATE TABLE")));
    }
    let mut primary_key = Vec::new();
    for key in keys.into_iter().flatten() {
        let idx = column_named(&columns, &key, "PRIMARY KEY")?;
        if primary_key.contains(&columns[idx].name) {
            return Err(PlanError::schema(format!("PRIMARY KEY names column {key} twice")));
        }
        columns[idx].nullable = false;
        primary_key.push(columns[idx].name.clone());
    }
    let watermark = match watermark {
        Some((column, delay)) => {
            let idx = column_named(&columns, &column, "WATERMARK")?;
            Some(WatermarkDefinition { column: columns[idx].name.clone(), delay })
        }
        None => None,
    };
    Ok(CreateRelation { name, kind, columns, primary_key, watermark, or_replace, if_not_exists })
}

fn column_named(columns: &[ColumnDefinition], name: &Name, of: &str) -> Result<usize, PlanError> {
    match find_name(columns.iter().map(|column| column.name.as_str()), &name.value, name.quoted) {
        Ok(Some(idx)) => Ok(idx),
        Ok(None) => Err(PlanError::schema(format!("{of} names unknown column {name}"))),
        Err(_) => Err(PlanError::schema(format!("{of} names ambiguous column {name}"))),
    }
}
