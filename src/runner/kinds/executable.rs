//! Where the executable of a process is, and how it is started within its limits.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::runner::config::Subprocess;

/// The file that `argv[0]` names: a path is taken as it is, a bare name is looked up on the runner's `PATH`.
///
/// # Errors
/// When there is no such file, or it may not be executed.
pub fn find(own: &Subprocess) -> Result<PathBuf, String> {
    let name = own.argv.first().map(|first| first.literal_text()).unwrap_or_default();
    if name.contains('/') {
        let path = own.cwd.as_deref().unwrap_or(Path::new("")).join(&name);
        return if !path.is_file() {
            Err(format!("{} is not there", path.display()))
        } else if !is_executable(&path) {
            Err(format!("{} is not executable", path.display()))
        } else {
            std::path::absolute(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
    }
    on_path(&name).ok_or_else(|| format!("`{name}` is not on the runner's PATH"))
}

/// The program to start and what comes before the entry's own arguments. With limits that is `prlimit`, which sets
/// them and then becomes the executable: set from outside, they would come too late for what it does first.
///
/// # Errors
/// When the executable is not there, or `prlimit` is needed and is not.
pub fn command(own: &Subprocess) -> Result<(PathBuf, Vec<OsString>), String> {
    let executable = find(own)?;
    let limits = [
        ("as", own.limits.memory_bytes),
        ("cpu", own.limits.cpu_seconds),
        ("nofile", own.limits.open_files),
        ("fsize", own.limits.file_bytes),
    ];
    let mut first: Vec<OsString> = limits
        .iter()
        .filter_map(|(name, value)| value.map(|value| format!("--{name}={value}:{value}").into()))
        .collect();
    if first.is_empty() {
        return Ok((executable, first));
    }
    let setter =
        on_path("prlimit").ok_or("`limits` need the program prlimit (util-linux) on the runner's PATH")?;
    first.extend(["--".into(), executable.into()]);
    Ok((setter, first))
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|candidate| is_executable(candidate))
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}
