//! Scripts in, typed programs or complaints out.

mod arguments;
mod basics;
mod complaints;
mod composites;
mod maps;
mod numbers;

use std::path::Path;

use beetrace_probes::fixture::Fixture;

use crate::check::{check, dump};
use crate::diagnostic::{Diagnostics, Severity};
use crate::expand::{ImportFiles, expand};
use crate::options::Options;
use crate::span::{Source, Sources};
use crate::typed::Program;

struct NoFiles;

impl ImportFiles for NoFiles {
    fn read(&self, _: &Path) -> Result<String, String> {
        Err("no such file".into())
    }

    fn list(&self, _: &Path) -> Option<Vec<std::path::PathBuf>> {
        None
    }

    fn is_world_writable(&self, _: &Path) -> bool {
        false
    }
}

fn run_with(text: &str, options: &Options) -> (Option<Program>, Diagnostics) {
    let mut sources = Sources::default();
    let root = sources.add(Source {
        name: "stdin".into(),
        text: text.into(),
        is_stdlib: false,
        expanded_from: None,
    });
    let world = Fixture::new();
    let mut diags = Diagnostics::default();
    let expansion = expand(root, sources, &world, &NoFiles, options, &mut diags);
    let program = check(expansion.script, &world, options, &mut diags);
    (program, diags)
}

fn messages(diags: &Diagnostics, severity: Severity) -> Vec<String> {
    diags
        .iter()
        .filter(|d| d.severity == severity)
        .map(|d| d.message.clone())
        .collect()
}

/// The typed program of a script that has no errors.
fn typed(text: &str) -> String {
    typed_with(text, &Options::default())
}

fn typed_with(text: &str, options: &Options) -> String {
    let (program, diags) = run_with(text, options);
    match program {
        Some(program) => dump(&program),
        None => panic!("{text}: {:?}", messages(&diags, Severity::Error)),
    }
}

/// The lines of the first probe's body.
fn body(text: &str) -> String {
    let whole = typed(text);
    whole
        .lines()
        .skip_while(|l| !l.starts_with("probe "))
        .skip(1)
        .map(str::trim_start)
        .filter(|l| !l.starts_with("let "))
        .collect::<Vec<_>>()
        .join("\n")
}

fn errors(text: &str) -> Vec<String> {
    let (program, diags) = run_with(text, &Options::default());
    let errors = messages(&diags, Severity::Error);
    assert_eq!(program.is_none(), !errors.is_empty(), "{text}: {errors:?}");
    errors
}

fn warnings(text: &str) -> Vec<String> {
    messages(&run_with(text, &Options::default()).1, Severity::Warning)
}
