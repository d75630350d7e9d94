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
