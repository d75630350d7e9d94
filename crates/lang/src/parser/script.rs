//! The top level: what may stand in a script, and in which order.

use super::Parser;
use crate::ast::{CItem, Import, Macro, MacroParam, MapDecl, Script};
use crate::diagnostic::Diagnostic;
use crate::lexer::{self, Punct, Token, TokenKind};

/// The three parts of a script, in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    CItems,
    Head,
    Body,
}

impl Parser<'_> {
    pub(super) fn script(&mut self) -> Script {
        let mut script = Script::default();
        let mut part = Part::CItems;
        if self.at(Punct::Hash)
            && self
                .text
                .get(self.token.end..)
                .unwrap_or_default()
                .starts_with('!')
        {
            self.go_to(lexer::line_end(self.text, self.token.start));
        }
        while !self.at_end() {
            let before = self.token.start;
            self.item(&mut script, &mut part);
            self.lost = false;
            if self.token.start == before && !self.at_end() {
                self.bump();
            }
        }
        self.check_conditionals_closed();
        script
    }

    pub(super) fn header(&mut self) -> Vec<CItem> {
        let mut items = Vec::new();
        while !self.at_end() {
            let before = self.token.start;
            if self.at_c_item() {
                self.c_item(&mut items);
            } else {
                self.skip_declaration();
            }
            self.lost = false;
            if self.token.start == before && !self.at_end() {
                self.bump();
            }
        }
        self.check_conditionals_closed();
        items
    }

    fn item(&mut self, script: &mut Script, part: &mut Part) {
        let token = self.token;
        if self.at_c_item() {
            self.check_order(
                token,
                Part::CItems,
                part,
                "C definitions must come before everything else",
            );
            self.c_item(&mut script.c_items);
            return;
        }
        let word = if token.kind == TokenKind::Ident {
            self.text_of(token)
        } else {
            ""
        };
        match word {
            "config" => {
                self.check_order(
                    token,
                    Part::Head,
                    part,
                    "`config` must come before probes, macros and map declarations",
                );
                self.config_item(script);
            }
            "import" => {
                self.check_order(
                    token,
                    Part::Head,
                    part,
                    "`import` must come before probes, macros and map declarations",
                );
                script.imports.extend(self.import());
            }
            "macro" => {
                *part = Part::Body;
                script.macros.extend(self.macro_item());
            }
            "let" => {
                *part = Part::Body;
                script.maps.extend(self.map_declaration());
            }
            "fn" => self.function(),
            _ if self.eat(Punct::Semicolon) => {}
            _ if self.at(Punct::RBrace) => {
                let here = self.token_span();
                self.error(
                    Diagnostic::error("syntax", "`}` closes nothing")
                        .at(here, "no block is open here"),
                );
                self.bump();
            }
            _ => {
                *part = Part::Body;
                script.probes.extend(self.probe());
            }
        }
    }

    /// Complains when `token` starts something of an earlier part than `now`; it is parsed all the same.
    fn check_order(&mut self, token: Token, wanted: Part, now: &mut Part, message: &str) {
        if *now > wanted {
            let span = self.span_of(token);
            self.report(
                Diagnostic::error("order", message)
                    .at(span, "")
                    .help("move it up"),
            );
        }
        *now = (*now).max(wanted);
    }

    fn config_item(&mut self, script: &mut Script) {
        let first = script.config.as_ref().map(|c| c.span);
        let span = self.token_span();
        let Some(config) = self.config() else {
            return;
        };
        match first {
            Some(first) => self.report(
                Diagnostic::error("order", "there can be only one `config`")
                    .at(span, "")
                    .label(first, "the first one"),
            ),
            None => script.config = Some(config),
        }
    }

    /// `import "path";`
    pub(super) fn import(&mut self) -> Option<Import> {
        let start = self.bump().start;
        if self.token.kind != TokenKind::Str {
            self.expected("a path in quotes");
            self.skip_statement();
            return None;
        }
        let path = self.string();
        let span = self.span_from(start);
        self.statement_end();
        Some(Import { path, span })
    }

    /// `macro name(params) { … }`
    fn macro_item(&mut self) -> Option<Macro> {
        let start = self.bump().start;
        let name = self.ident("the name of the macro");
        let mut params = Vec::new();
        let open = self.token_span();
        if self.eat(Punct::LParen) {
            while !self.at(Punct::RParen) && !self.lost {
                params.extend(self.macro_param());
                if !self.eat(Punct::Comma) {
                    break;
                }
            }
            self.expect_close(Punct::RParen, open);
        }
        let span = self.span_from(start);
        self.find_block();
        let body = self.block()?;
        Some(Macro {
            name: name?,
            params,
            body,
            span,
        })
    }

    fn macro_param(&mut self) -> Option<MacroParam> {
        let token = self.token;
        match token.kind {
            TokenKind::Var | TokenKind::Map => {}
            TokenKind::Ident if super::types::is_builtin(self.text_of(token)) => {
                let span = self.span_of(token);
                let message = format!(
                    "the built-in `{}` cannot be the name of a parameter",
                    self.text_of(token)
                );
                self.report(Diagnostic::error("syntax", message).at(span, "choose another name"));
            }
            TokenKind::Ident => {}
            _ => {
                self.expected("a parameter (`$variable`, `@map` or a name)");
                return None;
            }
        }
        Some(MacroParam {
            name: self.bump_ident(),
        })
    }

    /// `let @name = kind(max_entries);`
    fn map_declaration(&mut self) -> Option<MapDecl> {
        let start = self.bump().start;
        if self.token.kind != TokenKind::Map {
            let here = self.token_span();
            self.error(
                Diagnostic::error("syntax", "only maps can be declared outside of a block")
                    .at(here, "expected a map")
                    .help("write `let @name = hash(100);`"),
            );
            self.skip_statement();
            return None;
        }
        let name = self.bump_ident();
        self.expect(Punct::Assign);
        let kind = self.ident("the kind of the map, such as `hash`");
        let open = self.token_span();
        self.expect(Punct::LParen);
        if self.at(Punct::RParen) {
            self.expected("the largest number of entries");
        }
        let max_entries = self.expression();
        self.expect_close(Punct::RParen, open);
        let span = self.span_from(start);
        if self.lost {
            self.skip_statement();
        } else {
            self.eat(Punct::Semicolon);
        }
        Some(MapDecl {
            name,
            kind: kind?,
            max_entries,
            span,
        })
    }

    /// The body is parsed for its mistakes only.
    fn function(&mut self) {
        let span = self.token_span();
        self.error(
            Diagnostic::error("unsupported", "functions cannot be defined in a script")
                .at(span, "")
                .help("write a macro: `macro name($argument) { … }`"),
        );
        self.find_block();
        self.block();
    }
}
