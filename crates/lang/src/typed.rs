//! The typed program: what the checker hands to the compiler.
//!
//! Everything is decided here. Names are resolved to numbers, macros are gone, every expression has its final type, and
//! every conversion is written down as a [`ExprKind::Cast`]; the compiler never guesses and never reports a user's mistake.
//!
//! Values and places: an expression of a scalar type (bool, integer, enum, pointer) is a value in a register. An expression of a
//! composite type (string, buffer, array, tuple, record, struct, stack, …) is a place in memory: of the program's own for most,
//! and of the address space that its type names for a struct or array that was reached through a pointer. Bytes of such a place are read when a
//! scalar member is taken, or when the whole is stored, compared, or sent.

use std::rc::Rc;
use std::sync::Arc;

use beetrace_object::{Config, Destination, Format, MapKind, Parameter, ProbeSpec, ProgramKind};

pub use beetrace_probes::Context;
pub use beetrace_probes::usdt::{Argument as UsdtArgument, Place as UsdtPlace};

use crate::ast::BinaryOp;
use crate::span::{Sources, Span};
use crate::structs::Structs;
use crate::types::{Clock, Signedness, Space, Type};

/// A whole script, checked.
#[derive(Debug)]
pub struct Program {
    pub probes: Vec<Probe>,
    /// In the order of their first use, which is the order of the peer's `print` at exit only after sorting by name.
    pub maps: Vec<MapInfo>,
    pub structs: Rc<Structs>,
    pub sources: Sources,
    pub config: Config,
    pub license: String,
    /// Values above this many bytes do not live on the stack.
    pub on_stack_limit: u32,
    /// `max_strlen` in bytes.
    pub max_strlen: u32,
}

/// One program: a body that serves all its attach points alike.
#[derive(Debug)]
pub struct Probe {
    /// Letters, digits, `_`.
    pub name: String,
    pub kind: ProgramKind,
    pub context: Context,
    pub attach: Vec<ProbeSpec>,
    /// Scratch variables by [`VarId`].
    pub vars: Vec<Var>,
    pub predicate: Option<Expr>,
    pub body: Vec<Stmt>,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VarId(pub u32);

#[derive(Clone, Debug)]
pub struct Var {
    /// With its `$`; empty for one that the checker made.
    pub name: String,
    pub ty: Type,
}

/// Index into [`Program::maps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MapId(pub u32);

#[derive(Clone, Debug)]
pub struct MapInfo {
    /// With its `@`.
    pub name: String,
    /// `Type::Void` for a map without keys.
    pub key: Type,
    pub value: Type,
    pub kind: MapKind,
    pub max_entries: u32,
    pub span: Span,
}

impl MapInfo {
    pub fn is_scalar(&self) -> bool {
        self.key == Type::Void
    }
}

#[derive(Clone, Debug)]
pub struct Stmt {
    pub kind: StmtKind,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum StmtKind {
    /// Evaluated for its effect.
    Expr(Expr),
    /// Zeroes the variable: `let $x;`.
    Declare(VarId),
    SetVar {
        var: VarId,
        value: Expr,
    },
    /// `key` is `None` for a map without keys. The value has the map's value type, which is no aggregate.
    SetMap {
        map: MapId,
        key: Option<Expr>,
        value: Expr,
    },
    /// `@x = count()`, `@x = sum(n)`, `hist(n)`, …: adds `value` (absent for `count`) to the aggregate that the map holds. 64-bit.
    /// For `tseries` it is the number as well.
    Aggregate {
        map: MapId,
        key: Option<Expr>,
        value: Option<Expr>,
    },
    If {
        cond: Expr,
        then: Vec<Stmt>,
        otherwise: Vec<Stmt>,
    },
    While {
        cond: Expr,
        body: Vec<Stmt>,
    },
    /// `body` runs `count` times.
    Unroll {
        count: u32,
        body: Vec<Stmt>,
    },
    /// For every entry: `var` is a tuple of key and value.
    ForMap {
        var: VarId,
        map: MapId,
        body: Vec<Stmt>,
    },
    /// From `start` up to, not including, `end`; both have the type of `var`, and are evaluated once.
    ForRange {
        var: VarId,
        start: Expr,
        end: Expr,
        body: Vec<Stmt>,
    },
    Block(Vec<Stmt>),
    Break,
    Continue,
    /// Ends the probe; the value is a 64-bit integer.
    Return(Option<Expr>),
    Action(Action),
}

/// What is told to user space, or asked of it.
#[derive(Clone, Debug)]
pub enum Action {
    Format {
        format: Format,
        to: Destination,
        args: Vec<Expr>,
    },
    PrintValue(Expr),
    /// All entries; `top` and `div` are constants, zero for none.
    PrintMap {
        map: MapId,
        top: u32,
        div: u32,
    },
    /// `print(@m[key])`: shown as `@m[key]: value`.
    PrintMapKey {
        map: MapId,
        key: Option<Expr>,
    },
    Clear(MapId),
    Zero(MapId),
    /// Tells, then ends the probe. The code is an `uint8`.
    Exit(Expr),
    Time {
        format: String,
    },
    /// `argv` is a pointer to pointers to characters.
    Join {
        argv: Expr,
        separator: String,
    },
    Unwatch(Expr),
    /// `debugf`: the format goes to the kernel's trace pipe as it is; arguments are scalars and strings.
    Debug {
        format: String,
        args: Vec<Expr>,
    },
}

#[derive(Clone, Debug)]
pub struct Expr {
    pub kind: ExprKind,
    pub ty: Type,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum ExprKind {
    /// A 64-bit pattern, sign-extended where the type is signed. Also pointers, booleans and enums.
    Int(u64),
    /// Text without its NUL; the type says how much space it has.
    Str(Arc<str>),
    /// Raw bytes, for an array of constants (`pton`).
    Bytes(Arc<[u8]>),
    Var(VarId),
    /// The address of a variable or of a map's value.
    AddressOfVar(VarId),
    AddressOfMap {
        map: MapId,
        key: Option<Box<Expr>>,
    },
    /// The value, or zero where there is no such key. Never of an aggregate.
    MapGet {
        map: MapId,
        key: Option<Box<Expr>>,
    },
    /// An aggregate as an integer: the total over processors (`count`, `sum`, `min`, `max`), or the mean (`avg`, `stats`).
    MapAggregate {
        map: MapId,
        key: Option<Box<Expr>>,
    },
    /// Whether the map has the key.
    HasKey {
        map: MapId,
        key: Box<Expr>,
    },
    /// `find(@m, key, $var)`: whether it has the key, and then the value in the variable.
    Find {
        map: MapId,
        key: Box<Expr>,
        var: VarId,
    },
    /// Whether the key was there. `warn`: a runtime message says so when it was not.
    Delete {
        map: MapId,
        key: Option<Box<Expr>>,
        warn: bool,
    },
    /// Number of entries.
    MapLen(MapId),
    Unary {
        op: UnaryOp,
        expr: Box<Expr>,
    },
    /// Arithmetic and bit operations: both sides and the result have one integer type, in which it wraps; division and modulo by zero give one, and a runtime message.
    /// Shifts take the left side's type; the count is masked to its width.
    /// Comparisons: both sides have one type (integers, booleans, pointers, enums; also strings, buffers, arrays, tuples, records: `Eq` and `Ne` only), the result is `bool`.
    /// `And`, `Or`: both sides are `bool`; the right one is evaluated only where it matters.
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// Pointer plus or minus a 64-bit number of bytes (already scaled).
    Offset {
        pointer: Box<Expr>,
        bytes: Box<Expr>,
        negative: bool,
    },
    Ternary {
        cond: Box<Expr>,
        then: Box<Expr>,
        otherwise: Box<Expr>,
    },
    /// See [`Cast`].
    Cast {
        cast: Cast,
        expr: Box<Expr>,
    },
    /// `*pointer`. Of a struct or an array it is a place, of a scalar a read; `checked` reads fail to zero.
    Deref(Box<Expr>),
    /// A member at an offset of a struct's place.
    Field {
        base: Box<Expr>,
        offset: u32,
        bits: Option<crate::structs::BitField>,
    },
    /// A tracepoint's `__data_loc` member: `base` is the context, the result the address behind it (type: pointer into the context or a string place).
    DataLoc {
        base: Box<Expr>,
        offset: u32,
    },
    /// An element of an array; checked where the index is no constant: out of bounds is a runtime message and zero.
    Index {
        base: Box<Expr>,
        index: Box<Expr>,
    },
    /// A member of a tuple or record.
    Element {
        base: Box<Expr>,
        index: u32,
    },
    Tuple(Vec<Expr>),
    /// Values in the type's order of members; `order` is the order to evaluate them in.
    Record {
        values: Vec<Expr>,
        order: Vec<u32>,
    },
    /// The context as a place: a struct of `Space::Context`.
    Context,
    /// The `n`th 64-bit word of an [`Context::Arguments`] context.
    Argument(u32),
    /// A register of the context, as an offset into `struct pt_regs`, read with that size in bytes.
    Register {
        offset: u32,
        size: u32,
    },
    /// `++x`, `x--`; on variables, map values. `target` is `Var` or `MapGet`. `by` is the amount in the target's type (bytes for a pointer).
    Step {
        target: Box<Expr>,
        by: i64,
        prefix: bool,
    },
    /// Statements, then a value.
    Block {
        stmts: Vec<Stmt>,
        value: Option<Box<Expr>>,
    },
    Call(Call),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    /// Of a `bool`.
    Not,
    BitNot,
    Minus,
}

/// Conversions. The source type is the operand's, the target type the expression's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// Between integers, enums, pointers and booleans as numbers: truncates, or extends by the sign of the source.
    Int,
    /// To `bool`: is it not zero (integers, pointers), is it not empty (strings).
    Bool,
    /// The bytes of an integer as an array, or of an array as an integer; sizes are equal.
    Bytes,
    /// A string, buffer or char array into more or less space: cut at the NUL, zero behind.
    Str,
    /// The same bytes, seen as another type of that size or of a longer prefix (an array of characters as a string).
    Reinterpret,
    /// Tuple to tuple and record to record, member by member.
    Members,
}

/// Built-ins that need the compiler or the engine. Everything that the language can say itself is in `stdlib/*.bt`.
#[derive(Clone, Debug)]
pub enum Call {
    /// `uint32`; in beetrace's own pid namespace, or the first one.
    Pid {
        initial_namespace: bool,
    },
    Tid {
        initial_namespace: bool,
    },
    Uid,
    Gid,
    /// `string[16]` of the current thread.
    Comm,
    Nsecs(Clock),
    Elapsed,
    Jiffies,
    Cpu,
    Numaid,
    Curtask,
    Rand,
    Cgroup,
    /// `func` in uprobes and kprobes: the traced address, a `Ksym` or `Usym`.
    FunctionAddress,
    /// 1 where the context's registers are of user mode.
    UserMode,
    /// A number that user space sets when the run begins.
    Parameter(Parameter),
    /// `str(pointer, length)`: a string of the expression's type read from memory of the pointer's space. `length` is how many bytes with the NUL, clamped to the space;
    /// without one the string may fill its space, and has no NUL then.
    Str {
        pointer: Box<Expr>,
        length: Option<Box<Expr>>,
    },
    /// `buf(pointer, length)`
    Buf {
        pointer: Box<Expr>,
        length: Box<Expr>,
    },
    /// A stack of the expression's type.
    Stack,
    /// Frames of a stack value.
    StackLen(Box<Expr>),
    Ksym(Box<Expr>),
    Usym(Box<Expr>),
    /// Address family 2 or 10 as chosen, and a value: an integer, or an array of 4 or 16 bytes.
    Ntop {
        family: Option<Box<Expr>>,
        address: Box<Expr>,
    },
    /// From a pointer or array of 6 bytes.
    Macaddr(Box<Expr>),
    Strftime {
        nanos: Box<Expr>,
        clock: Clock,
    },
    CgroupPath(Box<Expr>),
    Username,
    /// Compares up to that many bytes; the result is zero where they are equal (`int64`).
    Strncmp {
        left: Box<Expr>,
        right: Box<Expr>,
        len: u32,
    },
    /// Position of `needle` in `haystack`, -1 where it is not (`int64`).
    Strstr {
        haystack: Box<Expr>,
        needle: Box<Expr>,
    },
    Strlen(Box<Expr>),
    StrConcat {
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// Like C's.
    Memcmp {
        left: Box<Expr>,
        right: Box<Expr>,
        len: Box<Expr>,
    },
    /// Row `index` of a table of strings, empty where it has no such row: `strerror`, `signal_name`, `syscall_name`.
    Table {
        table: StringTable,
        index: Box<Expr>,
    },
    Bswap(Box<Expr>),
    /// `signal(n)`: to the process, or to the thread alone. The result is the helper's.
    Signal {
        number: Box<Expr>,
        thread: bool,
    },
    Override(Box<Expr>),
    /// Address of a symbol of the program traced, with the load address of its process where that is known only at run time.
    PerCpuAddress {
        symbol_btf_id: u32,
        cpu: Option<Box<Expr>>,
    },
    /// `path(struct path)`: `string` of the expression's type.
    Path {
        path: Box<Expr>,
    },
    SocketCookie(Box<Expr>),
    WriteUser {
        dst: Box<Expr>,
        src: Box<Expr>,
        len: Box<Expr>,
    },
    SkbOutput {
        path: String,
        skb: Box<Expr>,
        len: Box<Expr>,
        offset: Box<Expr>,
    },
    /// A call of a USDT argument: see `probes`' parser of argument strings.
    UsdtArgument(beetrace_probes::usdt::Argument),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StringTable {
    Errno,
    Signal,
    Syscall,
}

/// Which sign an aggregate was made with.
impl Signedness {
    pub fn is_signed(self) -> bool {
        self == Signedness::Signed
    }
}

impl Expr {
    pub fn new(kind: ExprKind, ty: Type, span: Span) -> Self {
        Expr { kind, ty, span }
    }

    /// The space of the place that this expression is, `Space::Bpf` for values of the program's own.
    pub fn space(&self) -> Space {
        match &self.ty {
            Type::Struct(_, space) => *space,
            _ => match &self.kind {
                ExprKind::Deref(p) => match p.ty {
                    Type::Pointer(_, space) => space,
                    _ => Space::None,
                },
                ExprKind::Field { base, .. } | ExprKind::Index { base, .. } => base.space(),
                ExprKind::Cast {
                    cast: Cast::Reinterpret,
                    expr,
                } => expr.space(),
                _ => Space::Bpf,
            },
        }
    }
}
