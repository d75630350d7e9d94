use super::*;

#[test]
fn one_body_becomes_a_program_for_each_kind_of_attach_point() {
    assert_eq!(
        typed("kprobe:vfs_* { @[func] = count() }"),
        "\
map @[ksym_t]: count_t (PerCpuHash, 4096)
probe kprobe:vfs_open, kprobe:vfs_read, kprobe:vfs_readv, kprobe:vfs_write
  @[func: ksym_t] <-
"
    );
    assert_eq!(
        typed(
            "tracepoint:syscalls:sys_enter_openat, tracepoint:syscalls:sys_enter_read { @[probe] = 1 }"
        ),
        "\
map @[string[37]]: int8 (Hash, 4096)
probe tracepoint:syscalls:sys_enter_openat
  @[\"tracepoint:syscalls:sys_enter_openat\"] = 1
probe tracepoint:syscalls:sys_enter_read
  @[(text string[37])\"tracepoint:syscalls:sys_enter_read\"] = 1
"
        .replace("(text string[37])", "")
    );
}

#[test]
fn a_tracepoint_has_its_record_as_context() {
    assert_eq!(
        body(
            "tracepoint:syscalls:sys_enter_openat { print(str(args.filename)); print(args.flags) }"
        ),
        "\
print(str(ctx.<24: int8 * user>): string[1024]: string[1024])
print(ctx.<32: uint64>: uint64)"
    );
    assert_eq!(
        body("tracepoint:sched:sched_switch { print(args.prev_comm); print(args.next_pid) }"),
        "print(ctx.<8: string[16]>: string[16])\nprint(ctx.<56: int32>: int32)"
    );
    assert_eq!(
        body("tracepoint:sched:sched_process_exec { print(str(args.filename)) }"),
        "print(str(ctx.<loc 8>): string[1024]: string[1024])"
    );
    assert_eq!(
        errors("tracepoint:sched:sched_switch { print(args.common_pid); print(args.prev_pit) }"),
        [
            "BPF does not support accessing common tracepoint fields",
            "Struct/union of type 'struct _tracepoint_sched_sched_switch' does not contain a field named 'prev_pit'",
        ]
    );
}

#[test]
fn traced_functions_have_typed_parameters() {
    assert_eq!(
        typed("fentry:vfs_read { print(args.file.f_pos); $f = args.file; print($f.f_flags) }"),
        "\
probe fentry:vmlinux:vfs_read
  let $f: struct file * kernel
  print(*word(0).<8: int64>: int64)
  $f = word(0)
  print(*$f.<0: uint32>: uint32)
"
    );
    assert_eq!(
        body("fexit:vfs_read { print(retval) }"),
        "print((int64)word(3): int64)"
    );
    assert_eq!(
        errors("fentry:vfs_read { print(args.nope) }"),
        ["Can't find function parameter nope"]
    );
}

#[test]
fn registers_are_untyped_addresses_of_the_probes_memory() {
    let di = crate::check::registers::argument(0).unwrap();
    let result = crate::check::registers::result().unwrap();
    assert_eq!(
        body("kprobe:vfs_read { print(((struct file *)arg0)->f_pos) }"),
        format!("print(*(struct file * kernel)reg({di}, 8).<8: int64>: int64)")
    );
    assert_eq!(
        body("uprobe:/bin/app:main { print(str(arg0)) }"),
        format!("print(str((int8 * user)reg({di}, 8)): string[1024]: string[1024])")
    );
    assert_eq!(
        body("kretprobe:vfs_read { @[retval] = hist(retval) }"),
        format!("@[reg({result}, 8)] <- (int64)reg({result}, 8)")
    );
    assert_eq!(
        errors("begin { retval; args; arg0; func; reg(\"ip\") }").len(),
        5
    );
}

#[test]
fn an_iterator_has_typed_members() {
    assert_eq!(
        body("iter:task { print(ctx.task.comm) }"),
        "print(*ctx.<8: struct task_struct * kernel>.<16: string[16]>: string[16])"
    );
}

#[test]
fn the_body_of_a_for_has_no_context() {
    assert_eq!(
        errors("kprobe:vfs_read { for ($i : 0..5) { print(arg0) } }"),
        ["'arg0' builtin is not allowed in a for-loop"]
    );
}
