use super::*;

#[test]
fn keys_and_values_widen_over_the_whole_script() {
    assert_eq!(
        typed(
            r#"begin { @a[1, "x"] = 1; } end { @a[300, "longer"] = (uint64)5; print(@a[2, "y"]); }"#
        ),
        r#"map @a[(int16,string[7])]: uint64 (Hash, 4096)
probe begin
  @a[(1, "x")] = 1
probe end
  @a[(300, "longer")] = 5
  print(@a[(2, "y")]: uint64)
"#
    );
}

#[test]
fn what_is_summed_up_is_kept_by_processor_and_read_as_an_integer() {
    assert_eq!(
        typed(
            "begin { @c[1] = count(); @s = sum(-1); $x = (int64)@c[1] + 1; if (@s > 5) { exit(3) } for ($kv : @c) { print($kv.1) } }"
        ),
        "\
map @c[int8]: count_t (PerCpuHash, 4096)
map @s: sum_t (PerCpuHash, 1)
probe begin
  let $x: int64
  let $kv: (int8,uint64)
  @c[1] <-
  @s <- -1
  $x = ((int64)total(@c[1]) + 1)
  if (total(@s) > 5)
    exit(3)
  for $kv in @c
    print($kv.1: uint64)
"
    );
    assert_eq!(
        errors("begin { @y = count(); @x = @y; count(); @y = 5; @h = hist(1); $h = @h }"),
        [
            "Map value 'count_t' cannot be assigned from one map to another. The function that returns this type must be called directly e.g. `@x = count();`.",
            "count() must be assigned directly to a map",
            "Type mismatch for @y: trying to assign value of type 'int8' when map already has a type 'count_t'",
            "Value 'hist_t' cannot be assigned to a scratch variable.",
        ]
    );
}

#[test]
fn a_map_has_keys_or_it_has_none() {
    assert_eq!(
        errors(
            "begin { @a = 1; @a[2] = 1; @b[1] = 1; print(@b + 1); print(@nope); len(@a); delete(@a, 1) }"
        ),
        [
            "@a used as a map with an explicit key (non-scalar map), previously used without an explicit key (scalar map)",
            "@b used as a map without an explicit key (scalar map), previously used with an explicit key (non-scalar map)",
            "Undefined map: @nope",
            "call to len() expects a map with explicit keys (non-scalar map)",
            "call to delete() with two arguments expects a map with explicit keys (non-scalar map)",
        ]
    );
}

#[test]
fn a_deletion_that_nobody_looks_at_warns_when_it_fails() {
    assert_eq!(
        body("begin { @a[1] = 1; delete(@a, 1); delete(@a[2]); if (delete(@a, 3)) { clear(@a) } }"),
        "\
@a[1] = 1
delete!(@a[1])
delete!(@a[2])
if delete(@a[3])
clear(@a)"
    );
}

#[test]
fn compound_assignment_evaluates_its_key_once() {
    assert_eq!(
        body("begin { @a[rand] += 2; @b++; @c[pid] -= 1 }"),
        "\
$0 = rand
@a[$0] = (@a[$0] + 2)
(@b += 1, before)
$1 = pid
@c[$1] = (@c[$1] - 1)"
    );
}

#[test]
fn declared_maps_have_their_kind_and_size() {
    assert_eq!(
        typed(
            "let @a = lruhash(10); let @c = percpulruhash(5); begin { @a[1] = 1; @c[1] = count() }"
        ),
        "\
map @a[int8]: int8 (LruHash, 10)
map @c[int8]: count_t (LruPerCpuHash, 5)
probe begin
  @a[1] = 1
  @c[1] <-
"
    );
    assert_eq!(
        errors("let @a = percpuhash(10); let @b = nope(1); begin { @a[1] = 1; @b[1] = 1 }"),
        [
            "Incompatible map types. Type from declaration: percpuhash. Type from value/key type: hash",
            "Invalid bpf map type: nope",
        ]
    );
    assert_eq!(warnings("let @a = hash(10); begin { }"), ["Unused map: @a"]);
}

#[test]
fn find_gives_the_value_with_the_answer() {
    assert_eq!(
        body("begin { @a[1] = (uint64)7; let $v; if (find(@a, 1, $v)) { print($v) } }"),
        "\
@a[1] = 7
$v = zero
if find(@a, 1, $v)
print($v: uint64)"
    );
}
