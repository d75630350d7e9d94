//! Reading memory, and records built in place.

use beetrace_codegen::Target;

use crate::{check_ir, check_ir_for};

#[test]
fn strings_are_read_into_the_record() {
    check_ir(
        r#"t:syscalls:sys_enter_openat { printf("%s %s %d\n", comm, str(args.filename, 63), args.flags); }"#,
        r#"
        fn "tracepoint_syscalls_sys_enter_openat_1" entry(v0) {
        ss0 = slot 8 align 8
        block0:
        v1 = map 0
        v2 = const 96
        v3 = const 0
        v7 = const 8
        v9 = const 16
        v13 = const 63
        v17 = const 24
        v24 = slotaddr ss0+0
        v26 = map 1
        v29 = const 1
        v4 = call ringbuf_reserve(v1, v2, v3)
        br ne.64 v4, v3, block1, block2
        block1:
        store.64 v4+0, v3
        v8 = add.64 v4, v7
        v10 = call get_current_comm(v8, v9)
        v12 = load.u64.const v0+24
        store.8 v4+24, v3
        v18 = add.64 v4, v17
        v19 = call probe_read_user_str(v18, v13, v12)
        v20 = load.u64.const v0+32
        store.64 v4+88, v20
        v22 = call ringbuf_submit(v4, v3)
        jump block4
        block2:
        store.64 v24+0, v3
        v27 = call.reads map_lookup_elem(v26, v24)
        br ne.64 v27, v3, block3, block4
        block3:
        v28 = load.u64 v27+0
        v30 = add.64 v28, v29
        store.64 v27+0, v30
        jump block4
        block4:
        ret v29
        }
        "#,
    );
}

#[test]
fn effects_come_before_the_record_has_room() {
    check_ir(
        r#"t:syscalls:sys_enter_read { printf("%d %d\n", @++, args.count); }"#,
        r#"
        fn "tracepoint_syscalls_sys_enter_read_1" entry(v0) {
        ss0 = slot 8 align 8
        block0:
        v1 = mapvalue 0+0
        v3 = const 1
        v7 = map 1
        v8 = const 24
        v9 = const 0
        v16 = slotaddr ss0+0
        v18 = map 2
        v2 = load.s64 v1+0
        v4 = add.64 v2, v3
        store.64 v1+0, v4
        store.64 v1+8, v3
        v6 = load.u64.const v0+32
        v10 = call ringbuf_reserve(v7, v8, v9)
        br ne.64 v10, v9, block1, block2
        block1:
        store.64 v10+0, v9
        store.64 v10+8, v2
        store.64 v10+16, v6
        v14 = call ringbuf_submit(v10, v9)
        jump block4
        block2:
        store.64 v16+0, v9
        v19 = call.reads map_lookup_elem(v18, v16)
        br ne.64 v19, v9, block3, block4
        block3:
        v20 = load.u64 v19+0
        v22 = add.64 v20, v3
        store.64 v19+0, v22
        jump block4
        block4:
        ret v3
        }
        "#,
    );
}

#[test]
fn known_structs_are_read_directly() {
    check_ir(
        "t:syscalls:sys_enter_read { @ = curtask.real_parent.real_parent.pid; }",
        r#"
        fn "tracepoint_syscalls_sys_enter_read_1" entry(v0) {
        block0:
        v3 = const 0
        v9 = mapvalue 0+0
        v10 = const 1
        v1 = call.pure get_current_task_btf()
        v2 = load.u64 v1+8
        br eq.64 v2, v3, block3(v3), block1
        block1:
        v5 = load.u64 v2+8
        br eq.64 v5, v3, block3(v3), block2
        block2:
        v8 = load.s32 v5+0
        jump block3(v8)
        block3(v7):
        store.32 v9+0, v7
        store.64 v9+8, v10
        ret v10
        }
        "#,
    );
}

#[test]
fn other_kernels_read_with_helpers() {
    check_ir_for(
        "t:syscalls:sys_enter_read { @ = curtask.real_parent.pid; }",
        &Target {
            direct_btf_loads: false,
            ..Target::default()
        },
        r#"
        fn "tracepoint_syscalls_sys_enter_read_1" entry(v0) {
        ss0 = slot 8 align 8
        block0:
        v2 = slotaddr ss0+0
        v3 = const 8
        v10 = const 4
        v14 = mapvalue 0+0
        v15 = const 1
        v1 = call.pure get_current_task()
        v5 = add.64 v1, v3
        v6 = call probe_read_kernel(v2, v3, v5)
        v8 = load.u64 v2+0
        v11 = call probe_read_kernel(v2, v10, v8)
        v13 = load.s32 v2+0
        store.32 v14+0, v13
        store.64 v14+8, v15
        ret v15
        }
        "#,
    );
}

#[test]
fn a_key_string_zeroes_what_the_last_one_left() {
    check_ir(
        "t:syscalls:sys_enter_openat { @[str(args.filename)] = count(); }",
        r#"
        fn "tracepoint_syscalls_sys_enter_openat_1" entry(v0) {
        ss0 = slot 16 align 8
        ss1 = slot 8 align 8
        block0:
        v43 = slotaddr ss1+0
        v44 = const 0
        v45 = map 1
        v1 = const 1
        v7 = const 64
        v8 = const 1024
        v10 = const 8
        v18 = const 1031
        v21 = const 1023
        v28 = map 0
        v33 = slotaddr ss0+0
        store.32 v43+0, v44
        v4 = call.reads map_lookup_elem(v45, v43)
        br ne.64 v4, v44, block1, block10
        block1:
        v3 = load.u64.const v0+24
        store.64 v4+8, v44
        store.64 v4+16, v44
        store.64 v4+24, v44
        store.64 v4+32, v44
        store.64 v4+40, v44
        store.64 v4+48, v44
        store.64 v4+56, v44
        store.64 v4+64, v44
        v6 = load.u64 v4+0
        br gt.64 v6, v7, block2, block3
        block2:
        v48 = gt.64 v6, v8
        v49 = select v48, v8, v6
        v11 = add.64 v4, v10
        v13 = call probe_read_kernel(v11, v49, v44)
        jump block3
        block3:
        v16 = add.64 v4, v10
        v17 = call probe_read_user_str(v16, v8, v3)
        br eq.64 v17, v8, block4, block5
        block4:
        v19 = add.64 v4, v18
        v22 = add.64 v3, v21
        v23 = call probe_read_user(v19, v1, v22)
        jump block5
        block5:
        v50 = sgt.64 v17, v44
        v51 = select v50, v17, v44
        store.64 v4+0, v51
        v29 = call.reads map_lookup_elem(v28, v16)
        br ne.64 v29, v44, block6, block7
        block6:
        v31 = load.u64 v29+0
        v32 = add.64 v31, v1
        store.64 v29+0, v32
        jump block9
        block7:
        store.64 v33+0, v1
        v37 = call map_update_elem(v28, v16, v33, v44)
        br ne.64 v37, v44, block8, block9
        block8:
        v41 = call fn1(v44, v44, v37)
        jump block9
        block9:
        ret v1
        block10:
        ret v1
        }
        "#,
    );
}

#[test]
fn without_a_ring_buffer_records_go_through_perf_events() {
    check_ir_for(
        r#"t:syscalls:sys_enter_read { printf("%d\n", args.count); }"#,
        &Target {
            ring_buffer: false,
            ..Target::default()
        },
        r#"
        fn "tracepoint_syscalls_sys_enter_read_1" entry(v0) {
        ss0 = slot 16 align 8
        ss1 = slot 8 align 8
        block0:
        v1 = const 0
        v2 = slotaddr ss0+0
        v5 = map 0
        v6 = const 4294967295
        v8 = const 16
        v12 = slotaddr ss1+0
        v14 = map 1
        v17 = const 1
        store.64 v2+0, v1
        v3 = load.u64.const v0+32
        store.64 v2+8, v3
        v9 = call perf_event_output(v0, v5, v6, v2, v8)
        br ne.64 v9, v1, block1, block3
        block1:
        store.64 v12+0, v1
        v15 = call.reads map_lookup_elem(v14, v12)
        br ne.64 v15, v1, block2, block3
        block2:
        v16 = load.u64 v15+0
        v18 = add.64 v16, v17
        store.64 v15+0, v18
        jump block3
        block3:
        ret v17
        }
        "#,
    );
}
