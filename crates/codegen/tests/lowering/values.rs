//! Values, variables and control flow.

use crate::check_ir;

#[test]
fn a_variable_is_a_value() {
    check_ir(
        "t:syscalls:sys_enter_read { $x = 5; if (args.count > 3) { $x = 7; } @ = $x; }",
        r#"
        fn "tracepoint_syscalls_sys_enter_read_1" entry(v0) {
        block0:
        v1 = const 5
        v3 = const 3
        v4 = const 7
        v6 = mapvalue 0+0
        v7 = const 1
        v2 = load.u64.const v0+32
        v9 = gt.64 v2, v3
        v10 = select v9, v4, v1
        store.8 v6+0, v10
        store.64 v6+8, v7
        ret v7
        }
        "#,
    );
}

#[test]
fn a_loop_carries_only_what_it_assigns() {
    check_ir(
        "t:syscalls:sys_enter_read { $n = args.count; $i = (uint64)0; while ($i < 4) { $i += $n; } @ = $i; }",
        r#"
        fn "tracepoint_syscalls_sys_enter_read_1" entry(v0) {
        block0:
        v2 = const 0
        v4 = const 4
        v6 = mapvalue 0+0
        v7 = const 1
        v1 = load.u64.const v0+32
        jump block1(v2)
        block1(v3):
        br lt.64 v3, v4, block2, block3
        block2:
        v5 = add.64 v3, v1
        jump block1(v5)
        block3:
        store.64 v6+0, v3
        store.64 v6+8, v7
        ret v7
        }
        "#,
    );
}

#[test]
fn narrow_numbers_stay_extended() {
    check_ir(
        "t:syscalls:sys_enter_read { @a = (int8)args.count + (int8)1; @b = (uint16)args.count / 3; }",
        r#"
        fn "tracepoint_syscalls_sys_enter_read_1" entry(v0) {
        block0:
        v3 = const 1
        v5 = mapvalue 0+0
        v9 = const 3
        v11 = mapvalue 1+0
        v1 = load.u64.const v0+32
        v2 = ext.s8 v1
        v4 = add.64 v2, v3
        store.64 v5+0, v4
        store.64 v5+8, v3
        v8 = ext.u16 v1
        v10 = div.64 v8, v9
        store.64 v11+0, v10
        store.64 v11+8, v3
        ret v3
        }
        "#,
    );
}

#[test]
fn conditions_branch_without_a_boolean() {
    check_ir(
        "t:syscalls:sys_enter_read / args.count > 3 && (args.count < 9 || cpu == 1) / { @ = 1; }",
        r#"
        fn "tracepoint_syscalls_sys_enter_read_1" entry(v0) {
        block0:
        v2 = const 3
        v4 = const 9
        v6 = const 1
        v9 = mapvalue 0+0
        v1 = load.u64.const v0+32
        br gt.64 v1, v2, block1, block4
        block1:
        br lt.64 v1, v4, block3, block2
        block2:
        v5 = call.pure get_smp_processor_id()
        br eq.64 v5, v6, block3, block4
        block3:
        store.8 v9+0, v6
        store.64 v9+8, v6
        ret v6
        block4:
        ret v6
        }
        "#,
    );
}

#[test]
fn a_string_is_compared_with_a_literal_by_words() {
    check_ir(
        r#"t:syscalls:sys_enter_read / comm == "bench-workload" / { @ = 1; }"#,
        r#"
        fn "tracepoint_syscalls_sys_enter_read_1" entry(v0) {
        ss0 = slot 16 align 8
        block0:
        v1 = slotaddr ss0+0
        v2 = const 16
        v4 = const 0
        v8 = const 8031938386806596962
        v11 = const 1869376370
        v14 = const 25697
        v22 = const 1
        v23 = mapvalue 0+0
        v3 = call get_current_comm(v1, v2)
        v7 = load.u64 v1+0
        br eq.64 v7, v8, block1, block5
        block1:
        v10 = load.u32 v1+8
        br eq.64 v10, v11, block2, block5
        block2:
        v13 = load.u16 v1+12
        br eq.64 v13, v14, block3, block5
        block3:
        v16 = load.u8 v1+14
        br eq.64 v16, v4, block4, block5
        block4:
        store.8 v23+0, v22
        store.64 v23+8, v22
        ret v22
        block5:
        ret v22
        }
        "#,
    );
}

#[test]
fn a_division_by_what_may_be_zero_is_told_of() {
    check_ir(
        "t:syscalls:sys_enter_read { @ = 10 / args.count; }",
        r#"
        fn "tracepoint_syscalls_sys_enter_read_1" entry(v0) {
        ss0 = slot 8 align 8
        block0:
        v1 = const 10
        v3 = const 0
        v6 = map 1
        v7 = const 8
        v15 = slotaddr ss0+0
        v17 = map 2
        v20 = const 1
        v23 = mapvalue 0+0
        v2 = load.u64.const v0+32
        br ne.64 v2, v3, block1, block2
        block1:
        v5 = div.64 v1, v2
        jump block6(v5)
        block2:
        v9 = call ringbuf_reserve(v6, v7, v3)
        br ne.64 v9, v3, block3, block4
        block3:
        store.64 v9+0, v3
        v13 = call ringbuf_submit(v9, v3)
        jump block6(v20)
        block4:
        store.64 v15+0, v3
        v18 = call.reads map_lookup_elem(v17, v15)
        br ne.64 v18, v3, block5, block6(v20)
        block5:
        v19 = load.u64 v18+0
        v21 = add.64 v19, v20
        store.64 v18+0, v21
        jump block6(v20)
        block6(v4):
        store.64 v23+0, v4
        store.64 v23+8, v20
        ret v20
        }
        "#,
    );
}

#[test]
fn a_callback_gets_what_it_captures_in_a_frame() {
    check_ir(
        "t:syscalls:sys_enter_read { $s = args.count; for ($i : 0..1000) { $s += $i; if ($s > 9) { return; } } @ = $s; }",
        r#"
        fn "tracepoint_syscalls_sys_enter_read_1" entry(v0) {
        ss0 = slot 40 align 8
        block0:
        v1 = slotaddr ss0+0
        v2 = const 0
        v7 = const 1000
        v11 = func fn1
        v22 = mapvalue 0+0
        v23 = const 1
        store.64 v1+0, v0
        store.64 v1+8, v2
        v4 = load.u64.const v0+32
        store.64 v1+32, v4
        v14 = call loop(v7, v11, v1, v2)
        v16 = load.u64 v1+8
        br ne.64 v16, v2, block1, block2
        block1:
        v19 = load.u64 v1+16
        ret v19
        block2:
        v21 = load.u64 v1+32
        store.64 v22+0, v21
        store.64 v22+8, v23
        ret v23
        }
        fn "tracepoint_syscalls_sys_enter_read_1_loop1" loop_callback(v0, v1) {
        block0:
        v3 = const 0
        v9 = const 9
        v10 = const 1
        v5 = ext.s16 v0
        v6 = load.u64 v1+32
        v7 = add.64 v6, v5
        store.64 v1+32, v7
        v8 = load.u64 v1+32
        br gt.64 v8, v9, block1, block2
        block1:
        store.64 v1+8, v10
        store.64 v1+16, v10
        ret v10
        block2:
        ret v3
        }
        "#,
    );
}
