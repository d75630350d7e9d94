//! From text to the tree: a parser by recursive descent that reports every mistake it can and always ends.
//!
//! One file a subject: [`script`] the top level, [`probes`], [`statements`], [`expressions`], [`types`], [`config`],
//! [`c_items`] C definitions with their [`c_declarators`] and the [`preprocessor`].
//!
//! After a mistake the parser is silent until it is back at the border of a statement, of a block or of a probe, so
//! that one mistake makes one complaint. No tree is deeper than [`MAX_DEPTH`], so that whoever walks it may recurse.

mod c_constants;
mod c_declarators;
mod c_items;
mod config;
mod expressions;
mod preprocessor;
mod probes;
mod script;
mod statements;
mod types;

use crate::ast::{CItem, Expr, ExprKind, Ident, Script};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::lexer::literal::{self, LiteralError};
use crate::lexer::{self, Punct, Token, TokenKind};
use crate::span::{SourceId, Span};

/// How deep the tree may be: blocks and expressions inside each other, on any path.
pub const MAX_DEPTH: u32 = 200;

/// Complaints about one text before the parser gives up on it.
const MAX_ERRORS: usize = 50;

/// Parses a script. What cannot be understood is left out of the tree and told to `diags`.
pub fn parse(source: SourceId, text: &str, diags: &mut Diagnostics) -> Script {
    let mut parser = Parser::new(source, text, 0, diags);
    let script = parser.script();
    parser.finish();
    script
}

/// Parses C definitions alone, as an imported header holds them. Declarations of functions and variables are passed
/// over.
pub fn parse_header(source: SourceId, text: &str, diags: &mut Diagnostics) -> Vec<CItem> {
    let mut parser = Parser::new(source, text, 0, diags);
    let items = parser.header();
    parser.finish();
    items
}

/// Parses the text of a `#define` as one expression. `span` is where the text stands; all places in the result lie
/// in it. `None` when the text is empty or, with a complaint, when it is no expression.
pub fn parse_expr_fragment(
    source: SourceId,
    text: &str,
    span: Span,
    diags: &mut Diagnostics,
) -> Option<Expr> {
    let mut parser = Parser::new(source, text, span.start as usize, diags);
    parser.limit = Some(span);
    if parser.at_end() {
        parser.finish();
        return None;
    }
    let expr = parser.expression();
    if !parser.at_end() {
        parser.expected("an operator or the end of the expression");
    }
    let good = parser.found.is_empty();
    parser.finish();
    good.then_some(expr)
}

struct Parser<'a> {
    source: SourceId,
    text: &'a str,
    /// Where `text` starts in its source.
    base: usize,
    /// All spans are cut to this one.
    limit: Option<Span>,
    /// The token that is to be consumed next.
    token: Token,
    /// Where the last consumed token ended.
    last_end: usize,
    diags: &'a mut Diagnostics,
    found: Vec<Diagnostic>,
    /// A mistake was reported and the parser is not back on firm ground: it says nothing until then.
    lost: bool,
    /// Too many mistakes: the rest of the text is not looked at.
    stopped: bool,
    /// How many blocks and expressions are open.
    depth: u32,
    /// Height of the tree that the last parsing function returned.
    height: u32,
    c: preprocessor::State,
}

impl<'a> Parser<'a> {
    fn new(source: SourceId, text: &'a str, base: usize, diags: &'a mut Diagnostics) -> Self {
        let start = if text.starts_with('\u{feff}') { 3 } else { 0 };
        let mut parser = Parser {
            source,
            text,
            base,
            limit: None,
            token: Token {
                kind: TokenKind::End,
                start,
                end: start,
            },
            last_end: start,
            diags,
            found: Vec::new(),
            lost: false,
            stopped: false,
            depth: 0,
            height: 0,
            c: preprocessor::State::default(),
        };
        parser.go_to(start);
        parser
    }

    fn finish(self) {
        self.diags.extend(self.found);
    }

    /// Makes the token at `at` the next one.
    fn go_to(&mut self, at: usize) {
        let end = Token {
            kind: TokenKind::End,
            start: self.text.len(),
            end: self.text.len(),
        };
        if self.stopped {
            self.token = end;
            return;
        }
        self.token = lexer::token(self.text, at);
        if self.token.kind == TokenKind::OpenComment {
            let open = self.span_at(self.token.start, self.token.start + 2);
            self.report(
                Diagnostic::error("syntax", "comment is not closed")
                    .at(open, "it starts here")
                    .help("add `*/`"),
            );
            self.token = end;
        }
    }

    fn bump(&mut self) -> Token {
        let token = self.token;
        self.last_end = token.end;
        self.go_to(token.end);
        token
    }

    /// The token behind `token`.
    fn after(&self, token: Token) -> Token {
        lexer::token(self.text, token.end)
    }

    fn text_of(&self, token: Token) -> &'a str {
        self.text.get(token.range()).unwrap_or_default()
    }

    fn at_end(&self) -> bool {
        self.token.kind == TokenKind::End
    }

    fn at(&self, punct: Punct) -> bool {
        self.token.kind == TokenKind::Punct(punct)
    }

    fn is_word(&self, token: Token, word: &str) -> bool {
        token.kind == TokenKind::Ident && self.text_of(token) == word
    }

    fn at_word(&self, word: &str) -> bool {
        self.is_word(self.token, word)
    }

    fn eat(&mut self, punct: Punct) -> bool {
        let found = self.at(punct);
        if found {
            self.bump();
        }
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        if found {
            self.bump();
        }
        found
    }

    fn expect(&mut self, punct: Punct) -> bool {
        let found = self.eat(punct);
        if !found {
            self.expected(&format!("`{}`", punct.text()));
        }
        found
    }

    /// Closes what `open` opened.
    fn expect_close(&mut self, punct: Punct, open: Span) -> bool {
        let found = self.eat(punct);
        if !found {
            let message = format!("expected `{}`, found {}", punct.text(), self.found_name());
            let here = self.token_span();
            self.error(
                Diagnostic::error("syntax", message)
                    .at(here, format!("expected `{}` before this", punct.text()))
                    .label(open, "to close this"),
            );
        }
        found
    }

    fn ident(&mut self, what: &str) -> Option<Ident> {
        if self.token.kind != TokenKind::Ident {
            self.expected(what);
            return None;
        }
        Some(self.bump_ident())
    }

    /// The next token, whatever it is, as a name.
    fn bump_ident(&mut self) -> Ident {
        let token = self.bump();
        Ident {
            name: self.text_of(token).to_string(),
            span: self.span_of(token),
        }
    }

    /// Consumes a string literal.
    fn string(&mut self) -> String {
        let token = self.bump();
        let (value, errors) = literal::string(self.text_of(token));
        for error in errors {
            self.literal_error(token, error);
        }
        value
    }

    /// Consumes an integer literal; one that has no value counts as 0.
    fn integer(&mut self) -> u64 {
        let token = self.bump();
        match literal::integer(self.text_of(token)) {
            Ok(value) => value,
            Err(error) => {
                self.literal_error(token, error);
                0
            }
        }
    }

    /// A literal without a value confuses nobody: what follows is parsed as ever.
    fn literal_error(&mut self, token: Token, error: LiteralError) {
        let span = self.span_at(
            token.start + error.range.start,
            token.start + error.range.end,
        );
        let diagnostic = Diagnostic::error("syntax", error.message).at(span, "");
        self.report(match error.help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        });
    }

    fn span_at(&self, start: usize, end: usize) -> Span {
        let span = Span::new(self.source, self.base + start..self.base + end);
        match self.limit {
            Some(limit) => Span {
                source: limit.source,
                start: span.start.clamp(limit.start, limit.end),
                end: span.end.clamp(limit.start, limit.end),
            },
            None => span,
        }
    }

    fn span_of(&self, token: Token) -> Span {
        self.span_at(token.start, token.end)
    }

    fn token_span(&self) -> Span {
        self.span_of(self.token)
    }

    /// From `start` to the end of the last consumed token.
    fn span_from(&self, start: usize) -> Span {
        self.span_at(start, self.last_end.max(start))
    }

    /// The next token as messages call it.
    fn found_name(&self) -> String {
        match self.token.kind {
            TokenKind::End => "the end of the script".to_string(),
            TokenKind::Str => "a string".to_string(),
            TokenKind::Punct(_) | TokenKind::Unknown => format!("`{}`", self.text_of(self.token)),
            _ => {
                let text = self.text_of(self.token);
                let short: String = text.chars().take(40).collect();
                let dots = if short.len() < text.len() { "…" } else { "" };
                format!("`{short}{dots}`")
            }
        }
    }

    /// Reports that `what` should stand here.
    fn expected(&mut self, what: &str) {
        let message = format!("expected {what}, found {}", self.found_name());
        let here = self.token_span();
        self.error(Diagnostic::error("syntax", message).at(here, format!("expected {what}")));
    }

    /// Reports a mistake that leaves the parser without its footing.
    fn error(&mut self, diagnostic: Diagnostic) {
        if !self.lost {
            self.report(diagnostic);
        }
        self.lost = true;
    }

    /// Reports a mistake that does not disturb what follows.
    fn report(&mut self, diagnostic: Diagnostic) {
        if self.stopped {
            return;
        }
        self.found.push(diagnostic);
        if self.found.len() >= MAX_ERRORS {
            self.found.push(Diagnostic::error(
                "syntax",
                "too many mistakes: the rest of the script is not looked at",
            ));
            self.stopped = true;
            self.go_to(self.text.len());
        }
    }

    /// Runs `f` one level deeper, or reports that the tree is too deep.
    fn deeper<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.depth >= MAX_DEPTH {
            self.too_deep(self.token_span());
            return None;
        }
        self.depth += 1;
        let result = f(self);
        self.depth -= 1;
        Some(result)
    }

    /// Puts a node over trees of the height `below`: false, with a complaint, if that makes the tree too deep.
    fn raise(&mut self, below: u32, span: Span) -> bool {
        self.height = below + 1;
        let fits = self.depth + self.height <= MAX_DEPTH;
        if !fits {
            self.too_deep(span);
        }
        fits
    }

    fn too_deep(&mut self, span: Span) {
        self.error(
            Diagnostic::error("too-deep", "this is nested too deeply")
                .at(span, "")
                .note(format!("{MAX_DEPTH} levels are the limit"))
                .help("put parts of it into variables or macros"),
        );
    }

    fn error_expr(&mut self, start: usize) -> Expr {
        self.height = 1;
        Expr {
            kind: ExprKind::Error,
            span: self.span_from(start),
        }
    }

    /// Skips to the end of a statement: behind a `;`, or in front of the `}` that closes the block around it.
    fn skip_statement(&mut self) {
        let mut open = 0u32;
        while !self.at_end() {
            match self.token.kind {
                TokenKind::Punct(Punct::LBrace) => open += 1,
                TokenKind::Punct(Punct::RBrace) if open == 0 => break,
                TokenKind::Punct(Punct::RBrace) => {
                    open -= 1;
                    if open == 0 && !self.is_word(self.after(self.token), "else") {
                        self.bump();
                        break;
                    }
                }
                TokenKind::Punct(Punct::Semicolon) if open == 0 => {
                    self.bump();
                    break;
                }
                _ => {}
            }
            self.bump();
        }
        self.lost = false;
    }

    /// After a mistake in front of a block: skips to the block, if one comes before the statement ends.
    fn find_block(&mut self) {
        use Punct::{LBrace, RBrace, Semicolon};
        if !self.lost {
            return;
        }
        while !(self.at_end() || [LBrace, RBrace, Semicolon].into_iter().any(|p| self.at(p))) {
            self.bump();
        }
        self.lost = !self.at(LBrace);
    }
}
