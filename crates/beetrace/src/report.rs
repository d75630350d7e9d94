//! Messages for the person: diagnostics of the compiler, errors of the run.

use std::io::{IsTerminal, Write};

use beetrace_codegen::CompileError;
use beetrace_engine::Error;
use beetrace_lang::diagnostic::{Diagnostic, Diagnostics, Severity};
use beetrace_lang::render;
use beetrace_lang::span::Sources;
use beetrace_object::Object;
use beetrace_session::place::Place;
use beetrace_session::run::RunError;

use crate::Reported;

/// Shows diagnostics: in full with the source on a terminal, else a line each with the place in front, as editors and
/// scripts read them.
pub fn diagnostics(diags: &Diagnostics, sources: &Sources, warnings: bool) {
    let mut shown = Diagnostics::default();
    shown.extend(
        diags
            .iter()
            .filter(|d| warnings || d.severity == Severity::Error)
            .cloned(),
    );
    let stderr = std::io::stderr();
    let text = if stderr.is_terminal() {
        render::render(&shown, sources, render::RenderOptions { color: true })
    } else {
        render::lines(&shown, sources)
    };
    write(&text);
}

pub fn error(message: impl std::fmt::Display) {
    write(&format!("ERROR: {message}\n"));
}

pub fn warning(message: impl std::fmt::Display) {
    write(&format!("WARNING: {message}\n"));
}

pub fn hint(message: impl std::fmt::Display) {
    write(&format!("HINT: {message}\n"));
}

/// A plain line.
pub fn info(message: impl std::fmt::Display) {
    write(&format!("{message}\n"));
}

/// There is nothing that could happen.
pub fn no_probes() -> Reported {
    info("No probes to attach");
    Reported
}

/// The compiler's own limits: a program that does not fit.
pub fn compile_error(e: &CompileError, sources: &Sources) -> Reported {
    let diagnostic = Diagnostic::error("compile", e.to_string()).at(e.span(), "");
    let mut diags = Diagnostics::default();
    diags.push(diagnostic);
    diagnostics(&diags, sources, true);
    Reported
}

/// A run that could not begin or go on.
pub fn run_error(e: &RunError, object: &Object, verbose: bool) -> Reported {
    match e {
        RunError::Engine(Error::Rejected { span, log, .. }) => {
            let place = span.map(|s| Place::new(object, s));
            match place {
                Some(place) => write(&format!("{}: ERROR: {e}\n{}", place.range(), place.quote())),
                None => error(e),
            }
            if verbose {
                write(&format!("{log}\n"));
            } else {
                hint("run with -v to see the verifier's own log");
            }
        }
        RunError::Attach { source, .. } => {
            error(source);
            if let Error::Attach {
                help: Some(help), ..
            } = source
            {
                hint(help);
            }
            error(e);
        }
        _ => error(e),
    }
    Reported
}

fn write(text: &str) {
    // Nobody is left to be told that the error stream is gone.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
