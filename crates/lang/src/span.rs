//! Places in source text.

use std::ops::Range;
use std::sync::Arc;

/// Names one text of a [`Sources`] collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u32);

/// A half-open range of bytes in one source text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    pub source: SourceId,
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub fn new(source: SourceId, range: Range<usize>) -> Self {
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span {
            source,
            start: clamp(range.start),
            end: clamp(range.end),
        }
    }

    /// The smallest span that covers both; the other text's span is ignored when the texts differ.
    pub fn to(self, other: Span) -> Span {
        if self.source != other.source {
            return self;
        }
        Span {
            source: self.source,
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }

    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// One text: the main script, an imported script, or a file of the standard library.
#[derive(Clone, Debug)]
pub struct Source {
    /// What messages call it: a path, or `stdin` for the text of `-e`.
    pub name: String,
    pub text: Arc<str>,
    /// Part of the embedded standard library: its macros never shadow those of the user.
    pub is_stdlib: bool,
    /// The call whose expansion this text is: a macro's body is a text of its own wherever it was expanded.
    pub expanded_from: Option<Span>,
}

/// All texts of one compilation.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    all: Vec<Source>,
}

impl Sources {
    pub fn add(&mut self, source: Source) -> SourceId {
        self.all.push(source);
        SourceId(self.all.len() as u32 - 1)
    }

    /// A text again, as what a call of a macro in it stands for; the same id where there is no such text.
    pub fn add_expansion(&mut self, id: SourceId, call: Span) -> SourceId {
        match self.get(id).cloned() {
            None => id,
            Some(source) => self.add(Source {
                expanded_from: Some(call),
                ..source
            }),
        }
    }

    /// The calls that a place was expanded from, the innermost first.
    pub fn expansions(&self, span: Span) -> impl Iterator<Item = Span> {
        let call = |span: Span| self.get(span.source).and_then(|s| s.expanded_from);
        std::iter::successors(call(span), move |outer| call(*outer))
    }

    pub fn get(&self, id: SourceId) -> Option<&Source> {
        self.all.get(id.0 as usize)
    }

    pub fn iter(&self) -> impl Iterator<Item = (SourceId, &Source)> {
        self.all
            .iter()
            .enumerate()
            .map(|(i, s)| (SourceId(i as u32), s))
    }

    /// The text that a span covers; empty when the span fits no text.
    pub fn text(&self, span: Span) -> &str {
        self.get(span.source)
            .and_then(|s| s.text.get(span.range()))
            .unwrap_or("")
    }

    /// One-based line and column (in bytes) of the start of a span.
    pub fn line_column(&self, span: Span) -> (u32, u32) {
        let text = self.get(span.source).map_or("", |s| &s.text);
        let before = &text.as_bytes()[..(span.start as usize).min(text.len())];
        let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|&&b| b != b'\n').count() + 1;
        (line as u32, column as u32)
    }
}
