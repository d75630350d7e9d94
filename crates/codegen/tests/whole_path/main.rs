//! Whatever the script, the way from text to a loadable object ends without a panic: in an object that can be encoded and
//! written, or in complaints.
//!
//! `BEETRACE_CASES` sets how many scripts are tried.

#[path = "../../../lang/tests/mutations/generator.rs"]
mod generator;

use std::path::{Path, PathBuf};

use beetrace_codegen::{Target, compile};
use beetrace_lang::diagnostic::Diagnostics;
use beetrace_lang::expand::{ImportFiles, expand};
use beetrace_lang::options::Options;
use beetrace_lang::span::{Source, Sources};
use beetrace_lang::{check, render};
use beetrace_probes::fixture::Fixture;
use proptest::prelude::*;

/// Scripts that compile, and together reach every part of the compiler.
const CORPUS: &[&str] = &[
    "begin { $a = (uint8)200; $b = $a + 1; $c = -$b * 3 / 2 % 7; @x = $c << 2 >> 1; @y = $c > 1 && $b != 3 || !$a; }",
    "begin { $s = \"hello\"; if ($s == \"hello\") { printf(\"%-8s %d %x %c\\n\", $s, 1, 255, 65); } else { print((1, \"x\", $s)); } }",
    "tracepoint:syscalls:sys_enter_openat / pid > 1 / { @[comm, str(args.filename)] = count(); printf(\"%s\\n\", str(args.filename)); }",
    "tracepoint:syscalls:sys_enter_read { @start[tid] = nsecs; } tracepoint:syscalls:sys_exit_read / @start[tid] / { @ns[comm] = hist(nsecs - @start[tid]); delete(@start, tid); }",
    "tracepoint:sched:sched_process_exec { @f[str(args.filename)] = sum(args.pid); @l = lhist(args.pid, 0, 100, 10); @s = stats(args.old_pid); }",
    "kprobe:vfs_read { @[kstack(3), ustack] = count(); @m = max(arg2); @n = min(arg1); @a = avg(arg0); print(func); }",
    "kretprobe:vfs_read { @ = hist(retval, 2); if (retval < 0) { @e[strerror(-retval)] = count(); } }",
    "fentry:vfs_read { print(args.file.f_path.dentry.d_name.len); $d = args.file.f_path.dentry; print(str($d.d_name.name)); }",
    "rawtracepoint:sched_switch { printf(\"%d -> %s\\n\", args.prev.pid, args.next.comm); }",
    "struct P { int x; struct { char name[8]; unsigned a : 3; int b : 5; } in; int y[4]; } uprobe:/bin/app:main { $p = (struct P *)arg0; print($p.x); print($p.in.name); print($p.in.b); print($p.y[2]); @ = *$p; $i = (uint8)$p.x; print($p.y[$i]); }",
    "begin { for ($i : 0..10) { @a[$i] = $i * 2; } for ($i : 0..@n) { if ($i == 5) { continue; } @b = $i; if ($i > 7) { break; } } }",
    "begin { @m[1, \"a\"] = 2; for ($kv : @m) { print($kv); print($kv.0.1); } unroll (3) { @n++; } $i = 0; while ($i < 5) { $i++; } return; }",
    "macro add($v, x) { $v += x; $v } macro twice(e) { e; e } begin { $a = 1; print(add($a, 2)); twice({ @n++; }); }",
    "begin { $t = (1, (uint64)2, \"three\"); $u = $t.2; $r = (a=1, b=(x=2, y=\"z\")); print($r.b.y); @k[$t] = $r.a; print(@k); clear(@k); zero(@k); print(len(@k)); }",
    "begin { print(ntop(2, 0x0100007f)); print(macaddr((uint8*)0)); $b = buf(\"abc\", 2); printf(\"%r %rx\\n\", $b, $b); print(strftime(\"%H\", nsecs)); }",
    "begin { print(strncmp(\"abc\", comm, 2)); print(strcontains(comm, \"ee\")); print(strlen(comm)); print(curtask.comm); print(curtask.real_parent.pid); }",
    "begin { $x = (int32*)0; $y = $x + 4; if ($y != 0) { print(*$y); } $z = &$x; print(sizeof(struct task_struct)); print(offsetof(struct task_struct, comm)); }",
    "profile:hz:99 { @[cpu] = count(); } interval:s:1 { print(@, 5, 2); time(\"%H\\n\"); clear(@); } self:signal:SIGUSR1 { exit(3); }",
    "iter:task { printf(\"%s %d\\n\", ctx.task.comm, ctx.task.pid); }",
    "usdt:/bin/app:* { @[probe] = count(); }",
    "enum E { A = 1, B } begin { $e = B; printf(\"%s %d\\n\", $e, A); @[(enum E)2] = 1; errorf(\"no %d\", 1); warnf(\"w\"); join(0); cat(\"/x\"); }",
    "begin { @a = tseries(3, 1s, 5); let $q: uint16 = 7; $w = $q ? 1 : 2; $v = { let $k = 3; $k }; _ = has_key(@h, 1); @h[1] = 2; }",
];

struct NoFiles;

impl ImportFiles for NoFiles {
    fn read(&self, _: &Path) -> Result<String, String> {
        Err("no such file".into())
    }

    fn list(&self, _: &Path) -> Option<Vec<PathBuf>> {
        None
    }

    fn is_world_writable(&self, _: &Path) -> bool {
        false
    }
}

/// Compiles as far as it goes, and checks what comes out; the complaints where it does not go to the end.
fn compiles(text: &str) -> Result<(), String> {
    let mut sources = Sources::default();
    let source = Source {
        name: "stdin".into(),
        text: text.into(),
        is_stdlib: false,
        expanded_from: None,
    };
    let root = sources.add(source);
    let options = Options {
        positional: vec!["7".into(), "x".into()],
        ..Options::default()
    };
    let world = Fixture::new();
    let mut diags = Diagnostics::default();
    let expansion = expand(root, sources, &world, &NoFiles, &options, &mut diags);
    let sources = expansion.script.sources.clone();
    let program = check::check(expansion.script, &world, &options, &mut diags);
    let complaints = render::render(&diags, &sources, render::RenderOptions::default());
    let program = program.filter(|_| !diags.has_errors()).ok_or(complaints)?;
    let object = compile(&program, &Target::default()).map_err(|e| e.to_string())?;
    for program in &object.programs {
        let raw = beetrace_isa::encode(&program.insns);
        assert!(beetrace_isa::decode(&raw).is_ok(), "{text}");
    }
    let file = beetrace_object::elf::write(&object).expect("an object can be written");
    assert_eq!(
        beetrace_object::elf::read(&file).expect("and read back"),
        object
    );
    Ok(())
}

fn config() -> ProptestConfig {
    let cases = std::env::var("BEETRACE_CASES").ok();
    ProptestConfig {
        cases: cases.and_then(|n| n.parse().ok()).unwrap_or(500),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn changed_scripts_do_no_harm(text in generator::script(CORPUS)) {
        // Complaints are a good end, too.
        let run = move || compiles(&text).is_ok();
        // As the command line has it.
        let thread = std::thread::Builder::new().stack_size(beetrace_lang::STACK_BYTES).spawn(run);
        prop_assert!(thread.expect("a thread").join().is_ok());
    }
}

#[test]
fn the_corpus_compiles() {
    for text in CORPUS {
        assert_eq!(compiles(text), Ok(()), "{text}");
    }
}
