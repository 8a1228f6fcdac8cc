//! The grammar: the tokens are split at semicolons, and each statement is parsed according to its first word.

use std::collections::HashSet;

use sqlparser::ast;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};

use super::dialect::LaminarDialect;
use super::length;
use super::position::Lines;
use super::{Parsed, RestoreFrom, ShowKind, Statement};
use crate::budget;
use crate::error::PlanError;
use crate::stack;

/// Maximum nesting of a statement.
const DEPTH_LIMIT: usize = 300;

/// Maximum number of operators in a row without a comma or parenthesis. The tree of a chain is as deep as the chain is
/// long, and it is dropped on the caller's stack.
const CHAIN_LIMIT: usize = 3_000;

/// Number of expressions for each token that the parser may begin, see [`LaminarDialect`]: some hundred times what a
/// statement takes without alternatives that fail.
const STEPS_PER_TOKEN: usize = 100;

/// Number of expressions that the parser may begin in a short statement.
const FEWEST_STEPS: usize = 100_000;

const TOO_MANY_STEPS: &str = "the statement is nested too deeply: the parser has tried too many ways to read it";

/// Words that begin SQL statements which are not supported.
const UNSUPPORTED: &[&str] = &[
    "ALTER",
    "ANALYZE",
    "ATTACH",
    "CALL",
    "COMMENT",
    "COPY",
    "DEALLOCATE",
    "DECLARE",
    "DETACH",
    "DO",
    "EXECUTE",
    "EXPORT",
    "FETCH",
    "FLUSH",
    "GRANT",
    "IMPORT",
    "INSTALL",
    "KILL",
    "LISTEN",
    "LOAD",
    "LOCK",
    "MERGE",
    "NOTIFY",
    "OPTIMIZE",
    "PIVOT",
    "PRAGMA",
    "PREPARE",
    "REFRESH",
    "REINDEX",
    "RELEASE",
    "RENAME",
    "RESET",
    "REVOKE",
    "SAVEPOINT",
    "SET",
    "SUBSCRIBE",
    "SUMMARIZE",
    "UNLISTEN",
    "UNPIVOT",
    "UNLOAD",
    "USE",
    "VACUUM",
];

/// Parses all statements of `sql`; a text without a statement is an error. Positions in errors refer to `sql`.
pub fn parse(sql: &str) -> Result<Vec<Parsed>, PlanError> {
    parse_after(sql, 0)
}

/// Parses a query that [`parse`] has read before in a text with `placeholders_before` more `?` in front of the query.
pub fn parse_query(sql: &str, placeholders_before: usize) -> Result<Box<ast::Query>, PlanError> {
    let mut statements = parse_after(sql, placeholders_before)?;
    match (statements.pop().map(|parsed| parsed.statement), statements.pop()) {
        (Some(Statement::Query(query)), None) => Ok(query),
        _ => Err(PlanError::invalid("the text is not one query")),
    }
}

/// Parses the whole of `text` as one part of a statement.
pub(super) fn parse_part<T>(
    text: &str,
    read: impl for<'p> Fn(StatementParser<'p>) -> ParseResult<T>,
) -> Result<T, PlanError> {
    length::refuse(text)?;
    let lines = Lines::of(text);
    let tokens = tokenized(text, 0)?;
    stack::on_big_stack(|| read_tokens(&tokens, &lines, read))
}

fn tokenized(sql: &str, placeholders_before: usize) -> Result<Vec<TokenWithSpan>, PlanError> {
    let mut tokens = Tokenizer::new(&LaminarDialect::default(), sql)
        .tokenize_with_location()
        .map_err(|error| syntax(fragment(&error.message), error.location))?;
    adapt(&mut tokens, placeholders_before)?;
    Ok(tokens)
}

fn parse_after(sql: &str, placeholders_before: usize) -> Result<Vec<Parsed>, PlanError> {
    length::refuse(sql)?;
    let lines = Lines::of(sql);
    let tokens = tokenized(sql, placeholders_before)?;
    let parts: Vec<_> = tokens
        .split(|token| token.token == Token::SemiColon)
        .filter(|part| part.iter().any(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF)))
        .collect();
    let statements: Vec<_> = stack::on_big_stack(|| {
        let read = |part| read_tokens(part, &lines, |parser| parser.parsed());
        parts.into_iter().map(read).collect::<Result<_, _>>()
    })?;
    if statements.is_empty() {
        return Err(PlanError::invalid("Empty SQL statement"));
    }
    Ok(statements)
}

fn syntax(message: impl Into<String>, location: Location) -> PlanError {
    PlanError::Syntax { message: message.into(), line: location.line.max(1), column: location.column.max(1) }
}

fn unsupported(what: &str, location: Location) -> PlanError {
    let Location { line, column } = location;
    PlanError::invalid(format!("{what} is not supported at line {line}, column {column}"))
}

/// Makes a message of sqlparser look like ours: a lower-case fragment without a full stop.
fn fragment(message: &str) -> String {
    let message = message
        .replacen("Expected: ", "expected ", 1)
        .replacen(", found: EOF", ", found end of statement", 1)
        .replacen(", found: ", ", found ", 1)
        .replace("EOF", "the end of the text");
    let mut rest = message.trim_end_matches('.').chars();
    rest.next().map_or_else(String::new, |first| first.to_lowercase().chain(rest).collect())
}

/// Replaces the i-th `?` by `$i`, counting the `before` placeholders too, and escaped strings by their values.
fn adapt(tokens: &mut [TokenWithSpan], before: usize) -> Result<(), PlanError> {
    let mut count = before;
    for token in tokens {
        match &mut token.token {
            Token::Placeholder(name) if name == "?" => {
                count += 1;
                *name = format!("${count}");
            }
            Token::Placeholder(name) if name.starts_with("$$") => {
                return Err(syntax("strings between $$ are not supported", token.span.start));
            }
            // The parser accepts escaped strings in PostgreSQL's dialect only.
            Token::EscapedStringLiteral(text) => token.token = Token::SingleQuotedString(std::mem::take(text)),
            _ => {}
        }
    }
    Ok(())
}

/// Parses one statement, or a part of one; must run on a big stack.
fn read_tokens<T>(
    tokens: &[TokenWithSpan],
    lines: &Lines<'_>,
    read: impl for<'p> Fn(StatementParser<'p>) -> ParseResult<T>,
) -> Result<T, PlanError> {
    refuse_depth(tokens)?;
    let read = |depth| {
        let dialect = LaminarDialect::with_steps(FEWEST_STEPS.max(tokens.len() * STEPS_PER_TOKEN));
        match read(StatementParser::new(tokens, lines, &dialect, depth)) {
            Ok(read) => Ok(read),
            Err(_) if budget::spend(0).is_err() => Err(PlanError::Interrupted),
            Err(_) if dialect.is_exhausted() => Err(PlanError::invalid(TOO_MANY_STEPS)),
            Err(Failure::Plan(error)) => Err(error),
            Err(Failure::TooDeep) => Err(too_deep(DEPTH_LIMIT)),
        }
    };
    read(DEPTH_LIMIT).map_err(|error| {
        // Where the parser tries alternatives, it takes its depth limit for a syntax error of one of them. If the error
        // changes with the limit, the limit was the cause.
        match tokens.len() > DEPTH_LIMIT && read(DEPTH_LIMIT + 1).err().as_ref() != Some(&error) {
            true => too_deep(DEPTH_LIMIT),
            false => error,
        }
    })
}

fn too_deep(limit: usize) -> PlanError {
    PlanError::invalid(format!("the statement is nested too deeply (limit {limit})"))
}

/// Refuses brackets that are nested more deeply than [`DEPTH_LIMIT`], which the parser does not count in all places, and
/// chains of more than [`CHAIN_LIMIT`] operators.
fn refuse_depth(tokens: &[TokenWithSpan]) -> Result<(), PlanError> {
    const WORDS: [&str; 22] = [
        "AND",
        "OR",
        "XOR",
        "UNION",
        "EXCEPT",
        "INTERSECT",
        "JOIN",
        "IS",
        "ISNULL",
        "NOTNULL",
        "IN",
        "BETWEEN",
        "LIKE",
        "ILIKE",
        "SIMILAR",
        "RLIKE",
        "REGEXP",
        "COLLATE",
        "AT",
        "DIV",
        "OVERLAPS",
        "OPERATOR",
    ];
    let mut lengths = vec![0_usize];
    for token in tokens {
        let last = lengths.len() - 1;
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                lengths.push(0);
                if lengths.len() > DEPTH_LIMIT + 1 {
                    return Err(too_deep(DEPTH_LIMIT));
                }
            }
            Token::RParen | Token::RBracket | Token::RBrace if last > 0 => drop(lengths.pop()),
            Token::Comma => lengths[last] = 0,
            Token::Word(word) if WORDS.iter().all(|operator| !word.value.eq_ignore_ascii_case(operator)) => {}
            Token::Whitespace(_)
            | Token::Period
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Placeholder(_) => {}
            _ => lengths[last] += 1,
        }
        if lengths.last().is_some_and(|length| *length > CHAIN_LIMIT) {
            return Err(too_deep(CHAIN_LIMIT));
        }
    }
    Ok(())
}

/// Why a statement could not be parsed.
pub(super) enum Failure {
    /// The error that the caller gets.
    Plan(PlanError),
    /// The parser has reached its depth limit.
    TooDeep,
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        Failure::Plan(error)
    }
}

/// The result of parsing a part of a statement.
pub(super) type ParseResult<T> = Result<T, Failure>;

/// Parses one statement.
pub(super) struct StatementParser<'a> {
    pub(super) parser: Parser<'a>,
    dialect: &'a LaminarDialect,
    lines: &'a Lines<'a>,
    tokens: Vec<TokenWithSpan>,
    depth: usize,
}

impl<'a> StatementParser<'a> {
    fn new(tokens: &[TokenWithSpan], lines: &'a Lines<'a>, dialect: &'a LaminarDialect, depth: usize) -> Self {
        let tokens: Vec<_> =
            tokens.iter().filter(|t| !matches!(t.token, Token::Whitespace(_) | Token::EOF)).cloned().collect();
        let parser = Parser::new(dialect).with_tokens_with_locations(tokens.clone()).with_recursion_limit(depth);
        StatementParser { parser, dialect, lines, tokens, depth }
    }

    fn parsed(mut self) -> ParseResult<Parsed> {
        let parameters = self.parameters();
        let statement = self.statement()?;
        if !self.is_at_end() {
            // The word before was taken for an alias, so EMIT is reported by name.
            let last = self.position().checked_sub(1).and_then(|last| self.tokens.get(last));
            return match last.filter(|last| is_word(&last.token, "EMIT")) {
                Some(emit) => Err(unsupported("EMIT", emit.span.start).into()),
                None => self.expected("end of statement"),
            };
        }
        Ok(Parsed { statement, text: self.text_from(0).to_owned(), parameters })
    }

    /// Returns whether all tokens are read.
    pub(super) fn is_at_end(&self) -> bool {
        self.parser.peek_token_ref().token == Token::EOF
    }

    /// Returns the placeholders among the tokens that are not read yet.
    fn parameters(&self) -> Vec<String> {
        let mut seen = HashSet::new();
        let names = self.rest().iter().filter_map(|token| match &token.token {
            Token::Placeholder(name) => Some(name.trim_start_matches(['$', '?'])),
            _ => None,
        });
        names.filter(|name| seen.insert(*name)).map(str::to_owned).collect()
    }

    /// Returns the number of `?` before token `first`, or 0 if none comes after it.
    pub(super) fn placeholders_before(&self, first: usize) -> usize {
        let number = self.tokens[first.min(self.tokens.len())..].iter().find_map(|token| match &token.token {
            Token::Placeholder(name) if self.lines.text(token.span, token.span) == "?" => {
                name.trim_start_matches('$').parse::<usize>().ok()
            }
            _ => None,
        });
        number.map_or(0, |number| number.saturating_sub(1))
    }

    /// Returns the text from token `first` to the last one.
    pub(super) fn text_from(&self, first: usize) -> &'a str {
        let last = self.tokens.last().map_or(Span::empty(), |token| token.span);
        self.tokens.get(first).map_or("", |token| self.lines.text(token.span, last))
    }

    /// Returns the position of the next token; the parser counts in the same list of tokens.
    pub(super) fn position(&self) -> usize {
        self.parser.index()
    }

    /// Removes the tokens from `start` on, so that the parser does not see them, and returns them.
    pub(super) fn cut(&mut self, start: usize) -> Vec<TokenWithSpan> {
        let read = self.position();
        let rest = self.tokens.split_off(start);
        self.parser =
            Parser::new(self.dialect).with_tokens_with_locations(self.tokens.clone()).with_recursion_limit(self.depth);
        // The new parser begins at the first token, so it is moved to where the old one was.
        for _ in 0..read {
            self.parser.advance_token();
        }
        rest
    }

    /// Returns the tokens that are not read yet.
    pub(super) fn rest(&self) -> &[TokenWithSpan] {
        &self.tokens[self.position().min(self.tokens.len())..]
    }

    /// Returns the location of the next token, or the end of the text.
    fn location(&self) -> Location {
        let here = self.tokens.get(self.position()).map(|token| token.span.start);
        here.or_else(|| self.tokens.last().map(|token| token.span.end)).unwrap_or(Location { line: 1, column: 1 })
    }

    /// Returns the location of the next token as the end of a message.
    pub(super) fn place(&self) -> String {
        let Location { line, column } = self.location();
        format!(" at line {line}, column {column}")
    }

    /// Fails with a syntax error at the next token.
    pub(super) fn expected<T>(&self, what: &str) -> ParseResult<T> {
        let found = &self.parser.peek_token_ref().token;
        let found = if *found == Token::EOF { "end of statement".to_owned() } else { found.to_string() };
        let location = self.location();
        Err(syntax(self.as_written(&format!("expected {what}, found {found}"), location), location).into())
    }

    /// Refuses `what`, at the next token.
    pub(super) fn unsupported<T>(&self, what: &str) -> ParseResult<T> {
        Err(unsupported(what, self.location()).into())
    }

    /// Refuses `statement` for the kind that the next token names.
    pub(super) fn refuse_next<T>(&self, statement: &str) -> ParseResult<T> {
        match &self.parser.peek_token_ref().token {
            Token::Word(word) if word.quote_style.is_none() => {
                self.unsupported(&format!("{statement} {}", word.value.to_uppercase()))
            }
            _ => self.expected(&format!("what to {}", statement.to_lowercase())),
        }
    }

    /// Runs a function of the parser and converts its error to ours, with its position.
    pub(super) fn read<T>(&mut self, read: impl FnOnce(&mut Parser<'a>) -> Result<T, ParserError>) -> ParseResult<T> {
        read(&mut self.parser).map_err(|error| match error {
            ParserError::RecursionLimitExceeded => Failure::TooDeep,
            ParserError::ParserError(message) | ParserError::TokenizerError(message) => self.located(&message).into(),
        })
    }

    /// Makes an error from a message of the parser. The position is read from its end: the parser's errors have no
    /// fields, and nothing else of them is interpreted.
    fn located(&self, message: &str) -> PlanError {
        let (message, location) = match message.rsplit_once(" at Line: ") {
            Some((message, position)) => {
                let mut numbers = position.split(", Column: ").map(str::parse);
                match (numbers.next(), numbers.next()) {
                    (Some(Ok(line)), Some(Ok(column))) => (message, Location { line, column }),
                    _ => (message, self.location()),
                }
            }
            None => (message, self.tokens.last().map_or(self.location(), |token| token.span.end)),
        };
        syntax(fragment(&self.as_written(message, location)), location)
    }

    /// Rewrites a message about the token at `location` to show a `?` as written; the parser sees `$1` in its place, and
    /// its message is all that it gives.
    fn as_written(&self, message: &str, location: Location) -> String {
        match self.tokens.iter().find(|token| token.span.start == location) {
            Some(TokenWithSpan { token: Token::Placeholder(name), span }) => {
                message.replace(name, self.lines.text(*span, *span))
            }
            _ => message.to_owned(),
        }
    }

    /// Consumes the word `word` (in upper case) if it is next, and returns whether it was.
    pub(super) fn eat(&mut self, word: &str) -> bool {
        let next = is_word(&self.parser.peek_token_ref().token, word);
        if next {
            self.parser.advance_token();
        }
        next
    }

    /// Consumes the words if all of them are next, and none otherwise; returns whether they were.
    pub(super) fn eat_all(&mut self, words: &[&str]) -> bool {
        let next = words.iter().enumerate().all(|(n, word)| is_word(&self.parser.peek_nth_token_ref(n).token, word));
        if next {
            for _ in words {
                self.parser.advance_token();
            }
        }
        next
    }

    /// Consumes the word, or fails if it is not next.
    pub(super) fn expect(&mut self, word: &str) -> ParseResult<()> {
        if self.eat(word) { Ok(()) } else { self.expected(word) }
    }

    fn next_is_query(&self) -> bool {
        let token = &self.parser.peek_token_ref().token;
        *token == Token::LParen || ["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|word| is_word(token, word))
    }

    /// Parses a query, which must end the statement.
    pub(super) fn query(&mut self) -> ParseResult<Box<ast::Query>> {
        if !self.next_is_query() {
            return self.expected("a query");
        }
        self.read(Parser::parse_query)
    }

    fn statement(&mut self) -> ParseResult<Statement> {
        if self.next_is_query() {
            return Ok(Statement::Query(self.query()?));
        }
        let Token::Word(word) = &self.parser.peek_token_ref().token else { return self.expected("a statement") };
        if word.quote_style.is_some() {
            return self.expected("a statement");
        }
        match word.value.to_uppercase().as_str() {
            "CREATE" => self.create(),
            "DROP" => self.drop_relation(),
            "INSERT" => self.insert(),
            "UPDATE" => self.update(),
            "DELETE" => self.delete(),
            "TRUNCATE" => self.truncate(),
            "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" => self.transaction(),
            "EXPLAIN" => self.explain(),
            "DESCRIBE" | "DESC" => {
                self.parser.advance_token();
                self.eat("TABLE");
                Ok(Statement::Describe(self.name()?))
            }
            "SHOW" => self.show(),
            "CHECKPOINT" => {
                self.parser.advance_token();
                Ok(Statement::Checkpoint)
            }
            "RESTORE" => self.restore(),
            word if UNSUPPORTED.contains(&word) => self.unsupported(word),
            _ => self.expected("a statement"),
        }
    }

    fn transaction(&mut self) -> ParseResult<Statement> {
        let word = self.parser.next_token().token.to_string().to_uppercase();
        if word == "START" {
            self.expect("TRANSACTION")?;
        } else if !self.eat("TRANSACTION") {
            self.eat("WORK");
        }
        Ok(match word.as_str() {
            "BEGIN" | "START" => Statement::Begin,
            "COMMIT" | "END" => Statement::Commit,
            _ => Statement::Rollback,
        })
    }

    fn explain(&mut self) -> ParseResult<Statement> {
        self.parser.advance_token();
        let first = self.position();
        for word in ["ANALYZE", "VERBOSE"] {
            if is_word(&self.parser.peek_token_ref().token, word) {
                return self.unsupported(&format!("EXPLAIN {word}"));
            }
        }
        if is_word(&self.parser.peek_token_ref().token, "EXPLAIN") {
            return self.expected("a statement to explain");
        }
        let parameters = self.parameters();
        let statement = self.statement()?;
        Ok(Statement::Explain(Box::new(Parsed { statement, text: self.text_from(first).to_owned(), parameters })))
    }

    fn show(&mut self) -> ParseResult<Statement> {
        self.parser.advance_token();
        let kinds: [(&[&str], ShowKind); 7] = [
            (&["SOURCES"], ShowKind::Sources),
            (&["TABLES"], ShowKind::Tables),
            (&["STREAMS"], ShowKind::Streams),
            (&["MATERIALIZED", "VIEWS"], ShowKind::MaterializedViews),
            (&["VIEWS"], ShowKind::Views),
            (&["QUERIES"], ShowKind::Queries),
            (&["SINKS"], ShowKind::Sinks),
        ];
        match kinds.into_iter().find(|(words, _)| self.eat_all(words)) {
            Some((_, kind)) => Ok(Statement::Show(kind)),
            None => self.refuse_next("SHOW"),
        }
    }

    fn restore(&mut self) -> ParseResult<Statement> {
        self.parser.advance_token();
        self.expect("FROM")?;
        self.expect("CHECKPOINT")?;
        if self.eat("LATEST") {
            return Ok(Statement::Restore(RestoreFrom::Latest));
        }
        if !matches!(self.parser.peek_token_ref().token, Token::Number(..)) {
            return self.expected("a checkpoint number or LATEST");
        }
        Ok(Statement::Restore(RestoreFrom::Checkpoint(self.read(Parser::parse_literal_uint)?)))
    }
}

/// Returns whether `token` is the unquoted word `word` (in upper case).
pub(super) fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}
