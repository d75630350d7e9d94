//! What a target cannot do is said, with its place.

use beetrace_codegen::{CompileError, LowerError, Target};

use crate::error;

#[test]
fn a_loop_over_a_map_needs_its_helper() {
    let target = Target {
        for_each_map_elem: false,
        ..Target::default()
    };
    let error = error(
        "begin { @a[1] = 2; for ($kv : @a) { print($kv); } }",
        &target,
    );
    assert_eq!(
        error.to_string(),
        "a loop over a map needs bpf_for_each_map_elem (Linux 5.13), which this kernel does not have"
    );
    assert!(matches!(
        error,
        CompileError::Lower(LowerError::Unsupported { .. })
    ));
    assert_eq!(error.span().range(), 19..49);
}

#[test]
fn the_total_of_an_aggregation_needs_its_helper() {
    let target = Target {
        lookup_percpu_elem: false,
        ..Target::default()
    };
    let error = error("begin { @a[1] = count(); print((uint64)@a[1]); }", &target);
    assert!(error.to_string().starts_with("the value of an aggregation"));
}
