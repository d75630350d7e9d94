//! eBPF instructions as a typed enum: encode, decode, assemble, disassemble.
