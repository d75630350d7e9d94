//! Kernel functions: those that ftrace can trace, or else all that have a symbol.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::tracefs;
use crate::world::{KernelFunction, WorldError};

const KALLSYMS: &str = "/proc/kallsyms";
const BLACKLIST: &str = "/sys/kernel/debug/kprobes/blacklist";

/// All functions, sorted by module, those of the kernel itself first, and name.
pub(super) fn read(list: Option<&Path>) -> Result<Vec<KernelFunction>, WorldError> {
    let mut found = Vec::new();
    each(list, &mut |module, name| {
        found.push(KernelFunction {
            module: module.map(str::to_owned),
            name: name.to_owned(),
        });
        true
    })?;
    let blacklist = blacklist();
    found.retain(|function| !blacklist.contains(function));
    found.sort();
    found.dedup();
    Ok(found)
}

/// The functions of one name, without keeping the others.
pub(super) fn find(list: Option<&Path>, wanted: &str) -> Result<Vec<KernelFunction>, WorldError> {
    let mut found = Vec::new();
    each(list, &mut |module, name| {
        if name == wanted {
            found.push(KernelFunction {
                module: module.map(str::to_owned),
                name: name.to_owned(),
            });
        }
        true
    })?;
    if !found.is_empty() {
        let blacklist = blacklist();
        found.retain(|function| !blacklist.contains(function));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// The address of a symbol; `None` where there is none, and where addresses are hidden.
pub(super) fn address(wanted: &str) -> Result<Option<u64>, WorldError> {
    let mut found = None;
    lines(Path::new(KALLSYMS), &mut |line| {
        let mut words = line.split_ascii_whitespace();
        let (Some(address), Some(_), Some(name)) = (words.next(), words.next(), words.next())
        else {
            return true;
        };
        if name == wanted {
            found = u64::from_str_radix(address, 16).ok().filter(|a| *a != 0);
            return false;
        }
        true
    })?;
    Ok(found)
}

/// Gives module and name of every function until the answer is `false`.
fn each(
    list: Option<&Path>,
    take: &mut dyn FnMut(Option<&str>, &str) -> bool,
) -> Result<(), WorldError> {
    let filter: PathBuf = match list {
        Some(path) => path.to_owned(),
        None => tracefs::root().join("available_filter_functions"),
    };
    let traced = lines(&filter, &mut |line| match split_module(line) {
        Some((name, module)) => take(module, name),
        None => true,
    });
    match traced {
        Err(_) if list.is_none() => lines(Path::new(KALLSYMS), &mut |line| {
            let mut words = line.splitn(3, ' ');
            let (Some(_), Some("t" | "T" | "w" | "W"), Some(rest)) =
                (words.next(), words.next(), words.next())
            else {
                return true;
            };
            match split_module(rest) {
                Some((name, module)) => take(module, name),
                None => true,
            }
        }),
        traced => traced,
    }
}

/// The parts of `name [module]`.
fn split_module(line: &str) -> Option<(&str, Option<&str>)> {
    let mut words = line.split_ascii_whitespace();
    let name = words.next()?;
    let module = words
        .next()
        .and_then(|word| word.strip_prefix('[')?.strip_suffix(']'));
    // BPF programs show up as functions of a module of that name.
    (module != Some("bpf")).then_some((name, module))
}

fn lines(path: &Path, take: &mut dyn FnMut(&str) -> bool) -> Result<(), WorldError> {
    let error = |e| WorldError {
        message: format!("Could not read functions from {}: {e}", path.display()),
        help: Some(
            "`--traceable-functions FILE` takes the functions that can be traced from a file"
                .into(),
        ),
    };
    let file = File::open(path).map_err(error)?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).map_err(error)? == 0 {
            return Ok(());
        }
        if !take(line.trim_end()) {
            return Ok(());
        }
    }
}

/// Functions that kprobes refuse. Empty where debugfs is not there.
fn blacklist() -> HashSet<KernelFunction> {
    let text = fs::read_to_string(BLACKLIST).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let (_, function) = line.split_once('\t')?;
            let (name, module) = split_module(function)?;
            Some(KernelFunction {
                module: module.map(str::to_owned),
                name: name.to_owned(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn reads_a_list() {
        let path = std::env::temp_dir().join(format!("beetrace-functions-{}", std::process::id()));
        let mut file = File::create(&path).unwrap();
        file.write_all(
            b"vfs_read\nvfs_open\nnft_do_chain [nf_tables]\nbpf_prog_1 [bpf]\nvfs_read\n",
        )
        .unwrap();
        let function = |module: Option<&str>, name: &str| KernelFunction {
            module: module.map(str::to_owned),
            name: name.to_owned(),
        };
        assert_eq!(
            read(Some(&path)),
            Ok(vec![
                function(None, "vfs_open"),
                function(None, "vfs_read"),
                function(Some("nf_tables"), "nft_do_chain"),
            ])
        );
        assert_eq!(
            find(Some(&path), "nft_do_chain"),
            Ok(vec![function(Some("nf_tables"), "nft_do_chain")])
        );
        fs::remove_file(&path).unwrap();
        let error = read(Some(&path)).unwrap_err();
        assert!(error.message.starts_with("Could not read functions from "));
    }
}
