//! The syntax tree, as written: nothing is resolved, every node has its span.

pub use crate::lexer::literal::bytes as string_bytes;
use crate::span::Span;

/// A name with its place. Scratch variables keep their `$`, maps their `@` (the unnamed map is `@`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ident {
    pub name: String,
    pub span: Span,
}

/// One whole script.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    /// `#include`, `#define` and C type definitions: always before everything else.
    pub c_items: Vec<CItem>,
    pub config: Option<Config>,
    pub imports: Vec<Import>,
    pub maps: Vec<MapDecl>,
    pub macros: Vec<Macro>,
    pub probes: Vec<Probe>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CItem {
    /// `#include <linux/sched.h>`: the path without its brackets or quotes.
    Include {
        path: String,
        system: bool,
        span: Span,
    },
    /// `#define NAME text` or `#define NAME(params) text`; the text is kept as written.
    Define {
        name: Ident,
        params: Option<Vec<String>>,
        text: String,
        text_span: Span,
        span: Span,
    },
    /// `struct S { … };` and `union U { … };`. One with a name that is defined inside another stands in front of it.
    Struct(CStruct),
    Enum(CEnum),
    /// `typedef T name;`
    Typedef {
        name: Ident,
        ty: TypeExpr,
        span: Span,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct CStruct {
    pub is_union: bool,
    /// `None` for an anonymous one.
    pub name: Option<Ident>,
    pub fields: Vec<CField>,
    pub packed: bool,
    /// `__attribute__((aligned(n)))`, in bytes.
    pub align: Option<u64>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CField {
    /// `None` for an anonymous struct or union, whose members belong to the outer one, and for unnamed padding (a bit
    /// field).
    pub name: Option<Ident>,
    pub ty: CFieldType,
    /// Width in bits of a bit field.
    pub bits: Option<u32>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CFieldType {
    Named(TypeExpr),
    /// A type defined inside the field, with array dimensions outermost first.
    Inline {
        def: CStruct,
        pointers: u32,
        dims: Vec<u64>,
    },
    InlineEnum(CEnum),
}

#[derive(Clone, Debug, PartialEq)]
pub struct CEnum {
    pub name: Option<Ident>,
    /// Each with its value if one is written: a literal, perhaps behind a minus, where its names are known.
    pub variants: Vec<(Ident, Option<Expr>)>,
    pub span: Span,
}

/// `config = { key = value; … }`
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub entries: Vec<ConfigEntry>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ConfigEntry {
    pub key: Ident,
    pub value: ConfigValue,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ConfigValue {
    Int(u64),
    Bool(bool),
    Str(String),
    Word(String),
}

/// `import "path";`
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    pub path: String,
    pub span: Span,
}

/// `let @name = kind(max_entries);`
#[derive(Clone, Debug, PartialEq)]
pub struct MapDecl {
    pub name: Ident,
    pub kind: Ident,
    pub max_entries: Expr,
    pub span: Span,
}

/// `macro name(params) { … }`
#[derive(Clone, Debug, PartialEq)]
pub struct Macro {
    pub name: Ident,
    pub params: Vec<MacroParam>,
    pub body: Block,
    pub span: Span,
}

/// The sigil of the name says what a call must pass: `$x` a variable, `@x` a map, `x` any expression.
#[derive(Clone, Debug, PartialEq)]
pub struct MacroParam {
    pub name: Ident,
}

/// `probe, probe /predicate/ { … }`
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// `name=` before the first attach point.
    pub name: Option<Ident>,
    pub attach_points: Vec<AttachPoint>,
    pub predicate: Option<Expr>,
    pub body: Block,
    pub span: Span,
}

/// One attach point as written, e.g. `uprobe:/bin/bash:"foo bar"+4`: positional parameters are not yet replaced.
/// `probes` gives it its meaning.
#[derive(Clone, Debug, PartialEq)]
pub struct AttachPoint {
    pub text: String,
    pub span: Span,
}

/// Statements, and the value where the last one is an expression with no semicolon behind it.
///
/// Blocks that nobody takes a value from (of a probe, a loop, an `if` that is a statement) never have one: the last
/// expression is a statement there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    pub stmts: Vec<Stmt>,
    pub value: Option<Box<Expr>>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Stmt {
    pub kind: StmtKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum StmtKind {
    Expr(Expr),
    /// `let $x: type = value;` with either part optional. The name may be a macro's parameter.
    Let {
        var: Ident,
        ty: Option<TypeExpr>,
        value: Option<Expr>,
    },
    /// `target op= value`; `op` is `None` for plain `=`.
    Assign {
        target: Expr,
        op: Option<BinaryOp>,
        value: Expr,
    },
    /// `_ = value;`
    Discard(Expr),
    If {
        cond: Expr,
        then: Block,
        otherwise: Option<Block>,
    },
    While {
        cond: Expr,
        body: Block,
    },
    Unroll {
        count: Expr,
        body: Block,
    },
    /// `for $x : iterable { … }`, with or without parentheses.
    For {
        var: Ident,
        iter: Iterable,
        body: Block,
    },
    Block(Block),
    Break,
    Continue,
    Return(Option<Expr>),
    /// An `import` inside a macro of the standard library.
    Import(Import),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Iterable {
    Map(Expr),
    Range { start: Expr, end: Expr },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// An integer literal, already scaled by its unit: `1m` is 60000000000. `text` is as written.
    Int {
        value: u64,
        text: String,
    },
    Bool(bool),
    /// The text with its escapes replaced; [`string_bytes`] gives its bytes, which escapes may make no UTF-8.
    Str(String),
    /// A bare word: a built-in, a macro or its parameter, an enumerator, a `#define`.
    Ident(String),
    /// `$name`
    Var(String),
    /// `@name`, the whole map or the value of one without keys.
    Map(String),
    /// `@name[key]`; several keys are one `Tuple`.
    MapKey {
        map: Ident,
        key: Box<Expr>,
    },
    /// `$1`; 1-based.
    Param(u32),
    /// `$#`
    ParamCount,
    Unary {
        op: UnaryOp,
        expr: Box<Expr>,
    },
    /// `++x`, `x--`
    Step {
        delta: Step,
        prefix: bool,
        target: Box<Expr>,
    },
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Ternary {
        cond: Box<Expr>,
        then: Box<Expr>,
        otherwise: Box<Expr>,
    },
    /// `value ?: otherwise`: the value unless it is zero, evaluated once.
    OrElse {
        value: Box<Expr>,
        otherwise: Box<Expr>,
    },
    /// `if (c) { a } else { b }` where a value is wanted.
    If {
        cond: Box<Expr>,
        then: Block,
        otherwise: Block,
    },
    /// `base.name`, and `base->name`, which means the same.
    Field {
        base: Box<Expr>,
        field: Ident,
    },
    /// `base.0`
    TupleIndex {
        base: Box<Expr>,
        index: u32,
    },
    /// `base[index]`
    Index {
        base: Box<Expr>,
        index: Box<Expr>,
    },
    /// `(type)expr`
    Cast {
        ty: TypeExpr,
        expr: Box<Expr>,
    },
    Tuple(Vec<Expr>),
    Record(Vec<(Ident, Expr)>),
    /// `name(args)`, also `name!(args)`, `sizeof(x)`, `typeinfo(x)` and `offsetof(x, path)`. The first argument of those
    /// three follows the rule of [`ExprKind::Type`]; the path is an `Ident` under as many `Field`s as it has dots.
    Call {
        name: Ident,
        args: Vec<Expr>,
    },
    /// A type where an expression may stand: an argument of `sizeof`, `offsetof`, `typeof`, `typeinfo`, or
    /// `typeof(x)` as an argument of any call. A bare word that names no type of the language (`sizeof(size_t)`) is
    /// an `Ident` there, since it may as well be a macro's parameter: what it names is decided later, and it is never
    /// the call of a macro.
    Type(TypeExpr),
    /// `comptime expr`: the compiler must know its value.
    Comptime(Box<Expr>),
    /// `{ …; value }`
    Block(Block),
    /// What recovery leaves behind; an error has been reported.
    Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Increment,
    Decrement,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    Not,
    BitNot,
    Minus,
    Plus,
    Deref,
    AddressOf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    BitAnd,
    BitOr,
    BitXor,
    Shl,
    Shr,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
}

/// A type as written: a base, then `*` and `[n]` suffixes read from left to right, so that the last suffix is the
/// outermost: C's `int *a[2][3]` is `int*[3][2]`.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeExpr {
    pub base: TypeBase,
    pub suffixes: Vec<TypeSuffix>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TypeBase {
    /// `uint8`, `string`, `size_t`, `unsigned long`: one word or C's several, single-spaced.
    Named(String),
    Struct(String),
    Union(String),
    Enum(String),
    /// `typeof(type)` or `typeof(expr)`
    Typeof(Box<Expr>),
    /// `(type, type)`
    Tuple(Vec<TypeExpr>),
    /// `(name: type, …)` as accepted for records.
    Record(Vec<(Ident, TypeExpr)>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum TypeSuffix {
    Pointer,
    /// `[n]`, or `[]` whose length is taken from the value. For `string`, `buffer` and `inet` it is the size.
    Array(Option<Box<Expr>>),
}
