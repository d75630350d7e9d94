//! The parts of `union bpf_attr` (include/uapi/linux/bpf.h) that are used here, one structure a command.
//!
//! Each has the layout of its part of the union, without padding that the compiler would leave undefined. Addresses are
//! `u64`, as in the kernel's interface. A shorter structure than the kernel's own means zeros for the rest.

/// Commands of bpf(2) (`enum bpf_cmd`).
pub(crate) mod cmd {
    pub(crate) const MAP_CREATE: u32 = 0;
    pub(crate) const MAP_LOOKUP_ELEM: u32 = 1;
    pub(crate) const MAP_UPDATE_ELEM: u32 = 2;
    pub(crate) const MAP_DELETE_ELEM: u32 = 3;
    pub(crate) const MAP_GET_NEXT_KEY: u32 = 4;
    pub(crate) const PROG_LOAD: u32 = 5;
    pub(crate) const OBJ_PIN: u32 = 6;
    pub(crate) const PROG_TEST_RUN: u32 = 10;
    pub(crate) const OBJ_GET_INFO_BY_FD: u32 = 15;
    pub(crate) const RAW_TRACEPOINT_OPEN: u32 = 17;
    pub(crate) const BTF_LOAD: u32 = 18;
    pub(crate) const BTF_GET_FD_BY_ID: u32 = 19;
    pub(crate) const MAP_FREEZE: u32 = 22;
    pub(crate) const BTF_GET_NEXT_ID: u32 = 23;
    pub(crate) const MAP_LOOKUP_BATCH: u32 = 24;
    pub(crate) const MAP_UPDATE_BATCH: u32 = 26;
    pub(crate) const MAP_DELETE_BATCH: u32 = 27;
    pub(crate) const LINK_CREATE: u32 = 28;
    pub(crate) const ENABLE_STATS: u32 = 32;
    pub(crate) const ITER_CREATE: u32 = 33;
}

/// `enum bpf_attach_type`.
pub(crate) mod attach_type {
    pub(crate) const NONE: u32 = 0;
    pub(crate) const TRACE_RAW_TP: u32 = 23;
    pub(crate) const TRACE_FENTRY: u32 = 24;
    pub(crate) const TRACE_FEXIT: u32 = 25;
    pub(crate) const TRACE_ITER: u32 = 28;
    pub(crate) const PERF_EVENT: u32 = 41;
    pub(crate) const TRACE_KPROBE_MULTI: u32 = 42;
    pub(crate) const TRACE_UPROBE_MULTI: u32 = 48;
    pub(crate) const TRACE_KPROBE_SESSION: u32 = 56;
}

/// Frames are build ids and offsets in files (`BPF_F_STACK_BUILD_ID`).
pub(crate) const F_STACK_BUILD_ID: u32 = 1 << 5;
/// Programs read the map and cannot write it (`BPF_F_RDONLY_PROG`).
pub(crate) const F_RDONLY_PROG: u32 = 1 << 7;
/// `BPF_F_KPROBE_MULTI_RETURN` and `BPF_F_UPROBE_MULTI_RETURN`.
pub(crate) const F_MULTI_RETURN: u32 = 1;
/// Bytes of a name with its NUL (`BPF_OBJ_NAME_LEN`).
pub(crate) const NAME_LEN: usize = 16;

/// Plain bytes that the kernel reads and writes.
///
/// # Safety
/// Implementors are `repr(C)`, hold integers only and have no padding.
pub(crate) unsafe trait Attr {}

macro_rules! attrs {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, Default)]
            #[repr(C)]
            pub(crate) struct $name { $(pub(crate) $field: $type,)* }
            // SAFETY: integers in C layout; the constant below refuses to compile where fields leave holes.
            unsafe impl Attr for $name {}
            const _: () = assert!(size_of::<$name>() == 0 $(+ size_of::<$type>())*);
        )*
    };
}

attrs! {
    MapCreate {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: u32,
        inner_map_fd: u32,
        numa_node: u32,
        map_name: [u8; NAME_LEN],
    }
    MapElem {
        map_fd: u32,
        pad: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    MapBatch {
        in_batch: u64,
        out_batch: u64,
        keys: u64,
        values: u64,
        count: u32,
        map_fd: u32,
        elem_flags: u64,
        flags: u64,
    }
    ProgLoad {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
        prog_name: [u8; NAME_LEN],
        prog_ifindex: u32,
        expected_attach_type: u32,
        prog_btf_fd: u32,
        func_info_rec_size: u32,
        func_info: u64,
        func_info_cnt: u32,
        line_info_rec_size: u32,
        line_info: u64,
        line_info_cnt: u32,
        attach_btf_id: u32,
        attach_btf_obj_fd: u32,
        core_relo_cnt: u32,
    }
    ObjPin {
        pathname: u64,
        bpf_fd: u32,
        file_flags: u32,
    }
    TestRun {
        prog_fd: u32,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
        ctx_size_in: u32,
        ctx_size_out: u32,
        ctx_in: u64,
        ctx_out: u64,
        flags: u32,
        cpu: u32,
    }
    GetId {
        start_id: u32,
        next_id: u32,
        open_flags: u32,
    }
    GetInfo {
        bpf_fd: u32,
        info_len: u32,
        info: u64,
    }
    RawTracepoint {
        name: u64,
        prog_fd: u32,
        pad: u32,
    }
    BtfLoad {
        btf: u64,
        log_buf: u64,
        btf_size: u32,
        log_size: u32,
        log_level: u32,
        pad: u32,
    }
    LinkPerfEvent {
        prog_fd: u32,
        target_fd: u32,
        attach_type: u32,
        flags: u32,
        cookie: u64,
    }
    LinkIter {
        prog_fd: u32,
        target_fd: u32,
        attach_type: u32,
        flags: u32,
        info: u64,
        info_len: u32,
        pad: u32,
    }
    /// `union bpf_iter_link_info` of a task iterator.
    IterTask {
        tid: u32,
        pid: u32,
        pid_fd: u32,
        pad: u32,
    }
    LinkKprobeMulti {
        prog_fd: u32,
        target_fd: u32,
        attach_type: u32,
        link_flags: u32,
        flags: u32,
        cnt: u32,
        syms: u64,
        addrs: u64,
        cookies: u64,
    }
    LinkUprobeMulti {
        prog_fd: u32,
        target_fd: u32,
        attach_type: u32,
        link_flags: u32,
        path: u64,
        offsets: u64,
        ref_ctr_offsets: u64,
        cookies: u64,
        cnt: u32,
        flags: u32,
        pid: u32,
        pad: u32,
    }
    EnableStats {
        kind: u32,
    }
    IterCreate {
        link_fd: u32,
        flags: u32,
    }
    /// `struct bpf_prog_info`.
    ProgInfo {
        kind: u32,
        id: u32,
        tag: [u8; 8],
        jited_len: u32,
        xlated_len: u32,
        jited_insns: u64,
        xlated_insns: u64,
        load_time: u64,
        created_by_uid: u32,
        nr_map_ids: u32,
        map_ids: u64,
        name: [u8; NAME_LEN],
        ifindex: u32,
        gpl: u32,
        netns_dev: u64,
        netns_ino: u64,
        nr_jited_ksyms: u32,
        nr_jited_func_lens: u32,
        jited_ksyms: u64,
        jited_func_lens: u64,
        btf_id: u32,
        func_info_rec_size: u32,
        func_info: u64,
        nr_func_info: u32,
        nr_line_info: u32,
        line_info: u64,
        jited_line_info: u64,
        nr_jited_line_info: u32,
        line_info_rec_size: u32,
        jited_line_info_rec_size: u32,
        nr_prog_tags: u32,
        prog_tags: u64,
        run_time_ns: u64,
        run_cnt: u64,
        recursion_misses: u64,
    }
    /// `struct bpf_btf_info`.
    BtfInfo {
        btf: u64,
        btf_size: u32,
        id: u32,
        name: u64,
        name_len: u32,
        kernel_btf: u32,
    }
    /// The beginning of `struct bpf_link_info` as far as a `kprobe_multi` or perf event kprobe counts what it missed.
    LinkInfo {
        kind: u32,
        id: u32,
        prog_id: u32,
        pad: u32,
        words: [u64; 8],
    }
}
