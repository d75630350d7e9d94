//! Places in the script, for messages that come while it runs.

use beetrace_object::{Object, SourceSpan};

/// Where in which file; lines and columns count from one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    /// One past the last column, on `end_line`.
    pub end_column: usize,
    /// The first line's text.
    pub text: String,
    /// The calls of macros that the place is in, the innermost first.
    pub expansions: Vec<Place>,
}

/// Calls of macros within each other that are told of.
const MOST_EXPANSIONS: usize = 64;

impl Place {
    pub fn new(object: &Object, span: SourceSpan) -> Place {
        let call = |span: SourceSpan| object.sources.get(span.source as usize)?.expanded_from;
        // An object file owes nobody an end.
        let calls = std::iter::successors(call(span), |outer| call(*outer)).take(MOST_EXPANSIONS);
        Place {
            expansions: calls.map(|call| Place::alone(object, call)).collect(),
            ..Place::alone(object, span)
        }
    }

    fn alone(object: &Object, span: SourceSpan) -> Place {
        let Some(source) = object.sources.get(span.source as usize) else {
            return Place::default();
        };
        let (line, column, text) = position(&source.text, span.start as usize);
        let (end_line, end_column, _) = position(&source.text, span.end as usize);
        Place {
            file: source.name.clone(),
            line,
            column,
            end_line,
            end_column,
            text: text.to_string(),
            expansions: Vec::new(),
        }
    }

    /// `file:line:from-to`, or `file:first-last` by lines for a span of several.
    pub fn range(&self) -> String {
        if self.line == self.end_line {
            format!(
                "{}:{}:{}-{}",
                self.file, self.line, self.column, self.end_column
            )
        } else {
            format!("{}:{}-{}", self.file, self.line, self.end_line)
        }
    }

    /// The line with the span underlined.
    pub fn quote(&self) -> String {
        let end = if self.line == self.end_line {
            self.end_column
        } else {
            self.text.len() + 1
        };
        let width = end.saturating_sub(self.column).max(1);
        format!(
            "{}\n{:indent$}{}\n",
            self.text,
            "",
            "~".repeat(width),
            indent = self.column.saturating_sub(1)
        )
    }
}

/// Line, column and the line's text at a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize, &str) {
    let offset = offset.min(text.len());
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |n| n + 1);
    let line = before.matches('\n').count() + 1;
    let rest = text.get(start..).unwrap_or("");
    (line, offset - start + 1, rest.lines().next().unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use beetrace_object::SourceText;

    use super::*;

    #[test]
    fn places_and_quotes() {
        let text = "begin {\n  foo(1);\n}".to_string();
        let object = Object {
            sources: vec![SourceText {
                name: "a.bt".into(),
                text,
                expanded_from: None,
            }],
            ..Object::default()
        };
        let place = Place::new(
            &object,
            SourceSpan {
                source: 0,
                start: 10,
                end: 16,
            },
        );
        assert_eq!(place.range(), "a.bt:2:3-9");
        assert_eq!(place.quote(), "  foo(1);\n  ~~~~~~\n");
        let wide = Place::new(
            &object,
            SourceSpan {
                source: 0,
                start: 0,
                end: 18,
            },
        );
        assert_eq!(wide.range(), "a.bt:1-3");
        assert_eq!(
            Place::new(
                &object,
                SourceSpan {
                    source: 9,
                    start: 0,
                    end: 1
                }
            ),
            Place::default()
        );
    }
}
