//! Processes of this user by /proc (proc(5)): their executables and what they were started with.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use super::Instance;

pub fn instance_of(program: &OsStr, proxy: &str, is_one_only: &dyn Fn(&Path) -> bool) -> Option<Instance> {
    let wanted = Wanted::find(program)?;
    let all = fs::read_dir("/proc").ok()?.flatten();
    let processes = all.map(|entry| entry.path()).filter(|process| {
        fs::read_link(process.join("exe")).is_ok_and(|executable| wanted.is(&executable) && is_one_only(&executable))
    });
    processes.filter_map(|process| instance(&process, proxy)).min_by_key(|found| found.pid)
}

struct Wanted {
    file: PathBuf,
    name: PathBuf,
    /// A script that starts an executable of its name elsewhere.
    is_script: bool,
}

impl Wanted {
    /// As the shell finds it.
    fn find(program: &OsStr) -> Option<Self> {
        let program = Path::new(program);
        let path = env::var_os("PATH").unwrap_or_default();
        let found = match program.components().count() {
            1 => env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())?,
            _ => program.into(),
        };
        let mut start = [0; 2];
        let is_script = File::open(&found).and_then(|mut file| file.read_exact(&mut start)).is_ok() && &start == b"#!";
        Some(Self { file: fs::canonicalize(&found).ok()?, name: program.file_name()?.into(), is_script })
    }

    fn is(&self, executable: &Path) -> bool {
        executable == self.file || (self.is_script && executable.file_name() == Some(self.name.as_os_str()))
    }
}

fn instance(process: &Path, proxy: &str) -> Option<Instance> {
    let pid = process.file_name()?.to_str()?.parse().ok()?;
    let executable = fs::read_link(process.join("exe")).ok()?;
    let is_users = fs::metadata(process).is_ok_and(|found| found.uid() == geteuid().as_raw());
    let parts = |file: &str| fs::read(process.join(file)).unwrap_or_default();
    // Its own children have the same executable.
    let is_part = parts("cmdline").split(|byte| *byte == 0).any(|argument| argument.starts_with(b"--type="));
    let has_it = parts("environ")
        .split(|byte| *byte == 0)
        .any(|variable| variable.strip_prefix(b"https_proxy=").is_some_and(|value| value == proxy.as_bytes()));
    let name = executable.file_name()?.to_string_lossy().into_owned();
    (is_users && !is_part && !has_it).then_some(Instance { pid, name })
}
