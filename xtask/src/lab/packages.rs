//! Kernels out of Debian's packages.
//!
//! Each series has an `apt` root of its own below `target/lab`, with sources made of the machine's own: same address,
//! another suite. So nothing of the machine's package state is touched, and its mirror and proxy are used.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{output_of, run_tool};

/// A kernel series and the suites that have its newest package.
pub(super) struct Series {
    pub(super) name: &'static str,
    suites: &'static [&'static str],
}

pub(super) const KERNELS: &[Series] = &[
    Series {
        name: "5.10",
        suites: &["bullseye", "bullseye-security"],
    },
    Series {
        name: "6.1",
        suites: &["bookworm", "bookworm-security"],
    },
    Series {
        name: "6.12",
        suites: &["bookworm-backports"],
    },
    Series {
        name: "7",
        suites: &["trixie-backports"],
    },
];

/// The package that depends on the newest kernel image of a suite.
const NEWEST: &str = "linux-image-cloud-amd64";

/// A kernel that is unpacked.
pub(super) struct Kernel {
    pub(super) series: &'static Series,
    /// As `uname -r` says.
    pub(super) release: String,
    pub(super) image: PathBuf,
    /// The folder `lib/modules/RELEASE`.
    pub(super) modules: PathBuf,
}

impl Kernel {
    pub(super) fn title(&self) -> String {
        format!("kernel {} ({})", self.series.name, self.release)
    }
}

/// The kernel as it was fetched before, or else fetched now.
pub(super) fn fetch(series: &'static Series, folder: &Path) -> Result<Kernel> {
    let folder = folder.join(series.name);
    let root = folder.join("root");
    let done = folder.join("release");
    if let Ok(release) = fs::read_to_string(&done) {
        return find(series, &root, release);
    }
    eprintln!("fetching the newest kernel {}", series.name);
    let apt = Apt::new(series, &folder)
        .and_then(|apt| apt.update().map(|()| apt))
        .with_context(|| format!("kernel {}: no package lists", series.name))?;
    let image = apt
        .depends(NEWEST)?
        .into_iter()
        .find(|name| name.starts_with("linux-image-"))
        .with_context(|| format!("{NEWEST} depends on no image"))?;
    // Newer packages keep the kernel and its modules in packages of their own.
    let mut packages: Vec<String> = apt
        .depends(&image)?
        .into_iter()
        .filter(|name| name.starts_with("linux-binary-") || name.starts_with("linux-modules-"))
        .collect();
    packages.push(image.clone());
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root)?;
    for package in &packages {
        let file = apt.download(package)?;
        run_tool(Command::new("dpkg").arg("-x").arg(&file).arg(&root))?;
        fs::remove_file(&file)?;
    }
    let release = image
        .trim_start_matches("linux-image-")
        .trim_end_matches("-unsigned")
        .to_owned();
    let kernel = find(series, &root, release)?;
    fs::write(done, &kernel.release)?;
    Ok(kernel)
}

fn find(series: &'static Series, root: &Path, release: String) -> Result<Kernel> {
    let first = |paths: [String; 2]| {
        let found = paths.iter().map(|p| root.join(p)).find(|p| p.exists());
        found.with_context(|| format!("no {} in {}", paths[0], root.display()))
    };
    let modules = format!("lib/modules/{release}");
    Ok(Kernel {
        series,
        image: first([
            format!("boot/vmlinuz-{release}"),
            format!("usr/{modules}/vmlinuz"),
        ])?,
        modules: first([modules.clone(), format!("usr/{modules}")])?,
        release,
    })
}

/// The Debian client with a root of its own.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn new(series: &Series, folder: &Path) -> Result<Apt> {
        let folder = folder.join("apt");
        for part in ["lists/partial", "cache/archives/partial", "state"] {
            fs::create_dir_all(folder.join(part))?;
        }
        fs::write(folder.join("status"), "")?;
        let own = OwnSources::read()?;
        let mut sources = String::new();
        for suite in series.suites {
            let address = own.address(suite.ends_with("-security"))?;
            sources += &format!("deb [signed-by={KEYS}] {address} {suite} main\n");
        }
        fs::write(folder.join("sources.list"), sources)?;
        Ok(Apt { folder })
    }

    fn command(&self, tool: &str) -> Command {
        let mut command = Command::new(tool);
        let at = |part: &str| self.folder.join(part).display().to_string();
        for option in [
            format!("Dir::State={}", at("state")),
            format!("Dir::State::lists={}", at("lists")),
            format!("Dir::State::status={}", at("status")),
            format!("Dir::Cache={}", at("cache")),
            format!("Dir::Etc::sourcelist={}", at("sources.list")),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            // A mirror may stand still at one day.
            "Acquire::Check-Valid-Until=false".to_owned(),
            "APT::Architecture=amd64".to_owned(),
            // The folder need not be one that another user reads.
            "APT::Sandbox::User=".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        command
    }

    fn update(&self) -> Result<()> {
        run_tool(self.command("apt-get").args(["-qq", "update"]))
    }

    /// Names of what the newest version of a package depends on, the first where there is a choice.
    fn depends(&self, package: &str) -> Result<Vec<String>> {
        let mut command = self.command("apt-cache");
        let text = output_of(command.args(["show", "--no-all-versions", package]))?;
        let depends = text
            .lines()
            .find_map(|line| line.strip_prefix("Depends: "))
            .unwrap_or_default();
        Ok(depends
            .split(", ")
            .filter_map(|one| one.split_whitespace().next())
            .map(str::to_owned)
            .collect())
    }

    fn download(&self, package: &str) -> Result<PathBuf> {
        let folder = self.folder.join("packages");
        fs::create_dir_all(&folder)?;
        let mut command = self.command("apt-get");
        run_tool(
            command
                .args(["-qq", "download", package])
                .current_dir(&folder),
        )?;
        fs::read_dir(&folder)?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(&format!("{package}_"))
            })
            .with_context(|| format!("{package} was not downloaded"))
    }
}

const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The addresses that this machine has its own packages from.
#[derive(Debug, Default, PartialEq, Eq)]
struct OwnSources {
    main: Option<String>,
    security: Option<String>,
}

impl OwnSources {
    fn read() -> Result<OwnSources> {
        let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
        if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
            files.extend(entries.flatten().map(|entry| entry.path()));
        }
        let mut own = OwnSources::default();
        for file in files {
            own.add(&fs::read_to_string(file).unwrap_or_default());
        }
        Ok(own)
    }

    /// Takes what a file in either of apt's formats tells: `deb [options] ADDRESS SUITE …`, or `URIs: ADDRESS`.
    fn add(&mut self, text: &str) {
        for line in text.lines() {
            let is_source = line.starts_with("deb ") || line.starts_with("URIs:");
            let word = line
                .split_whitespace()
                .find(|word| word.contains("://") || word.starts_with("mirror+"));
            let Some(address) = word.filter(|_| is_source) else {
                continue;
            };
            let address = address.trim_end_matches('/');
            let place = match address.rsplit('/').next() {
                Some("debian") => &mut self.main,
                Some("debian-security") => &mut self.security,
                _ => continue,
            };
            place.get_or_insert_with(|| address.to_owned());
        }
    }

    fn address(&self, is_security: bool) -> Result<String> {
        match (is_security, &self.main, &self.security) {
            (false, Some(main), _) => Ok(main.clone()),
            (true, _, Some(security)) => Ok(security.clone()),
            (true, Some(main), None) => Ok(format!("{main}-security")),
            _ => bail!("the machine's apt configuration names no mirror of Debian"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_addresses_from_both_formats() {
        let mut own = OwnSources::default();
        own.add(
            "# deb http://old/debian stable main\ndeb [arch=amd64] http://a/debian bookworm main\n",
        );
        own.add("Types: deb\n# http://b/debian\nURIs: http://c/debian-security/\nSuites: x\n");
        own.add("deb https://d/apt other main\n");
        let expected = OwnSources {
            main: Some("http://a/debian".into()),
            security: Some("http://c/debian-security".into()),
        };
        assert_eq!(own, expected);
    }
}
