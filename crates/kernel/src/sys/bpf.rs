//! bpf(2).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::attr::{self, Attr, cmd};
use super::{check, check_fd, errno};

/// # Safety
/// Addresses in `attr` point to memory that is as long as the command's documentation asks, and writable where it writes.
unsafe fn bpf<A: Attr>(command: u32, attr: &mut A) -> libc::c_long {
    // SAFETY: `attr` is plain data of that size; what it points to is the caller's promise.
    unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_ulong,
            std::ptr::from_mut(attr),
            size_of::<A>() as libc::c_ulong,
        )
    }
}

/// # Safety
/// As for [`bpf`]; and the command answers with a file descriptor.
unsafe fn bpf_fd<A: Attr>(command: u32, attr: &mut A) -> io::Result<OwnedFd> {
    // SAFETY: passed on; the kernel gives a new descriptor.
    unsafe { check_fd(bpf(command, attr)) }
}

pub(crate) fn raw(fd: BorrowedFd) -> u32 {
    fd.as_raw_fd() as u32
}

pub(crate) fn address<T>(slice: &[T]) -> u64 {
    if slice.is_empty() {
        0
    } else {
        slice.as_ptr() as u64
    }
}

fn address_mut<T>(slice: &mut [T]) -> u64 {
    if slice.is_empty() {
        0
    } else {
        slice.as_mut_ptr() as u64
    }
}

pub(crate) fn map_create(map: &mut attr::MapCreate) -> io::Result<OwnedFd> {
    // SAFETY: no addresses.
    unsafe { bpf_fd(cmd::MAP_CREATE, map) }
}

/// # Safety
/// `key` and `value` are as long as the map's keys and values (a value a possible processor, padded to eight, for a per-CPU map).
pub(crate) unsafe fn map_lookup(map: BorrowedFd, key: &[u8], value: &mut [u8]) -> io::Result<()> {
    let mut attr = attr::MapElem {
        map_fd: raw(map),
        key: address(key),
        value: address_mut(value),
        ..Default::default()
    };
    // SAFETY: the caller knows the lengths.
    check(unsafe { bpf(cmd::MAP_LOOKUP_ELEM, &mut attr) }).map(drop)
}

/// # Safety
/// As for [`map_lookup`].
pub(crate) unsafe fn map_update(
    map: BorrowedFd,
    key: &[u8],
    value: &[u8],
    flags: u64,
) -> io::Result<()> {
    let mut attr = attr::MapElem {
        map_fd: raw(map),
        key: address(key),
        value: address(value),
        flags,
        ..Default::default()
    };
    // SAFETY: the caller knows the lengths; the kernel only reads.
    check(unsafe { bpf(cmd::MAP_UPDATE_ELEM, &mut attr) }).map(drop)
}

/// # Safety
/// `key` is as long as the map's keys.
pub(crate) unsafe fn map_delete(map: BorrowedFd, key: &[u8]) -> io::Result<()> {
    let mut attr = attr::MapElem {
        map_fd: raw(map),
        key: address(key),
        ..Default::default()
    };
    // SAFETY: the caller knows the length; the kernel only reads.
    check(unsafe { bpf(cmd::MAP_DELETE_ELEM, &mut attr) }).map(drop)
}

/// # Safety
/// `key`, where there is one, and `next` are as long as the map's keys.
pub(crate) unsafe fn map_next_key(
    map: BorrowedFd,
    key: Option<&[u8]>,
    next: &mut [u8],
) -> io::Result<()> {
    let mut attr = attr::MapElem {
        map_fd: raw(map),
        key: key.map_or(0, address),
        value: address_mut(next),
        ..Default::default()
    };
    // SAFETY: the caller knows the lengths.
    check(unsafe { bpf(cmd::MAP_GET_NEXT_KEY, &mut attr) }).map(drop)
}

/// What a batch lookup came to.
pub(crate) struct Batch {
    pub(crate) count: usize,
    /// The kernel's answer; `ENOENT` says that this was the last batch, and its entries are good.
    pub(crate) result: io::Result<()>,
}

/// # Safety
/// `keys` and `values` hold at least `count` keys and values of that map; `cursor` and `next` are as long as a key and four bytes at least.
pub(crate) unsafe fn map_lookup_batch(
    map: BorrowedFd,
    cursor: Option<&[u8]>,
    next: &mut [u8],
    keys: &mut [u8],
    values: &mut [u8],
    count: usize,
) -> Batch {
    let mut attr = attr::MapBatch {
        in_batch: cursor.map_or(0, address),
        out_batch: address_mut(next),
        keys: address_mut(keys),
        values: address_mut(values),
        count: count as u32,
        map_fd: raw(map),
        ..Default::default()
    };
    // SAFETY: the caller knows the lengths.
    let result = check(unsafe { bpf(cmd::MAP_LOOKUP_BATCH, &mut attr) }).map(drop);
    Batch {
        count: (attr.count as usize).min(count),
        result,
    }
}

/// Deletes (`values` is `None`) or updates `count` keys; the second of the answer is how many it came to.
///
/// # Safety
/// `keys` and `values` hold at least `count` keys and values of that map.
pub(crate) unsafe fn map_change_batch(
    map: BorrowedFd,
    keys: &[u8],
    values: Option<&[u8]>,
    count: usize,
    elem_flags: u64,
) -> (io::Result<()>, usize) {
    let mut attr = attr::MapBatch {
        keys: address(keys),
        values: values.map_or(0, address),
        count: count as u32,
        map_fd: raw(map),
        elem_flags,
        ..Default::default()
    };
    let command = match values {
        Some(_) => cmd::MAP_UPDATE_BATCH,
        None => cmd::MAP_DELETE_BATCH,
    };
    // SAFETY: the caller knows the lengths; the kernel only reads.
    let result = check(unsafe { bpf(command, &mut attr) }).map(drop);
    (result, (attr.count as usize).min(count))
}

/// Forbids all further changes from user space.
pub(crate) fn map_freeze(map: BorrowedFd) -> io::Result<()> {
    let mut attr = attr::MapElem {
        map_fd: raw(map),
        ..Default::default()
    };
    // SAFETY: no addresses.
    check(unsafe { bpf(cmd::MAP_FREEZE, &mut attr) }).map(drop)
}

/// What a program load needs beside the instructions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProgLoad<'a> {
    pub(crate) kind: u32,
    pub(crate) name: &'a str,
    pub(crate) license: &'a CStr,
    /// Eight bytes an instruction slot.
    pub(crate) insns: &'a [u8],
    pub(crate) attach_type: u32,
    pub(crate) attach_btf_id: u32,
    pub(crate) attach_btf: Option<BorrowedFd<'a>>,
    pub(crate) btf: Option<BorrowedFd<'a>>,
    /// `struct bpf_func_info` and `struct bpf_line_info`, record after record; both of 8 and 16 bytes a record.
    pub(crate) func_info: &'a [u8],
    pub(crate) line_info: &'a [u8],
    pub(crate) flags: u32,
}

const FUNC_INFO_SIZE: usize = 8;
const LINE_INFO_SIZE: usize = 16;

/// Loads a program. With a log, `level` is the verifier's log level.
pub(crate) fn prog_load(
    load: &ProgLoad,
    level: u32,
    log: Option<&mut Vec<u8>>,
) -> io::Result<OwnedFd> {
    let mut attr = attr::ProgLoad {
        prog_type: load.kind,
        insn_cnt: (load.insns.len() / 8) as u32,
        insns: address(load.insns),
        license: load.license.as_ptr() as u64,
        prog_flags: load.flags,
        prog_name: object_name(load.name),
        expected_attach_type: load.attach_type,
        attach_btf_id: load.attach_btf_id,
        attach_btf_obj_fd: load.attach_btf.map_or(0, raw),
        ..Default::default()
    };
    if let Some(btf) = load.btf {
        attr.prog_btf_fd = raw(btf);
        attr.func_info_rec_size = FUNC_INFO_SIZE as u32;
        attr.func_info = address(load.func_info);
        attr.func_info_cnt = (load.func_info.len() / FUNC_INFO_SIZE) as u32;
        attr.line_info_rec_size = LINE_INFO_SIZE as u32;
        attr.line_info = address(load.line_info);
        attr.line_info_cnt = (load.line_info.len() / LINE_INFO_SIZE) as u32;
    }
    if let Some(log) = log {
        log.fill(0);
        attr.log_level = level;
        attr.log_size = u32::try_from(log.len()).unwrap_or(u32::MAX);
        attr.log_buf = address_mut(log);
    }
    // A signal that comes while the verifier works makes it give up with EAGAIN.
    let mut tries = 5;
    loop {
        // SAFETY: every address comes from a slice with the length next to it.
        match unsafe { bpf_fd(cmd::PROG_LOAD, &mut attr) } {
            Err(error) if errno(&error) == libc::EAGAIN && tries > 0 => tries -= 1,
            result => return result,
        }
    }
}

/// A name as the kernel takes it: its first 15 bytes, of letters, digits, `_` and `.`.
pub(crate) fn object_name(name: &str) -> [u8; attr::NAME_LEN] {
    let mut out = [0; attr::NAME_LEN];
    for (to, from) in out.iter_mut().take(attr::NAME_LEN - 1).zip(name.bytes()) {
        *to = match from {
            b if b.is_ascii_alphanumeric() || b == b'.' => b,
            _ => b'_',
        };
    }
    out
}

pub(crate) fn btf_load(btf: &[u8]) -> io::Result<OwnedFd> {
    let mut attr = attr::BtfLoad {
        btf: address(btf),
        btf_size: btf.len() as u32,
        ..Default::default()
    };
    // SAFETY: the length stands beside the address.
    unsafe { bpf_fd(cmd::BTF_LOAD, &mut attr) }
}

/// The BTF object behind the next id after `id`.
pub(crate) fn btf_next_id(id: u32) -> io::Result<u32> {
    let mut attr = attr::GetId {
        start_id: id,
        ..Default::default()
    };
    // SAFETY: no addresses.
    check(unsafe { bpf(cmd::BTF_GET_NEXT_ID, &mut attr) })?;
    Ok(attr.next_id)
}

pub(crate) fn btf_by_id(id: u32) -> io::Result<OwnedFd> {
    let mut attr = attr::GetId {
        start_id: id,
        ..Default::default()
    };
    // SAFETY: no addresses.
    unsafe { bpf_fd(cmd::BTF_GET_FD_BY_ID, &mut attr) }
}

/// The name of a BTF object, and whether it is the kernel's or a module's.
pub(crate) fn btf_name(btf: BorrowedFd) -> io::Result<(String, bool)> {
    let mut name = [0_u8; 64];
    let mut info = attr::BtfInfo {
        name: address_mut(&mut name),
        name_len: name.len() as u32,
        ..Default::default()
    };
    info_by_fd(btf, &mut info)?;
    let len = name.iter().position(|b| *b == 0).unwrap_or(name.len());
    let name = String::from_utf8_lossy(name.get(..len).unwrap_or_default()).into_owned();
    Ok((name, info.kernel_btf != 0))
}

fn info_by_fd<A: Attr>(fd: BorrowedFd, info: &mut A) -> io::Result<()> {
    let mut attr = attr::GetInfo {
        bpf_fd: raw(fd),
        info_len: size_of::<A>() as u32,
        info: std::ptr::from_mut(info) as u64,
    };
    // SAFETY: `info` is plain data of that length; the addresses inside it are zero or the caller's slices, whose lengths stand beside them.
    check(unsafe { bpf(cmd::OBJ_GET_INFO_BY_FD, &mut attr) }).map(drop)
}

pub(crate) fn prog_info(program: BorrowedFd) -> io::Result<attr::ProgInfo> {
    let mut info = attr::ProgInfo::default();
    info_by_fd(program, &mut info)?;
    Ok(info)
}

pub(crate) fn link_info(link: BorrowedFd) -> io::Result<attr::LinkInfo> {
    let mut info = attr::LinkInfo::default();
    info_by_fd(link, &mut info)?;
    Ok(info)
}

/// Runs a program once over a context of these bytes. The answer is what it returned.
pub(crate) fn test_run(program: BorrowedFd, context: &mut [u8]) -> io::Result<u32> {
    let mut attr = attr::TestRun {
        prog_fd: raw(program),
        ctx_size_in: context.len() as u32,
        ctx_in: address_mut(context),
        ..Default::default()
    };
    // SAFETY: the context's length stands beside its address.
    check(unsafe { bpf(cmd::PROG_TEST_RUN, &mut attr) })?;
    Ok(attr.retval)
}

/// Runs a packet program `repeat` times over `data`: what it returned, and the mean time of a run in nanoseconds.
pub(crate) fn test_run_packet(
    program: BorrowedFd,
    data: &[u8],
    repeat: u32,
) -> io::Result<(u32, u32)> {
    let mut attr = attr::TestRun {
        prog_fd: raw(program),
        data_size_in: data.len() as u32,
        data_in: address(data),
        repeat,
        ..Default::default()
    };
    // SAFETY: the data's length stands beside its address; nothing is written back without `data_out`.
    check(unsafe { bpf(cmd::PROG_TEST_RUN, &mut attr) })?;
    Ok((attr.retval, attr.duration))
}

/// Attaches a raw tracepoint program, or with no name a program whose target the load fixed.
pub(crate) fn raw_tracepoint_open(name: Option<&CStr>, program: BorrowedFd) -> io::Result<OwnedFd> {
    let mut attr = attr::RawTracepoint {
        name: name.map_or(0, |n| n.as_ptr() as u64),
        prog_fd: raw(program),
        pad: 0,
    };
    // SAFETY: the name ends with NUL.
    unsafe { bpf_fd(cmd::RAW_TRACEPOINT_OPEN, &mut attr) }
}

pub(crate) fn link_perf_event(
    program: BorrowedFd,
    event: BorrowedFd,
    cookie: u64,
) -> io::Result<OwnedFd> {
    let mut attr = attr::LinkPerfEvent {
        prog_fd: raw(program),
        target_fd: raw(event),
        attach_type: attr::attach_type::PERF_EVENT,
        cookie,
        ..Default::default()
    };
    // SAFETY: no addresses.
    unsafe { bpf_fd(cmd::LINK_CREATE, &mut attr) }
}

/// A link of an iterator, over one process where `pid` is not zero.
pub(crate) fn link_iter(program: BorrowedFd, pid: u32) -> io::Result<OwnedFd> {
    let info = attr::IterTask {
        pid,
        ..Default::default()
    };
    let mut attr = attr::LinkIter {
        prog_fd: raw(program),
        attach_type: attr::attach_type::TRACE_ITER,
        ..Default::default()
    };
    if pid != 0 {
        attr.info = std::ptr::from_ref(&info) as u64;
        attr.info_len = size_of::<attr::IterTask>() as u32;
    }
    // SAFETY: `info` outlives the call and is as long as said.
    unsafe { bpf_fd(cmd::LINK_CREATE, &mut attr) }
}

/// Attaches to the beginning or the return of these functions. The attach type is that of the load: `kprobe_multi` or `kprobe_session`.
pub(crate) fn link_kprobe_multi(
    program: BorrowedFd,
    attach_type: u32,
    symbols: &[&CStr],
    cookies: &[u64],
    is_return: bool,
) -> io::Result<OwnedFd> {
    let pointers: Vec<u64> = symbols.iter().map(|s| s.as_ptr() as u64).collect();
    let mut attr = attr::LinkKprobeMulti {
        prog_fd: raw(program),
        attach_type,
        flags: if is_return { attr::F_MULTI_RETURN } else { 0 },
        cnt: pointers.len() as u32,
        syms: address(&pointers),
        ..Default::default()
    };
    if cookies.len() == pointers.len() {
        attr.cookies = address(cookies);
    }
    // SAFETY: all arrays have `cnt` elements, or their address is zero; the names end with NUL.
    unsafe { bpf_fd(cmd::LINK_CREATE, &mut attr) }
}

/// One place of a `uprobe_multi` link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UprobeSite {
    pub(crate) offset: u64,
    pub(crate) ref_ctr_offset: u64,
    pub(crate) cookie: u64,
}

/// Attaches to many places of a file, of one process where `pid` is not zero.
pub(crate) fn link_uprobe_multi(
    program: BorrowedFd,
    path: &CStr,
    sites: &[UprobeSite],
    pid: u32,
    is_return: bool,
) -> io::Result<OwnedFd> {
    let offsets: Vec<u64> = sites.iter().map(|s| s.offset).collect();
    let counters: Vec<u64> = sites.iter().map(|s| s.ref_ctr_offset).collect();
    let cookies: Vec<u64> = sites.iter().map(|s| s.cookie).collect();
    let mut attr = attr::LinkUprobeMulti {
        prog_fd: raw(program),
        attach_type: attr::attach_type::TRACE_UPROBE_MULTI,
        path: path.as_ptr() as u64,
        offsets: address(&offsets),
        cookies: address(&cookies),
        cnt: offsets.len() as u32,
        flags: if is_return { attr::F_MULTI_RETURN } else { 0 },
        pid,
        ..Default::default()
    };
    if counters.iter().any(|c| *c != 0) {
        attr.ref_ctr_offsets = address(&counters);
    }
    // SAFETY: all arrays have `cnt` elements, or their address is zero; the path ends with NUL.
    unsafe { bpf_fd(cmd::LINK_CREATE, &mut attr) }
}

pub(crate) fn iter_create(link: BorrowedFd) -> io::Result<OwnedFd> {
    let mut attr = attr::IterCreate {
        link_fd: raw(link),
        flags: 0,
    };
    // SAFETY: no addresses.
    unsafe { bpf_fd(cmd::ITER_CREATE, &mut attr) }
}

pub(crate) fn pin(object: BorrowedFd, path: &CStr) -> io::Result<()> {
    let mut attr = attr::ObjPin {
        pathname: path.as_ptr() as u64,
        bpf_fd: raw(object),
        file_flags: 0,
    };
    // SAFETY: the path ends with NUL.
    check(unsafe { bpf(cmd::OBJ_PIN, &mut attr) }).map(drop)
}

/// Lets the kernel measure the run time of programs until the descriptor is closed.
pub(crate) fn enable_stats() -> io::Result<OwnedFd> {
    let mut attr = attr::EnableStats { kind: 0 };
    // SAFETY: no addresses.
    unsafe { bpf_fd(cmd::ENABLE_STATS, &mut attr) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_and_cleaned() {
        assert_eq!(&object_name("AT_counts"), b"AT_counts\0\0\0\0\0\0\0");
        assert_eq!(&object_name("@x-y"), b"_x_y\0\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(
            &object_name("a_name_that_is_too_long"),
            b"a_name_that_is_\0"
        );
    }
}
