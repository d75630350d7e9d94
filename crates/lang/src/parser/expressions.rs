//! Expressions, with the precedence of C.

use super::Parser;
use crate::ast::{BinaryOp, Expr, ExprKind, Ident, Step, UnaryOp, string_bytes};
use crate::diagnostic::Diagnostic;
use crate::lexer::{Punct, TokenKind, literal};

impl Parser<'_> {
    /// Any expression. Where none stands, a complaint and [`ExprKind::Error`].
    pub(super) fn expression(&mut self) -> Expr {
        let start = self.token.start;
        self.deeper(|p| {
            let left = p.binary(0);
            p.ternary_rest(start, left)
        })
        .unwrap_or_else(|| self.error_expr(start))
    }

    /// Goes on with an expression whose first operand is `left`.
    pub(super) fn continue_expression(&mut self, start: usize, left: Expr) -> Expr {
        let left = self.postfix_rest(start, left);
        let left = self.binary_rest(start, 0, left);
        self.ternary_rest(start, left)
    }

    /// Whether the next token can follow an operand.
    pub(super) fn continues_expression(&self) -> bool {
        use Punct::{Arrow, Dot, LBracket, Question};
        self.binary_op().is_some()
            || [Arrow, Dot, LBracket, Question]
                .into_iter()
                .any(|p| self.at(p))
    }

    /// Puts `kind` over trees of the height `below`.
    fn node(&mut self, start: usize, below: u32, kind: ExprKind) -> Expr {
        let span = self.span_from(start);
        if self.raise(below, span) {
            Expr { kind, span }
        } else {
            self.error_expr(start)
        }
    }

    /// `cond ? then : otherwise` and `value ?: otherwise`
    fn ternary_rest(&mut self, start: usize, cond: Expr) -> Expr {
        let mut tallest = self.height;
        if !self.eat(Punct::Question) {
            return cond;
        }
        if self.eat(Punct::Colon) {
            let otherwise = self.expression();
            let kind = ExprKind::OrElse {
                value: Box::new(cond),
                otherwise: Box::new(otherwise),
            };
            return self.node(start, tallest.max(self.height), kind);
        }
        let then = self.expression();
        tallest = tallest.max(self.height);
        self.expect(Punct::Colon);
        let otherwise = self.expression();
        let kind = ExprKind::Ternary {
            cond: Box::new(cond),
            then: Box::new(then),
            otherwise: Box::new(otherwise),
        };
        self.node(start, tallest.max(self.height), kind)
    }

    /// Operands joined by operators that bind at least as tightly as `least`.
    fn binary(&mut self, least: u8) -> Expr {
        let start = self.token.start;
        let left = self.operand();
        self.binary_rest(start, least, left)
    }

    fn binary_rest(&mut self, start: usize, least: u8, mut left: Expr) -> Expr {
        while let Some((op, binding)) = self.binary_op().filter(|(_, b)| *b >= least) {
            let left_height = self.height;
            self.bump();
            let right = self.binary(binding + 1);
            let kind = ExprKind::Binary {
                op,
                left: Box::new(left),
                right: Box::new(right),
            };
            left = self.node(start, left_height.max(self.height), kind);
            if self.lost {
                break;
            }
        }
        left
    }

    /// The operator that comes next, and how tightly it binds.
    fn binary_op(&self) -> Option<(BinaryOp, u8)> {
        let TokenKind::Punct(punct) = self.token.kind else {
            return None;
        };
        Some(match punct {
            Punct::OrOr => (BinaryOp::Or, 1),
            Punct::AndAnd => (BinaryOp::And, 2),
            Punct::Or => (BinaryOp::BitOr, 3),
            Punct::Xor => (BinaryOp::BitXor, 4),
            Punct::And => (BinaryOp::BitAnd, 5),
            Punct::EqEq => (BinaryOp::Eq, 6),
            Punct::Ne => (BinaryOp::Ne, 6),
            Punct::Lt => (BinaryOp::Lt, 7),
            Punct::Gt => (BinaryOp::Gt, 7),
            Punct::Le => (BinaryOp::Le, 7),
            Punct::Ge => (BinaryOp::Ge, 7),
            Punct::Shl => (BinaryOp::Shl, 8),
            Punct::Shr => (BinaryOp::Shr, 8),
            Punct::Plus => (BinaryOp::Add, 9),
            Punct::Minus => (BinaryOp::Sub, 9),
            Punct::Star => (BinaryOp::Mul, 10),
            // In front of a block it is the end of a predicate.
            Punct::Slash if self.after(self.token).kind == TokenKind::Punct(Punct::LBrace) => {
                return None;
            }
            Punct::Slash => (BinaryOp::Div, 10),
            Punct::Percent => (BinaryOp::Mod, 10),
            _ => return None,
        })
    }

    /// One operand with its prefixes and suffixes.
    pub(super) fn operand(&mut self) -> Expr {
        let start = self.token.start;
        let TokenKind::Punct(punct) = self.token.kind else {
            let left = self.primary();
            return self.postfix_rest(start, left);
        };
        let op = match punct {
            Punct::PlusPlus => return self.prefix_step(Step::Increment),
            Punct::MinusMinus => return self.prefix_step(Step::Decrement),
            Punct::And => return self.address_of(),
            Punct::Star => UnaryOp::Deref,
            Punct::Not => UnaryOp::Not,
            Punct::Tilde => UnaryOp::BitNot,
            Punct::Minus => UnaryOp::Minus,
            Punct::Plus => UnaryOp::Plus,
            _ => {
                let left = self.primary();
                return self.postfix_rest(start, left);
            }
        };
        let expr = Box::new(self.prefixed());
        self.node(start, self.height, ExprKind::Unary { op, expr })
    }

    /// The operand behind a prefix.
    fn prefixed(&mut self) -> Expr {
        self.bump();
        let start = self.token.start;
        self.deeper(Self::operand)
            .unwrap_or_else(|| self.error_expr(start))
    }

    fn prefix_step(&mut self, delta: Step) -> Expr {
        let start = self.token.start;
        let target = self.prefixed();
        self.check_step(&target);
        let kind = ExprKind::Step {
            delta,
            prefix: true,
            target: Box::new(target),
        };
        self.node(start, self.height, kind)
    }

    fn check_step(&mut self, target: &Expr) {
        use ExprKind::{Error, Map, MapKey, Var};
        if !matches!(target.kind, Var(_) | Map(_) | MapKey { .. } | Error) {
            self.report(
                Diagnostic::error("syntax", "`++` and `--` need a variable or a map")
                    .at(target.span, "this is neither"),
            );
        }
    }

    fn address_of(&mut self) -> Expr {
        let start = self.token.start;
        let expr = self.prefixed();
        if !matches!(
            expr.kind,
            ExprKind::Var(_) | ExprKind::Map(_) | ExprKind::Error
        ) {
            self.report(
                Diagnostic::error("syntax", "`&` needs a variable or a map")
                    .at(expr.span, "this has no address"),
            );
        }
        let kind = ExprKind::Unary {
            op: UnaryOp::AddressOf,
            expr: Box::new(expr),
        };
        self.node(start, self.height, kind)
    }

    /// `.field`, `->field`, `.0`, `[index]`, `++`, `--`
    fn postfix_rest(&mut self, start: usize, mut expr: Expr) -> Expr {
        loop {
            let below = self.height;
            let open = self.token_span();
            let base = Box::new(match self.token.kind {
                TokenKind::Punct(
                    Punct::Dot
                    | Punct::Arrow
                    | Punct::LBracket
                    | Punct::PlusPlus
                    | Punct::MinusMinus,
                ) if !self.lost => expr,
                _ => return expr,
            });
            let op = self.bump().kind;
            let kind = match op {
                TokenKind::Punct(Punct::LBracket) => {
                    let index = Box::new(self.expression());
                    self.expect_close(Punct::RBracket, open);
                    let below = below.max(self.height);
                    expr = self.node(start, below, ExprKind::Index { base, index });
                    continue;
                }
                TokenKind::Punct(Punct::PlusPlus) => self.step_of(base, Step::Increment),
                TokenKind::Punct(Punct::MinusMinus) => self.step_of(base, Step::Decrement),
                _ => self.member(base),
            };
            expr = self.node(start, below, kind);
        }
    }

    fn step_of(&mut self, target: Box<Expr>, delta: Step) -> ExprKind {
        self.check_step(&target);
        ExprKind::Step {
            delta,
            prefix: false,
            target,
        }
    }

    /// What stands behind `.` or `->`.
    fn member(&mut self, base: Box<Expr>) -> ExprKind {
        match self.token.kind {
            TokenKind::Int if matches!(base.kind, ExprKind::Int { .. }) => {
                let span = base.span.to(self.token_span());
                self.bump();
                self.report(
                    Diagnostic::error("syntax", "there are no floating-point numbers")
                        .at(span, "")
                        .help("count in a smaller unit, or multiply before you divide"),
                );
                ExprKind::Error
            }
            TokenKind::Int => {
                let span = self.token_span();
                let value = self.integer();
                let index = u32::try_from(value).unwrap_or_else(|_| {
                    self.report(
                        Diagnostic::error("syntax", "no tuple has that many fields").at(span, ""),
                    );
                    0
                });
                ExprKind::TupleIndex { base, index }
            }
            _ => match self.ident("the name of a field") {
                Some(field) => ExprKind::Field { base, field },
                None => ExprKind::Error,
            },
        }
    }

    fn primary(&mut self) -> Expr {
        let start = self.token.start;
        let text = self.text_of(self.token);
        let kind = match self.token.kind {
            TokenKind::Punct(Punct::LParen) => return self.parentheses(),
            TokenKind::Punct(Punct::LBrace) => {
                return match self.block() {
                    Some(block) => self.node(start, self.height, ExprKind::Block(block)),
                    None => self.error_expr(start),
                };
            }
            TokenKind::Map => return self.map(),
            TokenKind::Ident => return self.word(),
            TokenKind::Var => {
                self.bump();
                ExprKind::Var(text.to_string())
            }
            TokenKind::Param => self.param(),
            TokenKind::ParamCount => {
                self.bump();
                ExprKind::ParamCount
            }
            TokenKind::Int => ExprKind::Int {
                value: self.integer(),
                text: text.to_string(),
            },
            TokenKind::Str => ExprKind::Str(self.string()),
            TokenKind::Char => self.character(),
            _ => {
                self.expected("an expression");
                return self.error_expr(start);
            }
        };
        self.height = 1;
        Expr {
            kind,
            span: self.span_from(start),
        }
    }

    /// `$1`
    fn param(&mut self) -> ExprKind {
        let token = self.bump();
        let digits = self.text_of(token).get(1..).unwrap_or_default();
        match digits.parse() {
            Ok(n @ 1..) => ExprKind::Param(n),
            _ => {
                let span = self.span_of(token);
                self.report(
                    Diagnostic::error("syntax", format!("there is no parameter `${digits}`"))
                        .at(span, "")
                        .help("parameters are counted from `$1`"),
                );
                ExprKind::Error
            }
        }
    }

    /// `'c'`, which C code may use.
    fn character(&mut self) -> ExprKind {
        let token = self.bump();
        let text = self.text_of(token);
        let span = self.span_of(token);
        let inner = text
            .get(1..text.len().saturating_sub(1))
            .unwrap_or_default();
        let (value, errors) = literal::string(&format!("\"{inner}\""));
        let bytes = string_bytes(&value);
        let in_c = self.c.in_c || self.limit.is_some();
        if let ([byte], true, true) = (bytes.as_slice(), errors.is_empty(), in_c) {
            return ExprKind::Int {
                value: u64::from(*byte),
                text: text.to_string(),
            };
        }
        let mut diagnostic =
            Diagnostic::error("syntax", "there are no character literals").at(span, "");
        diagnostic = match bytes.as_slice() {
            [byte] => diagnostic.help(format!("write the code of the character: {byte}")),
            _ => diagnostic.help("strings have double quotes"),
        };
        self.report(diagnostic);
        ExprKind::Error
    }

    /// `@name` and `@name[key, …]`
    fn map(&mut self) -> Expr {
        let start = self.token.start;
        let map = self.bump_ident();
        let open = self.token_span();
        self.height = 1;
        if !self.eat(Punct::LBracket) {
            return Expr {
                kind: ExprKind::Map(map.name),
                span: map.span,
            };
        }
        let keys_start = self.token.start;
        let mut keys = vec![self.expression()];
        let mut tallest = self.height;
        while self.eat(Punct::Comma) && !self.at(Punct::RBracket) {
            keys.push(self.expression());
            tallest = tallest.max(self.height);
        }
        let keys_span = self.span_from(keys_start);
        self.expect_close(Punct::RBracket, open);
        let key = match keys.pop() {
            Some(only) if keys.is_empty() => only,
            last => {
                keys.extend(last);
                tallest += 1;
                Expr {
                    kind: ExprKind::Tuple(keys),
                    span: keys_span,
                }
            }
        };
        let key = Box::new(key);
        self.node(start, tallest, ExprKind::MapKey { map, key })
    }

    /// What starts with a word: a keyword, a call, a name.
    fn word(&mut self) -> Expr {
        let start = self.token.start;
        match self.text_of(self.token) {
            "if" => return self.if_expression(start),
            "sizeof" | "typeinfo" | "offsetof" => return self.type_call(),
            "typeof" => return self.typeof_argument(),
            "struct" | "union" | "enum" => return self.misplaced_type(start),
            "comptime" => {
                let expr = Box::new(self.prefixed());
                return self.node(start, self.height, ExprKind::Comptime(expr));
            }
            _ => {}
        }
        let name = self.bump_ident();
        let bang =
            self.at(Punct::Not) && self.after(self.token).kind == TokenKind::Punct(Punct::LParen);
        if bang {
            self.bump();
        }
        if self.at(Punct::LParen) {
            let args = self.arguments();
            return self.node(start, self.height, ExprKind::Call { name, args });
        }
        let kind = match name.name.as_str() {
            "true" => ExprKind::Bool(true),
            "false" => ExprKind::Bool(false),
            _ => ExprKind::Ident(name.name),
        };
        self.height = 1;
        Expr {
            kind,
            span: name.span,
        }
    }

    /// `(a, b)` behind a name.
    fn arguments(&mut self) -> Vec<Expr> {
        let open = self.token_span();
        self.bump();
        let mut args = Vec::new();
        let mut tallest = 0;
        while !self.at(Punct::RParen) && !self.lost {
            args.push(self.expression());
            tallest = tallest.max(self.height);
            if !self.eat(Punct::Comma) {
                break;
            }
        }
        self.expect_close(Punct::RParen, open);
        self.height = tallest;
        args
    }

    /// `sizeof(x)`, `typeinfo(x)`, `offsetof(x, path)`
    fn type_call(&mut self) -> Expr {
        let start = self.token.start;
        let name = self.bump_ident();
        let open = self.token_span();
        if !self.expect(Punct::LParen) {
            return self.error_expr(start);
        }
        let Some(first) = self.deeper(Self::type_or_expr) else {
            return self.error_expr(start);
        };
        let mut args = vec![first];
        let mut tallest = self.height;
        if name.name == "offsetof" {
            self.expect(Punct::Comma);
            args.extend(self.field_path());
            tallest = tallest.max(self.height);
        }
        self.expect_close(Punct::RParen, open);
        self.node(start, tallest, ExprKind::Call { name, args })
    }

    /// `field.field.field`
    fn field_path(&mut self) -> Option<Expr> {
        let start = self.token.start;
        let Ident { name, span } = self.ident("the name of a field")?;
        self.height = 1;
        let mut path = Expr {
            kind: ExprKind::Ident(name),
            span,
        };
        while self.eat(Punct::Dot) {
            let field = self.ident("the name of a field")?;
            let base = Box::new(path);
            path = self.node(start, self.height, ExprKind::Field { base, field });
        }
        Some(path)
    }

    /// What starts with `(`: a tuple, a record, a cast, or an expression.
    fn parentheses(&mut self) -> Expr {
        let start = self.token.start;
        let open = self.token_span();
        self.bump();
        if self.eat(Punct::RParen) {
            return self.node(start, 0, ExprKind::Tuple(Vec::new()));
        }
        if self.at_record() {
            return self.record(start);
        }
        if self.at_cast() {
            return self.cast(start);
        }
        let first = self.expression();
        if !self.at(Punct::Comma) {
            self.expect_close(Punct::RParen, open);
            return first;
        }
        let mut items = vec![first];
        let mut tallest = self.height;
        while self.eat(Punct::Comma) && !self.at(Punct::RParen) {
            items.push(self.expression());
            tallest = tallest.max(self.height);
        }
        self.expect_close(Punct::RParen, open);
        self.node(start, tallest, ExprKind::Tuple(items))
    }

    fn at_record(&self) -> bool {
        self.token.kind == TokenKind::Ident
            && self.after(self.token).kind == TokenKind::Punct(Punct::Assign)
            && !super::types::is_builtin(self.text_of(self.token))
    }

    /// `name=value, …)` behind its parenthesis.
    fn record(&mut self, start: usize) -> Expr {
        let open = self.span_at(start, start + 1);
        let mut fields: Vec<(Ident, Expr)> = Vec::new();
        let mut names = std::collections::HashMap::new();
        let mut tallest = 0;
        while !self.at(Punct::RParen) && !self.lost {
            let Some(name) = self.ident("the name of a field") else {
                break;
            };
            self.expect(Punct::Assign);
            let value = self.expression();
            tallest = tallest.max(self.height);
            match names.insert(name.name.clone(), name.span) {
                Some(first) => self.report(
                    Diagnostic::error(
                        "duplicate-field",
                        format!("the record has two fields `{}`", name.name),
                    )
                    .at(name.span, "the second")
                    .label(first, "the first"),
                ),
                None => fields.push((name, value)),
            }
            if !self.eat(Punct::Comma) {
                break;
            }
        }
        self.expect_close(Punct::RParen, open);
        self.node(start, tallest, ExprKind::Record(fields))
    }
}
