//! Built-in names: one file a family. Each family answers for its names; what nobody knows is reported here.

mod context;
mod errno;
mod maps;
mod memory;
mod meta;
mod network;
mod output;
mod process;
mod strings;
mod symbols;
mod time;
mod uaddr;

use crate::ast::{Expr, ExprKind, Ident};
use crate::check::Checker;
use crate::check::aggregate::is_aggregate;
use crate::check::literal::Lit;
use crate::check::value::Val;
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::structs::base_name;
use crate::suggest::nearest;
use crate::types::{IntType, Type};

/// How many arguments the functions of the language take.
const ARITY: &[(&str, usize, usize)] = &[
    ("bswap", 1, 1),
    ("buf", 1, 2),
    ("cat", 1, 128),
    ("cgroup_path", 1, 2),
    ("cgroupid", 1, 1),
    ("clear", 1, 1),
    ("debugf", 1, 128),
    ("errorf", 1, 128),
    ("exit", 0, 1),
    ("fail", 1, 128),
    ("has_key", 2, 2),
    ("find", 3, 3),
    ("is_scalar", 1, 1),
    ("is_literal", 1, 1),
    ("join", 1, 2),
    ("kaddr", 1, 1),
    ("kptr", 1, 1),
    ("kstack", 0, 2),
    ("ksym", 1, 1),
    ("len", 1, 1),
    ("macaddr", 1, 1),
    ("memcmp", 3, 3),
    ("nsecs", 0, 1),
    ("ntop", 1, 2),
    ("offsetof", 2, 2),
    ("override", 1, 1),
    ("path", 1, 2),
    ("percpu_kaddr", 1, 2),
    ("pid", 0, 1),
    ("print", 1, 3),
    ("printf", 1, 128),
    ("pton", 1, 1),
    ("reg", 1, 1),
    ("signal", 1, 1),
    ("signal_thread", 1, 1),
    ("signal_name", 1, 1),
    ("sizeof", 1, 1),
    ("skboutput", 4, 4),
    ("socket_cookie", 1, 1),
    ("stack_len", 1, 1),
    ("static_assert", 2, 2),
    ("str", 1, 2),
    ("str_concat", 2, 2),
    ("strcontains", 2, 2),
    ("strerror", 1, 1),
    ("strftime", 2, 2),
    ("strlen", 1, 1),
    ("strncmp", 3, 3),
    ("strstr", 2, 2),
    ("syscall_name", 1, 1),
    ("system", 1, 128),
    ("tid", 0, 1),
    ("time", 0, 1),
    ("typeinfo", 1, 1),
    ("uaddr", 1, 1),
    ("unwatch", 1, 1),
    ("uptr", 1, 1),
    ("ustack", 0, 2),
    ("usym", 1, 1),
    ("warnf", 1, 128),
    ("write_user", 3, 3),
    ("zero", 1, 1),
];

/// Names that stand alone.
const WORDS: &[&str] = &[
    "args",
    "cgroup",
    "comm",
    "cpid",
    "cpu",
    "ctx",
    "curtask",
    "elapsed",
    "func",
    "gid",
    "has_cpid",
    "jiffies",
    "kstack",
    "ncpus",
    "nsecs",
    "numaid",
    "pid",
    "probe",
    "probetype",
    "rand",
    "retval",
    "tid",
    "uid",
    "usermode",
    "username",
    "ustack",
];

/// Whether the language itself has the name, as a word or as a function.
pub(crate) fn is_known(name: &str) -> bool {
    WORDS.contains(&name) || ARITY.iter().any(|(function, ..)| *function == name)
}

/// What a family says to a name: not mine, or an answer, which may be an error that it reported.
pub(crate) type Answer = Option<Option<Val>>;

impl<'a> Checker<'a> {
    /// A bare word.
    pub(crate) fn ident(&mut self, name: &str, span: Span) -> Option<Val> {
        if let Some(answer) = self.word_of_family(name, span) {
            return answer;
        }
        if let Some((id, value)) = self.structs.enumerator(name) {
            return Some(self.enumerator(id, value, span));
        }
        if let Some((ty, value)) = self.structs.btf_enumerator(&self.btf, name) {
            let ty = match ty {
                Type::Enum(id, int) => Type::Enum(id, IntType { bits: 64, ..int }),
                _ => Type::I64,
            };
            let mut constant = Val::constant(Lit::Int(value), span);
            constant.expr.ty = ty.clone();
            constant.ty = ty;
            return Some(constant);
        }
        if let Some(number) = errno::number(name) {
            return Some(Val::constant(Lit::Int(number), span));
        }
        if is_aggregate(name) {
            self.error(
                "aggregate",
                span,
                format!("{name}() must be assigned directly to a map"),
            );
            return None;
        }
        let known = WORDS.iter().copied().chain(ARITY.iter().map(|(n, ..)| *n));
        let mut diagnostic = Diagnostic::error(
            "unknown-identifier",
            format!("Unknown identifier: '{name}'"),
        )
        .at(span, "");
        if let Some(near) = nearest(name, known) {
            diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
        }
        self.report(diagnostic);
        None
    }

    fn word_of_family(&mut self, name: &str, span: Span) -> Answer {
        // What a macro of the user hides is still there under its long name.
        let name = name.strip_prefix("__builtin_").unwrap_or(name);
        self.context_word(name, span)
            .or_else(|| self.process_word(name, span))
            .or_else(|| self.time_word(name, span))
            .or_else(|| self.symbol_word(name, span))
            .or_else(|| self.meta_word(name, span))
            .or_else(|| self.output_word(name, span))
    }

    fn enumerator(&mut self, id: crate::structs::EnumId, value: u64, span: Span) -> Val {
        let int = self.structs.get_enum(id).ty;
        let lit = if int.signed {
            Lit::Int(i128::from(value as i64))
        } else {
            Lit::Int(i128::from(value))
        };
        let mut constant = Val::constant(lit, span);
        // An enumerator prints as its number; the cast to its enum makes it print by name.
        let ty = Type::Enum(id, IntType { bits: 64, ..int });
        constant.expr.ty = ty.clone();
        constant.ty = ty;
        constant
    }

    /// `name(args)`
    pub(crate) fn call(&mut self, name: &'a Ident, args: &'a [Expr], span: Span) -> Option<Val> {
        let discarded = std::mem::take(&mut self.now.discarded);
        let text = name.name.as_str();
        let text = text.strip_prefix("__builtin_").unwrap_or(text);
        if is_aggregate(text) {
            self.error(
                "aggregate",
                span,
                format!("{text}() must be assigned directly to a map"),
            );
            return None;
        }
        // `delete` says itself what it wants.
        if let Some((_, least, most)) = ARITY.iter().find(|(n, ..)| *n == text)
            && !self.check_arity(text, args.len(), *least, *most, span)
        {
            return None;
        }
        if let Some(answer) = self.call_of_family(text, args, discarded, span) {
            return answer;
        }
        if args.is_empty()
            && let Some(answer) = self.word_of_family(text, span)
        {
            return answer;
        }
        for arg in args {
            if !matches!(arg.kind, ExprKind::Type(_)) {
                self.expr(arg);
            }
        }
        let known = ARITY.iter().map(|(n, ..)| *n).chain(WORDS.iter().copied());
        let mut diagnostic =
            Diagnostic::error("unknown-function", format!("Unknown function: '{text}'"))
                .at(span, "");
        if let Some(near) = nearest(text, known) {
            diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
        }
        self.report(diagnostic);
        None
    }

    fn call_of_family(
        &mut self,
        name: &str,
        args: &'a [Expr],
        discarded: bool,
        span: Span,
    ) -> Answer {
        self.output_call(name, args, span)
            .or_else(|| self.map_call(name, args, discarded, span))
            .or_else(|| self.meta_call(name, args, span))
            .or_else(|| self.memory_call(name, args, span))
            .or_else(|| self.string_call(name, args, span))
            .or_else(|| self.symbol_call(name, args, span))
            .or_else(|| self.time_call(name, args, span))
            .or_else(|| self.process_call(name, args, span))
            .or_else(|| self.network_call(name, args, span))
            .or_else(|| self.context_call(name, args, span))
    }

    pub(crate) fn check_arity(
        &mut self,
        name: &str,
        given: usize,
        least: usize,
        most: usize,
        span: Span,
    ) -> bool {
        let message = if least == most {
            if given == least {
                return true;
            }
            match least {
                0 => format!("{name}() requires no arguments"),
                1 => format!("{name}() requires one argument"),
                n => format!("{name}() requires {n} arguments"),
            }
        } else if given < least {
            match least {
                1 => format!("{name}() requires at least one argument"),
                n => format!("{name}() requires at least {n} arguments"),
            }
        } else if given > most {
            match most {
                0 => format!("{name}() requires no arguments"),
                1 => format!("{name}() takes up to one argument"),
                n => format!("{name}() takes up to {n} arguments"),
            }
        } else {
            return true;
        };
        self.error("arity", span, format!("{message} ({given} provided)"));
        false
    }

    /// Refuses what could harm the system, unless it was allowed.
    pub(crate) fn check_safety(&mut self, name: &str, span: Span) -> bool {
        if self.options.allow_unsafe {
            return true;
        }
        self.report(
            Diagnostic::error(
                "unsafe",
                format!("{name}() is an unsafe function being used in safe mode"),
            )
            .at(span, "")
            .help("allow it with --unsafe"),
        );
        false
    }

    /// An argument that must be a string in the script.
    pub(crate) fn literal_text(&mut self, name: &str, arg: &'a Expr, span: Span) -> Option<String> {
        let value = self.expr(arg)?;
        match value.lit {
            Some(Lit::Str(text)) => Some(text),
            _ => {
                let message = format!(
                    "{name}() expects a string literal ({} provided)",
                    base_name(&value.ty)
                );
                self.error("argument", span, message);
                None
            }
        }
    }

    /// An argument that must be an integer in the script.
    pub(crate) fn literal_int(&mut self, name: &str, arg: &'a Expr, span: Span) -> Option<i128> {
        let value = self.expr(arg)?;
        match value.lit {
            Some(Lit::Int(n)) => Some(n),
            _ => {
                let message = format!(
                    "{name}() expects a int literal ({} provided)",
                    base_name(&value.ty)
                );
                self.error("argument", span, message);
                None
            }
        }
    }

    /// An argument of an integer type; what is summed up in a map counts as one.
    pub(crate) fn integer(&mut self, name: &str, arg: &'a Expr, span: Span) -> Option<Val> {
        let value = self.expr(arg)?;
        if crate::check::promote::numeric(&value.ty).is_some() {
            return Some(value);
        }
        let message = format!(
            "{name}() only supports int arguments ({} provided)",
            base_name(&value.ty)
        );
        self.error("argument", span, message);
        None
    }

    /// A word that stands for itself as an argument: `ustack(perf)`, `nsecs(tai)`.
    pub(crate) fn keyword(arg: &Expr) -> Option<&str> {
        match &arg.kind {
            ExprKind::Ident(name) => Some(name),
            _ => None,
        }
    }
}
