//! The engine on the kernel that runs the tests. Programs filter by the test's own thread.

mod attach;
mod child;
mod common;
mod features;
mod maps;
mod perfbuf;
mod process_events;
mod records;
mod tracing;
mod uprobe;
