//! Which attach points share a program.
//!
//! A body is checked once for all attach points that look alike to it: of one provider, with one kind of context, and
//! with the same arguments and name where the body asks for them.

use beetrace_object::{Event, ProgramKind};
use beetrace_probes::{Arguments, Context, Match};

use crate::ast::{Block, Expr, ExprKind, Iterable, Stmt, StmtKind, TypeBase, TypeExpr, TypeSuffix};
use crate::check::probe::Instance;
use crate::diagnostic::Diagnostic;
use crate::expanded::ExpandedProbe;

/// What a body asks of its attach point.
#[derive(Clone, Copy, Debug, Default)]
struct Uses {
    /// `args`, `argN`, `retval`, `ctx`
    arguments: bool,
    /// `probe`
    name: bool,
    /// `uaddr`, `elf_…`: the binary.
    binary: bool,
}

/// The programs of a script; more than `limit` of them are an error.
pub(crate) fn instances(
    probes: &[ExpandedProbe],
    limit: usize,
) -> Result<Vec<Instance<'_>>, Box<Diagnostic>> {
    let mut all: Vec<Instance<'_>> = Vec::new();
    for probe in probes {
        let mut uses = Uses::default();
        if let Some(predicate) = &probe.predicate {
            uses.expr(predicate);
        }
        uses.block(&probe.body);
        let first = all.len();
        for found in &probe.matches {
            let known = all[first..]
                .iter_mut()
                .find(|i| i.matches.first().is_some_and(|m| uses.alike(m, found)));
            match known {
                Some(instance) => instance.matches.push(found),
                None => all.push(Instance {
                    probe,
                    matches: vec![found],
                }),
            }
            if all.len() > limit {
                let message = format!(
                    "Your program is trying to generate more than {} BPF programs, which exceeds the current limit of {limit}",
                    all.len()
                );
                return Err(Box::new(Diagnostic::error("too-many-programs", message)
                    .at(probe.span, "")
                    .help("You can increase the limit through the BPFTRACE_MAX_BPF_PROGS environment variable.")));
            }
        }
    }
    Ok(all)
}

/// The class of an event for the checker: its `probetype`, and whether its pointers are the user's.
pub(crate) fn provider(event: &Event) -> &'static str {
    match event {
        Event::Begin | Event::End | Event::SelfSignal { .. } => "special",
        Event::Test { .. } => "test",
        Event::Bench { .. } => "benchmark",
        Event::Interval { .. } => "interval",
        Event::Profile { .. } => "profile",
        Event::Software { .. } => "software",
        Event::Hardware { .. } => "hardware",
        Event::Tracepoint { .. } => "tracepoint",
        Event::RawTracepoint { .. } => "rawtracepoint",
        Event::Uprobe(u) if u.is_return => "uretprobe",
        Event::Uprobe(_) => "uprobe",
        Event::Usdt(_) => "usdt",
        Event::Iter { .. } => "iter",
        Event::Watchpoint { .. } => "watchpoint",
        Event::Kprobe {
            is_return: true, ..
        } => "kretprobe",
        Event::Kprobe { .. } => "kprobe",
        Event::Fentry { is_exit: true, .. } => "fexit",
        Event::Fentry { .. } => "fentry",
    }
}

fn binary(event: &Event) -> Option<&std::path::Path> {
    match event {
        Event::Uprobe(u) => Some(&u.path),
        Event::Usdt(u) => Some(&u.path),
        _ => None,
    }
}

impl Uses {
    fn alike(&self, a: &Match, b: &Match) -> bool {
        provider(&a.spec.event) == provider(&b.spec.event)
            && (a.kind, a.context) == (b.kind, b.context)
            && (!self.name || a.spec.name == b.spec.name)
            && (!self.binary || binary(&a.spec.event) == binary(&b.spec.event))
            && (!self.arguments || same_arguments(a, b))
            // A program of these kinds is bound to its function when it is loaded.
            && !matches!(
                (a.kind, a.context),
                (ProgramKind::Tracing, Context::Arguments | Context::Iterator)
            )
    }

    fn name(&mut self, name: &str) {
        match name.strip_prefix("__builtin_").unwrap_or(name) {
            "args" | "ctx" | "retval" => self.arguments = true,
            "probe" => self.name = true,
            "uaddr" | "elf_is_exe" | "elf_info" => self.binary = true,
            name => {
                let digits = name.strip_prefix("arg").or(name.strip_prefix("sarg"));
                if digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit())) {
                    self.arguments = true;
                }
            }
        }
    }

    fn block(&mut self, block: &Block) {
        block.stmts.iter().for_each(|s| self.stmt(s));
        if let Some(value) = &block.value {
            self.expr(value);
        }
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Expr(e) | StmtKind::Discard(e) => self.expr(e),
            StmtKind::Let { ty, value, .. } => {
                if let Some(ty) = ty {
                    self.ty(ty);
                }
                if let Some(value) = value {
                    self.expr(value);
                }
            }
            StmtKind::Assign { target, value, .. } => {
                self.expr(target);
                self.expr(value);
            }
            StmtKind::If {
                cond,
                then,
                otherwise,
            } => {
                self.expr(cond);
                self.block(then);
                if let Some(otherwise) = otherwise {
                    self.block(otherwise);
                }
            }
            StmtKind::While { cond, body } => {
                self.expr(cond);
                self.block(body);
            }
            StmtKind::Unroll { count, body } => {
                self.expr(count);
                self.block(body);
            }
            StmtKind::For { iter, body, .. } => {
                match iter {
                    Iterable::Map(e) => self.expr(e),
                    Iterable::Range { start, end } => {
                        self.expr(start);
                        self.expr(end);
                    }
                }
                self.block(body);
            }
            StmtKind::Block(block) => self.block(block),
            StmtKind::Return(Some(e)) => self.expr(e),
            StmtKind::Return(None) | StmtKind::Break | StmtKind::Continue | StmtKind::Import(_) => {
            }
        }
    }

    fn ty(&mut self, ty: &TypeExpr) {
        match &ty.base {
            TypeBase::Typeof(e) => self.expr(e),
            TypeBase::Tuple(elements) => elements.iter().for_each(|t| self.ty(t)),
            TypeBase::Record(members) => members.iter().for_each(|(_, t)| self.ty(t)),
            _ => {}
        }
        for suffix in &ty.suffixes {
            if let TypeSuffix::Array(Some(e)) = suffix {
                self.expr(e);
            }
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Ident(name) => self.name(name),
            ExprKind::MapKey { key: e, .. }
            | ExprKind::Unary { expr: e, .. }
            | ExprKind::Step { target: e, .. }
            | ExprKind::Field { base: e, .. }
            | ExprKind::TupleIndex { base: e, .. }
            | ExprKind::Comptime(e) => self.expr(e),
            ExprKind::Binary { left, right, .. } => {
                self.expr(left);
                self.expr(right);
            }
            ExprKind::OrElse { value, otherwise } => {
                self.expr(value);
                self.expr(otherwise);
            }
            ExprKind::Index { base, index } => {
                self.expr(base);
                self.expr(index);
            }
            ExprKind::Ternary {
                cond,
                then,
                otherwise,
            } => {
                self.expr(cond);
                self.expr(then);
                self.expr(otherwise);
            }
            ExprKind::If {
                cond,
                then,
                otherwise,
            } => {
                self.expr(cond);
                self.block(then);
                self.block(otherwise);
            }
            ExprKind::Cast { ty, expr } => {
                self.ty(ty);
                self.expr(expr);
            }
            ExprKind::Type(ty) => self.ty(ty),
            ExprKind::Tuple(elements) => elements.iter().for_each(|e| self.expr(e)),
            ExprKind::Record(members) => members.iter().for_each(|(_, e)| self.expr(e)),
            ExprKind::Call { name, args } => {
                self.name(&name.name);
                args.iter().for_each(|e| self.expr(e));
            }
            ExprKind::Block(block) => self.block(block),
            ExprKind::Int { .. }
            | ExprKind::Bool(_)
            | ExprKind::Str(_)
            | ExprKind::Var(_)
            | ExprKind::Map(_)
            | ExprKind::Param(_)
            | ExprKind::ParamCount
            | ExprKind::Error => {}
        }
    }
}

fn same_arguments(a: &Match, b: &Match) -> bool {
    // Pointers of system calls' tracepoints are the user's.
    let user = |m: &Match| matches!(&m.spec.event, Event::Tracepoint { category, .. } if category == "syscalls");
    match (&a.arguments, &b.arguments) {
        (Arguments::Registers, Arguments::Registers) | (Arguments::None, Arguments::None) => true,
        (x, y) => x == y && user(a) == user(b),
    }
}
