use super::*;

#[test]
fn all_mistakes_of_a_script_are_told_at_once() {
    assert_eq!(
        errors(
            "kprobe:vfs_read { $x = nonsense; $y = $x; @a = 1; @a = \"s\"; print($cuont); $count = 1 }"
        ),
        [
            "Unknown identifier: 'nonsense'",
            "Type mismatch for @a: trying to assign value of type 'string[2]' when map already has a type 'int8'",
            "Undefined or undeclared variable: $cuont",
        ]
    );
}

#[test]
fn formats_and_arguments_go_together() {
    assert_eq!(
        errors(
            r#"begin { printf("%d %s", 1); printf("x", 1); printf("%d", "s"); printf("%r", comm); printf("%f", 1) }"#
        ),
        [
            "not enough arguments for format string (1 supplied, 2 expected)",
            "too many arguments for format string (1 supplied, 0 expected)",
            "unsupported format specifier for type 'string[2]': d",
            "unsupported format specifier for type 'string[16]': r",
            "unsupported format specifier: f",
        ]
    );
}

#[test]
fn functions_say_what_they_want() {
    assert_eq!(
        errors(
            r#"begin { str(); exit(1, 2); nosuch(1); kstack(1, 2, 3); lhist(1); @ = lhist(1, 10, 0, 1); @h = hist(1, 9); strncmp("a", "b", -1); join("a") }"#
        ),
        [
            "str() requires at least one argument (0 provided)",
            "exit() takes up to one argument (2 provided)",
            "Unknown function: 'nosuch'",
            "kstack() takes up to 2 arguments (3 provided)",
            "lhist() must be assigned directly to a map",
            "lhist() min must be less than max (provided min 10 and max 0)",
            "hist: bits 9 must be 0..5",
            "Builtin strncmp requires a non-negative literal",
            "() only supports int or pointer arguments (string provided)",
        ]
    );
}

#[test]
fn what_harms_the_system_must_be_allowed() {
    assert_eq!(
        errors(
            "kprobe:vfs_read { system(\"ls\"); signal(\"KILL\"); override(1); write_user(arg0, \"x\", 1) }"
        ),
        [
            "system() is an unsafe function being used in safe mode",
            "signal() is unsafe. To use you need the --unsafe flag",
            "override() is unsafe. To use you need the --unsafe flag",
            "write_user() is unsafe. To use you need the --unsafe flag",
        ]
    );
    let allowed = Options {
        allow_unsafe: true,
        ..Options::default()
    };
    assert!(typed_with("kprobe:vfs_read { signal(\"SIGUSR1\") }", &allowed).contains("signal(10)"));
}

#[test]
fn warnings_tell_of_what_may_surprise() {
    assert_eq!(
        warnings(
            "begin { 1; let $a; print($a); $a = 1; let $never; $b = (int8)1; while (0) { } return; print(1) }"
        ),
        [
            "Return value discarded.",
            "Variable used before it was assigned: $a",
            "Unnecessary cast: expression is already of type int8",
            "While loops are deprecated and may be removed in the future.",
            "Unreachable statement.",
            "Variable $never was never assigned to.",
        ]
    );
}

#[test]
fn a_slip_of_the_pen_is_recognised() {
    let (_, diags) = run_with(
        "begin { @start = 1; $count = 1; print(@strat); pritnf(\"\"); print($cuont) }",
        &Options::default(),
    );
    let help: Vec<_> = diags.iter().flat_map(|d| d.help.clone()).collect();
    assert_eq!(
        help,
        [
            "did you mean `@start`?",
            "did you mean `printf`?",
            "did you mean `$count`?"
        ]
    );
}

#[test]
fn no_script_makes_the_checker_fail() {
    for text in [
        "begin { $a = $a + 1; @a[@a[1]] = @a; }",
        "begin { $a = ($a, 1); }",
        "begin { @a = (@a, 1); }",
        "begin { $x = 1 << 64; $y = -9223372036854775809; $z = 1 % 0; }",
        "struct S { struct S s; int a[99999999999]; } begin { print(sizeof(struct S)); $s = (struct S *)0; print($s.s.s.s) }",
        "begin { $p = &$p; $p = &$p; @q = &@q }",
        "begin { print((1, 2).9); print((1,)[-1]); print(\"abc\"[7]) }",
        "begin { let $a: int8[99999999999]; let $b: typeof($b) = 1 }",
    ] {
        run_with(text, &Options::default());
    }
}

#[test]
fn too_many_programs_are_refused_before_they_are_checked() {
    let few = Options {
        environment: vec![("BPFTRACE_MAX_BPF_PROGS".into(), "2".into())],
        ..Options::default()
    };
    let (_, diags) = run_with("kprobe:vfs_* { @[__builtin_probe] = count() }", &few);
    assert_eq!(
        messages(&diags, Severity::Error),
        [
            "Your program is trying to generate more than 3 BPF programs, which exceeds the current limit of 2"
        ]
    );
    assert!(
        run_with("kprobe:vfs_* { @[func] = count() }", &few)
            .0
            .is_some()
    );
}
