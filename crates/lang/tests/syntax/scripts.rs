//! Scripts, probes and statements.

use crate::tree;

#[test]
fn the_head_of_a_script() {
    let script = r#"config = { stack_mode = perf; max_strlen = 64; license = "GPL"; cpp_demangle = false }
import "lib.bt";
let @m = lruhash(100);
macro add(x, $y, @z) { @z += x; $y + 1 }
macro bare { 1 }
"#;
    assert_eq!(
        tree(script),
        r#"
config
  stack_mode = perf
  max_strlen = 64
  license = "GPL"
  cpp_demangle = false
import "lib.bt"
let @m = lruhash
  int 100
macro add(x, $y, @z)
  assign +=
    map @z
    name x
  value
    binary +
      variable $y
      int 1
macro bare()
  value
    int 1
"#
    );
}

#[test]
fn probes() {
    let script = r#"BEGIN,end { }
name=kprobe:vfs_[rw]*,uprobe:/bin/*a/b.so:"f, {"+4 , /pid == 1 && $1 / 2/ { }
kretprobe:f/1/ { }
uprobe:/x//y:z, // not a path
{ }
*:/bin/sh:* /(1)/ { }
interval:s:$1 { }"#;
    assert_eq!(
        tree(script),
        r#"
probe BEGIN, end
probe name=kprobe:vfs_[rw]*, uprobe:/bin/*a/b.so:"f, {"+4
  predicate
    binary &&
      binary ==
        name pid
        int 1
      binary /
        param $1
        int 2
probe kretprobe:f/1/
probe uprobe:/x//y:z
probe *:/bin/sh:*
  predicate
    int 1
probe interval:s:$1
"#
    );
}

#[test]
fn statements() {
    let script = r#"begin {
  let $a: uint64 = 1;
  let $b;
  $a <<= 2;
  @x[1, "k"] += $a++;
  @++;
  --@x[1];
  _ = count();
  if ($a > 1) { print(1) } else if comptime $b { 2 } else { exit() }
  while $a < 3 { $a++; if $b { continue } break }
  unroll (3) { { print("x") } };
  for ($kv : @x) { print($kv.0.1); }
  for $i : 0..ncpus { @[$i] = hist($i); }
  return $a
}"#;
    assert_eq!(
        tree(script),
        r#"
probe begin
  let $a: uint64
    int 1
  let $b
  assign <<=
    variable $a
    int 2
  assign +=
    map @x[]
      tuple
        int 1
        string "k"
    postfix ++
      variable $a
  postfix ++
    map @
  prefix --
    map @x[]
      int 1
  discard
    call count
  if
    binary >
      variable $a
      int 1
  then
    call print
      int 1
  else
    if
      comptime
        variable $b
    then
      int 2
    else
      call exit
  while
    binary <
      variable $a
      int 3
  do
    postfix ++
      variable $a
    if
      variable $b
    then
      continue
    break
  unroll
    int 3
  do
    block
      call print
        string "x"
  for $kv
    map @x
  do
    call print
      field .1
        field .0
          variable $kv
  for $i
    range
      int 0
      name ncpus
  do
    assign =
      map @[]
        variable $i
      call hist
        variable $i
  return
    variable $a
"#
    );
}
