//! Blocks and statements.

use super::Parser;
use crate::ast::{BinaryOp, Block, Expr, ExprKind, Ident, Iterable, Stmt, StmtKind};
use crate::diagnostic::Diagnostic;
use crate::lexer::{Punct, Token, TokenKind};
use crate::span::Span;

/// What stands in a block: a statement, or the value at its end.
enum Item {
    Stmt(Box<Stmt>),
    Value(Expr),
}

/// An `if` before it is known whether anybody wants its value.
struct Branches {
    cond: Expr,
    then: Block,
    otherwise: Option<Block>,
}

impl Parser<'_> {
    /// `{ … }` whose value nobody takes.
    pub(super) fn block_without_value(&mut self) -> Option<Block> {
        let mut block = self.block()?;
        drop_value(&mut block);
        Some(block)
    }

    /// `{ … }`
    pub(super) fn block(&mut self) -> Option<Block> {
        if !self.at(Punct::LBrace) {
            self.expected("`{`");
            return None;
        }
        self.deeper(Self::open_block)
    }

    fn open_block(&mut self) -> Block {
        let start = self.token.start;
        let open = self.token_span();
        self.bump();
        let mut stmts = Vec::new();
        let mut value = None;
        let mut tallest = 0;
        while !self.at(Punct::RBrace) && !self.at_end() {
            let before = self.token.start;
            self.height = 0;
            match self.statement() {
                Some(Item::Stmt(stmt)) => stmts.push(*stmt),
                Some(Item::Value(expr)) => value = Some(Box::new(expr)),
                None => {}
            }
            tallest = tallest.max(self.height);
            if self.lost {
                self.skip_statement();
            }
            if self.token.start == before && !self.at_end() {
                self.bump();
            }
        }
        if let (Some(expr), false) = (&value, self.at(Punct::RBrace)) {
            // Skipping what could not be understood went past the value: it is no longer the last.
            let span = expr.span;
            stmts.extend(value.take().map(|e| statement_of(*e, span)));
        }
        self.expect_close(Punct::RBrace, open);
        let span = self.span_from(start);
        self.raise(tallest, span);
        Block { stmts, value, span }
    }

    fn statement(&mut self) -> Option<Item> {
        let token = self.token;
        let next = self.after(token).kind;
        let kind = match self.text_of(token) {
            "{" => return self.block_statement(),
            "if" => return self.if_statement(),
            ";" => {
                self.bump();
                return None;
            }
            "import" if next == TokenKind::Str => StmtKind::Import(self.import()?),
            "while" => self.while_loop(false)?,
            "unroll" => self.while_loop(true)?,
            "for" => self.for_loop()?,
            "else" => {
                self.stray_else();
                return None;
            }
            "break" => self.jump(StmtKind::Break),
            "continue" => self.jump(StmtKind::Continue),
            "return" => self.return_statement(),
            "let" => self.let_statement()?,
            "_" if next == TokenKind::Punct(Punct::Assign) => {
                self.bump();
                self.bump();
                let value = self.expression();
                self.statement_end();
                StmtKind::Discard(value)
            }
            _ => {
                let expr = self.expression();
                return Some(self.expression_statement(token.start, expr));
            }
        };
        Some(self.stmt(token.start, kind))
    }

    fn stmt(&self, start: usize, kind: StmtKind) -> Item {
        Item::Stmt(Box::new(Stmt {
            kind,
            span: self.span_from(start),
        }))
    }

    /// The block is parsed for its mistakes only.
    fn stray_else(&mut self) {
        let span = self.token_span();
        self.report(Diagnostic::error("syntax", "`else` without `if`").at(span, ""));
        self.bump();
        if !self.at_word("if") {
            self.block();
        }
    }

    fn jump(&mut self, kind: StmtKind) -> StmtKind {
        self.bump();
        self.statement_end();
        kind
    }

    fn return_statement(&mut self) -> StmtKind {
        self.bump();
        let bare = self.at(Punct::Semicolon) || self.at(Punct::RBrace);
        let value = (!bare).then(|| self.expression());
        self.statement_end();
        StmtKind::Return(value)
    }

    fn let_statement(&mut self) -> Option<StmtKind> {
        self.bump();
        let token = self.token;
        let var = match token.kind {
            TokenKind::Var | TokenKind::Ident => self.bump_ident(),
            TokenKind::Map => {
                let span = self.span_of(token);
                self.error(
                    Diagnostic::error("syntax", "maps cannot be declared inside a block")
                        .at(span, "")
                        .help("declare the map before the probes, or assign to it without `let`"),
                );
                return None;
            }
            _ => {
                self.expected("a variable");
                return None;
            }
        };
        let mut tallest = 0;
        let ty = self.eat(Punct::Colon).then(|| self.type_expr());
        if ty.is_some() {
            tallest = self.height;
        }
        let value = self.eat(Punct::Assign).then(|| self.expression());
        if value.is_some() {
            tallest = tallest.max(self.height);
        }
        self.height = tallest;
        self.statement_end();
        Some(StmtKind::Let { var, ty, value })
    }

    fn while_loop(&mut self, is_unroll: bool) -> Option<StmtKind> {
        self.bump();
        let cond = self.condition();
        let cond_height = self.height;
        self.find_block();
        let body = self.block_without_value()?;
        self.height = self.height.max(cond_height);
        Some(if is_unroll {
            StmtKind::Unroll { count: cond, body }
        } else {
            StmtKind::While { cond, body }
        })
    }

    fn for_loop(&mut self) -> Option<StmtKind> {
        self.bump();
        let open = self.token_span();
        let in_parens = self.eat(Punct::LParen);
        let head = self.for_head();
        if in_parens {
            self.expect_close(Punct::RParen, open);
        }
        let head_height = self.height;
        self.find_block();
        let body = self.block_without_value()?;
        self.height = self.height.max(head_height);
        let (var, iter) = head?;
        Some(StmtKind::For { var, iter, body })
    }

    fn for_head(&mut self) -> Option<(Ident, Iterable)> {
        if self.token.kind != TokenKind::Var {
            self.expected("a variable");
            return None;
        }
        let var = self.bump_ident();
        if !self.expect(Punct::Colon) {
            return None;
        }
        let start = self.operand();
        let start_height = self.height;
        if self.eat(Punct::Range) {
            let end = self.operand();
            self.height = self.height.max(start_height);
            return Some((var, Iterable::Range { start, end }));
        }
        if !matches!(start.kind, ExprKind::Map(_) | ExprKind::Error) {
            self.error(
                Diagnostic::error("syntax", "a loop goes over a map or a range")
                    .at(start.span, "this is neither")
                    .help("write `for ($x : @map)` or `for ($i : 0..10)`"),
            );
        }
        Some((var, Iterable::Map(start)))
    }

    /// The condition in front of a block, with or without parentheses.
    fn condition(&mut self) -> Expr {
        let start = self.token.start;
        let open = self.token_span();
        if !self.eat(Punct::LParen) {
            return self.expression();
        }
        let expr = self.expression();
        if self.at(Punct::Assign) && !self.lost {
            let here = self.token_span();
            self.error(
                Diagnostic::error("syntax", "a condition cannot assign")
                    .at(here, "")
                    .help("to compare, write `==`"),
            );
        }
        if !self.expect_close(Punct::RParen, open) || self.at(Punct::LBrace) {
            return expr;
        }
        self.continue_expression(start, expr)
    }

    fn branches(&mut self) -> Option<Branches> {
        self.bump();
        let cond = self.condition();
        let mut tallest = self.height;
        self.find_block();
        let then = self.block()?;
        tallest = tallest.max(self.height);
        let otherwise = if self.eat_word("else") {
            Some(self.else_branch()?)
        } else {
            None
        };
        self.height = tallest.max(if otherwise.is_some() { self.height } else { 0 });
        Some(Branches {
            cond,
            then,
            otherwise,
        })
    }

    fn else_branch(&mut self) -> Option<Block> {
        if !self.at_word("if") {
            return self.block();
        }
        let start = self.token.start;
        let branches = self.deeper(Self::branches)??;
        let span = self.span_from(start);
        self.raise(self.height, span);
        let (stmts, value) = match branches.into_item(span) {
            Item::Stmt(stmt) => (vec![*stmt], None),
            Item::Value(expr) => (Vec::new(), Some(Box::new(expr))),
        };
        Some(Block { stmts, value, span })
    }

    fn if_statement(&mut self) -> Option<Item> {
        let start = self.token.start;
        let branches = self.deeper(Self::branches)??;
        let span = self.span_from(start);
        self.raise(self.height, span);
        if branches.otherwise.is_some() && self.continues_expression() {
            let expr = branches.into_expr(span);
            let expr = self.continue_expression(start, expr);
            return Some(self.expression_statement(start, expr));
        }
        let ended = self.eat(Punct::Semicolon);
        Some(match branches.into_item(span) {
            Item::Value(expr) if ended || !self.at(Punct::RBrace) => {
                Item::Stmt(Box::new(statement_of(expr, span)))
            }
            item => item,
        })
    }

    fn block_statement(&mut self) -> Option<Item> {
        let start = self.token.start;
        let mut block = self.block()?;
        let span = self.span_from(start);
        if self.continues_expression() {
            let kind = ExprKind::Block(block);
            let expr = self.continue_expression(start, Expr { kind, span });
            return Some(self.expression_statement(start, expr));
        }
        let ended = self.eat(Punct::Semicolon);
        if block.value.is_some() && !ended && self.at(Punct::RBrace) {
            let kind = ExprKind::Block(block);
            return Some(Item::Value(Expr { kind, span }));
        }
        drop_value(&mut block);
        let kind = StmtKind::Block(block);
        Some(Item::Stmt(Box::new(Stmt { kind, span })))
    }

    /// `if` where a value is wanted.
    pub(super) fn if_expression(&mut self, start: usize) -> Expr {
        let Some(Some(branches)) = self.deeper(Self::branches) else {
            return self.error_expr(start);
        };
        let span = self.span_from(start);
        if branches.otherwise.is_none() {
            self.error(
                Diagnostic::error("syntax", "an `if` that gives a value needs an `else`")
                    .at(span, "")
                    .help("add `else { … }`"),
            );
        }
        if !self.raise(self.height, span) {
            return self.error_expr(start);
        }
        branches.into_expr(span)
    }

    /// What follows an expression at the start of a statement: an assignment, or nothing.
    fn expression_statement(&mut self, start: usize, expr: Expr) -> Item {
        if let Some(op) = assignment(self.token) {
            let target_height = self.height;
            self.check_target(&expr);
            self.bump();
            let value = self.expression();
            self.height = self.height.max(target_height);
            self.statement_end();
            let target = expr;
            return self.stmt(start, StmtKind::Assign { target, op, value });
        }
        let span = self.span_from(start);
        if self.at(Punct::RBrace) && !self.lost {
            return Item::Value(expr);
        }
        let ends_itself = matches!(expr.kind, ExprKind::If { .. } | ExprKind::Block(_));
        if !ends_itself || self.at(Punct::Semicolon) {
            self.statement_end();
        }
        Item::Stmt(Box::new(statement_of(expr, span)))
    }

    fn check_target(&mut self, target: &Expr) {
        let (message, help) = match target.kind {
            ExprKind::Var(_) | ExprKind::Map(_) | ExprKind::MapKey { .. } | ExprKind::Error => {
                return;
            }
            ExprKind::Field { .. } | ExprKind::TupleIndex { .. } | ExprKind::Index { .. } => (
                "parts of a value cannot be assigned",
                "make a new tuple or record and assign that",
            ),
            _ => (
                "this cannot be assigned",
                "only variables (`$x`), maps (`@x`) and entries of maps (`@x[key]`) can; to compare, write `==`",
            ),
        };
        self.report(
            Diagnostic::error("syntax", message)
                .at(target.span, "not a variable or map")
                .help(help),
        );
    }

    /// `;`, which may be left out in front of `}`.
    pub(super) fn statement_end(&mut self) {
        if self.lost || self.eat(Punct::Semicolon) || self.at(Punct::RBrace) || self.at_end() {
            return;
        }
        let here = self.token_span();
        let message = format!("expected `;`, found {}", self.found_name());
        let done = self.text.get(..self.last_end).unwrap_or_default();
        let last = done.chars().next_back().map_or(0, char::len_utf8);
        let before = self.span_at(self.last_end - last, self.last_end);
        let diagnostic = Diagnostic::error("syntax", message)
            .at(here, "expected `;` before this")
            .label(before, "the statement ends here");
        if self.starts_statement() {
            self.report(diagnostic);
        } else {
            self.error(diagnostic);
        }
    }

    /// Whether the next token looks as if a `;` was forgotten in front of it.
    fn starts_statement(&self) -> bool {
        let between = self
            .text
            .get(self.last_end..self.token.start)
            .unwrap_or_default();
        match self.token.kind {
            TokenKind::Var | TokenKind::Map => true,
            TokenKind::Ident => {
                between.contains('\n')
                    || self.after(self.token).kind == TokenKind::Punct(Punct::LParen)
            }
            _ => false,
        }
    }
}

impl Branches {
    fn into_expr(self, span: Span) -> Expr {
        let kind = ExprKind::If {
            cond: Box::new(self.cond),
            then: self.then,
            otherwise: self.otherwise.unwrap_or_default(),
        };
        Expr { kind, span }
    }

    /// A value if both branches have one, or else a statement.
    fn into_item(mut self, span: Span) -> Item {
        let has_value = |block: &Block| block.value.is_some();
        if has_value(&self.then) && self.otherwise.as_ref().is_some_and(has_value) {
            return Item::Value(self.into_expr(span));
        }
        drop_value(&mut self.then);
        if let Some(block) = &mut self.otherwise {
            drop_value(block);
        }
        let kind = StmtKind::If {
            cond: self.cond,
            then: self.then,
            otherwise: self.otherwise,
        };
        Item::Stmt(Box::new(Stmt { kind, span }))
    }
}

/// Turns the value of a block that nobody takes into its last statement.
fn drop_value(block: &mut Block) {
    if let Some(expr) = block.value.take() {
        let span = expr.span;
        block.stmts.push(statement_of(*expr, span));
    }
}

/// An expression whose value nobody takes, as a statement.
fn statement_of(expr: Expr, span: Span) -> Stmt {
    let kind = match expr.kind {
        ExprKind::If {
            cond,
            mut then,
            mut otherwise,
        } => {
            drop_value(&mut then);
            drop_value(&mut otherwise);
            StmtKind::If {
                cond: *cond,
                then,
                otherwise: Some(otherwise),
            }
        }
        ExprKind::Block(mut block) => {
            drop_value(&mut block);
            StmtKind::Block(block)
        }
        kind => StmtKind::Expr(Expr {
            kind,
            span: expr.span,
        }),
    };
    Stmt { kind, span }
}

/// The operator in front of the `=` of an assignment.
fn assignment(token: Token) -> Option<Option<BinaryOp>> {
    let TokenKind::Punct(punct) = token.kind else {
        return None;
    };
    Some(match punct {
        Punct::Assign => None,
        Punct::PlusAssign => Some(BinaryOp::Add),
        Punct::MinusAssign => Some(BinaryOp::Sub),
        Punct::StarAssign => Some(BinaryOp::Mul),
        Punct::SlashAssign => Some(BinaryOp::Div),
        Punct::PercentAssign => Some(BinaryOp::Mod),
        Punct::AndAssign => Some(BinaryOp::BitAnd),
        Punct::OrAssign => Some(BinaryOp::BitOr),
        Punct::XorAssign => Some(BinaryOp::BitXor),
        Punct::ShlAssign => Some(BinaryOp::Shl),
        Punct::ShrAssign => Some(BinaryOp::Shr),
        _ => return None,
    })
}
