//! The engine on the kernel that runs the tests. Programs filter by the test's own thread.

mod attach;
mod common;
mod maps;
mod records;
mod uprobe;
