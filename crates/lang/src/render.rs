//! Complaints as text: like rustc's for people, one line each for programs that read them.

use std::fmt::Write;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{
    Annotation, AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str as clean,
};

use crate::diagnostic::{Diagnostic, Diagnostics, Label, Severity};
use crate::span::{Source, SourceId, Sources, Span};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenderOptions {
    /// With escape sequences for colours: for a terminal only.
    pub color: bool,
}

/// All complaints with the lines they are about, an empty line between them.
pub fn render(diagnostics: &Diagnostics, sources: &Sources, options: RenderOptions) -> String {
    let all: Vec<_> = diagnostics
        .iter()
        .map(|d| one(d, sources, options))
        .collect();
    all.join("\n")
}

/// One complaint with the lines it is about; ends with a line feed.
pub fn one(diagnostic: &Diagnostic, sources: &Sources, options: RenderOptions) -> String {
    let renderer = if options.color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(clean(&diagnostic.message)));
    for id in sources_of(diagnostic) {
        if let Some(source) = sources.get(id) {
            group = group.element(snippet(diagnostic, id, source));
        }
    }
    let calls: Vec<Span> = diagnostic
        .primary
        .iter()
        .flat_map(|l| sources.expansions(l.span))
        .collect();
    for call in calls {
        if let Some(source) = sources.get(call.source) {
            let mark = AnnotationKind::Context.span(fit(&source.text, call));
            let snippet = Snippet::source(source.text.as_ref()).path(source.name.as_str());
            group = group.element(snippet.annotation(mark.label("expanded from here")));
        }
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(clean(note)));
    }
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(clean(help)));
    }
    let mut text = renderer.decor_style(DecorStyle::Ascii).render(&[group]);
    text.push('\n');
    text
}

/// The texts that a complaint points into, that of its main place first.
fn sources_of(diagnostic: &Diagnostic) -> Vec<SourceId> {
    let mut ids = Vec::new();
    for label in diagnostic.primary.iter().chain(&diagnostic.secondary) {
        if !ids.contains(&label.span.source) {
            ids.push(label.span.source);
        }
    }
    ids
}

fn snippet<'a>(
    diagnostic: &'a Diagnostic,
    id: SourceId,
    source: &'a Source,
) -> Snippet<'a, Annotation<'a>> {
    let here = |label: &&Label| label.span.source == id;
    let mark = |label: &'a Label, kind: AnnotationKind| {
        let annotation = kind.span(fit(&source.text, label.span));
        if label.text.is_empty() {
            annotation
        } else {
            annotation.label(clean(&label.text))
        }
    };
    let primary = diagnostic.primary.iter().filter(here);
    let secondary = diagnostic.secondary.iter().filter(here);
    Snippet::source(source.text.as_ref())
        .path(source.name.as_str())
        .annotations(primary.map(|l| mark(l, AnnotationKind::Primary)))
        .annotations(secondary.map(|l| mark(l, AnnotationKind::Context)))
}

/// The bytes of a span that lie in the text, cut to whole characters.
fn fit(text: &str, span: Span) -> Range<usize> {
    let whole = |at: usize| {
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let Range { start, end } = span.range();
    whole(start)..whole(end.max(start))
}

/// All complaints in the short form `name:line:column-column: ERROR: message`, each with the line it is about, marked,
/// and its help as `HINT`. Columns count bytes from 1; the second is the one behind the place. A place of several
/// lines is `name:line-line`.
pub fn lines(diagnostics: &Diagnostics, sources: &Sources) -> String {
    diagnostics.iter().map(|d| line(d, sources)).collect()
}

/// One complaint in the form of [`lines`].
pub fn line(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let mut out = String::new();
    let severity = match diagnostic.severity {
        Severity::Error => "ERROR",
        Severity::Warning => "WARNING",
    };
    let place = diagnostic
        .primary
        .as_ref()
        .map(|l| l.span)
        .filter(|span| sources.get(span.source).is_some());
    let Some(span) = place else {
        let _ = writeln!(out, "{severity}: {}", diagnostic.message);
        hints(&mut out, diagnostic);
        return out;
    };
    place_line(&mut out, sources, span, severity, &diagnostic.message);
    for call in sources.expansions(span) {
        place_line(&mut out, sources, call, severity, "expanded from");
    }
    hints(&mut out, diagnostic);
    out
}

/// A place, what is the matter with it, and the line marked.
fn place_line(out: &mut String, sources: &Sources, span: Span, severity: &str, message: &str) {
    let Some(source) = sources.get(span.source) else {
        return;
    };
    let end = Span {
        start: span.end.max(span.start),
        ..span
    };
    let (first, column) = sources.line_column(span);
    let (last, end_column) = sources.line_column(end);
    let name = &source.name;
    if first == last {
        let _ = writeln!(
            out,
            "{name}:{first}:{column}-{end_column}: {severity}: {message}"
        );
        let text = source.text.lines().nth(first as usize - 1).unwrap_or("");
        let width = end_column.saturating_sub(column).max(1) as usize;
        let blanks: String = text
            .chars()
            .take(
                text.get(..column as usize - 1)
                    .map_or(0, |t| t.chars().count()),
            )
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        let _ = writeln!(out, "{text}\n{blanks}{}", "~".repeat(width));
    } else {
        let _ = writeln!(out, "{name}:{first}-{last}: {severity}: {message}");
    }
}

fn hints(out: &mut String, diagnostic: &Diagnostic) {
    for text in diagnostic.notes.iter().chain(&diagnostic.help) {
        let _ = writeln!(out, "HINT: {text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> Sources {
        let mut sources = Sources::default();
        for (name, text) in [
            ("stdin", "begin {\n\tprint(é $x);\n}\n"),
            ("lib.bt", "macro m() { 1 }"),
        ] {
            sources.add(Source {
                name: name.to_string(),
                text: text.into(),
                is_stdlib: false,
                expanded_from: None,
            });
        }
        sources
    }

    fn span(source: u32, range: Range<usize>) -> Span {
        Span::new(SourceId(source), range)
    }

    fn complaints() -> Diagnostics {
        let mut all = Diagnostics::default();
        all.push(
            Diagnostic::error("unknown-variable", "unknown variable `$x`")
                .at(span(0, 18..20), "never assigned")
                .label(span(1, 0..7), "in this macro")
                .note("variables live in their block")
                .help("assign to it first"),
        );
        all.push(Diagnostic::warning("loss", "no room").help("make some"));
        all
    }

    #[test]
    fn renders_labels_notes_and_help() {
        let text = render(&complaints(), &sources(), RenderOptions::default());
        assert_eq!(
            text,
            "\
error: unknown variable `$x`
 --> stdin:2:10
  |
2 |     print(é $x);
  |             ^^ never assigned
  |
 ::: lib.bt:1:1
  |
1 | macro m() { 1 }
  | ------- in this macro
  |
  = note: variables live in their block
  = help: assign to it first

warning: no room
 |
 = help: make some
"
        );
    }

    #[test]
    fn colours_only_when_asked() {
        let color = render(&complaints(), &sources(), RenderOptions { color: true });
        let plain = render(&complaints(), &sources(), RenderOptions { color: false });
        assert!(color.contains('\u{1b}') && !plain.contains('\u{1b}'));
    }

    #[test]
    fn renders_lines() {
        assert_eq!(
            lines(&complaints(), &sources()),
            "\
stdin:2:11-13: ERROR: unknown variable `$x`
\tprint(é $x);
\t        ~~
HINT: variables live in their block
HINT: assign to it first
WARNING: no room
HINT: make some
"
        );
    }

    #[test]
    fn places_outside_of_the_text_do_no_harm() {
        let mut all = Diagnostics::default();
        for range in [15..17, 16..17, 900..1000, 27..27, 0..27] {
            all.push(Diagnostic::error("x", "m").at(span(0, range), ""));
        }
        all.push(Diagnostic::error("x", "m").at(span(7, 0..1), ""));
        assert_eq!(
            render(&all, &sources(), RenderOptions::default())
                .matches("error: m")
                .count(),
            6
        );
        assert_eq!(lines(&all, &sources()).matches("ERROR: m").count(), 6);
    }
}
