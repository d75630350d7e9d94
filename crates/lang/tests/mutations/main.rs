//! Whatever the script, the front end ends, in order, without a panic.
//!
//! `BEETRACE_CASES` sets how many scripts are tried.

mod generator;

use beetrace_lang::diagnostic::Diagnostics;
use beetrace_lang::span::{Source, SourceId, Sources, Span};
use beetrace_lang::{dump, parser, render};
use proptest::prelude::*;

/// Scripts that together use the whole grammar.
const CORPUS: &[&str] = &[
    include_str!("corpus/basics.bt"),
    include_str!("corpus/types.bt"),
    include_str!("corpus/control.bt"),
    include_str!("corpus/text.bt"),
];

fn config() -> ProptestConfig {
    let cases = std::env::var("BEETRACE_CASES").ok();
    ProptestConfig {
        cases: cases.and_then(|n| n.parse().ok()).unwrap_or(500),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn check_span(text: &str, span: Span) {
    assert!(
        text.get(span.range()).is_some(),
        "{span:?} is no part of the text"
    );
}

/// Parses, and checks what holds for every text.
fn check(text: &str) -> bool {
    let mut sources = Sources::default();
    let id = sources.add(Source {
        name: "stdin".to_string(),
        text: text.into(),
        is_stdlib: false,
        expanded_from: None,
    });
    let mut diags = Diagnostics::default();
    let script = parser::parse(id, text, &mut diags);
    for d in diags.iter() {
        let place = d.primary.as_ref().or(d.secondary.first());
        assert!(
            place.is_some() || d.message.starts_with("too many"),
            "{d:?}"
        );
        for label in d.primary.iter().chain(&d.secondary) {
            check_span(text, label.span);
        }
    }
    let tree = dump::script(&script);
    let has_hole = tree.lines().any(|l| l.trim() == "error");
    assert!(
        diags.has_errors() || !has_hole,
        "a hole in the tree, but no complaint:\n{tree}"
    );
    for probe in &script.probes {
        check_span(text, probe.span);
        check_span(text, probe.body.span);
    }
    let rendered = render::render(&diags, &sources, render::RenderOptions::default());
    assert_eq!(rendered.is_empty(), diags.is_empty());
    render::lines(&diags, &sources);
    !diags.has_errors()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn changed_scripts_do_no_harm(text in generator::script(CORPUS)) {
        check(&text);
    }

    #[test]
    fn changed_headers_do_no_harm(text in generator::script(CORPUS)) {
        let mut diags = Diagnostics::default();
        parser::parse_header(SourceId(0), &text, &mut diags);
    }
}

#[test]
fn the_corpus_is_without_mistakes() {
    for text in CORPUS {
        assert!(check(text), "{text}");
    }
}
