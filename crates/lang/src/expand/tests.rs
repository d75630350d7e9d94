use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use beetrace_probes::fixture::Fixture;

use super::*;
use crate::ast::{Probe, Script, StmtKind};
use crate::dump;
use crate::span::Source;

struct Files(HashMap<PathBuf, String>);

impl ImportFiles for Files {
    fn read(&self, path: &Path) -> Result<String, String> {
        self.0
            .get(path)
            .cloned()
            .ok_or_else(|| "no such file".into())
    }

    fn list(&self, path: &Path) -> Option<Vec<PathBuf>> {
        let inside: Vec<_> = self
            .0
            .keys()
            .filter(|f| f.parent() == Some(path))
            .cloned()
            .collect();
        (!inside.is_empty()).then_some(inside)
    }

    fn is_world_writable(&self, directory: &Path) -> bool {
        directory.ends_with("open")
    }
}

fn run(text: &str, options: &Options, files: &[(&str, &str)]) -> (Expansion, Vec<String>) {
    let mut sources = Sources::default();
    let text: Arc<str> = text.into();
    let root = sources.add(Source {
        name: "dir/main.bt".into(),
        text,
        is_stdlib: false,
        expanded_from: None,
    });
    let files = files
        .iter()
        .map(|(p, t)| (PathBuf::from(p), (*t).to_string()))
        .collect();
    let mut diags = Diagnostics::default();
    let expansion = expand(
        root,
        sources,
        &Fixture::new(),
        &Files(files),
        options,
        &mut diags,
    );
    (expansion, diags.iter().map(|d| d.message.clone()).collect())
}

/// The expanded script in the text form of the tree, less the lines of the probes themselves.
fn expanded(text: &str, options: &Options) -> String {
    let (expansion, messages) = run(text, options, &[]);
    assert_eq!(messages, [] as [String; 0], "{text}");
    body(expansion)
}

fn body(expansion: Expansion) -> String {
    let probes = expansion.script.probes.into_iter().map(|p| Probe {
        name: None,
        attach_points: Vec::new(),
        predicate: p.predicate,
        body: p.body,
        span: p.span,
    });
    dump::script(&Script {
        probes: probes.collect(),
        ..Script::default()
    })
}

/// Whether two scripts expand to the same.
fn same(text: &str, other: &str) {
    assert_eq!(
        expanded(text, &Options::default()),
        expanded(other, &Options::default())
    );
}

#[test]
fn a_macro_is_its_body() {
    same(
        "macro one() { 1 } begin { print(one()); }",
        "begin { print(1); }",
    );
    same(
        "macro one() { 1 } begin { print(one); }",
        "begin { print(1); }",
    );
    same(
        "macro add(x) { x + 1 } begin { print(add(add(2))); }",
        "begin { print(2 + 1 + 1); }",
    );
}

#[test]
fn variables_and_maps_are_those_of_the_caller() {
    same(
        "macro bump($v, @m) { $v += 1; @m = $v; } begin { $a = 1; bump($a, @b); }",
        "begin { $a = 1; { $a += 1; @b = $a; } }",
    );
}

#[test]
fn own_variables_of_a_macro_are_hidden() {
    let text = expanded(
        "macro f(x) { let $t = x; $t } begin { $t = 1; print(f($t)); }",
        &Options::default(),
    );
    assert!(text.contains("$t#1"), "{text}");
}

#[test]
fn a_macro_cannot_reach_maps_of_the_script() {
    let (_, messages) = run(
        "macro f() { @x = 1; } begin { f(); }",
        &Options::default(),
        &[],
    );
    assert_eq!(
        messages,
        ["Unhygienic access to map: @x. Maps must be passed into the macro as arguments."]
    );
}

#[test]
fn the_best_overload_is_taken() {
    same(
        "macro k($v) { 1 } macro k(@m) { 2 } macro k(e) { 3 } begin { $a = 0; print((k($a), k(@b), k(5))); }",
        "begin { $a = 0; print((1, 2, 3)); }",
    );
    let (_, messages) = run(
        "macro k($v) { 1 } begin { print(k(5)); }",
        &Options::default(),
        &[],
    );
    assert_eq!(
        messages,
        ["Call to k() has arguments that do not match any definition."]
    );
}

#[test]
fn endless_macros_are_refused() {
    let (_, messages) = run(
        "macro a() { b() } macro b() { a() } begin { a(); }",
        &Options::default(),
        &[],
    );
    assert_eq!(
        messages,
        ["Recursive macro call detected. Call chain: a > b > a"]
    );
}

#[test]
fn defines_are_expressions() {
    same(
        "#define TWO (1 + 1)\n#define SUM(a, b) (a) + b\nbegin { print(SUM(TWO, 3)); }",
        "begin { print(1 + 1 + 3); }",
    );
}

#[test]
fn positional_parameters() {
    let options = Options {
        positional: vec!["20".into(), "abc".into()],
        ..Options::default()
    };
    let literal = expanded(
        "begin { print((20, \"abc\", 0, 2, str(\"bc\"))); }",
        &Options::default(),
    );
    let text = "begin { print(($1, $2, $3, $#, str($2 + 1))); }";
    let (expansion, messages) = run(text, &options, &[]);
    assert_eq!(
        messages,
        ["Positional parameter $3 is empty or not provided."]
    );
    assert_eq!(body(expansion), literal);
    let (expansion, messages) = run("interval:s:$1 { }", &options, &[]);
    assert_eq!(messages, [] as [String; 0]);
    assert_eq!(
        expansion.script.probes[0].matches[0].spec.name,
        "interval:s:20"
    );
}

#[test]
fn named_parameters() {
    let text = "begin { print((getopt(\"a\", 5), getopt(\"b\"), getopt(\"c\", \"x\"))); }";
    let options = Options {
        named: vec![("a".into(), Some("7".into())), ("b".into(), None)],
        ..Options::default()
    };
    let literal = expanded(
        "begin { print(((uint64)7, true, \"x\")); }",
        &Options::default(),
    );
    assert_eq!(expanded(text, &options), literal);
    let wrong = Options {
        named: vec![("a".into(), Some("x".into())), ("z".into(), None)],
        ..Options::default()
    };
    let (expansion, messages) = run(text, &wrong, &[]);
    assert_eq!(
        messages,
        [
            "program command line option --a invalid integer (value: x)",
            "unexpected program command line options: --z",
        ]
    );
    assert_eq!(expansion.named_params.len(), 3);
    let asked = Options {
        named: vec![("help".into(), None), ("b".into(), Some("NO".into()))],
        ..Options::default()
    };
    let (expansion, messages) = run(text, &asked, &[]);
    assert_eq!(messages, [] as [String; 0]);
    assert_eq!(
        expansion.help.as_deref(),
        Some("expected program options:\n--a\n--b\n--c")
    );
}

#[test]
fn places_in_macros_lead_to_their_calls() {
    let text = "macro inner() { print(1); } macro outer() { inner(); } begin { outer(); }";
    let (expansion, _) = run(text, &Options::default(), &[]);
    let sources = &expansion.script.sources;
    let outer = &expansion.script.probes[0].body.stmts[0];
    let StmtKind::Block(outer) = &outer.kind else {
        panic!("{outer:?}")
    };
    let StmtKind::Block(inner) = &outer.stmts[0].kind else {
        panic!("{outer:?}")
    };
    let place = inner.stmts[0].span;
    assert_eq!(sources.text(place), "print(1)");
    let calls: Vec<&str> = sources.expansions(place).map(|s| sources.text(s)).collect();
    assert_eq!(calls, ["inner()", "outer()"]);
}

#[test]
fn settings_come_from_the_block_and_the_environment() {
    let options = Options {
        environment: vec![("BPFTRACE_MAX_STRLEN".into(), "99".into())],
        ..Options::default()
    };
    let (expansion, messages) = run(
        "config = { max_strlen=10; stack_mode=perf; BPFTRACE_MAX_MAP_KEYS=7 } begin { }",
        &options,
        &[],
    );
    assert_eq!(messages, [] as [String; 0]);
    let settings = expansion.script.settings;
    assert_eq!((settings.max_strlen, settings.max_map_keys), (99, 7));
    let (_, messages) = run(
        "config = { bad_config=raw; strlen=2 } begin { }",
        &Options::default(),
        &[],
    );
    assert_eq!(
        messages,
        [
            "bad_config: not a known configuration option",
            "key has been renamed to 'max_strlen'"
        ]
    );
}

#[test]
fn imports_come_first_and_once() {
    let files = [
        ("dir/lib/a.bt", "macro hi() { 1 } begin { print(2); }"),
        ("dir/lib/types.h", "struct S { int x; };"),
        ("dir/open/b.bt", ""),
    ];
    let main = "import \"lib/a.bt\"; import \"lib\"; begin { print(hi()); }";
    let (expansion, messages) = run(main, &Options::default(), &files);
    assert_eq!(messages, [] as [String; 0]);
    assert_eq!(expansion.script.c_items.len(), 1);
    let plain = expanded(
        "begin { print(2); } begin { print(1); }",
        &Options::default(),
    );
    assert_eq!(body(expansion), plain);
    let (_, messages) = run(
        "import \"open/b.bt\"; import \"no.bt\"; begin { }",
        &Options::default(),
        &files,
    );
    assert_eq!(
        messages,
        [
            "cannot import `dir/open/b.bt`: anybody may write to its directory",
            "cannot import `dir/no.bt`: no such file",
        ]
    );
}

#[test]
fn headers_are_read_known_or_missing() {
    let files = [
        (
            "dir/own.h",
            "#include \"sub/more.h\"\nstruct Own { struct More m; };",
        ),
        ("dir/sub/more.h", "struct More { int x; };"),
        ("inc/far.h", "#define FAR 7\nstruct Far { int y; };"),
        ("inc/first.h", "struct First { int z; };"),
    ];
    let options = Options {
        include_dirs: vec!["inc".into()],
        includes: vec!["inc/first.h".into(), "errno.h".into()],
        ..Options::default()
    };
    let text = "#include <linux/sched.h>\n#include \"own.h\"\n#include <far.h>\n#include <far.h>\n\
                struct Mine { int a; };\nbegin { print(FAR); }";
    let (expansion, messages) = run(text, &options, &files);
    assert_eq!(messages, [] as [String; 0]);
    let names: Vec<&str> = expansion
        .script
        .c_items
        .iter()
        .filter_map(|i| match i {
            CItem::Struct(s) => s.name.as_ref().map(|n| n.name.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["First", "More", "Own", "Far", "Mine"]);
    let (_, messages) = run(
        "#include <lol/no.h>\nbegin { }",
        &Options::default(),
        &files,
    );
    assert_eq!(messages, ["'lol/no.h' file not found"]);
}

#[test]
fn missing_probes_are_errors_or_warnings() {
    let (_, messages) = run("tracepoint:no:such { }", &Options::default(), &[]);
    assert_eq!(messages, ["No matches for tracepoint no:such."]);
    let warn = "config = { missing_probes=warn } begin { } tracepoint:no:such { }";
    let (expansion, messages) = run(warn, &Options::default(), &[]);
    assert_eq!(
        messages,
        [
            "No matches for tracepoint no:such. Skipping.",
            "Probe has no valid attach points. It is being removed which may cause issues with program behavior.",
        ]
    );
    assert_eq!(expansion.script.probes.len(), 1);
}

#[test]
fn a_process_id_becomes_a_condition() {
    let options = Options {
        pid: Some(5),
        ..Options::default()
    };
    let (expansion, _) = run("kprobe:vfs_read / arg0 / { } begin { }", &options, &[]);
    let predicates: Vec<bool> = expansion
        .script
        .probes
        .iter()
        .map(|p| p.predicate.is_some())
        .collect();
    assert_eq!(predicates, [true, false]);
}

#[test]
fn the_library_is_there() {
    let text = expanded("begin { print(ppid); }", &Options::default());
    assert!(
        text.contains("curtask") && text.contains("real_parent"),
        "{text}"
    );
}
