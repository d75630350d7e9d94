//! Mistakes: all of them in one run, each at its place.

use crate::complaints;

#[test]
fn every_statement_with_a_mistake_is_reported() {
    let script = r#"begin { print(1) print(2); $x = 1 + ; $y = (2; }
kprobe:f /pid == 1 { [; }
begin { if ($x = 1) { 5++; } &1; $x.0 = 3; 7 = 8; else { } }"#;
    assert_eq!(
        complaints(script),
        r#"
1:18-23: expected `;`, found `print`
1:37-38: expected an expression, found `;`
1:46-47: expected `)`, found `;`
2:20-21: expected `/`, found `{`
2:22-23: expected an expression, found `[`
3:16-17: a condition cannot assign
3:23-24: `++` and `--` need a variable or a map
3:31-32: `&` needs a variable or a map
3:34-38: parts of a value cannot be assigned
3:44-45: this cannot be assigned
3:51-55: `else` without `if`"#
    );
}

#[test]
fn mistakes_in_literals() {
    let script = r#"begin { "\q\777"; 12e4; 1_; 5x; $0; 1.5; 'a'; "open
}"#;
    assert_eq!(
        complaints(script),
        r#"
1:10-12: unknown escape `\q`
1:12-16: octal escape `\777` is larger than a byte
1:19-21: the part before `e` must be a single digit from 1 to 9
1:26-27: an integer cannot end with an underscore
1:30-31: invalid suffix `x` of an integer
1:33-35: there is no parameter `$0`
1:37-40: there are no floating-point numbers
1:42-45: there are no character literals
1:47-52: string is not closed"#
    );
}

#[test]
fn misplaced_types_and_names() {
    let script = r#"begin { (a=1, a=2); f(struct s*); let @x; let 5; for (@x : @y) { } $x = if (1) { 2 }; }"#;
    assert_eq!(
        complaints(script),
        r#"
1:15-16: the record has two fields `a`
1:23-29: expected an expression, found a type
1:39-41: maps cannot be declared inside a block
1:47-48: expected a variable, found `5`
1:55-57: expected a variable, found `@x`
1:73-85: an `if` that gives a value needs an `else`"#
    );
}

#[test]
fn order_of_the_parts() {
    let script = r#"begin { }
struct late { int x; };
config = { a = ; b 3 }
import "x";
}
let $x = hash(3);
fn f($a: int8): void { print(1 1); }"#;
    assert_eq!(
        complaints(script),
        r#"
2:1-7: C definitions must come before everything else
3:1-7: `config` must come before probes, macros and map declarations
3:16-17: expected a string, an integer, `true`, `false` or a word, found `;`
3:20-21: expected `=`, found `3`
4:1-7: `import` must come before probes, macros and map declarations
5:1-2: `}` closes nothing
6:5-7: only maps can be declared outside of a block
7:1-3: functions cannot be defined in a script
7:32-33: expected `)`, found `1`"#
    );
}

#[test]
fn mistakes_around_probes() {
    let script = r#"kprobe:a kprobe:b { }
{ print(1); }
kprobe:"abc { }
macro m(pid, 5) { 1 }
begin { /* never"#;
    assert_eq!(
        complaints(script),
        r#"
1:10-16: expected `{`, found `kprobe`
2:1-2: expected a probe, found `{`
3:8-16: quotes are not closed
4:1-6: expected `{`, found `macro`
5:9-11: comment is not closed
5:17-17: expected `}`, found the end of the script"#
    );
}

#[test]
fn mistakes_in_c() {
    let script = r#"#include linux
#if x(
#endif
#else
#frob
struct a { int; int b[n]; struct { int c; } d[n]; int e : -1; }
#ifdef X"#;
    assert_eq!(
        complaints(script),
        r#"
1:1-15: the path of an include is missing
2:4-7: this condition cannot be decided
4:1-6: `#else` without `#if`
5:1-6: unknown directive `#frob`
6:15-16: expected the name of the field, found `;`
6:47-48: the size of this array is not known
6:59-61: the width of a bit field must be a constant that is not negative
7:1-7: conditional is not closed"#
    );
}
