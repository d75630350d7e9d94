use super::*;

#[test]
fn tuples_and_records_convert_member_by_member() {
    assert_eq!(
        typed(
            r#"begin { $x = (1, "hello"); @a[$x] = (a=1, b="x"); @a[(2, "a longer one")] = (b="yy", a=500); }"#
        ),
        r#"map @a[(int8,string[13])]: record { .a = int16, .b = string[3] } (Hash, 4096)
probe begin
  let $x: (int8,string[6])
  $x = (1, "hello")
  @a[(members (int8,string[13]))$x] = (a = 1, b = "x")
  @a[(2, "a longer one")] = (a = 500, b = "yy") in order [1, 0]
"#
    );
}

#[test]
fn structs_of_the_script_lie_like_those_of_c() {
    assert_eq!(
        body(
            "struct In { char c; long l; } struct S { int a:3; int b:5; struct In in[2]; union { int u; char name[8]; }; void *p; }
            kprobe:vfs_read { $s = (struct S *)arg0; print(($s.b, $s.in[1].l, $s.name, $s.p, $s.in[0])); print(sizeof(struct S)) }"
        )
        .lines()
        .skip(1)
        .collect::<Vec<_>>()
        .join("\n"),
        "\
print((*$s.<0:3+5: int32>, *$s.<8: struct In[2]>[1].<8: int64>, (text string[9])*$s.<40: string[8]>, *$s.<48: void * kernel>, *$s.<8: struct In[2]>[0]): (int32,int64,string[9],void *,struct In))
print(56: int8)"
    );
}

#[test]
fn casts_between_bytes_and_integers_keep_the_bytes() {
    assert_eq!(
        body(
            "begin { $a = (int8[8])12345; print((uint64)$a); $b = (uint8[])\"abc\"; print($b[0]); print((uint32)pton(\"127.0.0.1\")) }"
        ),
        "\
$a = (bytes int8[8])12345
print((bytes uint64)$a: uint64)
$b = (as uint8[4])\"abc\"
print($b[0]: uint8)
print((bytes uint32)bytes[127, 0, 0, 1]: uint32)"
    );
    assert_eq!(
        errors("begin { $a = (int8[2])12345678; $b = (struct nope *)0; $c = (int32)\"a\" }"),
        [
            "Cannot cast from \"int32\" to \"int8[2]\"",
            "Cannot resolve unknown type \"struct nope\"",
            "Cannot cast from \"string[2]\" to \"int32\"",
        ]
    );
}

#[test]
fn pointers_move_by_what_they_point_to() {
    assert_eq!(
        body("kprobe:vfs_read { $p = (int32 *)arg0; $q = $p + 2; $i = (uint64)3; print(*($q - $i)); print($p[1]); $p++; print($p > 0) }")
            .lines()
            .skip(1)
            .collect::<Vec<_>>()
            .join("\n"),
        "\
$q = ($p + 8 bytes)
$i = 3
print(*($q - ($i * 4) bytes): int32)
print(*($p + 4 bytes): int32)
($p += 4, before)
print(($p > (int32 * kernel)0): bool)"
    );
}

#[test]
fn enumerators_are_constants_that_know_their_name() {
    assert_eq!(
        body(
            "enum E { ONE = 1, TWO, BIG = 1 << 4 } begin { printf(\"%d %s\", TWO, (enum E)1); print(BIG + 1) }"
        ),
        "\
printf(\"%d %s\", 2:enum E: enum E, (enum E)1: enum E)
print(17: int8)"
    );
    assert_eq!(
        errors("enum E { ONE = 1 } begin { print((enum E)5) }"),
        ["Enum: E doesn't contain a variant value of 5"]
    );
}

#[test]
fn what_is_known_of_types_chooses_branches() {
    assert_eq!(
        body(
            "begin { $a = (uint8)1; if comptime (typeinfo($a).full_type == \"uint64\") { @m = 1 } else { @m = \"s\" } $a = (uint64)2 }"
        ),
        "\
$a = (uint64)1
block
@m = 1
$a = 2"
    );
    assert_eq!(
        body(
            "begin { print(sizeof(uint32*[10])); print(offsetof(struct file, f_pos)); print(is_str(comm)) }"
        ),
        "print(80: int8)\nprint(8: int8)\nprint(true: bool)"
    );
    assert_eq!(
        errors(
            "begin { $a = 1; if comptime (typeinfo($a).full_type == \"uint32\") { $a = (uint64)3; } $a = (uint32)2; static_assert(sizeof($a) == 8, \"no\") }"
        ),
        [
            "Type mismatch for $a: this type has been locked because it was used in another part of the type graph that was already resolved (e.g. `sizeof`, `typeinfo`, etc.). The new type 'uint64' doesn't fit into the locked type 'uint32'",
            "no",
        ]
    );
}

#[test]
fn a_struct_of_the_script_hides_that_of_the_kernel_and_cannot_hold_itself() {
    assert_eq!(
        body(
            "struct task_struct { int mine; struct task_struct *next; } kprobe:vfs_read { print(((struct task_struct *)arg0)->next->mine) }"
        )
        .rsplit_once(".<8")
        .map(|(_, end)| end),
        Some(": struct task_struct * kernel>.<0: int32>: int32)")
    );
    assert_eq!(
        errors("struct S { int a; struct S s[2]; } begin { print(sizeof(struct S)) }"),
        ["field has incomplete type 'struct S'"]
    );
}
