//! Walking over statements and expressions.

use beetrace_lang::typed::{Action, Call, Expr, ExprKind, Stmt, StmtKind};

/// Sees every statement and expression below one; an implementation calls [`walk_stmt`] or [`walk_expr`] to go on.
pub(super) trait Visit<'a> {
    fn stmt(&mut self, stmt: &'a Stmt) {
        walk_stmt(self, stmt);
    }

    fn expr(&mut self, expr: &'a Expr) {
        walk_expr(self, expr);
    }

    fn block(&mut self, stmts: &'a [Stmt]) {
        for stmt in stmts {
            self.stmt(stmt);
        }
    }
}

pub(super) fn walk_stmt<'a, V: Visit<'a> + ?Sized>(v: &mut V, stmt: &'a Stmt) {
    match &stmt.kind {
        StmtKind::Expr(e) => v.expr(e),
        StmtKind::Declare(_) | StmtKind::Break | StmtKind::Continue => {}
        StmtKind::SetVar { value, .. } => v.expr(value),
        StmtKind::SetMap { key, value, .. } => {
            optional(v, key.as_ref());
            v.expr(value);
        }
        StmtKind::Aggregate { key, value, .. } => {
            optional(v, key.as_ref());
            optional(v, value.as_ref());
        }
        StmtKind::If {
            cond,
            then,
            otherwise,
        } => {
            v.expr(cond);
            v.block(then);
            v.block(otherwise);
        }
        StmtKind::While { cond, body } => {
            v.expr(cond);
            v.block(body);
        }
        StmtKind::Unroll { body, .. } | StmtKind::ForMap { body, .. } => v.block(body),
        StmtKind::ForRange {
            start, end, body, ..
        } => {
            v.expr(start);
            v.expr(end);
            v.block(body);
        }
        StmtKind::Block(body) => v.block(body),
        StmtKind::Return(value) => optional(v, value.as_ref()),
        StmtKind::Action(action) => walk_action(v, action),
    }
}

fn walk_action<'a, V: Visit<'a> + ?Sized>(v: &mut V, action: &'a Action) {
    match action {
        Action::Format { args, .. } | Action::Debug { args, .. } => {
            args.iter().for_each(|e| v.expr(e))
        }
        Action::PrintValue(e) | Action::Exit(e) | Action::Unwatch(e) => v.expr(e),
        Action::PrintMapKey { key, .. } => optional(v, key.as_ref()),
        Action::Join { argv, .. } => v.expr(argv),
        Action::PrintMap { .. } | Action::Clear(_) | Action::Zero(_) | Action::Time { .. } => {}
    }
}

fn optional<'a, V: Visit<'a> + ?Sized>(v: &mut V, expr: Option<&'a Expr>) {
    if let Some(e) = expr {
        v.expr(e);
    }
}

pub(super) fn walk_expr<'a, V: Visit<'a> + ?Sized>(v: &mut V, expr: &'a Expr) {
    match &expr.kind {
        ExprKind::Int(_)
        | ExprKind::Str(_)
        | ExprKind::Bytes(_)
        | ExprKind::Var(_)
        | ExprKind::AddressOfVar(_)
        | ExprKind::MapLen(_)
        | ExprKind::Context
        | ExprKind::Argument(_)
        | ExprKind::Register { .. } => {}
        ExprKind::AddressOfMap { key, .. }
        | ExprKind::MapGet { key, .. }
        | ExprKind::MapAggregate { key, .. }
        | ExprKind::Delete { key, .. } => optional(v, key.as_deref()),
        ExprKind::HasKey { key, .. } | ExprKind::Find { key, .. } => v.expr(key),
        ExprKind::Unary { expr, .. } | ExprKind::Cast { expr, .. } | ExprKind::Deref(expr) => {
            v.expr(expr);
        }
        ExprKind::Binary { left, right, .. } => {
            v.expr(left);
            v.expr(right);
        }
        ExprKind::Offset { pointer, bytes, .. } => {
            v.expr(pointer);
            v.expr(bytes);
        }
        ExprKind::Ternary {
            cond,
            then,
            otherwise,
        } => {
            v.expr(cond);
            v.expr(then);
            v.expr(otherwise);
        }
        ExprKind::Field { base, .. }
        | ExprKind::DataLoc { base, .. }
        | ExprKind::Element { base, .. } => v.expr(base),
        ExprKind::Index { base, index } => {
            v.expr(base);
            v.expr(index);
        }
        ExprKind::Tuple(values) | ExprKind::Record { values, .. } => {
            values.iter().for_each(|e| v.expr(e));
        }
        ExprKind::Step { target, .. } => v.expr(target),
        ExprKind::Block { stmts, value } => {
            v.block(stmts);
            optional(v, value.as_deref());
        }
        ExprKind::Call(call) => walk_call(v, call),
    }
}

fn walk_call<'a, V: Visit<'a> + ?Sized>(v: &mut V, call: &'a Call) {
    match call {
        Call::Pid { .. }
        | Call::Tid { .. }
        | Call::Uid
        | Call::Gid
        | Call::Comm
        | Call::Nsecs(_)
        | Call::Elapsed
        | Call::Jiffies
        | Call::Cpu
        | Call::Numaid
        | Call::Curtask
        | Call::Rand
        | Call::Cgroup
        | Call::FunctionAddress
        | Call::UserMode
        | Call::Parameter(_)
        | Call::Stack
        | Call::Username
        | Call::UsdtArgument(_) => {}
        Call::Str { pointer, length } => {
            v.expr(pointer);
            optional(v, length.as_deref());
        }
        Call::Ntop { family, address } => {
            optional(v, family.as_deref());
            v.expr(address);
        }
        Call::Buf {
            pointer: left,
            length: right,
        }
        | Call::Strncmp { left, right, .. }
        | Call::StrConcat { left, right }
        | Call::Strstr {
            haystack: left,
            needle: right,
        } => {
            v.expr(left);
            v.expr(right);
        }
        Call::StackLen(e)
        | Call::Ksym(e)
        | Call::Usym(e)
        | Call::Macaddr(e)
        | Call::Strftime { nanos: e, .. }
        | Call::CgroupPath(e)
        | Call::Strlen(e)
        | Call::Table { index: e, .. }
        | Call::Bswap(e)
        | Call::Signal { number: e, .. }
        | Call::Override(e)
        | Call::Path { path: e }
        | Call::SocketCookie(e) => v.expr(e),
        Call::Memcmp { left, right, len }
        | Call::WriteUser {
            dst: left,
            src: right,
            len,
        }
        | Call::SkbOutput {
            skb: left,
            len: right,
            offset: len,
            ..
        } => {
            v.expr(left);
            v.expr(right);
            v.expr(len);
        }
        Call::PerCpuAddress { cpu, .. } => optional(v, cpu.as_deref()),
    }
}
