//! Maps and aggregations.

use beetrace_codegen::Target;

use crate::{check_ir, check_ir_for};

#[test]
fn a_key_is_built_where_it_is_used() {
    check_ir(
        "t:syscalls:sys_enter_read { @[pid, args.count, comm] = count(); }",
        r#"
        fn "tracepoint_syscalls_sys_enter_read_1" entry(v0) {
        ss0 = slot 32 align 8
        ss1 = slot 16 align 8
        block0:
        v1 = const 1
        v4 = const 32
        v7 = slotaddr ss0+0
        v10 = const 0
        v11 = slotaddr ss0+16
        v12 = const 16
        v17 = map 0
        v22 = slotaddr ss1+0
        v3 = call.pure get_current_pid_tgid()
        v5 = rsh.64 v3, v4
        store.64 v7+0, v5
        v8 = load.u64.const v0+32
        store.64 v7+8, v8
        v13 = call get_current_comm(v11, v12)
        v18 = call.reads map_lookup_elem(v17, v7)
        br ne.64 v18, v10, block1, block2
        block1:
        v20 = load.u64 v18+0
        v21 = add.64 v20, v1
        store.64 v18+0, v21
        jump block4
        block2:
        store.64 v22+0, v1
        v26 = call map_update_elem(v17, v7, v22, v10)
        br ne.64 v26, v10, block3, block4
        block3:
        v30 = call fn1(v10, v10, v26)
        jump block4
        block4:
        ret v1
        }
        "#,
    );
}

#[test]
fn a_map_without_keys_is_an_address() {
    check_ir(
        "t:syscalls:sys_enter_read { @++; }",
        r#"
        fn "tracepoint_syscalls_sys_enter_read_1" entry(v0) {
        block0:
        v1 = mapvalue 0+0
        v3 = const 1
        v2 = load.s64 v1+0
        v4 = add.64 v2, v3
        store.64 v1+0, v4
        store.64 v1+8, v3
        ret v3
        }
        "#,
    );
}

#[test]
fn keys_that_come_and_go_are_not_looked_up_first() {
    check_ir(
        "t:syscalls:sys_enter_read { @start[tid] = args.count; delete(@start, tid); }",
        r#"
        fn "tracepoint_syscalls_sys_enter_read_1" entry(v0) {
        ss0 = slot 8 align 8
        ss1 = slot 8 align 8
        block0:
        v4 = slotaddr ss0+0
        v6 = slotaddr ss1+0
        v8 = map 0
        v9 = const 0
        v22 = const 1
        v1 = load.u64.const v0+32
        v2 = call.pure get_current_pid_tgid()
        store.32 v4+0, v2
        store.64 v6+0, v1
        v10 = call map_update_elem(v8, v4, v6, v9)
        br ne.64 v10, v9, block1, block2
        block1:
        v14 = call fn1(v9, v9, v10)
        jump block2
        block2:
        store.32 v4+0, v2
        v21 = call map_delete_elem(v8, v4)
        br ne.64 v21, v9, block3, block4
        block3:
        v24 = call fn2(v9, v22, v21)
        jump block4
        block4:
        ret v22
        }
        "#,
    );
}

#[test]
fn a_linear_histogram_divides_only_within_its_bounds() {
    check_ir(
        "t:syscalls:sys_enter_read { @ = lhist(args.count, 0, 100, 8); }",
        r#"
        fn "tracepoint_syscalls_sys_enter_read_1" entry(v0) {
        ss0 = slot 8 align 8
        block0:
        v2 = const 0
        v3 = const 13
        v5 = const 100
        v30 = const 3
        v11 = const 1
        v18 = slotaddr ss0+0
        v20 = map 0
        v1 = load.u64.const v0+32
        br slt.64 v1, v2, block3(v2), block1
        block1:
        br sge.64 v1, v5, block3(v3), block2
        block2:
        v10 = rsh.64 v1, v30
        v12 = add.64 v10, v11
        jump block3(v12)
        block3(v6):
        v31 = gt.64 v6, v3
        v32 = select v31, v3, v6
        v16 = lsh.64 v32, v30
        store.64 v18+0, v2
        v21 = call.reads map_lookup_elem(v20, v18)
        br ne.64 v21, v2, block4, block5
        block4:
        store.64 v21+112, v11
        v25 = add.64 v21, v16
        v26 = load.u64 v25+0
        v28 = add.64 v26, v11
        store.64 v25+0, v28
        jump block5
        block5:
        ret v11
        }
        "#,
    );
}

#[test]
fn a_loop_over_a_map_reads_entries_in_place() {
    check_ir(
        "t:syscalls:sys_enter_read { @a[1] = count(); for ($kv : @a) { if ($kv.0 == 3) { break; } @s = (uint64)$kv.1; } }",
        r#"
        fn "tracepoint_syscalls_sys_enter_read_1" entry(v0) {
        ss0 = slot 24 align 8
        ss1 = slot 8 align 8
        ss2 = slot 16 align 8
        block0:
        v1 = slotaddr ss0+0
        v2 = const 1
        v5 = slotaddr ss1+0
        v7 = map 0
        v9 = const 0
        v12 = slotaddr ss2+0
        v22 = func fn2
        store.64 v1+0, v0
        store.8 v5+0, v2
        v8 = call.reads map_lookup_elem(v7, v5)
        br ne.64 v8, v9, block1, block2
        block1:
        v10 = load.u64 v8+0
        v11 = add.64 v10, v2
        store.64 v8+0, v11
        jump block4
        block2:
        store.64 v12+0, v2
        v16 = call map_update_elem(v7, v5, v12, v9)
        br ne.64 v16, v9, block3, block4
        block3:
        v20 = call fn1(v9, v9, v16)
        jump block4
        block4:
        v25 = call for_each_map_elem(v7, v22, v1, v9)
        ret v2
        }
        fn "tracepoint_syscalls_sys_enter_read_1_each2" map_callback(v0, v1, v2, v3) {
        block0:
        v6 = const 3
        v7 = const 1
        v8 = const 0
        v14 = map 0
        v25 = mapvalue 1+0
        v5 = load.s8 v1+0
        br eq.64 v5, v6, block1, block2(v8, v8)
        block1:
        ret v7
        block2(v11, v12):
        br eq.64 v11, v8, block3, block6
        block3:
        v15 = call.reads map_lookup_percpu_elem(v14, v1, v11)
        br ne.64 v15, v8, block4, block5(v12)
        block4:
        v19 = load.u64 v15+0
        v21 = add.64 v12, v19
        jump block5(v21)
        block5(v17):
        v24 = add.64 v11, v7
        jump block2(v24, v17)
        block6:
        store.64 v25+0, v12
        store.64 v25+8, v7
        ret v8
        }
        "#,
    );
}

#[test]
fn an_aggregation_is_summed_up_over_processors() {
    check_ir_for(
        "t:syscalls:sys_enter_read { @a[1] = max(args.count); if (@a[1] > 5) { @b = 1; } }",
        &Target {
            cpus: 8,
            ..Target::default()
        },
        r#"
        fn "tracepoint_syscalls_sys_enter_read_1" entry(v0) {
        ss0 = slot 8 align 8
        ss1 = slot 16 align 8
        block0:
        v2 = const 1
        v3 = slotaddr ss0+0
        v5 = map 0
        v7 = const 0
        v12 = slotaddr ss1+0
        v27 = const 8
        v46 = const 5
        v48 = mapvalue 1+0
        v1 = load.u64.const v0+32
        store.8 v3+0, v2
        v6 = call.reads map_lookup_elem(v5, v3)
        br ne.64 v6, v7, block1, block4
        block1:
        v9 = load.u64 v6+8
        br ne.64 v9, v7, block2, block3
        block2:
        v10 = load.u64 v6+0
        br gt.64 v1, v10, block3, block6
        block3:
        store.64 v6+0, v1
        store.64 v6+8, v2
        jump block6
        block4:
        store.64 v12+0, v1
        store.64 v12+8, v2
        v18 = call map_update_elem(v5, v3, v12, v7)
        br ne.64 v18, v7, block5, block6
        block5:
        v22 = call fn1(v7, v7, v18)
        jump block6
        block6:
        store.8 v3+0, v2
        jump block7(v7, v7, v7)
        block7(v29, v30, v31):
        br lt.64 v29, v27, block8, block13
        block8:
        v33 = call.reads map_lookup_percpu_elem(v5, v3, v29)
        br ne.64 v33, v7, block9, block12(v30, v31)
        block9:
        v37 = load.u64 v33+0
        v38 = load.u64 v33+8
        v40 = or.64 v31, v38
        br eq.64 v38, v7, block12(v30, v40), block10
        block10:
        br eq.64 v31, v7, block12(v37, v40), block11
        block11:
        v51 = gt.64 v37, v30
        v52 = select v51, v37, v30
        jump block12(v52, v40)
        block12(v35, v36):
        v45 = add.64 v29, v2
        jump block7(v45, v35, v36)
        block13:
        br gt.64 v30, v46, block14, block15
        block14:
        store.8 v48+0, v2
        store.64 v48+8, v2
        jump block15
        block15:
        ret v2
        }
        "#,
    );
}
