//! Input that is deep, long or strange.

use beetrace_lang::diagnostic::Diagnostics;
use beetrace_lang::parser::{parse_expr_fragment, parse_header};
use beetrace_lang::span::{SourceId, Span};
use beetrace_lang::{ast, dump};

use crate::{complaints, parse, tree};

/// Whatever is nested, the complaint is about its depth, and nothing overflows.
#[test]
fn no_nesting_is_too_deep_for_the_parser() {
    let n = 10_000;
    for script in [
        format!("begin {{ $x = {}1; }}", "(".repeat(n)),
        format!("begin {{ $x = {}1; }}", "1+".repeat(n)),
        format!("begin {{ $x = {}1; }}", "!".repeat(n)),
        format!("begin {{ $x = {}1; }}", "(x)".repeat(n)),
        format!("begin {{ $x{}; }}", ".a".repeat(n)),
        format!("begin {{ $x = {}1; }}", "a ? b : ".repeat(n)),
        format!("begin {{ {}", "{ ".repeat(n)),
        format!("begin {{ {}", "{ 1 + ".repeat(n)),
        format!("begin {{ if (1) {{}} {} }}", "else if (1) {} ".repeat(n)),
        format!("begin {{ $x = {}", "if (1) { ".repeat(n)),
        format!("begin {{ {}", "f(".repeat(n)),
        format!("begin {{ {}", "@x[".repeat(n)),
        format!("begin {{ {}", "sizeof(".repeat(n)),
        format!("begin {{ sizeof({}", "typeof(".repeat(n)),
        format!("begin {{ {}", "comptime ".repeat(n)),
        format!("struct s {{ {}", "struct { ".repeat(n)),
        format!("struct s {{ int {}", "(".repeat(n)),
    ] {
        let found = complaints(&script);
        assert!(
            found.contains("this is nested too deeply"),
            "{:.40}: {found:.300}",
            script
        );
    }
}

#[test]
fn a_hundred_levels_are_no_trouble() {
    let script = format!(
        "begin {{ $x = {}1{}; }}",
        "(1 + ".repeat(60),
        ")".repeat(60)
    );
    assert!(tree(&script).contains("int 1"));
    let script = format!("begin {{ $x = {}1; }}", "$y || ".repeat(150));
    assert!(tree(&script).contains("int 1"));
}

#[test]
fn gives_up_after_many_mistakes() {
    let (_, found) = parse(&"begin { ] }\n".repeat(500));
    assert_eq!(found.matches("ERROR").count(), 51);
    assert!(found.ends_with("ERROR: too many mistakes: the rest of the script is not looked at\n"));
}

#[test]
fn strange_text_is_no_script() {
    assert_eq!(complaints("\u{feff}begin { }"), "");
    assert_eq!(complaints("#!/x"), "");
    assert_eq!(
        complaints("begin { é }"),
        "\n1:9-11: expected an expression, found `é`"
    );
    assert_eq!(
        complaints("begin { \0 }"),
        "\n1:9-10: expected an expression, found `\0`"
    );
    assert_eq!(complaints("/*"), "\n1:1-3: comment is not closed");
}

fn fragment(text: &str) -> (Option<ast::Expr>, Vec<String>) {
    let mut diags = Diagnostics::default();
    let span = Span::new(SourceId(3), 100..100 + text.len());
    let expr = parse_expr_fragment(SourceId(3), text, span, &mut diags);
    for d in diags.iter() {
        let place = d.primary.as_ref().map(|l| l.span).unwrap_or_default();
        assert!(place.source == SourceId(3) && place.start >= 100 && place.end <= span.end);
    }
    (expr, diags.iter().map(|d| d.message.clone()).collect())
}

#[test]
fn definitions_are_expressions_with_places_in_the_script() {
    let (expr, messages) = fragment("(1 << 'a') /* bit */ | FLAG");
    let expr = expr.expect("an expression");
    assert_eq!(messages, [""; 0]);
    assert_eq!(expr.span, Span::new(SourceId(3), 100..127));
    assert_eq!(
        dump::expr(&expr),
        "binary |\n  binary <<\n    int 1\n    int 97 ('a')\n  name FLAG\n"
    );
    assert_eq!(fragment(" /* nothing */ "), (None, vec![]));
    assert_eq!(
        fragment("\"a\" \"b\"").1,
        ["expected an operator or the end of the expression, found a string"]
    );
    assert_eq!(
        fragment("{").1,
        ["expected `}`, found the end of the script"]
    );
}

#[test]
fn headers_give_their_types() {
    let text = "#pragma once\n#include <x.h>\nextern int puts(const char *);\nstatic inline int f(void) { return 0; }\n\
                struct s { int a; } __attribute__((packed));\nstruct s *make(void);\nstatic struct s table[] = { { 1 } };\n\
                typedef enum { A, B } ab, *abp;\nint last;\n";
    let mut diags = Diagnostics::default();
    let script = ast::Script {
        c_items: parse_header(SourceId(0), text, &mut diags),
        ..Default::default()
    };
    assert!(diags.is_empty(), "{diags:?}");
    assert_eq!(
        dump::script(&script),
        "include <x.h>\nstruct s packed\n  field a: int\nenum ab\n  A\n  B\ntypedef ab = enum ab\ntypedef abp = enum ab*\n"
    );
}
