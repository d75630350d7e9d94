//! What stands around the names in C definitions: pointers, arrays, functions, attributes.

use super::{Parser, c_constants};
use crate::ast::{Expr, ExprKind, Ident, TypeBase, TypeExpr, TypeSuffix, UnaryOp};
use crate::diagnostic::Diagnostic;
use crate::lexer::{Punct, TokenKind};
use crate::span::Span;

/// Words in front of a type that change nothing about its layout.
const QUALIFIERS: &[&str] = &[
    "__extension__",
    "__percpu",
    "__rcu",
    "__restrict",
    "__user",
    "const",
    "extern",
    "inline",
    "register",
    "restrict",
    "static",
    "volatile",
];

/// `*name[4]` and its like.
pub(super) struct Declarator {
    pub(super) name: Option<Ident>,
    pub(super) suffixes: Vec<TypeSuffix>,
    pub(super) is_function: bool,
}

/// What `__attribute__((…))` says about a layout.
#[derive(Default)]
pub(super) struct Attributes {
    pub(super) packed: bool,
    pub(super) align: Option<u64>,
}

impl Parser<'_> {
    /// Declarators with commas between them.
    pub(super) fn declarators(&mut self) -> Vec<Declarator> {
        let mut all = Vec::new();
        while !self.lost {
            let declarator = self.declarator();
            if declarator.name.is_none() {
                self.expected("a name");
            }
            all.push(declarator);
            self.attributes();
            if !self.eat(Punct::Comma) {
                break;
            }
        }
        all
    }

    /// `*name[2][3]`, `(*name)(int)`; the name may be missing.
    pub(super) fn declarator(&mut self) -> Declarator {
        let start = self.token.start;
        let empty = || Declarator {
            name: None,
            suffixes: Vec::new(),
            is_function: false,
        };
        self.deeper(Self::open_declarator).unwrap_or_else(|| {
            self.error_expr(start);
            empty()
        })
    }

    pub(super) fn open_declarator(&mut self) -> Declarator {
        self.qualifiers();
        let mut suffixes = Vec::new();
        while self.eat(Punct::Star) {
            suffixes.push(TypeSuffix::Pointer);
            self.qualifiers();
        }
        let mut inner = None;
        let mut name = None;
        let open = self.token_span();
        if self.eat(Punct::LParen) {
            inner = Some(self.declarator());
            self.expect_close(Punct::RParen, open);
        } else if self.token.kind == TokenKind::Ident {
            name = Some(self.bump_ident());
        }
        let mut arrays = Vec::new();
        let mut is_function = false;
        while !self.lost {
            let open = self.token_span();
            if self.eat(Punct::LBracket) {
                let size = (!self.at(Punct::RBracket)).then(|| Box::new(self.folded()));
                self.expect_close(Punct::RBracket, open);
                arrays.push(TypeSuffix::Array(size));
            } else if self.at(Punct::LParen) {
                self.skip_parentheses();
                is_function = true;
            } else {
                break;
            }
        }
        suffixes.extend(arrays.into_iter().rev());
        if is_function {
            suffixes.clear();
        }
        if let Some(inner) = inner {
            suffixes.extend(inner.suffixes);
            is_function |= inner.is_function;
            name = inner.name;
        }
        Declarator {
            name,
            suffixes,
            is_function,
        }
    }

    /// A declarator's pointers and then its arrays, outermost first.
    pub(super) fn pointers_and_dims(
        &mut self,
        declarator: &Declarator,
        span: Span,
    ) -> (u32, Vec<u64>) {
        let mut pointers = 0;
        let mut dims = Vec::new();
        for suffix in &declarator.suffixes {
            match suffix {
                TypeSuffix::Pointer if dims.is_empty() => pointers += 1,
                TypeSuffix::Array(None) => dims.insert(0, 0),
                TypeSuffix::Array(Some(size)) => {
                    let value = self.evaluate(size).and_then(|v| u64::try_from(v).ok());
                    if value.is_none() {
                        self.report(
                            Diagnostic::error("c-type", "the size of this array is not known")
                                .at(size.span, "not a constant"),
                        );
                    }
                    dims.insert(0, value.unwrap_or(0));
                }
                TypeSuffix::Pointer => self.report(
                    Diagnostic::error("c-type", "this type needs a name")
                        .at(span, "a pointer to an array of a type without a name"),
                ),
            }
        }
        (pointers, dims)
    }

    /// An expression; a constant one becomes a literal, behind a minus if need be.
    pub(super) fn folded(&mut self) -> Expr {
        let expr = self.expression();
        let Some(value) = self.evaluate(&expr) else {
            return expr;
        };
        let Ok(size) = u64::try_from(value.unsigned_abs()) else {
            return expr;
        };
        let literal = Expr {
            kind: ExprKind::Int {
                value: size,
                text: size.to_string(),
            },
            span: expr.span,
        };
        if value >= 0 {
            return literal;
        }
        Expr {
            kind: ExprKind::Unary {
                op: UnaryOp::Minus,
                expr: Box::new(literal),
            },
            span: expr.span,
        }
    }

    pub(super) fn evaluate(&self, expr: &Expr) -> Option<i128> {
        c_constants::evaluate(expr, &|name| self.c.constants.get(name).copied())
    }

    pub(super) fn constant(&mut self, what: &str) -> Option<u64> {
        let expr = self.expression();
        let value = self.evaluate(&expr).and_then(|v| u64::try_from(v).ok());
        if value.is_none() && expr.kind != ExprKind::Error {
            let message = format!("{what} must be a constant that is not negative");
            self.report(Diagnostic::error("c-type", message).at(expr.span, ""));
        }
        value
    }

    pub(super) fn skip_parentheses(&mut self) {
        let mut open = 0u32;
        while !self.at_end() {
            match self.bump().kind {
                TokenKind::Punct(Punct::LParen) => open += 1,
                TokenKind::Punct(Punct::RParen) => open -= 1,
                _ => {}
            }
            if open == 0 {
                return;
            }
        }
        self.expected("`)`");
    }

    pub(super) fn qualifiers(&mut self) {
        loop {
            let word = self.text_of(self.token);
            if word.starts_with("__attribute") {
                self.attributes();
            } else if self.token.kind == TokenKind::Ident && QUALIFIERS.contains(&word) {
                self.bump();
            } else {
                return;
            }
        }
    }

    /// `__attribute__((packed, aligned(8)))`, as often as it comes.
    pub(super) fn attributes(&mut self) -> Attributes {
        let mut found = Attributes::default();
        while self.token.kind == TokenKind::Ident
            && self.text_of(self.token).starts_with("__attribute")
        {
            self.bump();
            if !self.at(Punct::LParen)
                || self.after(self.token).kind != TokenKind::Punct(Punct::LParen)
            {
                self.expected("`((`");
                return found;
            }
            let open = self.token_span();
            let mut depth = 0u32;
            loop {
                let token = self.token;
                match token.kind {
                    TokenKind::End => {
                        self.expect_close(Punct::RParen, open);
                        return found;
                    }
                    TokenKind::Punct(Punct::LParen) => depth += 1,
                    TokenKind::Punct(Punct::RParen) => depth -= 1,
                    TokenKind::Ident => self.attribute(&mut found),
                    _ => {}
                }
                if self.token == token {
                    self.bump();
                }
                if depth == 0 {
                    break;
                }
            }
        }
        found
    }

    pub(super) fn attribute(&mut self, found: &mut Attributes) {
        match self.text_of(self.token) {
            "packed" | "__packed__" => found.packed = true,
            "aligned" | "__aligned__"
                if self.after(self.token).kind == TokenKind::Punct(Punct::LParen) =>
            {
                self.bump();
                let open = self.token_span();
                self.bump();
                found.align = self.constant("an alignment");
                self.expect_close(Punct::RParen, open);
            }
            _ => {}
        }
    }
}

impl Attributes {
    pub(super) fn merge(&mut self, other: Attributes) {
        self.packed |= other.packed;
        self.align = other.align.or(self.align);
    }
}

impl Declarator {
    pub(super) fn apply(self, base: TypeBase, span: Span) -> TypeExpr {
        let base = if self.is_function {
            TypeBase::Named("void".to_string())
        } else {
            base
        };
        TypeExpr {
            base,
            suffixes: self.suffixes,
            span,
        }
    }
}

/// What a type without a name is called behind `typedef`.
pub(super) fn first_name(declared: &[Declarator], span: Span) -> Ident {
    declared
        .iter()
        .find_map(|d| d.name.clone())
        .unwrap_or(Ident {
            name: String::new(),
            span,
        })
}
