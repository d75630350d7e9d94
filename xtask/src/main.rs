//! Project chores that are not part of the product: `cargo xtask COMMAND`.
//!
//! One file a subcommand:
//!
//! - [`compat`]: runs the runtime test suite of bpftrace against a binary and prints what passes;
//! - [`prepare`]: makes the folder of tests that `compat` needs;
//! - [`oracle`]: compares the verifier's verdicts with those of Linux;
//! - [`lab`]: runs the end-to-end cases inside Debian kernels.
//!
//! # The folder of tests
//!
//! The suite stays in its own checkout, outside this repository. `compat` wants a copy of the checkout's
//! `tests` folder in which everything that the checkout's CMake files would build is there:
//!
//! - `runtime/engine/cmake_vars.py` without its `@…@` placeholder;
//! - `testprogs/`: each C and C++ file compiled twice with debug info and frame pointers (`NAME` as `-no-pie`,
//!   `NAME-pie`), the Go and Rust files where a compiler is there, `false.bin`, `archive.zip`, and the stripped,
//!   split and packaged variants of `uprobe_test` with their debug files;
//! - `testlibs/lib*.so`, not executable;
//! - `data/`: the type sample as an object, an executable and raw BTF.
//!
//! `cargo xtask prepare CHECKOUT/tests OUT` does all of it; it needs gcc, g++, make, llvm (`llvm-objcopy`, `llvm-dwp`),
//! dwarves (`pahole`), zip and systemtap-sdt-dev. It also changes the suite in one way: where a test looks a process up
//! by name (`pidof`, `pkill`), the copy asks `testprogs/own_pid`, which only finds descendants of the suite's
//! engine, so that two runs, or a tracer of somebody else, never meet.
//!
//! The engine itself is Python and needs the package `looseversion`. Tests attach probes: run as root.

mod compat;
mod engine_log;
mod lab;
mod oracle;
mod prepare;

const USAGE: &str = "\
usage: cargo xtask COMMAND
  oracle --objects DIR [--table TSV] [--only PROGRAM] [--verbose]
                        compare the verifier's verdicts with those of Linux (DIR/oracle.tsv)
  prepare TESTS OUT     copy the tests folder of a bpftrace checkout to OUT and build what its tests trace
  compat --tests DIR [--bin PATH] [--baseline TSV] [--out DIR] [--jobs N] [--engine-args ARGS] [SUITE...]
                        run its runtime suites against a binary and print what passes";

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let rest = |args: std::iter::Skip<std::env::Args>| args.collect::<Vec<_>>();
    match args.next().as_deref() {
        Some("compat") => compat::run(rest(args)),
        Some("oracle") => oracle::run(rest(args)),
        Some("prepare") => prepare::run(rest(args)),
        Some("lab") => lab::run(rest(args)),
        Some("help" | "--help" | "-h") => {
            println!("{USAGE}\n{}", lab::USAGE);
            Ok(())
        }
        _ => anyhow::bail!("{USAGE}\n{}", lab::USAGE),
    }
}
