//! Expressions.

use crate::tree;

#[test]
fn blocks_and_branches_with_values() {
    let script = r#"macro last(x) { if (x) { 1 } else if (!x) { 2 } else { 3 } }
macro none(x) { if (x) { 1 } else { print(2); } }
macro block(x) { { let $y = x; $y } }
begin {
  $a = if ($b) { 1 } else { 2 };
  $c = { $a++; $a } + 1;
  { 1 } * 2
}"#;
    assert_eq!(
        tree(script),
        r#"
macro last(x)
  value
    if value
      name x
      then
        value
          int 1
      else
        value
          if value
            unary !
              name x
            then
              value
                int 2
            else
              value
                int 3
macro none(x)
  if
    name x
  then
    int 1
  else
    call print
      int 2
macro block(x)
  value
    block value
      let $y
        name x
      value
        variable $y
probe begin
  assign =
    variable $a
    if value
      variable $b
      then
        value
          int 1
      else
        value
          int 2
  assign =
    variable $c
    binary +
      block value
        postfix ++
          variable $a
        value
          variable $a
      int 1
  binary *
    block value
      value
        int 1
    int 2
"#
    );
}

#[test]
fn precedence() {
    let script = r#"begin {
  $a = 1 + 2 * 3 - -4 << 5 < 6 == 7 & 8 ^ 9 | 10 && 11 || 12 ? 13 : 14 ? 15 : 16;
  $b = 1 - 2 - 3 ?: 4;
  $c = !*$p->x.y[1] + $z++ - --@m[1];
}"#;
    assert_eq!(
        tree(script),
        r#"
probe begin
  assign =
    variable $a
    ternary
      binary ||
        binary &&
          binary |
            binary ^
              binary &
                binary ==
                  binary <
                    binary <<
                      binary -
                        binary +
                          int 1
                          binary *
                            int 2
                            int 3
                        unary -
                          int 4
                      int 5
                    int 6
                  int 7
                int 8
              int 9
            int 10
          int 11
        int 12
      int 13
      ternary
        int 14
        int 15
        int 16
  assign =
    variable $b
    or else
      binary -
        binary -
          int 1
          int 2
        int 3
      int 4
  assign =
    variable $c
    binary -
      binary +
        unary !
          unary *
            index
              field .y
                field .x
                  variable $p
              int 1
        postfix ++
          variable $z
      prefix --
        map @m[]
          int 1
"#
    );
}

#[test]
fn literals() {
    let script = r#"begin { f(0x1f, 0777, 1_000, 5e3, 3ms, 7ULL, true, "a\tb\x41\
c", $1, $#) }"#;
    assert_eq!(
        tree(script),
        r#"
probe begin
  call f
    int 31 (0x1f)
    int 511 (0777)
    int 1000 (1_000)
    int 5000 (5e3)
    int 3000000 (3ms)
    int 7 (7ULL)
    bool true
    string "a\tbAc"
    param $1
    param $#
"#
    );
}

#[test]
fn casts_and_parentheses() {
    let script = r#"begin {
  $a = (uint64)*$p;
  $b = (pid)*tid;
  $c = (x)*arg0;
  $d = (x) + 1;
  $e = (struct sock *)arg0->sk.f[2];
  $f = ((int8[8])(uint64)1)[0];
  $g = (typeof($x)*)$y;
  $h = (const unsigned char **)1;
  $i = ((1), (1,), (), (a=1, b=(c="x")));
}"#;
    assert_eq!(
        tree(script),
        r#"
probe begin
  assign =
    variable $a
    cast uint64
      unary *
        variable $p
  assign =
    variable $b
    binary *
      name pid
      name tid
  assign =
    variable $c
    cast x
      unary *
        name arg0
  assign =
    variable $d
    binary +
      name x
      int 1
  assign =
    variable $e
    cast struct sock*
      index
        field .f
          field .sk
            name arg0
        int 2
  assign =
    variable $f
    index
      cast int8[8]
        cast uint64
          int 1
      int 0
  assign =
    variable $g
    cast typeof(variable $x)*
      variable $y
  assign =
    variable $h
    cast unsigned char**
      int 1
  assign =
    variable $i
    tuple
      int 1
      tuple
        int 1
      tuple
      record
        a =
          int 1
        b =
          record
            c =
              string "x"
"#
    );
}

#[test]
fn types_as_arguments() {
    let script = r#"begin {
  f(sizeof(uint32*[10]), sizeof(size_t), sizeof((e)[1]), sizeof(e[1]), sizeof($a * 2), sizeof(m()));
  f(offsetof(struct task_struct, a.b.c), offsetof(*$p, x), typeinfo(args).full_type);
  f!(typeof(struct s*), &@x, &$a);
}"#;
    assert_eq!(
        tree(script),
        r#"
probe begin
  call f
    call sizeof
      type uint32*[10]
    call sizeof
      name size_t
    call sizeof
      index
        name e
        int 1
    call sizeof
      type e[1]
    call sizeof
      binary *
        variable $a
        int 2
    call sizeof
      call m
  call f
    call offsetof
      type struct task_struct
      field .c
        field .b
          name a
    call offsetof
      unary *
        variable $p
      name x
    field .full_type
      call typeinfo
        name args
  call f
    type typeof(struct s*)
    unary &
      map @x
    unary &
      variable $a
"#
    );
}
