//! Attach points: parsed, matched against the system.

use beetrace_object::MissingProbes;
use beetrace_probes::{
    Arguments, AttachPoint, Match, ParseOptions, ResolveError, ResolveErrorKind, ResolveOptions,
    World, check, check_probe, duplicate_name, resolve,
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
        points: Vec::new(),
        spans: Vec::new(),
    };
    let found = probes
        .into_iter()
        .filter_map(|p| matcher.probe(p))
        .collect();
    if let Some((second, first, message)) = duplicate_name(&matcher.points) {
        let (first, second) = (matcher.spans[first], matcher.spans[second]);
        let diagnostic = Diagnostic::error("attach-point", message);
        matcher
            .diags
            .push(diagnostic.at(second, "").label(first, "first used here"));
    }
    found
}

struct Matcher<'a> {
    world: &'a dyn World,
    settings: &'a Settings,
    options: &'a Options,
    diags: &'a mut Diagnostics,
    /// Matches so far.
    total: u64,
    /// All attach points so far.
    points: Vec<AttachPoint>,
    /// Where they stand.
    spans: Vec<Span>,
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
        let before = self.diags.error_count();
        let matches = self.attach_points(&probe.attach_points, &resolve);
        if matches.is_empty() {
            // Where an error says why, a second complaint helps nobody.
            let is_told = self.diags.error_count() > before;
            if !is_told && self.settings.config.missing_probes != MissingProbes::Ignore {
                self.diags.push(self.without_matches(span));
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

    /// What to say of a probe with no attach point left.
    fn without_matches(&self, span: Span) -> Diagnostic {
        let message = "Probe has no valid attach points.";
        if self.settings.config.missing_probes == MissingProbes::Error {
            let help = "If this is expected, set the 'missing_probes' config variable to 'warn'.";
            Diagnostic::error("no-match", format!("{message} {help}")).at(span, "")
        } else {
            let text = format!(
                "{message} It is being removed which may cause issues with program behavior."
            );
            Diagnostic::warning("no-match", text).at(span, "")
        }
    }

    fn attach_points(
        &mut self,
        written: &[ast::AttachPoint],
        options: &ResolveOptions,
    ) -> Vec<Match> {
        let parse = ParseOptions {
            params: &self.options.positional,
            pid: self.options.pid,
            allow_unsafe: self.options.allow_unsafe,
        };
        let mut points = Vec::new();
        let mut spans = Vec::new();
        for point in written {
            match AttachPoint::expand(&point.text, &parse) {
                Ok(expanded) => {
                    spans.extend(expanded.iter().map(|_| point.span));
                    points.extend(expanded);
                }
                Err(e) => {
                    // A parameter in the text moves what stands behind it.
                    let span = if point.text.contains('$') {
                        point.span
                    } else {
                        within(point.span, &e.range)
                    };
                    let mut diagnostic = Diagnostic::error("attach-point", e.message).at(span, "");
                    diagnostic.help.extend(e.help);
                    self.diags.push(diagnostic);
                }
            }
        }
        if let Err((index, message)) = check_probe(&points) {
            self.diags
                .push(Diagnostic::error("attach-point", message).at(spans[index], ""));
        }
        let mut matches = Vec::new();
        for (point, &span) in points.iter().zip(&spans) {
            let found = check(point, self.world, options).and_then(|warnings| {
                let found = resolve(point, self.world, options);
                // Nobody minds a probe that is ignored.
                if found.is_ok() || self.settings.config.missing_probes != MissingProbes::Ignore {
                    for warning in warnings {
                        self.diags
                            .push(Diagnostic::warning("attach-point", warning).at(span, ""));
                    }
                }
                found
            });
            match found {
                Ok(found) => matches.extend(found),
                Err(e) => self.unresolved(&e, span),
            }
        }
        self.points.extend(points);
        self.spans.extend(spans);
        matches
    }

    fn unresolved(&mut self, e: &ResolveError, span: Span) {
        let mode = match e.kind {
            ResolveErrorKind::Invalid => MissingProbes::Error,
            _ => self.settings.config.missing_probes,
        };
        let mut diagnostic = match mode {
            MissingProbes::Ignore => return,
            MissingProbes::Warn => Diagnostic::warning("no-match", e.warning()),
            MissingProbes::Error => Diagnostic::error("no-match", e.to_string()),
        };
        diagnostic.help.extend(e.help.clone());
        // What the kernel would refuse is told as it tells it, when it attaches: by name, not by place.
        if e.kind != ResolveErrorKind::Attach {
            diagnostic = diagnostic.at(span, "");
        }
        self.diags.push(diagnostic);
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
