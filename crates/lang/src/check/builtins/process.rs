//! Who runs: processes, threads, users, groups of them, processors; and signals to them.

use beetrace_object::Parameter;

use crate::ast::Expr;
use crate::check::Checker;
use crate::check::builtins::Answer;
use crate::check::coerce::cast;
use crate::check::literal::Lit;
use crate::check::value::Val;
use crate::span::Span;
use crate::structs::{base_name, pointer_to};
use crate::typed::{Call, Cast, ExprKind};
use crate::types::{Space, Type};

impl<'a> Checker<'a> {
    pub(crate) fn process_word(&mut self, name: &str, span: Span) -> Answer {
        let of = |call, ty| Some(Some(Val::new(ExprKind::Call(call), ty, span)));
        let initial_namespace = false;
        match name {
            "pid" => of(Call::Pid { initial_namespace }, Type::U32),
            "tid" => of(Call::Tid { initial_namespace }, Type::U32),
            "uid" => of(Call::Uid, Type::U64),
            "gid" => of(Call::Gid, Type::U64),
            "comm" => of(Call::Comm, Type::Str(16)),
            "cpu" => of(Call::Cpu, Type::U64),
            "numaid" => of(Call::Numaid, Type::U64),
            "rand" => of(Call::Rand, Type::U32),
            "cgroup" => of(Call::Cgroup, Type::U64),
            "ncpus" => of(Call::Parameter(Parameter::Cpus), Type::U64),
            "has_cpid" => Some(Some(Val::constant(Lit::Bool(self.options.has_child), span))),
            "cpid" => of(Call::Parameter(Parameter::ChildPid), Type::U64),
            "username" => of(Call::Username, Type::Username),
            "curtask" => {
                let task = match self.structs.named("struct task_struct") {
                    Some(id) => Some(id),
                    None => self.structs.btf_struct(&self.btf, false, "task_struct"),
                };
                let ty = match task {
                    Some(id) => pointer_to(id, Space::Kernel),
                    None => Type::U64,
                };
                let value = Val::new(ExprKind::Call(Call::Curtask), ty, span);
                Some(Some(value.in_space(Space::Kernel)))
            }
            _ => None,
        }
    }

    pub(crate) fn process_call(&mut self, name: &str, args: &'a [Expr], span: Span) -> Answer {
        match (name, args) {
            ("pid" | "tid", [space]) => Some(self.pid_in(name, space, span)),
            ("cgroupid", [path]) => Some(self.cgroup_id(path, span)),
            ("cgroup_path", _) => Some(self.cgroup_path(args, span)),
            ("signal" | "signal_thread", [number]) => Some(self.signal(name, number, span)),
            ("override", [value]) => Some(self.override_result(value, span)),
            _ => None,
        }
    }

    fn pid_in(&mut self, name: &str, space: &'a Expr, span: Span) -> Option<Val> {
        let initial_namespace = match Self::keyword(space) {
            Some("init") => true,
            Some("curr_ns") => false,
            Some(other) => {
                self.error(
                    "argument",
                    space.span,
                    format!("Invalid PID namespace mode: {other} (expects: curr_ns or init)"),
                );
                return None;
            }
            None => {
                self.error(
                    "argument",
                    span,
                    format!("{name}() only supports curr_ns and init as the argument"),
                );
                return None;
            }
        };
        let call = match name {
            "pid" => Call::Pid { initial_namespace },
            _ => Call::Tid { initial_namespace },
        };
        Some(Val::new(ExprKind::Call(call), Type::U32, span))
    }

    fn cgroup_id(&mut self, path: &'a Expr, span: Span) -> Option<Val> {
        let path = self.literal_text("cgroupid", path, span)?;
        let id = match self.btf.world.cgroup_id(path.as_ref()) {
            Ok(id) => id,
            Err(error) => {
                self.error("cgroup", span, error.message);
                return None;
            }
        };
        let mut value = Val::constant(Lit::Int(i128::from(id)), span);
        value.ty = Type::U64;
        value.expr.ty = Type::U64;
        value.lit = None;
        Some(value)
    }

    fn cgroup_path(&mut self, args: &'a [Expr], span: Span) -> Option<Val> {
        let id = self.integer("cgroup_path", args.first()?, span);
        let filter = match args.get(1) {
            None => None,
            Some(filter) => Some(self.literal_text("cgroup_path", filter, span)?.into()),
        };
        let id = self.as_u64(id?);
        let call = Call::CgroupPath(Box::new(id.expr));
        Some(Val::new(
            ExprKind::Call(call),
            Type::CgroupPath(filter),
            span,
        ))
    }

    fn signal(&mut self, name: &str, number: &'a Expr, span: Span) -> Option<Val> {
        let supported = matches!(
            self.now.provider(),
            "kprobe"
                | "kretprobe"
                | "uprobe"
                | "uretprobe"
                | "usdt"
                | "tracepoint"
                | "profile"
                | "fentry"
                | "fexit"
                | "rawtracepoint"
        );
        if !supported {
            let message = format!(
                "{name}() can not be used for this probetype {}",
                self.now.provider()
            );
            self.error("context", span, message);
            return None;
        }
        if !self.options.allow_unsafe {
            self.error(
                "unsafe",
                span,
                format!("{name}() is unsafe. To use you need the --unsafe flag"),
            );
            return None;
        }
        let value = self.expr(number)?;
        let number = match &value.lit {
            Some(Lit::Str(text)) => match signal_number(text) {
                Some(n) => Val::constant(Lit::Int(n), value.span()),
                None => {
                    self.error(
                        "argument",
                        span,
                        format!("Invalid string for signal: {text}"),
                    );
                    return None;
                }
            },
            Some(Lit::Int(n)) if !(1..=64).contains(n) => {
                self.error("argument", span, format!("{name}() accepts a string literal or an integer between 1 and 64 (inclusive)"));
                return None;
            }
            _ if value.ty.is_integer() => value,
            _ => {
                self.error(
                    "argument",
                    span,
                    format!("{name}() accepts a string literal or an integer"),
                );
                return None;
            }
        };
        let number = self.explicit_int(number, &Type::U32);
        let call = Call::Signal {
            number: Box::new(number.expr),
            thread: name == "signal_thread",
        };
        Some(self.effect(Val::new(ExprKind::Call(call), Type::I64, span)))
    }

    fn override_result(&mut self, value: &'a Expr, span: Span) -> Option<Val> {
        if self.now.provider() != "kprobe" {
            self.error(
                "context",
                span,
                "override() can only be used inside kprobes",
            );
            return None;
        }
        if !self.options.allow_unsafe {
            self.error(
                "unsafe",
                span,
                "override() is unsafe. To use you need the --unsafe flag",
            );
            return None;
        }
        let value = self.expr(value)?;
        if !value.ty.is_integer() {
            let message = format!(
                "override() only supports int arguments ({} provided)",
                base_name(&value.ty)
            );
            self.error("argument", span, message);
            return None;
        }
        let value = self.as_u64(value);
        let value = cast(Cast::Int, value, Type::U64);
        let call = Call::Override(Box::new(value.expr));
        Some(self.effect(Val::new(ExprKind::Call(call), Type::I64, span)))
    }

    /// A call that is made for its effect: nobody is told of a result.
    pub(crate) fn effect(&self, value: Val) -> Val {
        let span = value.span();
        Val::void(
            vec![crate::typed::Stmt {
                kind: crate::typed::StmtKind::Expr(value.expr),
                span,
            }],
            span,
        )
    }
}

/// The number of a signal by its name with or without `SIG` (signal(7), the numbers of x86 and arm).
fn signal_number(name: &str) -> Option<i128> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
        "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
        "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    let short = match short {
        "IOT" => "ABRT",
        "POLL" => "IO",
        "CLD" => "CHLD",
        short => short,
    };
    let index = NAMES.iter().position(|n| *n == short)?;
    i128::try_from(index + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::signal_number;

    #[test]
    fn signals_have_their_numbers() {
        assert_eq!(signal_number("SIGKILL"), Some(9));
        assert_eq!(signal_number("usr1"), Some(10));
        assert_eq!(signal_number("SIGSYS"), Some(31));
        assert_eq!(signal_number("NOSUCH"), None);
    }
}
