//! Lines that start with `#`: includes, definitions and conditionals.
//!
//! Conditionals are decided here, with what the text itself defines and [`PREDEFINED`]; the tree holds only what
//! applies. Definitions are not replaced anywhere in C code, apart from constants where a constant is needed.

use std::collections::{HashMap, HashSet};

use super::{Parser, c_constants};
use crate::ast::{CItem, Ident};
use crate::diagnostic::Diagnostic;
use crate::lexer::{self, TokenKind};
use crate::span::Span;

/// Names that count as defined: kernel types always come from BTF.
const PREDEFINED: &[&str] = &["BPFTRACE_HAVE_BTF", "__BPFTRACE__"];

/// What the preprocessor and the C definitions so far have made known.
#[derive(Default)]
pub(super) struct State {
    defined: HashSet<String>,
    /// Definitions and enumerators with a value known by now.
    pub(super) constants: HashMap<String, i128>,
    conditionals: Vec<Conditional>,
    /// Inside a C definition, where character literals are allowed.
    pub(super) in_c: bool,
    /// Types defined inside other types, in front of which they go.
    pub(super) hoisted: Vec<CItem>,
}

struct Conditional {
    span: Span,
    /// One of its groups has been chosen.
    chosen: bool,
    seen_else: bool,
}

/// One directive: its name, and where the rest of its line stands.
struct Directive {
    name: String,
    /// From the `#` to the end of the name.
    span: Span,
    /// The rest of the line, without comments at its end.
    start: usize,
    end: usize,
    /// The start of the next line.
    next: usize,
}

impl Parser<'_> {
    /// Takes the directive at the next token, which is a `#`.
    pub(super) fn directive(&mut self, items: &mut Vec<CItem>) {
        let directive = self.read_directive(self.token.start);
        let rest = self
            .text
            .get(directive.start..directive.end)
            .unwrap_or_default();
        let mut next = directive.next;
        match directive.name.as_str() {
            "include" | "import" | "include_next" => items.extend(self.include(&directive, rest)),
            "define" => items.extend(self.define(&directive, rest)),
            "undef" => {
                let name = rest.trim();
                self.c.defined.remove(name);
                self.c.constants.remove(name);
                items.retain(|i| !matches!(i, CItem::Define { name: n, .. } if n.name == name));
            }
            "ifdef" | "ifndef" | "if" => {
                let holds = self.condition_holds(&directive, rest);
                self.c.conditionals.push(Conditional {
                    span: directive.span,
                    chosen: holds,
                    seen_else: false,
                });
                if !holds {
                    next = self.skip_groups(next);
                }
            }
            "elif" | "else" => {
                let is_else = directive.name == "else";
                if self.check_conditional(&directive, is_else) {
                    next = self.skip_groups(next);
                }
            }
            "endif" => {
                if self.c.conditionals.pop().is_none() {
                    self.without_if(&directive);
                }
            }
            "error" => self.report(
                Diagnostic::error("preprocessor", format!("#error {}", rest.trim()))
                    .at(directive.span, ""),
            ),
            "warning" => self.report(
                Diagnostic::warning("preprocessor", format!("#warning {}", rest.trim()))
                    .at(directive.span, ""),
            ),
            "" | "pragma" | "line" | "ident" => {}
            name => {
                let message = format!("unknown directive `#{name}`");
                self.report(Diagnostic::error("preprocessor", message).at(directive.span, ""));
            }
        }
        self.last_end = directive.end.max(self.last_end);
        self.go_to(next);
    }

    pub(super) fn check_conditionals_closed(&mut self) {
        if let Some(open) = self.c.conditionals.pop() {
            self.report(
                Diagnostic::error("preprocessor", "conditional is not closed")
                    .at(open.span, "it starts here")
                    .help("add `#endif`"),
            );
        }
    }

    fn read_directive(&self, hash: usize) -> Directive {
        let rest = self.text.get(hash + 1..).unwrap_or_default();
        let blanks = rest
            .bytes()
            .take_while(|b| matches!(b, b' ' | b'\t'))
            .count();
        let name_start = hash + 1 + blanks;
        let start = lexer::word_end(self.text, name_start);
        let (end, next) = logical_line(self.text, start);
        Directive {
            name: self
                .text
                .get(name_start..start)
                .unwrap_or_default()
                .to_string(),
            span: self.span_at(hash, start),
            start,
            end,
            next,
        }
    }

    fn include(&mut self, directive: &Directive, rest: &str) -> Option<CItem> {
        let quoted = rest.trim();
        let between = |open: char, close: char| {
            quoted
                .strip_prefix(open)
                .and_then(|r| r.strip_suffix(close))
                .filter(|p| !p.is_empty())
        };
        let span = self.span_at(directive.span_start(self), directive.end);
        let (path, system) = match (between('<', '>'), between('"', '"')) {
            (Some(path), _) => (path, true),
            (_, Some(path)) => (path, false),
            _ => {
                self.report(
                    Diagnostic::error("preprocessor", "the path of an include is missing")
                        .at(span, "")
                        .help("write `#include <linux/path.h>` or `#include \"path.h\"`"),
                );
                return None;
            }
        };
        Some(CItem::Include {
            path: path.to_string(),
            system,
            span,
        })
    }

    fn define(&mut self, directive: &Directive, rest: &str) -> Option<CItem> {
        let blanks = rest.len() - rest.trim_start().len();
        let name_start = directive.start + blanks;
        let name_end = lexer::word_end(self.text, name_start).min(directive.end);
        let span = self.span_at(directive.span_start(self), directive.end);
        let text = self.text.get(name_start..name_end).unwrap_or_default();
        if !text.bytes().next().is_some_and(lexer::is_word_start) {
            self.report(Diagnostic::error("preprocessor", "`#define` needs a name").at(span, ""));
            return None;
        }
        let name = Ident {
            name: text.to_string(),
            span: self.span_at(name_start, name_end),
        };
        let body = self.text.get(name_end..directive.end).unwrap_or_default();
        let mut body_start = name_end;
        let mut params = None;
        if let Some((list, _)) = body.strip_prefix('(').and_then(|b| b.split_once(')')) {
            params = Some(
                list.split(',')
                    .map(|p| p.trim().to_string())
                    .filter(|p| !p.is_empty())
                    .collect(),
            );
            body_start += list.len() + 2;
        }
        let body = self.text.get(body_start..directive.end).unwrap_or_default();
        let text_start = body_start + (body.len() - body.trim_start().len());
        let text = body.trim().to_string();
        let text_span = self.span_at(text_start, text_start + text.len());
        self.c.defined.insert(name.name.clone());
        self.c.constants.remove(&name.name);
        if params.is_none()
            && let Some(value) = c_constants::value_of_text(&text, &self.c.constants)
        {
            self.c.constants.insert(name.name.clone(), value);
        }
        Some(CItem::Define {
            name,
            params,
            text,
            text_span,
            span,
        })
    }

    fn is_defined(&self, name: &str) -> bool {
        PREDEFINED.contains(&name) || self.c.defined.contains(name)
    }

    fn condition_holds(&mut self, directive: &Directive, rest: &str) -> bool {
        match directive.name.as_str() {
            "ifdef" => self.is_defined(rest.trim()),
            "ifndef" => !self.is_defined(rest.trim()),
            _ => self.if_holds(directive, rest),
        }
    }

    /// The condition of `#if` and `#elif`: names without a value count as 0.
    fn if_holds(&mut self, directive: &Directive, rest: &str) -> bool {
        let text = self.replace_defined(rest);
        match c_constants::value_of_condition(&text, &self.c.constants) {
            Some(value) => value != 0,
            None => {
                self.report(
                    Diagnostic::error("preprocessor", "this condition cannot be decided")
                        .at(self.span_at(directive.start, directive.end), "")
                        .help("use integers, names, operators and `defined(name)`"),
                );
                false
            }
        }
    }

    /// Replaces `defined(x)` and `defined x` by 1 or 0.
    fn replace_defined(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        loop {
            let token = lexer::token(text, at);
            let word = |t: lexer::Token| text.get(t.range()).unwrap_or_default();
            at = token.end;
            match token.kind {
                TokenKind::End | TokenKind::OpenComment => return out,
                TokenKind::Ident if word(token) == "defined" => {
                    let mut name = lexer::token(text, at);
                    at = name.end;
                    if word(name) == "(" {
                        name = lexer::token(text, at);
                        at = lexer::token(text, name.end).end;
                    }
                    out.push_str(if self.is_defined(word(name)) {
                        "1"
                    } else {
                        "0"
                    });
                }
                _ => out.push_str(word(token)),
            }
            out.push(' ');
        }
    }

    /// Whether the groups behind an `#elif` or `#else` that was reached in order are to be skipped: always, since
    /// the group before it was chosen.
    fn check_conditional(&mut self, directive: &Directive, is_else: bool) -> bool {
        match self.c.conditionals.last_mut() {
            None => {
                self.without_if(directive);
                false
            }
            Some(conditional) => {
                let twice = conditional.seen_else;
                conditional.seen_else |= is_else;
                if twice {
                    self.behind_else(directive);
                }
                true
            }
        }
    }

    fn without_if(&mut self, directive: &Directive) {
        let message = format!("`#{}` without `#if`", directive.name);
        self.report(Diagnostic::error("preprocessor", message).at(directive.span, ""));
    }

    fn behind_else(&mut self, directive: &Directive) {
        let message = format!("`#{}` behind `#else`", directive.name);
        self.report(Diagnostic::error("preprocessor", message).at(directive.span, ""));
    }

    /// Skips groups of the innermost conditional up to one that is chosen or to its `#endif`; returns the place
    /// behind that line.
    fn skip_groups(&mut self, mut at: usize) -> usize {
        let mut inner = 0u32;
        while at < self.text.len() {
            let line = self.text.get(at..).unwrap_or_default();
            let blanks = line
                .bytes()
                .take_while(|b| matches!(b, b' ' | b'\t'))
                .count();
            if line.as_bytes().get(blanks) != Some(&b'#') {
                at = lexer::line_end(self.text, at) + 1;
                continue;
            }
            let directive = self.read_directive(at + blanks);
            at = directive.next;
            match directive.name.as_str() {
                "if" | "ifdef" | "ifndef" => inner += 1,
                "endif" if inner > 0 => inner -= 1,
                "endif" => {
                    self.c.conditionals.pop();
                    return at;
                }
                "elif" | "else" if inner == 0 && self.choose_group(&directive) => return at,
                _ => {}
            }
        }
        self.text.len()
    }

    /// Whether the group behind this `#elif` or `#else` is the one that applies.
    fn choose_group(&mut self, directive: &Directive) -> bool {
        let is_else = directive.name == "else";
        let Some(conditional) = self.c.conditionals.last_mut() else {
            return true;
        };
        let (chosen, twice) = (conditional.chosen, conditional.seen_else);
        conditional.seen_else |= is_else;
        if twice {
            self.behind_else(directive);
            return false;
        }
        let rest = self
            .text
            .get(directive.start..directive.end)
            .unwrap_or_default();
        let holds = !chosen && (is_else || self.if_holds(directive, rest));
        if let Some(conditional) = self.c.conditionals.last_mut() {
            conditional.chosen |= holds;
        }
        holds
    }
}

impl Directive {
    fn span_start(&self, parser: &Parser<'_>) -> usize {
        (self.span.start as usize).saturating_sub(parser.base)
    }
}

/// A line with those that a backslash or a comment joins to it: where what counts of it ends (behind the last
/// character that is neither white space nor comment), and where the next line starts.
fn logical_line(text: &str, start: usize) -> (usize, usize) {
    let bytes = text.as_bytes();
    let mut at = start;
    let mut end = start;
    while let Some(&b) = bytes.get(at) {
        let next = bytes.get(at + 1).copied();
        match b {
            b'\n' => return (end, at + 1),
            b'\\' if next == Some(b'\n') => at += 2,
            b'\\' if next == Some(b'\r') && bytes.get(at + 2) == Some(&b'\n') => at += 3,
            b'/' if next == Some(b'/') => at = lexer::line_end(text, at),
            b'/' if next == Some(b'*') => match text.get(at + 2..).and_then(|t| t.find("*/")) {
                Some(n) => at += n + 4,
                None => return (end, text.len()),
            },
            b'"' => {
                at = string_end(bytes, at);
                end = at;
            }
            b' ' | b'\t' | b'\r' => at += 1,
            _ => {
                at += 1;
                end = at;
            }
        }
    }
    (end, text.len())
}

/// The place behind a string, or the end of its line.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while let Some(&b) = bytes.get(end) {
        match b {
            b'"' => return end + 1,
            b'\n' => return end,
            b'\\' if bytes.get(end + 1).is_some_and(|&b| b != b'\n') => end += 2,
            _ => end += 1,
        }
    }
    bytes.len()
}
