//! Probes: attach points, the predicate, the block.

use super::Parser;
use crate::ast::{AttachPoint, Expr, Ident, Probe};
use crate::diagnostic::Diagnostic;
use crate::lexer::{self, Punct, TokenKind};

impl Parser<'_> {
    /// `name=attach_point, attach_point /predicate/ { … }`
    pub(super) fn probe(&mut self) -> Option<Probe> {
        let start = self.token.start;
        let name = self.probe_name();
        let mut attach_points = Vec::new();
        while let Some(point) = self.attach_point() {
            attach_points.push(point);
            if !self.eat(Punct::Comma) || self.at(Punct::LBrace) || self.at(Punct::Slash) {
                break;
            }
        }
        let span = self.span_from(start);
        let predicate = (!self.lost && self.at(Punct::Slash)).then(|| self.predicate());
        if !self.lost && !self.at(Punct::LBrace) {
            let here = self.token_span();
            let message = format!("expected `{{`, found {}", self.found_name());
            let mut diagnostic = Diagnostic::error("syntax", message).at(here, "expected `{`");
            if !attach_points.is_empty() {
                diagnostic = diagnostic.label(span, "to start the block of this probe");
                if self.token.kind == TokenKind::Ident {
                    diagnostic = diagnostic
                        .help("put `,` between probes, and quotes around names with spaces");
                }
            }
            self.error(diagnostic);
        }
        self.find_block();
        let body = self.block_without_value()?;
        Some(Probe {
            name,
            attach_points,
            predicate,
            body,
            span,
        })
    }

    /// `name=`
    fn probe_name(&mut self) -> Option<Ident> {
        let word_end = lexer::word_end(self.text, self.token.start);
        let named = word_end > self.token.start
            && word_end == self.token.end
            && self.text.as_bytes().get(word_end) == Some(&b'=');
        named.then(|| {
            let name = self.bump_ident();
            self.bump();
            name
        })
    }

    /// Takes the text of one attach point, which has rules of its own for where it ends: at white space, `,`, `{`,
    /// and at a `/` while no `:` was there yet, for then it cannot be part of a path. Quotes hide all of these.
    fn attach_point(&mut self) -> Option<AttachPoint> {
        let start = self.token.start;
        let bytes = self.text.as_bytes();
        let mut end = start;
        let mut has_colon = false;
        while let Some(&b) = bytes.get(end) {
            match b {
                b'{' | b',' => break,
                b'/' if !has_colon => break,
                b if b.is_ascii_whitespace() || b == 0x0b => break,
                b'"' => end = self.quoted_end(end),
                _ => {
                    has_colon |= b == b':';
                    end += 1;
                }
            }
        }
        if end == start {
            self.expected("a probe");
            return None;
        }
        let text = self.text.get(start..end).unwrap_or_default().to_string();
        self.last_end = end;
        self.go_to(end);
        Some(AttachPoint {
            text,
            span: self.span_at(start, end),
        })
    }

    /// The place behind the quoted text that starts at `at`; one that is not closed ends with its line.
    fn quoted_end(&mut self, at: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut end = at + 1;
        while let Some(&b) = bytes.get(end) {
            match b {
                b'"' => return end + 1,
                b'\n' => break,
                b'\\' if bytes.get(end + 1).is_some_and(|&b| b != b'\n') => end += 2,
                _ => end += 1,
            }
        }
        let end = end.min(bytes.len());
        let span = self.span_at(at, end);
        self.report(
            Diagnostic::error("syntax", "quotes are not closed")
                .at(span, "")
                .help("add `\"` at the end of the name"),
        );
        end
    }

    fn predicate(&mut self) -> Expr {
        let open = self.token_span();
        self.bump();
        let expr = self.expression();
        self.expect_close(Punct::Slash, open);
        expr
    }
}
