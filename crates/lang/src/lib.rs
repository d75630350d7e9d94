//! The bpftrace language: from text to a typed program.
