//! Which helpers go with which types of maps.

use beetrace_isa::{helper as h, helper_name};

use crate::program::{MapDef, map_type as m};
use crate::reject::{Check, RejectKind, reject, unsupported};

/// Whether the helper may be given the map.
pub(crate) fn check(id: u32, map: &MapDef) -> Check {
    if matches!(
        map.kind,
        m::SOCKMAP
            | m::SOCKHASH
            | m::REUSEPORT_SOCKARRAY
            | m::SK_STORAGE
            | m::TASK_STORAGE
            | m::CGRP_STORAGE
            | m::ARENA
    ) {
        return unsupported(format!("map type {}", map.kind));
    }
    if only_for(map.kind).is_none_or(|helpers| helpers.contains(&id))
        && needs(id).is_none_or(|kinds| kinds.contains(&map.kind))
    {
        return check_access(id, map);
    }
    reject(
        RejectKind::Map,
        format!(
            "{} cannot be used with map `{}` of type {}",
            helper_name(id).unwrap_or("this helper"),
            map.title(),
            map.kind
        ),
    )
}

fn check_access(id: u32, map: &MapDef) -> Check {
    let writes = matches!(
        id,
        h::MAP_UPDATE_ELEM | h::MAP_DELETE_ELEM | h::MAP_PUSH_ELEM | h::MAP_POP_ELEM
    );
    if writes && !(map.access.writes() && map.frozen.is_none()) {
        return reject(
            RejectKind::Access,
            format!("programs may not change map `{}`", map.title()),
        );
    }
    Ok(())
}

/// The helpers that a type of maps is only for.
fn only_for(kind: u32) -> Option<&'static [u32]> {
    Some(match kind {
        m::PROG_ARRAY => &[h::TAIL_CALL],
        m::PERF_EVENT_ARRAY => &[
            h::PERF_EVENT_READ,
            h::PERF_EVENT_OUTPUT,
            h::PERF_EVENT_READ_VALUE,
        ],
        m::RINGBUF => &[h::RINGBUF_OUTPUT, h::RINGBUF_RESERVE, h::RINGBUF_QUERY],
        m::STACK_TRACE => &[h::GET_STACKID],
        m::CGROUP_ARRAY => &[h::SKB_UNDER_CGROUP, h::CURRENT_TASK_UNDER_CGROUP],
        m::CGROUP_STORAGE | m::PERCPU_CGROUP_STORAGE => &[h::GET_LOCAL_STORAGE],
        m::ARRAY_OF_MAPS | m::HASH_OF_MAPS => &[h::MAP_LOOKUP_ELEM],
        m::QUEUE | m::STACK => &[h::MAP_PUSH_ELEM, h::MAP_POP_ELEM, h::MAP_PEEK_ELEM],
        m::BLOOM_FILTER => &[h::MAP_PUSH_ELEM, h::MAP_PEEK_ELEM],
        m::DEVMAP | m::DEVMAP_HASH => &[h::REDIRECT_MAP, h::MAP_LOOKUP_ELEM],
        m::CPUMAP => &[h::REDIRECT_MAP],
        m::XSKMAP => &[h::REDIRECT_MAP, h::MAP_LOOKUP_ELEM],
        m::HASH
        | m::ARRAY
        | m::PERCPU_HASH
        | m::PERCPU_ARRAY
        | m::LRU_HASH
        | m::LRU_PERCPU_HASH
        | m::LPM_TRIE => return None,
        _ => &[],
    })
}

/// The types of maps that a helper needs.
fn needs(id: u32) -> Option<&'static [u32]> {
    Some(match id {
        h::TAIL_CALL => &[m::PROG_ARRAY],
        h::PERF_EVENT_READ | h::PERF_EVENT_OUTPUT | h::PERF_EVENT_READ_VALUE => {
            &[m::PERF_EVENT_ARRAY]
        }
        h::RINGBUF_OUTPUT | h::RINGBUF_RESERVE | h::RINGBUF_QUERY => &[m::RINGBUF],
        h::GET_STACKID => &[m::STACK_TRACE],
        h::CURRENT_TASK_UNDER_CGROUP | h::SKB_UNDER_CGROUP => &[m::CGROUP_ARRAY],
        h::REDIRECT_MAP => &[m::DEVMAP, m::DEVMAP_HASH, m::CPUMAP, m::XSKMAP],
        h::GET_LOCAL_STORAGE => &[m::CGROUP_STORAGE, m::PERCPU_CGROUP_STORAGE],
        h::MAP_PUSH_ELEM | h::MAP_PEEK_ELEM => &[m::QUEUE, m::STACK, m::BLOOM_FILTER],
        h::MAP_POP_ELEM => &[m::QUEUE, m::STACK],
        h::MAP_LOOKUP_PERCPU_ELEM => &[m::PERCPU_ARRAY, m::PERCPU_HASH, m::LRU_PERCPU_HASH],
        h::FOR_EACH_MAP_ELEM => &[
            m::ARRAY,
            m::PERCPU_ARRAY,
            m::HASH,
            m::PERCPU_HASH,
            m::LRU_HASH,
            m::LRU_PERCPU_HASH,
        ],
        _ => return None,
    })
}
