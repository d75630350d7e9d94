//! Tests of the runner itself: that it reads cases as written, and that its comparisons can fail.

use libtest_mimic::Trial;

use crate::case::{Exit, Kernels, Step, parse};
use crate::{expect, run};

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, fn()); 6] = [
        ("reads fields, steps and sections", reads),
        ("refuses what it does not know", refuses),
        ("compares lines", compares_lines),
        ("compares parts", compares_parts),
        ("checks JSON", checks_json),
        ("parts command lines", parts_words),
    ];
    tests
        .into_iter()
        .map(|(name, test)| {
            Trial::test(format!("runner/{name}"), move || {
                test();
                Ok(())
            })
        })
        .collect()
}

fn reads() {
    let text = "# about\n\n=== one\nargs: -q\nenv: A=b=c\nneeds: bpf, kprobes\nkernels: 6.1..\nrun: x 1\nsignal: INT\n\
                exit: signal 9\n--- script\nbegin { }\n\n--- stdout raw\n\na\n\n=== two\nneeds: nothing\n--- file x y\nz";
    let cases = parse("g", text).expect("well formed");
    let [one, two] = &cases[..] else {
        panic!("{} cases", cases.len())
    };
    assert_eq!((one.name.as_str(), one.line), ("g/one", 3));
    assert_eq!(one.args, "-q");
    assert_eq!(one.env, [("A".to_string(), "b=c".to_string())]);
    assert_eq!(one.needs, ["bpf", "kprobes"]);
    let (from, to) = ((6, 1), (u32::MAX, u32::MAX));
    assert_eq!(one.kernels, Kernels { from, to });
    assert_eq!(
        one.steps,
        [
            Step::Run("x 1".to_string()),
            Step::Signal("INT".to_string())
        ]
    );
    assert_eq!(one.exit, Exit::Signal(9));
    assert_eq!(one.script.as_deref(), Some("begin { }\n"));
    assert_eq!((one.stdout.as_deref(), one.raw), (Some("\na\n"), true));
    assert!(two.needs.is_empty());
    assert_eq!(two.files, [("x y".to_string(), "z\n".to_string())]);
}

fn refuses() {
    for (text, problem) in [
        ("=== a\nnope: 1", "g.case:2: unknown field `nope`"),
        ("=== a\n--- nope\n=== b", "g.case:3: unknown section `nope`"),
        ("=== a\n=== a", "g.case:2: a second case `g/a`"),
        ("args: x", "g.case:1: text before the first case"),
        (
            "=== a\nkernels: six",
            "g.case:2: kernels wants `6.1..`, `..6.12` or `6.1..6.12`, not `six`",
        ),
    ] {
        assert_eq!(parse("g", text), Err(problem.to_string()));
    }
}

fn compares_lines() {
    for (expected, actual, same) in [
        ("a\nb", "a\nb", true),
        ("a\nb", "a", false),
        ("a", "a\nb", false),
        ("a\n...\nd", "a\nb\nc\nd", true),
        ("a\n...\nd", "a\nd", true),
        ("a\n...\nd", "a\nd\ne", false),
        ("...\nc\n...", "a\nb", false),
        ("~ x[0-9]+", "x12", true),
        ("~ x[0-9]+", "x12y", false),
        ("~ a|b", "ab", false),
    ] {
        assert_eq!(
            expect::lines(expected, actual).is_ok(),
            same,
            "{expected:?} {actual:?}"
        );
    }
}

fn compares_parts() {
    for (expected, actual, same) in [
        ("b\nd", "a b\nc\nd e", true),
        ("d\nb", "a b\nc\nd e", false),
        ("b\nb", "a b", false),
        ("a...c", "a b c", true),
        ("c...a", "a b c", false),
        ("! x", "a b", true),
        ("! a", "a b", false),
    ] {
        assert_eq!(
            expect::parts(expected, actual).is_ok(),
            same,
            "{expected:?} {actual:?}"
        );
    }
}

fn checks_json() {
    assert!(expect::json("{\"a\": 1}\n\n[2]\n").is_ok());
    assert!(expect::json("{\"a\": 1}\n@a: 1\n").is_err());
}

fn parts_words() {
    let words = run::words(" -c 'a b' --x=\"y z\"w '' ").expect("closed");
    assert_eq!(words, ["-c", "a b", "--x=y zw", ""]);
    assert!(run::words("'a").is_err());
}
