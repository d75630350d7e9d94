//! The kernel engine: bpf(2), perf events, links, feature probes.
