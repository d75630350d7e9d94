//! Messages for the person: diagnostics of the compiler, errors of the run.

use std::io::{IsTerminal, Write};

use beetrace_lang::diagnostic::{Diagnostics, Severity};
use beetrace_lang::render;
use beetrace_lang::span::Sources;

/// Shows diagnostics: in full with the source on a terminal, else a line each with the place in front, as editors and
/// scripts read them.
pub fn diagnostics(diags: &Diagnostics, sources: &Sources, warnings: bool) {
    let mut shown = Diagnostics::default();
    shown.extend(diags.iter().filter(|d| warnings || d.severity == Severity::Error).cloned());
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

fn write(text: &str) {
    // Nobody is left to be told that the error stream is gone.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
