//! `config = { key = value; … }`

use super::Parser;
use crate::ast::{Config, ConfigEntry, ConfigValue};
use crate::lexer::{Punct, TokenKind};

impl Parser<'_> {
    pub(super) fn config(&mut self) -> Option<Config> {
        let start = self.bump().start;
        self.expect(Punct::Assign);
        self.find_block();
        let open = self.token_span();
        if !self.expect(Punct::LBrace) {
            return None;
        }
        let mut entries = Vec::new();
        while !self.at(Punct::RBrace) && !self.at_end() {
            let before = self.token.start;
            entries.extend(self.config_entry());
            if self.lost {
                self.skip_statement();
            }
            if self.token.start == before && !self.at_end() {
                self.bump();
            }
        }
        self.expect_close(Punct::RBrace, open);
        Some(Config {
            entries,
            span: self.span_from(start),
        })
    }

    fn config_entry(&mut self) -> Option<ConfigEntry> {
        let start = self.token.start;
        let key = self.ident("the name of a config variable")?;
        if !self.expect(Punct::Assign) {
            return None;
        }
        let value = self.config_value()?;
        let span = self.span_from(start);
        if !self.at(Punct::RBrace) {
            self.expect(Punct::Semicolon);
        }
        Some(ConfigEntry { key, value, span })
    }

    fn config_value(&mut self) -> Option<ConfigValue> {
        Some(match self.token.kind {
            TokenKind::Str => ConfigValue::Str(self.string()),
            TokenKind::Int => ConfigValue::Int(self.integer()),
            TokenKind::Ident => match self.bump_ident().name.as_str() {
                "true" => ConfigValue::Bool(true),
                "false" => ConfigValue::Bool(false),
                word => ConfigValue::Word(word.to_string()),
            },
            _ => {
                self.expected("a string, an integer, `true`, `false` or a word");
                return None;
            }
        })
    }
}
