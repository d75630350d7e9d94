//! Scripts in, IR or objects out.
//!
//! The IR is that after optimisation, without the spans; of a module the entry and the callbacks. What a program does when
//! the kernel refuses something is in a function of its own, which is left out.

mod errors;
mod maps;
mod objects;
mod reads;
mod values;

use std::path::{Path, PathBuf};

use beetrace_codegen::{CompileError, Target, compile, lower_to_ir};
use beetrace_lang::check::check;
use beetrace_lang::diagnostic::Diagnostics;
use beetrace_lang::expand::{ImportFiles, expand};
use beetrace_lang::options::Options;
use beetrace_lang::span::{Source, Sources};
use beetrace_lang::typed::Program;
use beetrace_object::Object;
use beetrace_probes::fixture::Fixture;

struct NoFiles;

impl ImportFiles for NoFiles {
    fn read(&self, _: &Path) -> Result<String, String> {
        Err("no such file".into())
    }

    fn list(&self, _: &Path) -> Option<Vec<PathBuf>> {
        None
    }

    fn is_world_writable(&self, _: &Path) -> bool {
        false
    }
}

fn typed(text: &str) -> Program {
    let mut sources = Sources::default();
    let root = sources.add(Source {
        name: "stdin".into(),
        text: text.into(),
        is_stdlib: false,
        expanded_from: None,
    });
    let world = Fixture::new();
    let mut diags = Diagnostics::default();
    let options = Options {
        allow_unsafe: true,
        ..Options::default()
    };
    let expansion = expand(root, sources, &world, &NoFiles, &options, &mut diags);
    let program = check(expansion.script, &world, &options, &mut diags);
    let messages: Vec<&str> = diags.iter().map(|d| d.message.as_str()).collect();
    program.unwrap_or_else(|| panic!("{text}: {messages:?}"))
}

fn object(text: &str) -> Object {
    compile(&typed(text), &Target::default()).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn error(text: &str, target: &Target) -> CompileError {
    match compile(&typed(text), target) {
        Ok(_) => panic!("{text}: compiled"),
        Err(error) => error,
    }
}

/// The IR of the first probe's entry and callbacks, without spans.
fn ir_for(text: &str, target: &Target) -> String {
    let modules = lower_to_ir(&typed(text), target, true).unwrap_or_else(|e| panic!("{text}: {e}"));
    let whole = modules[0].1.to_string();
    let functions = whole
        .split("\n\n")
        .filter(|f| !f.lines().next().is_some_and(|l| l.contains("subprogram")));
    let lines = functions.flat_map(str::lines).map(|line| {
        let bare = line.split(" @").next().unwrap_or_default();
        format!("{bare}\n")
    });
    lines.collect()
}

/// Compares the IR with what is expected; indentation does not count.
#[track_caller]
fn check_ir(text: &str, expected: &str) {
    check_ir_for(text, &Target::default(), expected);
}

#[track_caller]
fn check_ir_for(text: &str, target: &Target, expected: &str) {
    let found = ir_for(text, target);
    assert!(
        trimmed(&found) == trimmed(expected),
        "{text}\nfound:\n{found}"
    );
}

fn trimmed(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|l| !l.is_empty()).collect()
}
