//! Attach points: parsed, matched against the system.

use beetrace_object::MissingProbes;
use beetrace_probes::{
    Arguments, AttachPoint, Match, ResolveErrorKind, ResolveOptions, World, check, resolve,
};

use crate::ast::{self, BinaryOp, Expr, ExprKind};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::expanded::{ExpandedProbe, Settings};
use crate::options::Options;
use crate::span::Span;

use super::body;
use super::uses::uses_word;

/// Matches the attach points of all probes. One that leads nowhere is an error or a warning, as `missing_probes` says; a
/// probe that is left with none is dropped with a warning.
pub fn match_all(
    probes: Vec<ast::Probe>,
    world: &dyn World,
    settings: &Settings,
    options: &Options,
    diags: &mut Diagnostics,
) -> Vec<ExpandedProbe> {
    let mut matcher = Matcher {
        world,
        settings,
        options,
        diags,
        total: 0,
    };
    probes
        .into_iter()
        .filter_map(|p| matcher.probe(p))
        .collect()
}

struct Matcher<'a> {
    world: &'a dyn World,
    settings: &'a Settings,
    options: &'a Options,
    diags: &'a mut Diagnostics,
    /// Matches so far.
    total: u64,
}

impl Matcher<'_> {
    fn probe(&mut self, probe: ast::Probe) -> Option<ExpandedProbe> {
        let span = match (probe.attach_points.first(), probe.attach_points.last()) {
            (Some(first), Some(last)) => first.span.to(last.span),
            _ => probe.span,
        };
        let named = |word: &str| {
            let in_predicate = probe
                .predicate
                .as_ref()
                .is_some_and(|p| super::uses::expr_uses_word(p, word));
            in_predicate || uses_word(&probe.body, word)
        };
        let resolve = ResolveOptions {
            pid: self.options.pid,
            allow_unsafe: self.options.allow_unsafe,
            split: named("probe"),
        };
        let errors = self.diags.has_errors();
        let mut matches: Vec<Match> = Vec::new();
        for point in &probe.attach_points {
            matches.extend(self.attach_point(point, &resolve));
        }
        if matches.is_empty() {
            // Where an error says why, a second complaint helps nobody.
            if errors || !self.diags.has_errors() {
                let message = "Probe has no valid attach points.";
                self.diags.push(if self.settings.config.missing_probes == MissingProbes::Error {
                    Diagnostic::error("no-match", message).at(span, "")
                } else {
                    let text = format!("{message} It is being removed which may cause issues with program behavior.");
                    Diagnostic::warning("no-match", text).at(span, "")
                });
            }
            return None;
        }
        self.total += matches.len() as u64;
        if self.total > self.settings.max_probes {
            let message = format!(
                "Can't attach to {} probes because it exceeds the current limit of {} probes.",
                self.total, self.settings.max_probes
            );
            self.diags.push(
                Diagnostic::error("too-many-probes", message)
                    .at(span, "")
                    .help("raise the setting `max_probes`, e.g. BPFTRACE_MAX_PROBES in the environment, or match less"),
            );
            return None;
        }
        let predicate = match self.options.pid {
            Some(pid) if matches.iter().any(needs_pid_filter) => {
                Some(with_pid(probe.predicate, pid, span))
            }
            _ => probe.predicate,
        };
        Some(ExpandedProbe {
            matches,
            predicate,
            body: probe.body,
            span,
        })
    }

    fn attach_point(&mut self, written: &ast::AttachPoint, options: &ResolveOptions) -> Vec<Match> {
        let Some(text) = self.with_params(written) else {
            return Vec::new();
        };
        let point = match AttachPoint::parse(&text) {
            Ok(point) => point,
            Err(e) => {
                let span = if text == written.text {
                    within(written.span, &e.range)
                } else {
                    written.span
                };
                let mut diagnostic =
                    Diagnostic::error("attach-point", e.message.clone()).at(span, "");
                diagnostic.help.extend(e.help.clone());
                self.diags.push(diagnostic);
                return Vec::new();
            }
        };
        for warning in check(&point, self.world, options).unwrap_or_default() {
            self.diags
                .push(Diagnostic::warning("attach-point", warning).at(written.span, ""));
        }
        match resolve(&point, self.world, options) {
            Ok(matches) => matches,
            Err(e) => {
                let mode = if e.kind == ResolveErrorKind::Invalid {
                    MissingProbes::Error
                } else {
                    self.settings.config.missing_probes
                };
                let mut diagnostic = match mode {
                    MissingProbes::Ignore => return Vec::new(),
                    MissingProbes::Warn => Diagnostic::warning("no-match", e.warning()),
                    MissingProbes::Error => Diagnostic::error(
                        "no-match",
                        format!("{}.", e.message.trim_end_matches('.')),
                    ),
                };
                diagnostic.help.extend(e.help.clone());
                self.diags.push(diagnostic.at(written.span, ""));
                Vec::new()
            }
        }
    }

    /// The text with `$1`, `$2`, … replaced.
    fn with_params(&mut self, written: &ast::AttachPoint) -> Option<String> {
        let mut text = String::with_capacity(written.text.len());
        let mut rest = written.text.as_str();
        while let Some(at) = rest.find('$') {
            text.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let digits = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            let number: Option<usize> = rest[..digits].parse().ok();
            match number {
                None => text.push('$'),
                Some(n) => match self.options.positional.get(n.wrapping_sub(1)) {
                    Some(value) => text.push_str(value),
                    None => {
                        self.diags.push(
                            Diagnostic::error(
                                "parameter",
                                format!("No argument was given for ${n}"),
                            )
                            .at(written.span, "")
                            .help("give it behind the script on the command line"),
                        );
                        return None;
                    }
                },
            }
            rest = &rest[digits..];
        }
        text.push_str(rest);
        Some(text)
    }
}

/// A part of a span, by a range of bytes inside it.
fn within(span: Span, range: &std::ops::Range<usize>) -> Span {
    let clamp = |n: usize| {
        span.start
            .saturating_add(u32::try_from(n).unwrap_or(u32::MAX))
            .min(span.end)
    };
    Span {
        start: clamp(range.start),
        end: clamp(range.end).max(clamp(range.start)),
        ..span
    }
}

/// Whether the event cannot be limited to a process when it is attached.
fn needs_pid_filter(m: &Match) -> bool {
    use beetrace_object::Event;
    match &m.spec.event {
        Event::Kprobe { .. }
        | Event::Fentry { .. }
        | Event::Tracepoint { .. }
        | Event::RawTracepoint { .. } => true,
        _ => matches!(m.arguments, Arguments::Tracepoint(_)),
    }
}

/// `pid == N && predicate`
fn with_pid(predicate: Option<Expr>, pid: u32, span: Span) -> Expr {
    let word = Expr {
        kind: ExprKind::Ident("pid".into()),
        span,
    };
    let number = Expr {
        kind: ExprKind::Int {
            value: u64::from(pid),
            text: pid.to_string(),
        },
        span,
    };
    let kind = ExprKind::Binary {
        op: BinaryOp::Eq,
        left: Box::new(word),
        right: Box::new(number),
    };
    let filter = Expr { kind, span };
    match predicate {
        Some(predicate) => body::and(filter, predicate),
        None => filter,
    }
}
