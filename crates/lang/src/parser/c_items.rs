//! C definitions: `struct`, `union`, `enum` and `typedef`.
//!
//! Types with a name that are defined inside another become items of their own in front of it, as in C, where they
//! are known everywhere. Types of functions are reduced to `void`: only pointers to them can be used.

use super::Parser;
use super::c_declarators::first_name;
use crate::ast::{CEnum, CField, CFieldType, CItem, CStruct, Expr, Ident, TypeBase};
use crate::diagnostic::Diagnostic;
use crate::lexer::{Punct, Token, TokenKind};
use crate::span::Span;

/// Fields that a type without a name may have when several fields are declared with it.
const MAX_COPIED: usize = 10_000;

/// The type in front of a declarator.
enum Base {
    Named(TypeBase),
    Struct(CStruct),
    Enum(CEnum),
}

impl Parser<'_> {
    /// Whether a C definition or a preprocessor line comes next, and not a probe of a provider with such a name.
    pub(super) fn at_c_item(&self) -> bool {
        if self.at(Punct::Hash) {
            return true;
        }
        if self.token.kind != TokenKind::Ident {
            return false;
        }
        match self.text_of(self.token) {
            "typedef" => self.after(self.token).kind == TokenKind::Ident,
            "struct" | "union" | "enum" => self.at_definition(),
            _ => false,
        }
    }

    /// Whether words and attributes lead from here to a `{` or, behind a name, a `;`.
    fn at_definition(&self) -> bool {
        let mut token = self.after(self.token);
        loop {
            match token.kind {
                TokenKind::Ident if self.text_of(token).starts_with("__attribute") => {
                    token = self.scan_parentheses(self.after(token));
                }
                TokenKind::Ident => {
                    token = self.after(token);
                    if token.kind == TokenKind::Punct(Punct::Semicolon) {
                        return true;
                    }
                }
                kind => return kind == TokenKind::Punct(Punct::LBrace),
            }
        }
    }

    /// The token behind the parentheses at `token`, or `token` when there are none.
    fn scan_parentheses(&self, token: Token) -> Token {
        let mut at = token;
        let mut open = 0u32;
        loop {
            match at.kind {
                TokenKind::Punct(Punct::LParen) => open += 1,
                TokenKind::Punct(Punct::RParen) if open > 0 => {
                    open -= 1;
                    if open == 0 {
                        return self.after(at);
                    }
                }
                TokenKind::End | TokenKind::OpenComment => return at,
                _ if open == 0 => return token,
                _ => {}
            }
            at = self.after(at);
        }
    }

    pub(super) fn c_item(&mut self, items: &mut Vec<CItem>) {
        if self.at(Punct::Hash) {
            self.directive(items);
            return;
        }
        self.c.in_c = true;
        if self.at_word("typedef") {
            self.typedef();
        } else {
            let item = self.top_level_type();
            self.c.hoisted.extend(item);
        }
        self.c.in_c = false;
        items.append(&mut self.c.hoisted);
        if self.lost {
            self.skip_statement();
        }
        self.eat(Punct::Semicolon);
    }

    /// Passes over a declaration that defines no type.
    pub(super) fn skip_declaration(&mut self) {
        let mut open = 0u32;
        while !self.at_end() {
            let token = self.bump();
            match token.kind {
                TokenKind::Punct(Punct::LBrace) => open += 1,
                TokenKind::Punct(Punct::RBrace) => {
                    open = open.saturating_sub(1);
                    if open == 0 {
                        self.eat(Punct::Semicolon);
                        return;
                    }
                }
                TokenKind::Punct(Punct::Semicolon) if open == 0 => return,
                _ => {}
            }
        }
    }

    fn top_level_type(&mut self) -> Option<CItem> {
        match self.base()? {
            Base::Struct(def) => Some(CItem::Struct(def)),
            Base::Enum(def) => Some(CItem::Enum(def)),
            Base::Named(_) => None,
        }
    }

    /// `typedef T a, *b;`
    fn typedef(&mut self) -> Option<()> {
        let start = self.bump().start;
        let base_start = self.token.start;
        let base = self.base()?;
        let base_span = self.span_from(base_start);
        let declared = self.declarators();
        let base = match base {
            Base::Named(base) => base,
            Base::Struct(mut def) => {
                let name = def
                    .name
                    .get_or_insert_with(|| first_name(&declared, def.span));
                let base = if def.is_union {
                    TypeBase::Union(name.name.clone())
                } else {
                    TypeBase::Struct(name.name.clone())
                };
                self.c.hoisted.push(CItem::Struct(def));
                base
            }
            Base::Enum(mut def) => {
                let name = def
                    .name
                    .get_or_insert_with(|| first_name(&declared, def.span));
                let base = TypeBase::Enum(name.name.clone());
                self.c.hoisted.push(CItem::Enum(def));
                base
            }
        };
        let span = self.span_from(start);
        self.expect(Punct::Semicolon);
        for declarator in declared {
            let Some(name) = declarator.name.clone() else {
                continue;
            };
            let ty = declarator.apply(base.clone(), base_span);
            self.c.hoisted.push(CItem::Typedef { name, ty, span });
        }
        Some(())
    }

    /// A type without its declarator.
    fn base(&mut self) -> Option<Base> {
        self.qualifiers();
        let word = self.text_of(self.token);
        match word {
            "struct" | "union" | "enum" => {
                let base = self.deeper(Self::tagged)??;
                self.qualifiers();
                Some(base)
            }
            _ => {
                if self.token.kind != TokenKind::Ident {
                    self.expected("a type");
                    return None;
                }
                let is_c_word = super::types::is_c_word(word);
                let mut name = self.bump_ident().name;
                self.qualifiers();
                while is_c_word
                    && self.token.kind == TokenKind::Ident
                    && super::types::is_c_word(self.text_of(self.token))
                {
                    name.push(' ');
                    name.push_str(self.text_of(self.token));
                    self.bump();
                    self.qualifiers();
                }
                Some(Base::Named(TypeBase::Named(name)))
            }
        }
    }

    /// `struct name`, or its definition.
    fn tagged(&mut self) -> Option<Base> {
        let start = self.token.start;
        let keyword = self.bump_ident().name;
        let mut attributes = self.attributes();
        let name = (self.token.kind == TokenKind::Ident).then(|| self.bump_ident());
        attributes.merge(self.attributes());
        if !self.at(Punct::LBrace) {
            let Some(name) = name else {
                self.expected("a name or `{`");
                return None;
            };
            return Some(Base::Named(match keyword.as_str() {
                "struct" => TypeBase::Struct(name.name),
                "union" => TypeBase::Union(name.name),
                _ => TypeBase::Enum(name.name),
            }));
        }
        if keyword == "enum" {
            let variants = self.enumerators();
            self.attributes();
            let span = self.span_from(start);
            return Some(Base::Enum(CEnum {
                name,
                variants,
                span,
            }));
        }
        let fields = self.fields();
        attributes.merge(self.attributes());
        Some(Base::Struct(CStruct {
            is_union: keyword == "union",
            name,
            fields,
            packed: attributes.packed,
            align: attributes.align,
            span: self.span_from(start),
        }))
    }

    fn fields(&mut self) -> Vec<CField> {
        let open = self.token_span();
        self.bump();
        let mut fields = Vec::new();
        while !self.at(Punct::RBrace) && !self.at_end() {
            let before = self.token.start;
            self.field_line(&mut fields);
            if self.lost {
                self.skip_statement();
            }
            if self.token.start == before && !self.at_end() {
                self.bump();
            }
        }
        self.expect_close(Punct::RBrace, open);
        fields
    }

    /// One declaration of fields, or what else may stand among them.
    fn field_line(&mut self, fields: &mut Vec<CField>) {
        if self.at(Punct::Hash) {
            let mut items = Vec::new();
            self.directive(&mut items);
            self.c.hoisted.append(&mut items);
            return;
        }
        if self.eat(Punct::Semicolon) {
            return;
        }
        if self.at_word("_Static_assert") {
            self.skip_statement();
            return;
        }
        let start = self.token.start;
        let Some(base) = self.base() else {
            return;
        };
        let base_span = self.span_from(start);
        if self.at(Punct::Semicolon) {
            fields.extend(self.anonymous_field(base, base_span));
            self.bump();
            return;
        }
        let base = self.hoist(base);
        let first = fields.len();
        while !self.lost {
            let copies = fields.len() - first;
            if copies > 0 && copied_fields(&base).saturating_mul(copies) > MAX_COPIED {
                self.error(
                    Diagnostic::error("too-large", "too many fields share a type without a name")
                        .at(base_span, "give it a name"),
                );
                return;
            }
            fields.extend(self.field(&base, start, base_span));
            if !self.eat(Punct::Comma) {
                break;
            }
        }
        // C compilers only warn when it is missing behind the last field.
        if !self.at(Punct::RBrace) {
            self.expect(Punct::Semicolon);
        }
    }

    /// A struct or union without a name whose members belong to the outer one. One with a name declares no field.
    fn anonymous_field(&mut self, base: Base, span: Span) -> Option<CField> {
        let ty = match self.hoist(base) {
            Base::Struct(def) => CFieldType::Inline {
                def,
                pointers: 0,
                dims: Vec::new(),
            },
            Base::Enum(def) => {
                self.c.hoisted.push(CItem::Enum(def));
                return None;
            }
            Base::Named(TypeBase::Named(_)) => {
                self.expected("the name of the field");
                return None;
            }
            Base::Named(_) => return None,
        };
        Some(CField {
            name: None,
            ty,
            bits: None,
            span,
        })
    }

    /// Moves a definition with a name in front of the type around it.
    fn hoist(&mut self, base: Base) -> Base {
        match base {
            Base::Struct(CStruct {
                name: Some(ref name),
                is_union,
                ..
            }) => {
                let reference = if is_union {
                    TypeBase::Union(name.name.clone())
                } else {
                    TypeBase::Struct(name.name.clone())
                };
                if let Base::Struct(def) = base {
                    self.c.hoisted.push(CItem::Struct(def));
                }
                Base::Named(reference)
            }
            Base::Enum(CEnum {
                name: Some(ref name),
                ..
            }) => {
                let reference = TypeBase::Enum(name.name.clone());
                if let Base::Enum(def) = base {
                    self.c.hoisted.push(CItem::Enum(def));
                }
                Base::Named(reference)
            }
            base => base,
        }
    }

    fn field(&mut self, base: &Base, start: usize, base_span: Span) -> Option<CField> {
        let declarator = self.declarator();
        let bits = self
            .eat(Punct::Colon)
            .then(|| self.constant("the width of a bit field"));
        self.attributes();
        if declarator.name.is_none() && bits.is_none() {
            self.expected("the name of the field");
            return None;
        }
        let span = self.span_from(start);
        let name = declarator.name.clone();
        let ty = match base {
            Base::Named(base) => CFieldType::Named(declarator.apply(base.clone(), base_span)),
            Base::Struct(def) if !declarator.is_function => {
                let (pointers, dims) = self.pointers_and_dims(&declarator, span);
                CFieldType::Inline {
                    def: def.clone(),
                    pointers,
                    dims,
                }
            }
            Base::Enum(def) if declarator.suffixes.is_empty() => {
                CFieldType::InlineEnum(def.clone())
            }
            _ => {
                self.report(
                    Diagnostic::error("c-type", "this type needs a name").at(
                        base_span,
                        "only the fields of a type with a name can be pointers, arrays or functions of it",
                    ),
                );
                return None;
            }
        };
        let bits = match bits {
            Some(None) => return None,
            Some(Some(width)) => Some(u32::try_from(width).unwrap_or(u32::MAX)),
            None => None,
        };
        Some(CField {
            name,
            ty,
            bits,
            span,
        })
    }

    /// `{ A, B = 3 }`
    fn enumerators(&mut self) -> Vec<(Ident, Option<Expr>)> {
        let open = self.token_span();
        self.bump();
        let mut variants = Vec::new();
        let mut next = Some(0i128);
        while !self.at(Punct::RBrace) && !self.at_end() && !self.lost {
            if self.at(Punct::Hash) {
                let mut items = Vec::new();
                self.directive(&mut items);
                self.c.hoisted.append(&mut items);
                continue;
            }
            let Some(name) = self.ident("an enumerator") else {
                break;
            };
            self.attributes();
            let value = self.eat(Punct::Assign).then(|| self.folded());
            if let Some(expr) = &value {
                next = self.evaluate(expr);
            }
            if let Some(known) = next {
                self.c.constants.insert(name.name.clone(), known);
                next = known.checked_add(1);
            }
            variants.push((name, value));
            if !self.at(Punct::RBrace) && !self.at(Punct::Hash) {
                self.expect(Punct::Comma);
            }
        }
        if self.lost {
            self.skip_statement();
        }
        self.expect_close(Punct::RBrace, open);
        variants
    }
}

/// How many fields a copy of this type has.
fn copied_fields(base: &Base) -> usize {
    fn count(def: &CStruct) -> usize {
        def.fields
            .iter()
            .map(|f| match &f.ty {
                CFieldType::Inline { def, .. } => count(def) + 1,
                _ => 1,
            })
            .sum()
    }
    match base {
        Base::Struct(def) => count(def),
        _ => 0,
    }
}
