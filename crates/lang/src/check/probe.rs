//! One probe of the program: its context, its arguments, and what is known while its body is checked.

use std::path::Path;

use beetrace_object::Event;
use beetrace_probes::{Arguments, Context, Match};

use crate::check::Checker;
use crate::check::group::provider;
use crate::check::scope::{Slots, VarRef};
use crate::expanded::ExpandedProbe;
use crate::span::{Sources, Span};
use crate::structs::StructId;
use crate::typed;
use crate::types::Space;

/// A body and the attach points that it serves as one program.
pub(crate) struct Instance<'a> {
    pub(crate) probe: &'a ExpandedProbe,
    /// Never empty.
    pub(crate) matches: Vec<&'a Match>,
}

/// What is being checked at the moment.
#[derive(Default)]
pub(crate) struct Now<'a> {
    /// Which instance it is.
    pub(crate) index: usize,
    pub(crate) matched: Option<&'a Match>,
    /// Whether that is the only one of the instance.
    pub(crate) is_alone: bool,
    pub(crate) scopes: Vec<Vec<(String, VarRef)>>,
    pub(crate) slots: Slots,
    /// How many loops are around.
    pub(crate) loops: u32,
    /// How many `for` bodies are around, which run as functions of their own.
    pub(crate) loop_bodies: u32,
    /// Whether nobody takes the value of the expression at hand.
    pub(crate) discarded: bool,
    /// Inside the format string of `printf`, which may be long.
    pub(crate) format_text: bool,
    /// Why the address of `args` is known: its struct.
    pub(crate) arguments: Option<StructId>,
}

impl Now<'_> {
    /// What `probetype` is.
    pub(crate) fn provider(&self) -> &'static str {
        self.matched.map_or("none", |m| provider(&m.spec.event))
    }

    /// What messages call the provider: `begin`, not `special`.
    pub(crate) fn written_provider(&self) -> &'static str {
        match self.matched.map(|m| &m.spec.event) {
            Some(Event::Begin) => "begin",
            Some(Event::End) => "end",
            Some(Event::SelfSignal { .. }) => "self",
            Some(Event::Bench { .. }) => "bench",
            _ => self.provider(),
        }
    }

    pub(crate) fn context(&self) -> Context {
        self.matched.map_or(Context::None, |m| m.context)
    }

    /// The memory that addresses of unknown origin usually lie in.
    pub(crate) fn default_space(&self) -> Space {
        match self.provider() {
            "kprobe" | "kretprobe" | "fentry" | "fexit" | "tracepoint" | "iter"
            | "rawtracepoint" => Space::Kernel,
            "uprobe" | "uretprobe" | "usdt" => Space::User,
            _ => Space::None,
        }
    }

    /// The memory that pointers in the context lead to.
    pub(crate) fn context_space(&self) -> Space {
        match self.matched.map(|m| &m.spec.event) {
            Some(Event::Tracepoint { category, .. }) if category == "syscalls" => Space::User,
            _ => self.default_space(),
        }
    }

    /// Whether `args` are the parameters of a function.
    pub(crate) fn has_typed_arguments(&self) -> bool {
        matches!(
            self.matched.map(|m| &m.arguments),
            Some(Arguments::Btf { .. })
        )
    }

    /// Whether the place is in the user's own text.
    pub(crate) fn is_user_text(&self, span: Span, sources: &Sources) -> bool {
        sources.get(span.source).is_none_or(|s| !s.is_stdlib)
    }

    pub(crate) fn binary(&self) -> Option<&Path> {
        match self.matched.map(|m| &m.spec.event) {
            Some(Event::Uprobe(u)) => Some(&u.path),
            Some(Event::Usdt(u)) => Some(&u.path),
            _ => None,
        }
    }
}

impl<'a> Checker<'a> {
    pub(crate) fn probe(&mut self, index: usize, instance: &Instance<'a>) -> typed::Probe {
        let matched = instance.matches.first().copied();
        self.now = Now {
            index,
            matched,
            is_alone: instance.matches.len() == 1,
            ..Now::default()
        };
        self.push_scope();
        let predicate = instance
            .probe
            .predicate
            .as_ref()
            .and_then(|p| self.condition(p, p.span))
            .map(|p| p.expr);
        let body = self.block(&instance.probe.body);
        self.pop_scope();
        let slots = std::mem::take(&mut self.now.slots);
        typed::Probe {
            name: program_name(matched, index),
            kind: matched.map_or(beetrace_object::ProgramKind::Syscall, |m| m.kind),
            context: matched.map_or(Context::None, |m| m.context),
            attach: instance.matches.iter().map(|m| m.spec.clone()).collect(),
            vars: slots.vars,
            predicate,
            body,
            span: instance.probe.span,
        }
    }
}

/// The kernel's name of the program: letters, digits, `_`.
fn program_name(matched: Option<&Match>, index: usize) -> String {
    let name = matched.map_or("probe", |m| m.spec.name.as_str());
    let mut clean: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .take(100)
        .collect();
    clean.push_str(&format!("_{}", index + 1));
    clean
}
