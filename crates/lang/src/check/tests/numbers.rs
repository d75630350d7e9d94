use super::*;

#[test]
fn a_literal_is_as_narrow_as_it_can_be_and_takes_a_sign() {
    assert_eq!(
        typed("begin { $a = 1; $a = (uint64)2; $b = 1; $b = -1000; $c = 18446744073709551615; }"),
        "\
probe begin
  let $a: uint64
  let $b: int16
  let $c: uint64
  $a = 1
  $a = 2
  $b = 1
  $b = -1000
  $c = 18446744073709551615
"
    );
}

#[test]
fn arithmetic_has_64_bits_and_subtraction_a_sign() {
    assert_eq!(
        body("begin { $a = (uint8)1; $b = $a + 1; $c = $a - 1; $d = $a + (int8)2; $e = 7 * 6; }"),
        "\
$a = 1
$b = ((uint64)$a + 1)
$c = ((int64)$a - 1)
$d = ((int64)$a + (int64)2)
$e = 42"
    );
}

#[test]
fn comparisons_meet_in_a_common_type() {
    assert_eq!(
        body("begin { $a = (uint8)1; $b = $a == 1; $c = pid < 10000; $d = $a < (int32)-1 }"),
        "\
$a = 1
$b = ($a == 1)
$c = (pid < 10000)
$d = ((int32)$a < -1)"
    );
    assert_eq!(
        warnings("begin { $a = (uint64)1; $b = $a < (int64)-1; print($b) }"),
        [
            "Expression of type: uint64 being cast to type: int64. This may cause unexpected results. Use an explicit cast to suppress this warning."
        ]
    );
}
