//! What the engine that will run the code can do.

/// Features that change the code; each is probed, never guessed from a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Sign-extending loads and moves, signed division, `bswap`, long jumps (instruction set v4, Linux 6.6).
    pub isa_v4: bool,
    /// Atomic operations that fetch (Linux 5.12).
    pub atomic_fetch: bool,
    /// A ring buffer map; else records go through a perf event array (before Linux 5.8).
    pub ring_buffer: bool,
    /// `bpf_loop` (Linux 5.17).
    pub bpf_loop: bool,
    /// `bpf_for_each_map_elem` (Linux 5.13).
    pub for_each_map_elem: bool,
    /// `bpf_map_lookup_percpu_elem` (Linux 5.19).
    pub lookup_percpu_elem: bool,
    /// `bpf_get_ns_current_pid_tgid` in every kind of program that calls it.
    pub ns_pid_tgid: bool,
    /// `bpf_ktime_get_tai_ns` (Linux 6.1).
    pub ktime_tai: bool,
    /// `bpf_get_current_task_btf` (Linux 5.11).
    pub current_task_btf: bool,
    /// Number of possible processors.
    pub cpus: u32,
}
