//! The grammar as documents: a script, then its tree or its complaints.

mod c_items;
mod expressions;
mod limits;
mod mistakes;
mod scripts;

use beetrace_lang::diagnostic::Diagnostics;
use beetrace_lang::span::{Source, SourceId, Sources};
use beetrace_lang::{ast, dump, parser, render};

fn parse(text: &str) -> (ast::Script, String) {
    let mut sources = Sources::default();
    sources.add(Source {
        name: "stdin".to_string(),
        text: text.into(),
        is_stdlib: false,
        expanded_from: None,
    });
    let mut diags = Diagnostics::default();
    let script = parser::parse(SourceId(0), text, &mut diags);
    (script, render::lines(&diags, &sources))
}

/// The tree of a script without mistakes.
fn tree(text: &str) -> String {
    let (script, complaints) = parse(text);
    assert_eq!(complaints, "", "{text}");
    format!("\n{}", dump::script(&script))
}

/// Place and message of each complaint.
fn complaints(text: &str) -> String {
    let (_, complaints) = parse(text);
    complaints
        .lines()
        .filter(|l| l.contains("ERROR: "))
        .map(|l| format!("\n{}", l.replace("stdin:", "").replace(" ERROR:", "")))
        .collect()
}
