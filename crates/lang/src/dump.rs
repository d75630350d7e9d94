//! The tree as text: one node a line, what is inside it further in. For `-d ast` and for tests.

use std::fmt::{Display, Write};

use crate::ast::{
    BinaryOp, Block, CEnum, CField, CFieldType, CItem, CStruct, ConfigValue, Expr, ExprKind,
    Iterable, Macro, Probe, Script, Step, Stmt, StmtKind, TypeBase, TypeExpr, TypeSuffix, UnaryOp,
};

/// The whole script.
///
/// ```
/// use beetrace_lang::{diagnostic::Diagnostics, dump, parser, span::SourceId};
///
/// let script = parser::parse(SourceId(0), "begin { @x = 1 + $1 }", &mut Diagnostics::default());
/// assert_eq!(
///     dump::script(&script),
///     "\
/// probe begin
///   assign =
///     map @x
///     binary +
///       int 1
///       param $1
/// "
/// );
/// ```
pub fn script(script: &Script) -> String {
    let mut d = Dump::default();
    for item in &script.c_items {
        d.c_item(item);
    }
    if let Some(config) = &script.config {
        d.within("config", |d| {
            for entry in &config.entries {
                let key = &entry.key.name;
                match &entry.value {
                    ConfigValue::Int(n) => d.line(format_args!("{key} = {n}")),
                    ConfigValue::Bool(b) => d.line(format_args!("{key} = {b}")),
                    ConfigValue::Str(s) => d.line(format_args!("{key} = {s:?}")),
                    ConfigValue::Word(w) => d.line(format_args!("{key} = {w}")),
                }
            }
        });
    }
    for import in &script.imports {
        d.line(format_args!("import {:?}", import.path));
    }
    for map in &script.maps {
        d.within(
            format_args!("let {} = {}", map.name.name, map.kind.name),
            |d| {
                d.expr(&map.max_entries);
            },
        );
    }
    script.macros.iter().for_each(|m| d.macro_item(m));
    script.probes.iter().for_each(|p| d.probe(p));
    d.out
}

/// One expression.
pub fn expr(expr: &Expr) -> String {
    let mut d = Dump::default();
    d.expr(expr);
    d.out
}

/// A type in the notation of the language, on one line.
pub fn type_expr(ty: &TypeExpr) -> String {
    let mut text = match &ty.base {
        TypeBase::Named(name) => name.clone(),
        TypeBase::Struct(name) => format!("struct {name}"),
        TypeBase::Union(name) => format!("union {name}"),
        TypeBase::Enum(name) => format!("enum {name}"),
        TypeBase::Typeof(inner) => format!("typeof({})", one_line(inner)),
        TypeBase::Tuple(items) => {
            let items: Vec<_> = items.iter().map(type_expr).collect();
            format!("({})", items.join(", "))
        }
        TypeBase::Record(fields) => {
            let field = |(name, ty): &(crate::ast::Ident, TypeExpr)| {
                format!("{}: {}", name.name, type_expr(ty))
            };
            let fields: Vec<_> = fields.iter().map(field).collect();
            format!("({})", fields.join(", "))
        }
    };
    for suffix in &ty.suffixes {
        match suffix {
            TypeSuffix::Pointer => text.push('*'),
            TypeSuffix::Array(None) => text.push_str("[]"),
            TypeSuffix::Array(Some(size)) => {
                let _ = write!(text, "[{}]", one_line(size));
            }
        }
    }
    text
}

/// An expression inside a type: its dump with the lines joined.
fn one_line(inner: &Expr) -> String {
    match &inner.kind {
        ExprKind::Int { text, .. } => text.clone(),
        ExprKind::Type(ty) => type_expr(ty),
        _ => {
            let dump = expr(inner);
            let parts: Vec<_> = dump.lines().map(str::trim).collect();
            parts.join(" ")
        }
    }
}

pub(crate) fn binary_symbol(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "+",
        BinaryOp::Sub => "-",
        BinaryOp::Mul => "*",
        BinaryOp::Div => "/",
        BinaryOp::Mod => "%",
        BinaryOp::BitAnd => "&",
        BinaryOp::BitOr => "|",
        BinaryOp::BitXor => "^",
        BinaryOp::Shl => "<<",
        BinaryOp::Shr => ">>",
        BinaryOp::Eq => "==",
        BinaryOp::Ne => "!=",
        BinaryOp::Lt => "<",
        BinaryOp::Le => "<=",
        BinaryOp::Gt => ">",
        BinaryOp::Ge => ">=",
        BinaryOp::And => "&&",
        BinaryOp::Or => "||",
    }
}

fn unary_symbol(op: UnaryOp) -> &'static str {
    match op {
        UnaryOp::Not => "!",
        UnaryOp::BitNot => "~",
        UnaryOp::Minus => "-",
        UnaryOp::Plus => "+",
        UnaryOp::Deref => "*",
        UnaryOp::AddressOf => "&",
    }
}

#[derive(Default)]
struct Dump {
    out: String,
    depth: usize,
}

impl Dump {
    fn line(&mut self, text: impl Display) {
        let _ = writeln!(self.out, "{:1$}{text}", "", self.depth * 2);
    }

    fn within(&mut self, text: impl Display, inside: impl FnOnce(&mut Self)) {
        self.line(text);
        self.depth += 1;
        inside(self);
        self.depth -= 1;
    }

    fn c_item(&mut self, item: &CItem) {
        match item {
            CItem::Include { path, system, .. } => {
                let (open, close) = if *system { ('<', '>') } else { ('"', '"') };
                self.line(format_args!("include {open}{path}{close}"));
            }
            CItem::Define {
                name, params, text, ..
            } => {
                let params = params
                    .as_ref()
                    .map_or_else(String::new, |p| format!("({})", p.join(", ")));
                self.line(format_args!("define {}{params} {text:?}", name.name));
            }
            CItem::Struct(def) => self.c_struct("", def),
            CItem::Enum(def) => self.c_enum("", def),
            CItem::Typedef { name, ty, .. } => {
                self.line(format_args!("typedef {} = {}", name.name, type_expr(ty)));
            }
        }
    }

    fn c_struct(&mut self, field: &str, def: &CStruct) {
        let mut head = String::from(field);
        head.push_str(if def.is_union { "union" } else { "struct" });
        if let Some(name) = &def.name {
            let _ = write!(head, " {}", name.name);
        }
        if def.packed {
            head.push_str(" packed");
        }
        if let Some(align) = def.align {
            let _ = write!(head, " aligned {align}");
        }
        self.within(head, |d| def.fields.iter().for_each(|f| d.c_field(f)));
    }

    fn c_field(&mut self, field: &CField) {
        let name = field.name.as_ref().map_or("", |n| n.name.as_str());
        let bits = field.bits.map_or_else(String::new, |b| format!(" : {b}"));
        match &field.ty {
            CFieldType::Named(ty) => {
                self.line(format_args!("field {name}: {}{bits}", type_expr(ty)));
            }
            CFieldType::Inline {
                def,
                pointers,
                dims,
            } => {
                let stars = "*".repeat(*pointers as usize);
                let dims: String = dims.iter().map(|n| format!("[{n}]")).collect();
                self.c_struct(&format!("field {name}{stars}{dims}{bits}: "), def);
            }
            CFieldType::InlineEnum(def) => self.c_enum(&format!("field {name}{bits}: "), def),
        }
    }

    fn c_enum(&mut self, field: &str, def: &CEnum) {
        let name = def
            .name
            .as_ref()
            .map_or_else(String::new, |n| format!(" {}", n.name));
        self.within(format_args!("{field}enum{name}"), |d| {
            for (name, value) in &def.variants {
                d.within(&name.name, |d| value.iter().for_each(|v| d.expr(v)));
            }
        });
    }

    fn macro_item(&mut self, m: &Macro) {
        let params: Vec<_> = m.params.iter().map(|p| p.name.name.as_str()).collect();
        let head = format!("macro {}({})", m.name.name, params.join(", "));
        self.within(head, |d| d.block_items(&m.body));
    }

    fn probe(&mut self, probe: &Probe) {
        let name = probe
            .name
            .as_ref()
            .map_or_else(String::new, |n| format!("{}=", n.name));
        let points: Vec<_> = probe
            .attach_points
            .iter()
            .map(|a| a.text.as_str())
            .collect();
        self.within(format_args!("probe {name}{}", points.join(", ")), |d| {
            if let Some(predicate) = &probe.predicate {
                d.within("predicate", |d| d.expr(predicate));
            }
            d.block_items(&probe.body);
        });
    }

    fn block(&mut self, title: &str, block: &Block) {
        self.within(title, |d| d.block_items(block));
    }

    fn block_items(&mut self, block: &Block) {
        block.stmts.iter().for_each(|s| self.stmt(s));
        if let Some(value) = &block.value {
            self.within("value", |d| d.expr(value));
        }
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Expr(e) => self.expr(e),
            StmtKind::Let { var, ty, value } => {
                let ty = ty
                    .as_ref()
                    .map_or_else(String::new, |t| format!(": {}", type_expr(t)));
                self.within(format_args!("let {}{ty}", var.name), |d| {
                    value.iter().for_each(|v| d.expr(v));
                });
            }
            StmtKind::Assign { target, op, value } => {
                let op = op.map_or("", binary_symbol);
                self.within(format_args!("assign {op}="), |d| {
                    d.expr(target);
                    d.expr(value);
                });
            }
            StmtKind::Discard(e) => self.within("discard", |d| d.expr(e)),
            StmtKind::If {
                cond,
                then,
                otherwise,
            } => {
                self.within("if", |d| d.expr(cond));
                self.block("then", then);
                if let Some(block) = otherwise {
                    self.block("else", block);
                }
            }
            StmtKind::While { cond, body } => {
                self.within("while", |d| d.expr(cond));
                self.block("do", body);
            }
            StmtKind::Unroll { count, body } => {
                self.within("unroll", |d| d.expr(count));
                self.block("do", body);
            }
            StmtKind::For { var, iter, body } => {
                self.within(format_args!("for {}", var.name), |d| match iter {
                    Iterable::Map(map) => d.expr(map),
                    Iterable::Range { start, end } => d.within("range", |d| {
                        d.expr(start);
                        d.expr(end);
                    }),
                });
                self.block("do", body);
            }
            StmtKind::Block(block) => self.block("block", block),
            StmtKind::Break => self.line("break"),
            StmtKind::Continue => self.line("continue"),
            StmtKind::Return(value) => {
                self.within("return", |d| value.iter().for_each(|v| d.expr(v)));
            }
            StmtKind::Import(import) => self.line(format_args!("import {:?}", import.path)),
        }
    }

    fn all(&mut self, title: impl Display, children: &[&Expr]) {
        self.within(title, |d| children.iter().for_each(|e| d.expr(e)));
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Int { value, text } if *text == value.to_string() => {
                self.line(format_args!("int {value}"));
            }
            ExprKind::Int { value, text } => self.line(format_args!("int {value} ({text})")),
            ExprKind::Bool(b) => self.line(format_args!("bool {b}")),
            ExprKind::Str(s) => self.line(format_args!("string {s:?}")),
            ExprKind::Ident(name) => self.line(format_args!("name {name}")),
            ExprKind::Var(name) => self.line(format_args!("variable {name}")),
            ExprKind::Map(name) => self.line(format_args!("map {name}")),
            ExprKind::MapKey { map, key } => self.all(format_args!("map {}[]", map.name), &[key]),
            ExprKind::Param(n) => self.line(format_args!("param ${n}")),
            ExprKind::ParamCount => self.line("param $#"),
            ExprKind::Unary { op, expr } => {
                self.all(format_args!("unary {}", unary_symbol(*op)), &[expr])
            }
            ExprKind::Step {
                delta,
                prefix,
                target,
            } => {
                let symbol = match delta {
                    Step::Increment => "++",
                    Step::Decrement => "--",
                };
                let side = if *prefix { "prefix" } else { "postfix" };
                self.all(format_args!("{side} {symbol}"), &[target]);
            }
            ExprKind::Binary { op, left, right } => {
                self.all(
                    format_args!("binary {}", binary_symbol(*op)),
                    &[left, right],
                );
            }
            ExprKind::Ternary {
                cond,
                then,
                otherwise,
            } => self.all("ternary", &[cond, then, otherwise]),
            ExprKind::OrElse { value, otherwise } => self.all("or else", &[value, otherwise]),
            ExprKind::If {
                cond,
                then,
                otherwise,
            } => self.within("if value", |d| {
                d.expr(cond);
                d.block("then", then);
                d.block("else", otherwise);
            }),
            ExprKind::Field { base, field } => {
                self.all(format_args!("field .{}", field.name), &[base])
            }
            ExprKind::TupleIndex { base, index } => {
                self.all(format_args!("field .{index}"), &[base])
            }
            ExprKind::Index { base, index } => self.all("index", &[base, index]),
            ExprKind::Cast { ty, expr } => {
                self.all(format_args!("cast {}", type_expr(ty)), &[expr])
            }
            ExprKind::Tuple(items) => {
                self.within("tuple", |d| items.iter().for_each(|e| d.expr(e)))
            }
            ExprKind::Record(fields) => self.within("record", |d| {
                for (name, value) in fields {
                    d.all(format_args!("{} =", name.name), &[value]);
                }
            }),
            ExprKind::Call { name, args } => self.within(format_args!("call {}", name.name), |d| {
                args.iter().for_each(|e| d.expr(e));
            }),
            ExprKind::Type(ty) => self.line(format_args!("type {}", type_expr(ty))),
            ExprKind::Comptime(expr) => self.all("comptime", &[expr]),
            ExprKind::Block(block) => self.block("block value", block),
            ExprKind::Error => self.line("error"),
        }
    }
}
