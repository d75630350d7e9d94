//! The machine agrees with itself and with the Linux kernel.

mod linux;
mod maps;
mod programs;
