//! From attach points to what exists: wildcards, names, files.

use std::fmt;

use crate::attach_point::{AttachPoint, Target};
use crate::provider::Provider;
use crate::world::{World, WorldError};
use crate::{
    Match, counter, fentry, iter, kprobe, special, timer, tracepoint, uprobe, usdt, watchpoint,
};

/// How to resolve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolveOptions {
    /// The process of `-p`: binaries are those that it uses.
    pub pid: Option<u32>,
    /// `--unsafe`: things that cannot be checked are let through.
    pub allow_unsafe: bool,
    /// One match for every function, even where one program could serve them all. Bodies that use `probe` need it.
    pub split: bool,
}

/// How severe it is that an attach point leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveErrorKind {
    /// There is no such thing. The setting `missing_probes` says whether that is an error.
    NoMatch,
    /// It is there, but cannot be traced at that place. `missing_probes` applies as well.
    Attach,
    /// Always an error.
    Invalid,
}

/// Why an attach point leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveError {
    pub kind: ResolveErrorKind,
    pub message: String,
    pub help: Option<String>,
}

impl ResolveError {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        ResolveError {
            kind: ResolveErrorKind::Invalid,
            message: message.into(),
            help: None,
        }
    }

    pub(crate) fn attach(message: impl Into<String>) -> Self {
        ResolveError {
            kind: ResolveErrorKind::Attach,
            ..ResolveError::invalid(message)
        }
    }

    pub(crate) fn no_match(provider: Provider, target: &str, function: &str) -> Self {
        let colon = if target.is_empty() { "" } else { ":" };
        ResolveError {
            kind: ResolveErrorKind::NoMatch,
            ..ResolveError::invalid(format!(
                "No matches for {provider} {target}{colon}{function}"
            ))
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What to warn of where `missing_probes` lets it pass.
    pub fn warning(&self) -> String {
        match self.kind {
            ResolveErrorKind::NoMatch => format!("{}. Skipping.", self.message),
            _ => self.message.clone(),
        }
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ResolveErrorKind::NoMatch => write!(f, "{}.", self.message),
            _ => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ResolveError {}

impl From<WorldError> for ResolveError {
    fn from(error: WorldError) -> Self {
        ResolveError {
            help: error.help,
            ..ResolveError::invalid(error.message)
        }
    }
}

/// Looks whether an attach point makes sense on this system, before its matches are looked for. Gives warnings.
///
/// A script checks all its attach points first and resolves them then.
///
/// # Errors
/// Those that are errors whatever `missing_probes` says: no such file, no such iterator.
pub fn check(
    point: &AttachPoint,
    world: &dyn World,
    options: &ResolveOptions,
) -> Result<Vec<String>, ResolveError> {
    match &point.target {
        Target::Kprobe(target) => Ok(kprobe::check(target, world)),
        Target::Uprobe(place) => uprobe::check(point, place, world, options),
        Target::Usdt(target) => usdt::check(target, world, options),
        Target::Iter(target) => iter::check(target, world).map(|()| Vec::new()),
        Target::Fentry(target) => fentry::check(target, world).map(|()| Vec::new()),
        _ => Ok(Vec::new()),
    }
}

/// Everything that an attach point matches, sorted by name. Each match says all that a compiler and an engine need.
///
/// An attach point with a wildcard may match nothing; that is no error here.
///
/// # Errors
/// Where something without a wildcard does not exist or cannot be traced there, and where the system does not say.
pub fn resolve(
    point: &AttachPoint,
    world: &dyn World,
    options: &ResolveOptions,
) -> Result<Vec<Match>, ResolveError> {
    let found = match &point.target {
        Target::None | Target::Signal { .. } | Target::Named(_) => {
            Ok(special::resolve(point).into_iter().collect())
        }
        Target::Timer(timer) => Ok(vec![timer::resolve(point, *timer)]),
        Target::Counter(counter) => Ok(counter::resolve(point, counter).into_iter().collect()),
        Target::Tracepoint { category, name } => tracepoint::resolve(point, category, name, world),
        Target::RawTracepoint { module, name } => {
            tracepoint::resolve_raw(point, module, name, world)
        }
        Target::Uprobe(place) => uprobe::resolve(point, place, world, options),
        Target::Usdt(target) => usdt::resolve(point, target, world, options),
        Target::Iter(target) => iter::resolve(point, target, world),
        Target::Watchpoint(breakpoint) => {
            Ok(vec![watchpoint::resolve(point, *breakpoint, options)])
        }
        Target::Kprobe(target) => kprobe::resolve(point, target, world, options),
        Target::Fentry(target) => fentry::resolve(point, target, world),
    };
    match found {
        Err(error) if point.from_wildcard && error.kind == ResolveErrorKind::NoMatch => {
            Ok(Vec::new())
        }
        found => found,
    }
}
