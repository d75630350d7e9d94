//! The compiled program, in memory and as a standard BPF ELF file.
