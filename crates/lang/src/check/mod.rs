//! The type checker: from an expanded script to a typed program.
//!
//! One recursive walk both infers and builds. It runs over the whole script again and again: variables and maps may widen with
//! every run, until nothing changes. Then the conditions of `comptime` branches are evaluated; the branches that were chosen are
//! taken into the next round of runs. The last run alone keeps what it builds and reports what is wrong. `None` means: not yet
//! known, or in the last run, reported already.

mod access;
mod aggregate;
mod arguments;
mod binary;
pub(crate) mod builtins;
mod cast;
mod coerce;
mod dump;
mod expr;
mod flow;
mod format;
mod group;
pub(crate) mod literal;
mod locked;
mod loops;
mod maps;
mod probe;
mod promote;
mod registers;
mod scope;
mod stmt;
#[cfg(test)]
mod tests;
mod typeexpr;
mod unary;
mod value;

use std::collections::HashMap;
use std::rc::Rc;

use beetrace_probes::World;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::expanded::Expanded;
use crate::options::Options;
use crate::structs::{BtfSource, Structs};
use crate::typed::Program;

pub use dump::dump;

use maps::Maps;
use probe::Instance;
use scope::Vars;

/// More runs than this do not come to an end.
const MOST_RUNS: u32 = 60;

/// More `comptime` conditions within each other than this.
const MOST_ROUNDS: u32 = 24;

/// Checks a script against a system. All complaints of the run are in `diags`; the program is there if none is an error.
pub fn check(
    expanded: Expanded,
    world: &dyn World,
    options: &Options,
    diags: &mut Diagnostics,
) -> Option<Program> {
    let source = BtfSource { world };
    let mut structs = Structs::default();
    structs.define(&expanded.c_items, &source, diags);
    let limit = usize::try_from(expanded.settings.max_bpf_progs).unwrap_or(usize::MAX);
    let instances = match group::instances(&expanded.probes, limit) {
        Ok(instances) => instances,
        Err(diagnostic) => {
            diags.push(*diagnostic);
            return None;
        }
    };
    let mut checker = Checker {
        script: &expanded,
        options,
        btf: source,
        structs,
        maps: Maps::default(),
        vars: Vars::default(),
        decisions: HashMap::new(),
        locked: HashMap::new(),
        deciding: false,
        run: Run::Infer,
        changed: false,
        found: Vec::new(),
        cascades: Vec::new(),
        depth: 0,
        strict_depth: 0,
        now: probe::Now::default(),
    };
    checker.infer(&instances);
    let probes = checker.build(&instances);
    let Checker {
        found,
        cascades,
        structs,
        maps,
        ..
    } = checker;
    let failed = found
        .iter()
        .any(|d| d.severity == crate::diagnostic::Severity::Error);
    diags.extend(found);
    // What follows from an earlier mistake is worth telling only where there is no other.
    if !failed {
        diags.extend(cascades);
    }
    if diags.has_errors() {
        return None;
    }
    let settings = expanded.settings;
    Some(Program {
        probes,
        maps: maps.finish(),
        structs: Rc::new(structs),
        sources: expanded.sources,
        license: settings.license,
        on_stack_limit: u32::try_from(settings.on_stack_limit).unwrap_or(u32::MAX),
        max_strlen: u32::try_from(settings.max_strlen).unwrap_or(u32::MAX),
        config: settings.config,
    })
}

/// What a run over the script is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    /// Widens types.
    Infer,
    /// Evaluates the `comptime` conditions that were reached for the first time.
    Decide,
    /// Builds the program and reports.
    Build,
}

pub(crate) struct Checker<'a> {
    script: &'a Expanded,
    options: &'a Options,
    btf: BtfSource<'a>,
    structs: Structs,
    maps: Maps,
    vars: Vars,
    /// `comptime` conditions by probe and address in the tree.
    decisions: HashMap<(usize, usize), bool>,
    /// Types that those conditions looked at.
    locked: HashMap<locked::Asked, crate::types::Type>,
    /// Inside such a condition.
    deciding: bool,
    run: Run,
    /// Whether this run learned something.
    changed: bool,
    found: Vec<Diagnostic>,
    cascades: Vec<Diagnostic>,
    /// How deep the expression is that is being checked.
    depth: u32,
    /// Inside of `sizeof`, `typeof` and the like, where nothing is evaluated.
    strict_depth: u32,
    now: probe::Now<'a>,
}

impl<'a> Checker<'a> {
    /// Runs over the script until types and `comptime` branches are settled.
    fn infer(&mut self, instances: &[Instance<'a>]) {
        for _ in 0..MOST_ROUNDS {
            self.widen(instances);
            self.run = Run::Decide;
            self.changed = false;
            self.walk(instances);
            if !self.changed {
                return;
            }
        }
        if let Some(instance) = instances.first() {
            self.found.push(
                Diagnostic::error("comptime", "Type resolution exceeded maximum iterations")
                    .at(instance.probe.span, ""),
            );
        }
    }

    fn widen(&mut self, instances: &[Instance<'a>]) {
        self.run = Run::Infer;
        for _ in 0..MOST_RUNS {
            self.changed = false;
            self.walk(instances);
            if !self.changed && !self.maps.default_values() {
                return;
            }
        }
    }

    fn walk(&mut self, instances: &[Instance<'a>]) {
        for (index, instance) in instances.iter().enumerate() {
            self.probe(index, instance);
        }
    }

    fn build(&mut self, instances: &[Instance<'a>]) -> Vec<crate::typed::Probe> {
        self.run = Run::Build;
        self.maps.start_building();
        self.declare_maps();
        let probes = instances
            .iter()
            .enumerate()
            .map(|(index, instance)| self.probe(index, instance))
            .collect();
        self.unused_maps();
        probes
    }

    fn building(&self) -> bool {
        self.run == Run::Build
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        if self.building() && !self.found.contains(&diagnostic) {
            self.found.push(diagnostic);
        }
    }

    /// For a complaint that may only follow from another.
    fn report_cascade(&mut self, diagnostic: Diagnostic) {
        if self.building() && !self.cascades.contains(&diagnostic) {
            self.cascades.push(diagnostic);
        }
    }

    fn error(&mut self, code: &'static str, span: crate::span::Span, message: impl Into<String>) {
        self.report(Diagnostic::error(code, message).at(span, ""));
    }

    fn warn(&mut self, code: &'static str, span: crate::span::Span, message: impl Into<String>) {
        // Nobody can change the standard library to please a warning.
        if !self.now.is_user_text(span, &self.script.sources) {
            return;
        }
        self.report(Diagnostic::warning(code, message).at(span, ""));
    }

    fn type_name(&self, ty: &crate::types::Type) -> String {
        self.structs.type_name(ty)
    }
}
