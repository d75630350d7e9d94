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
    /// Kernel memory behind a pointer of a known BTF type may be read directly in every kind of program.
    pub direct_btf_loads: bool,
    /// Whether beetrace runs in the first pid namespace, so that the kernel's own process numbers are right.
    pub initial_pid_namespace: bool,
    /// Failed memory reads and the like are reported as records (`-k`).
    pub report_failures: bool,
    /// Name of a map without keys that stands for every clock, so that a test decides what time it is.
    pub clock_map: Option<String>,
    /// Number of possible processors.
    pub cpus: u32,
}

impl Default for Target {
    /// A current kernel with one processor, seen from its first pid namespace.
    fn default() -> Self {
        Target {
            isa_v4: true,
            atomic_fetch: true,
            ring_buffer: true,
            bpf_loop: true,
            for_each_map_elem: true,
            lookup_percpu_elem: true,
            ns_pid_tgid: true,
            ktime_tai: true,
            current_task_btf: true,
            direct_btf_loads: true,
            initial_pid_namespace: true,
            report_failures: false,
            clock_map: None,
            cpus: 1,
        }
    }
}
