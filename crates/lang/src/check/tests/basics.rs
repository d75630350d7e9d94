use super::*;

#[test]
fn a_first_program() {
    assert_eq!(
        typed(r#"begin { $x = 1; @y[pid] = $x + 2; printf("%d %s\n", $x, comm); exit() }"#),
        r#"map @y[uint32]: int64 (Hash, 4096)
probe begin
  let $x: int8
  $x = 1
  @y[pid] = ((int64)$x + 2)
  printf("%d %s\n", $x: int8, comm: string[16])
  exit(0)
"#
    );
}
