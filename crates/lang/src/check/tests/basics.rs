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

#[test]
fn choices_without_a_value_are_statements() {
    assert_eq!(
        body("begin { $a = 5; $a > 3 ? print(1) : exit(); @ = $a ?: 7; $b = $a > 2 ? 300 : -1 }"),
        "\
$a = 5
if ($a > 3)
print(1: int8)
else
exit(0)
@ = { $1 = $a; ((bool)$1 ? $1 : 7) }
$b = (($a > 2) ? 300 : -1)"
    );
}

#[test]
fn loops_have_their_own_variables() {
    assert_eq!(
        body(
            "begin { $n = 3; for ($i : 0..$n) { if ($i == 2) { continue } print($i) } unroll(2) { $n++ } }"
        ),
        "\
$n = 3
for $i in 0..$n
if ($i == 2)
continue
print($i: int64)
unroll 2
($n += 1, before)"
    );
}

#[test]
fn a_block_gives_its_last_expression() {
    assert_eq!(
        body("begin { $a = { let $b = 1; $b + 1 }; print({ 5 }) }"),
        "\
$a = { $b = 1; ((int64)$b + 1) }
print(5: int8)"
    );
}

#[test]
fn built_ins_have_the_types_of_the_manual() {
    assert_eq!(
        typed("kprobe:vfs_read { @ = (pid, tid, uid, gid, nsecs, elapsed, cpu, rand, cgroup, jiffies, comm, numaid, ncpus, usermode) }")
            .lines()
            .next()
            .unwrap(),
        "map @: (uint32,uint32,uint64,uint64,uint64,uint64,uint64,uint32,uint64,uint64,string[16],uint64,uint64,uint8) (Hash, 1)"
    );
    assert_eq!(
        body("kprobe:vfs_read { print(kstack); print(ustack(perf, 3)); print(ksym(arg0)); print(ntop(2, 0x0100007f)); print(strftime(\"%T\", nsecs)); print(buf(arg0, 5)); print(username) }")
            .lines()
            .map(|l| l.rsplit(": ").next().unwrap().trim_end_matches(')'))
            .collect::<Vec<_>>(),
        ["kstack_bpftrace_127", "ustack_perf_3", "ksym_t", "inet[24]", "timestamp", "buffer[9]", "username_t"]
    );
}
