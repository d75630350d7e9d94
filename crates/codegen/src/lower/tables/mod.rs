//! Tables of strings that programs look up: texts of errors and signals, names of system calls.

mod errors;
mod signals;
mod syscalls;

use beetrace_lang::typed::StringTable;

/// The table's name and its rows.
pub(super) fn rows(table: StringTable) -> (&'static str, &'static [&'static str]) {
    match table {
        StringTable::Errno => ("errors", &errors::ERRORS),
        StringTable::Signal => ("signals", &signals::SIGNALS),
        StringTable::Syscall => ("syscalls", &syscalls::SYSCALLS),
    }
}

/// What stands for a number that the table does not have.
pub(super) fn unknown(table: StringTable) -> &'static str {
    match table {
        StringTable::Errno => "Unknown error",
        StringTable::Signal => "N/A",
        StringTable::Syscall => "Unknown syscall",
    }
}
