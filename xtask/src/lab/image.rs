//! The initial file system of a guest.
//!
//! The kernel takes several archives one behind the other: a large one that all guests share, and a small one with the
//! modules of the kernel and the job.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::packages::Kernel;
use super::{find_program, output_of, run_tool};

/// What all guests share.
pub(super) struct Image {
    archive: PathBuf,
}

/// Modules that cases trace, loaded at the start.
const MODULES: &[&str] = &["drivers/net/tun"];

/// Programs of the host that cases need and busybox has not.
const TOOLS: &[&str] = &["setpriv"];

/// Runs as the first process: mounts what a Linux system has mounted, does the job, and ends the machine.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /root /run /sbin /usr/sbin /var/tmp
/bin/busybox --install -s /bin
export PATH=/usr/bin:/bin HOME=/root TZ=UTC LC_ALL=C TERM=linux
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
hostname lab
for module in /lib/modules/*.ko; do
    insmod $module || echo "the module $module was not loaded"
done
ulimit -n 65536
cd /root
exec_shell() {
    setsid cttyhack sh
}
stty -F /dev/ttyS1 raw -echo 2>/dev/null
if [ -e /lab/shell ]; then
    exec_shell
else
    echo "lab: started" >/dev/ttyS1
    sh /lab/job >/dev/ttyS1 2>&1 </dev/null
    echo "lab: ended with $?" >/dev/ttyS1
fi
poweroff -f
"#;

impl Image {
    /// Builds the tracer and the runner of the cases, and packs them.
    pub(super) fn build(folder: &Path, is_debug: bool) -> Result<Image> {
        let built = Built::new(is_debug)?;
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/beetrace/tests");
        let scratch = folder.join("scratch");
        // The runner compiles the programs that the cases trace.
        output_of(
            Command::new(&built.runner)
                .arg("--list")
                .env("BEETRACE_SCRATCH", &scratch),
        )?;
        let root = folder.join("image");
        let _ = fs::remove_dir_all(&root);
        for part in [
            "bin",
            "usr/bin",
            "etc",
            "lab/tests/programs",
            "lab/tests/cases",
        ] {
            fs::create_dir_all(root.join(part))?;
        }
        let busybox = find_program("busybox").context("no busybox")?;
        fs::copy(busybox, root.join("bin/busybox"))?;
        strip(&built.tracer, &root.join("usr/bin/beetrace"))?;
        strip(&built.runner, &root.join("usr/bin/e2e"))?;
        copy_all(&tests.join("cases"), &root.join("lab/tests/cases"))?;
        let programs = root.join("lab/scratch/programs");
        copy_all(&scratch.join("programs"), &programs)?;
        for tool in TOOLS {
            let program = find_program(tool).with_context(|| format!("no {tool}"))?;
            fs::copy(program, root.join("usr/bin").join(tool))?;
        }
        libraries(&programs, &root)?;
        libraries(&root.join("usr/bin"), &root)?;
        // What finds a library by its name.
        fs::copy("/etc/ld.so.cache", root.join("etc/ld.so.cache"))?;
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
        fs::write(root.join("etc/group"), "root:x:0:\n")?;
        fs::write(root.join("etc/hostname"), "lab\n")?;
        executable(&root.join("init"), INIT)?;
        let archive = folder.join("image.cpio");
        pack(&root, &archive)?;
        Ok(Image { archive })
    }

    /// The whole file system for a kernel and a job.
    pub(super) fn with(&self, kernel: &Kernel, job: &str, folder: &Path) -> Result<PathBuf> {
        let folder = folder.join(kernel.series.name);
        let root = folder.join("own");
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("lib/modules"))?;
        fs::create_dir_all(root.join("lab"))?;
        for module in MODULES {
            unpack_module(kernel, module, &root.join("lib/modules"))?;
        }
        if job == "exec_shell" {
            fs::write(root.join("lab/shell"), "")?;
        }
        executable(&root.join("lab/job"), job)?;
        let own = folder.join("own.cpio");
        pack(&root, &own)?;
        let whole = folder.join("whole.cpio");
        let mut file = File::create(&whole)?;
        for part in [&self.archive, &own] {
            std::io::copy(&mut File::open(part)?, &mut file)?;
        }
        Ok(whole)
    }
}

/// What cargo built.
struct Built {
    tracer: PathBuf,
    runner: PathBuf,
}

impl Built {
    fn new(is_debug: bool) -> Result<Built> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["test", "--quiet", "--package", "beetrace", "--test", "e2e"]);
        cargo.args(["--no-run", "--message-format=json"]);
        if !is_debug {
            cargo.arg("--release");
        }
        let messages = output_of(&mut cargo)?;
        let executable = |kind: &str| {
            messages
                .lines()
                .filter(|line| line.contains(kind))
                .filter_map(|line| line.split_once("\"executable\":\"")?.1.split_once('"'))
                .map(|(path, _)| PathBuf::from(path))
                .next_back()
                .with_context(|| format!("cargo built no {kind}"))
        };
        Ok(Built {
            tracer: executable("\"kind\":[\"bin\"]")?,
            runner: executable("\"kind\":[\"test\"]")?,
        })
    }
}

/// Copies a program without its debug information, which makes up most of a development build.
fn strip(from: &Path, to: &Path) -> Result<()> {
    run_tool(Command::new("strip").arg("-o").arg(to).arg(from))
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// The shared libraries of all programs of a folder, to where they are looked for.
fn libraries(programs: &Path, root: &Path) -> Result<()> {
    for entry in fs::read_dir(programs)? {
        let output = Command::new("ldd").arg(entry?.path()).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let paths = text
            .split_whitespace()
            .filter(|word| word.starts_with('/') && !word.ends_with(':'));
        for path in paths {
            let to = root.join(path.trim_start_matches('/'));
            if let Some(parent) = to.parent()
                && !to.exists()
            {
                fs::create_dir_all(parent)?;
                fs::copy(path, to)?;
            }
        }
    }
    Ok(())
}

fn unpack_module(kernel: &Kernel, module: &str, to: &Path) -> Result<()> {
    let name = module.rsplit('/').next().unwrap_or(module);
    let plain = kernel.modules.join(format!("kernel/{module}.ko"));
    let target = to.join(format!("{name}.ko"));
    if plain.exists() {
        fs::copy(plain, target)?;
        return Ok(());
    }
    let packed = kernel.modules.join(format!("kernel/{module}.ko.xz"));
    ensure!(packed.exists(), "{} has no module {name}", kernel.title());
    run_tool(
        Command::new("xz")
            .arg("-dc")
            .arg(packed)
            .stdout(File::create(target)?),
    )
}

fn executable(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// An archive in the format of the kernel, with all files of a folder.
fn pack(root: &Path, archive: &Path) -> Result<()> {
    let mut names = Vec::new();
    list(root, Path::new(""), &mut names)?;
    let mut cpio = Command::new("cpio")
        .args(["--quiet", "-o", "-H", "newc", "-R", "0:0"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(File::create(archive)?)
        .spawn()
        .context("cannot run cpio")?;
    let mut stdin = cpio.stdin.take().context("cpio without input")?;
    for name in &names {
        writeln!(stdin, "{name}")?;
    }
    drop(stdin);
    ensure!(cpio.wait()?.success(), "cpio failed");
    Ok(())
}

fn list(root: &Path, below: &Path, names: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        names.push(path.display().to_string());
        if entry.file_type()?.is_dir() {
            list(root, &path, names)?;
        }
    }
    Ok(())
}
