//! `--info`: the system, this build, and what the kernel supports.

use std::process::ExitCode;
use std::sync::Arc;

use beetrace_btf::Btf;
use beetrace_kernel::Features;

use crate::Reported;

pub fn print() -> Result<ExitCode, Reported> {
    let system = rustix::system::uname();
    let text = |s: &std::ffi::CStr| s.to_string_lossy().into_owned();
    println!("beetrace v{}", env!("CARGO_PKG_VERSION"));
    println!("System");
    println!(
        "  OS: {} {} {}",
        text(system.sysname()),
        text(system.release()),
        text(system.version())
    );
    println!("  Arch: {}", text(system.machine()));
    println!();
    println!("Build");
    println!("  version: v{}", env!("CARGO_PKG_VERSION"));
    println!("  libdw (DWARF support): no");
    println!("  blazesym (advanced symbolization): yes");
    println!("  dwunwind (DWARF stack unwinding): no");
    let features = Features::new(Btf::from_file(Btf::VMLINUX).ok().map(Arc::new));
    for section in beetrace_kernel::info(&features) {
        println!();
        print!("{section}");
    }
    Ok(ExitCode::SUCCESS)
}
