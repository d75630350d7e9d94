//! Text in, text out: what the tests of passes share.

use crate::ir::parse::parse;
use crate::ir::verify::verify;
use crate::ir::{Function, Module};

/// The function of a body: its slots and blocks.
pub(super) fn function(body: &str) -> Function {
    let text = format!("fn \"f\" entry(v0) {{\n{body}\n}}");
    let module = parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(verify(&module), Ok(()), "{text}");
    module.functions.into_iter().next().expect("one function")
}

/// The body after passes, without indentation.
pub(super) fn after(passes: &[fn(&mut Function) -> bool], body: &str) -> String {
    let mut function = function(body);
    for pass in passes {
        pass(&mut function);
    }
    let module = Module {
        functions: vec![function],
    };
    assert_eq!(verify(&module), Ok(()), "{module}");
    let text = module.to_string();
    let lines = text.lines().map(str::trim);
    let body = lines.filter(|l| !l.starts_with("fn ") && *l != "}");
    body.map(|l| format!("{l}\n")).collect()
}

/// Compares with the expected body, whose indentation does not matter.
#[track_caller]
pub(super) fn check(passes: &[fn(&mut Function) -> bool], body: &str, expected: &str) {
    let expected: String = expected
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .map(|l| format!("{l}\n"))
        .collect();
    let found = after(passes, body);
    assert!(found == expected, "found:\n{found}\nexpected:\n{expected}");
}
