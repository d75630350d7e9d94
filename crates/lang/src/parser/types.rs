//! Types as the language writes them, and the places where either a type or an expression may stand.

use super::Parser;
use crate::ast::{Expr, ExprKind, TypeBase, TypeExpr, TypeSuffix};
use crate::diagnostic::Diagnostic;
use crate::lexer::{self, Punct, Token, TokenKind};

/// Words that are always built-ins: in parentheses they are values, never the type of a cast.
pub(super) fn is_builtin(word: &str) -> bool {
    let numbered = |prefix: &str| {
        word.strip_prefix(prefix)
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    matches!(
        word,
        "args" | "ctx" | "kstack" | "nsecs" | "pid" | "tid" | "ustack"
    ) || word.starts_with("__builtin_")
        || numbered("arg")
        || numbered("sarg")
}

/// Types that the language itself knows by one word.
const TYPE_NAMES: &[&str] = &[
    "avg_t",
    "bool",
    "buffer",
    "cgroup_path_t",
    "count_t",
    "inet",
    "int16",
    "int32",
    "int64",
    "int8",
    "macaddr_t",
    "max_t",
    "min_t",
    "stats_t",
    "string",
    "sum_t",
    "timestamp",
    "uavg_t",
    "uint16",
    "uint32",
    "uint64",
    "uint8",
    "umax_t",
    "umin_t",
    "username_t",
    "ustats_t",
    "usum_t",
    "void",
];

/// Words that C strings together: `unsigned long int`.
const C_WORDS: &[&str] = &[
    "_Bool", "char", "double", "float", "int", "long", "short", "signed", "unsigned",
];

pub(super) fn is_c_word(word: &str) -> bool {
    C_WORDS.contains(&word)
}

impl Parser<'_> {
    /// A type; where none stands, a complaint and the type `void`.
    pub(super) fn type_expr(&mut self) -> TypeExpr {
        let start = self.token.start;
        self.height = 0;
        self.skip_qualifiers();
        let base = self.type_base();
        let mut tallest = self.height;
        let mut suffixes = Vec::new();
        loop {
            let open = self.token_span();
            if self.eat(Punct::Star) {
                self.skip_qualifiers();
                suffixes.push(TypeSuffix::Pointer);
            } else if self.eat(Punct::LBracket) {
                let size = (!self.at(Punct::RBracket)).then(|| Box::new(self.expression()));
                if size.is_some() {
                    tallest = tallest.max(self.height);
                }
                self.expect_close(Punct::RBracket, open);
                suffixes.push(TypeSuffix::Array(size));
            } else {
                break;
            }
        }
        self.height = tallest;
        TypeExpr {
            base,
            suffixes,
            span: self.span_from(start),
        }
    }

    fn skip_qualifiers(&mut self) {
        while self.at_word("const") || self.at_word("volatile") {
            self.bump();
        }
    }

    fn type_base(&mut self) -> TypeBase {
        let Some(first) = self.ident("a type") else {
            return TypeBase::Named("void".to_string());
        };
        match first.name.as_str() {
            "struct" => TypeBase::Struct(self.tag()),
            "union" => TypeBase::Union(self.tag()),
            "enum" => TypeBase::Enum(self.tag()),
            "typeof" => {
                let open = self.token_span();
                self.expect(Punct::LParen);
                let start = self.token.start;
                let inner = self
                    .deeper(Self::type_or_expr)
                    .unwrap_or_else(|| self.error_expr(start));
                self.expect_close(Punct::RParen, open);
                self.raise(self.height, open);
                TypeBase::Typeof(Box::new(inner))
            }
            word if is_c_word(word) => {
                let mut name = first.name;
                while self.token.kind == TokenKind::Ident && is_c_word(self.text_of(self.token)) {
                    name.push(' ');
                    name.push_str(self.text_of(self.token));
                    self.bump();
                }
                TypeBase::Named(name)
            }
            _ => TypeBase::Named(first.name),
        }
    }

    fn tag(&mut self) -> String {
        self.ident("the name of the type")
            .map_or_else(String::new, |i| i.name)
    }

    /// `typeof(x)` as the argument of a call.
    pub(super) fn typeof_argument(&mut self) -> Expr {
        let start = self.token.start;
        let ty = self.type_expr();
        Expr {
            kind: ExprKind::Type(ty),
            span: self.span_from(start),
        }
    }

    /// The argument of `sizeof`, `offsetof`, `typeof` and `typeinfo`, up to `)` or `,`.
    ///
    /// `word`, `word*` and `word[…]` are types even where an expression of the same look would do; anything in
    /// parentheses is an expression.
    pub(super) fn type_or_expr(&mut self) -> Expr {
        if self.at_word("typeof") {
            return self.typeof_argument();
        }
        let word = self.text_of(self.token);
        if self.token.kind != TokenKind::Ident || is_builtin(word) {
            return self.expression();
        }
        let (base_end, is_type) = self.scan_base(self.token);
        let Some((end, suffixed)) = base_end.and_then(|t| self.scan_suffixes(t, false)) else {
            return self.expression();
        };
        if !matches!(end.kind, TokenKind::Punct(Punct::RParen | Punct::Comma)) {
            if is_type {
                return self.typeof_argument();
            }
            return self.expression();
        }
        if is_type || suffixed {
            self.typeof_argument()
        } else {
            self.expression()
        }
    }

    /// Looks past the base of a type that starts with `first`: the token behind it, and whether it can only be a type.
    fn scan_base(&self, first: Token) -> (Option<Token>, bool) {
        let next = self.after(first);
        let word = self.text_of(first);
        match word {
            "struct" | "union" | "enum" => {
                let tag = (next.kind == TokenKind::Ident).then(|| self.after(next));
                (tag, true)
            }
            "const" | "volatile" => (self.scan_base_of_ident(next), true),
            _ if is_c_word(word) => {
                let mut token = next;
                while token.kind == TokenKind::Ident && is_c_word(self.text_of(token)) {
                    token = self.after(token);
                }
                (Some(token), true)
            }
            _ => (Some(next), TYPE_NAMES.binary_search(&word).is_ok()),
        }
    }

    fn scan_base_of_ident(&self, token: Token) -> Option<Token> {
        let is_qualifier = ["const", "volatile"].contains(&self.text_of(token));
        (token.kind == TokenKind::Ident && !is_qualifier).then(|| self.scan_base(token).0)?
    }

    /// Looks past `*` and `[…]` from `token`: the token behind them, and whether there were any. With `plain`, only
    /// nothing, an integer or a word may stand in brackets.
    fn scan_suffixes(&self, mut token: Token, plain: bool) -> Option<(Token, bool)> {
        let mut any = false;
        loop {
            match token.kind {
                TokenKind::Punct(Punct::Star) => token = self.after(token),
                TokenKind::Punct(Punct::LBracket) if plain => {
                    token = self.after(token);
                    if matches!(token.kind, TokenKind::Int | TokenKind::Ident) {
                        token = self.after(token);
                    }
                    if token.kind != TokenKind::Punct(Punct::RBracket) {
                        return None;
                    }
                    token = self.after(token);
                }
                TokenKind::Punct(Punct::LBracket) => token = self.scan_brackets(token)?,
                TokenKind::Ident if any && ["const", "volatile"].contains(&self.text_of(token)) => {
                    token = self.after(token);
                }
                _ => return Some((token, any)),
            }
            any = true;
        }
    }

    /// The token behind the `]` that closes the `[` at `token`.
    fn scan_brackets(&self, mut token: Token) -> Option<Token> {
        let mut open = 0u32;
        loop {
            match token.kind {
                TokenKind::Punct(Punct::LBracket) => open += 1,
                TokenKind::Punct(Punct::RBracket) => open -= 1,
                TokenKind::Punct(Punct::LBrace | Punct::RBrace | Punct::Semicolon)
                | TokenKind::End
                | TokenKind::OpenComment => return None,
                _ => {}
            }
            token = self.after(token);
            if open == 0 {
                return Some(token);
            }
        }
    }

    /// Whether what stands behind a `(` is the type of a cast: a type, `)`, and the start of an expression.
    pub(super) fn at_cast(&self) -> bool {
        let word = self.text_of(self.token);
        if self.token.kind != TokenKind::Ident || is_builtin(word) {
            return false;
        }
        if word == "typeof" {
            return true;
        }
        let (base_end, _) = self.scan_base(self.token);
        let Some((close, _)) = base_end.and_then(|t| self.scan_suffixes(t, true)) else {
            return false;
        };
        close.kind == TokenKind::Punct(Punct::RParen) && self.starts_operand(self.after(close))
    }

    fn starts_operand(&self, token: Token) -> bool {
        use Punct::{And, LParen, Minus, MinusMinus, Not, Star, Tilde};
        match token.kind {
            TokenKind::Ident
            | TokenKind::Var
            | TokenKind::Map
            | TokenKind::Param
            | TokenKind::ParamCount
            | TokenKind::Int
            | TokenKind::Str => true,
            TokenKind::Punct(And) => {
                matches!(self.after(token).kind, TokenKind::Var | TokenKind::Map)
            }
            TokenKind::Punct(p) => [LParen, Minus, MinusMinus, Not, Star, Tilde].contains(&p),
            _ => false,
        }
    }

    /// The rest of a cast, from its type.
    pub(super) fn cast(&mut self, start: usize) -> Expr {
        let open = self.span_at(start, start + 1);
        let ty = self.type_expr();
        let type_height = self.height;
        if !self.expect_close(Punct::RParen, open) {
            return self.error_expr(start);
        }
        let Some(expr) = self.deeper(Self::operand) else {
            return self.error_expr(start);
        };
        let span = self.span_from(start);
        if !self.raise(self.height.max(type_height), span) {
            return self.error_expr(start);
        }
        Expr {
            kind: ExprKind::Cast {
                ty,
                expr: Box::new(expr),
            },
            span,
        }
    }

    /// A type where only an expression may stand.
    pub(super) fn misplaced_type(&mut self, start: usize) -> Expr {
        let word = lexer::word_end(self.text, start);
        let span = self.span_at(start, word);
        self.error(
            Diagnostic::error("syntax", "expected an expression, found a type")
                .at(span, "a type cannot stand here")
                .help("types stand in casts and in `sizeof`, `offsetof`, `typeof` and `typeinfo`; wrap an argument of a macro in `typeof(…)`"),
        );
        self.error_expr(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_names_are_sorted() {
        assert!(TYPE_NAMES.is_sorted());
    }

    #[test]
    fn knows_numbered_builtins() {
        assert!(is_builtin("arg0") && is_builtin("sarg12") && is_builtin("__builtin_cpu"));
        assert!(!is_builtin("arg") && !is_builtin("argx") && !is_builtin("cpu"));
    }
}
