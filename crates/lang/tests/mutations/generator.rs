//! Scripts that are almost right: those of a corpus, changed at random.
//!
//! Any stage of the compiler can be fed with [`script`]; most of what comes out still parses in part.

use proptest::prelude::*;
use proptest::sample::select;

/// Pieces of the language, put in where they may not belong.
const PIECES: &[&str] = &[
    " ",
    "\n",
    ";",
    ",",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "/",
    "/*",
    "*/",
    "//",
    "\"",
    "\\",
    "'",
    "#",
    "#if 1\n",
    "#else\n",
    "#endif\n",
    "#define M 1\n",
    "$",
    "$x",
    "$1",
    "$0",
    "$#",
    "@",
    "@m",
    "@m[1]",
    ".",
    "..",
    "->",
    "=",
    "==",
    "+=",
    "++",
    "--",
    "+",
    "-",
    "*",
    "%",
    "&",
    "&&",
    "|",
    "^",
    "!",
    "~",
    "<<",
    ">>",
    "<",
    ">=",
    "?",
    ":",
    "?:",
    "0",
    "1",
    "-1",
    "0x",
    "1e9",
    "1_",
    "5m",
    "18446744073709551616",
    "true",
    "\"s\"",
    "\"\\",
    "if",
    "else",
    "for",
    "while",
    "unroll",
    "let",
    "return",
    "break",
    "macro",
    "config",
    "import",
    "fn",
    "struct",
    "struct s {",
    "union",
    "enum e {",
    "typedef",
    "__attribute__((packed))",
    "sizeof(",
    "offsetof(",
    "typeof(",
    "typeinfo(",
    "comptime",
    "uint8",
    "string[8]",
    "int8*",
    "(struct s *)",
    "args",
    "pid",
    "nsecs",
    "kstack",
    "count()",
    "hist(",
    "printf(\"%d\", ",
    "print(",
    "str(",
    "kprobe:f",
    "uprobe:/a:b",
    "begin",
    "_ =",
    "é",
    "\u{0}",
    "\u{feff}",
];

/// One change; places are fractions of the text's length so that they fit any text.
#[derive(Clone, Debug)]
enum Change {
    Truncate(f64),
    Drop(f64, usize),
    Repeat(f64, usize),
    Insert(f64, &'static str),
    /// The first part of this text, the last part of another.
    Splice(f64, usize, f64),
    /// One piece, many times over.
    Flood(f64, &'static str, usize),
}

fn change(texts: usize) -> impl Strategy<Value = Change> {
    let place = || 0.0..=1.0f64;
    prop_oneof![
        1 => place().prop_map(Change::Truncate),
        4 => (place(), 1..40usize).prop_map(|(at, n)| Change::Drop(at, n)),
        2 => (place(), 1..40usize).prop_map(|(at, n)| Change::Repeat(at, n)),
        8 => (place(), select(PIECES)).prop_map(|(at, p)| Change::Insert(at, p)),
        2 => (place(), 0..texts, place()).prop_map(|(at, n, from)| Change::Splice(at, n, from)),
        1 => (place(), select(PIECES), 2..400usize).prop_map(|(at, p, n)| Change::Flood(at, p, n)),
    ]
}

/// A script of the corpus with some changes, or a heap of pieces.
pub(crate) fn script(corpus: &'static [&'static str]) -> impl Strategy<Value = String> {
    let changed = (
        select(corpus),
        prop::collection::vec(change(corpus.len()), 1..6),
    )
        .prop_map(move |(text, changes)| {
            let apply = |t: String, c| apply(&t, c, corpus);
            changes.iter().fold(text.to_string(), apply)
        });
    let heap = prop::collection::vec(select(PIECES), 0..60);
    prop_oneof![
        9 => changed,
        1 => heap.prop_map(|pieces| format!("begin {{ {} }}", pieces.join(" "))),
    ]
}

fn apply(text: &str, change: &Change, corpus: &[&str]) -> String {
    let at = |place: f64| boundary(text, (text.len() as f64 * place) as usize);
    let range = |place: f64, len: usize| {
        let start = at(place);
        (start, boundary(text, start + len).max(start))
    };
    match *change {
        Change::Truncate(place) => text[..at(place)].to_string(),
        Change::Drop(place, len) => {
            let (start, end) = range(place, len);
            format!("{}{}", &text[..start], &text[end..])
        }
        Change::Repeat(place, len) => {
            let (start, end) = range(place, len);
            format!("{}{}", &text[..end], &text[start..])
        }
        Change::Insert(place, piece) => {
            format!("{}{piece}{}", &text[..at(place)], &text[at(place)..])
        }
        Change::Splice(place, other, from) => {
            let other = corpus[other];
            let from = boundary(other, (other.len() as f64 * from) as usize);
            format!("{}{}", &text[..at(place)], &other[from..])
        }
        Change::Flood(place, piece, times) => {
            format!(
                "{}{}{}",
                &text[..at(place)],
                piece.repeat(times),
                &text[at(place)..]
            )
        }
    }
}

/// The nearest place at or before `at` where a character starts.
fn boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
