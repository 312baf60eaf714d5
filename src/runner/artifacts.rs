//! Files of executions, each run in a folder of its own that no id can lead out of.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};
use tokio::fs::File;

use super::outcome::Artifact;

/// The folder all runs of this runner have theirs in.
#[derive(Clone, Debug)]
pub struct ArtifactStore {
    root: PathBuf,
}

/// The folder of one attempt of one run.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl ArtifactStore {
    /// A store in `root`, which is made when first needed.
    pub fn new(root: &Path) -> Self {
        Self { root: std::path::absolute(root).unwrap_or_else(|_| root.to_owned()) }
    }

    /// The folder for one attempt. Nothing is made yet.
    pub fn folder(&self, workflow_id: &str, run_id: &str, attempt: u32) -> RunFolder {
        RunFolder {
            path: self
                .root
                .join(folder_name(workflow_id))
                .join(folder_name(run_id))
                .join(attempt.to_string()),
        }
    }

    /// Removes the folders of runs whose last change is older than `age`. Answers how many.
    pub fn remove_older_than(&self, age: Duration, now: SystemTime) -> usize {
        let folders = |path: &Path| -> Vec<PathBuf> {
            let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
            let real = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            real.map(|entry| entry.path()).collect()
        };
        let mut removed = 0;
        for workflow in folders(&self.root) {
            for run in folders(&workflow) {
                let changed = run.metadata().and_then(|data| data.modified());
                let old = changed.is_ok_and(|at| now.duration_since(at).is_ok_and(|since| since > age));
                if old && std::fs::remove_dir_all(&run).is_ok() {
                    removed += 1;
                }
            }
            // Fails, as it should, while there are other runs in it.
            let _ = std::fs::remove_dir(&workflow);
        }
        removed
    }
}

impl RunFolder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it, readable by nobody else.
    ///
    /// # Errors
    /// What the system said.
    pub fn make(&self) -> Result<(), String> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.path).map_err(|error| format!("folder {}: {error}", self.path.display()))
    }

    /// Creates a file for the stream `name`, which is one of the runner's own fixed names. An existing one, a link
    /// left by the process included, is never opened.
    ///
    /// # Errors
    /// What the system said.
    pub async fn create(&self, name: &str) -> Result<(File, PathBuf), String> {
        self.make()?;
        let path = self.path.join(format!("{name}.log"));
        let file = File::options().write(true).create_new(true).open(&path).await;
        file.map(|file| (file, path.clone())).map_err(|error| format!("file {}: {error}", path.display()))
    }

    /// The files a process left here, the runner's own left out; links and folders do not count. At most a hundred.
    pub fn files(&self, own: &[Artifact]) -> Vec<Artifact> {
        let Ok(entries) = std::fs::read_dir(&self.path) else { return Vec::new() };
        let mut files: Vec<Artifact> = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
            .map(|entry| Artifact {
                name: entry.file_name().to_string_lossy().into_owned(),
                path: Some(entry.path().display().to_string()),
                bytes: entry.metadata().ok().map(|data| data.len()),
                ..Artifact::default()
            })
            .filter(|file| own.iter().all(|known| known.path != file.path))
            .collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        files.truncate(100);
        files
    }

    /// Removes it again when nothing is in it.
    pub fn remove_if_empty(&self) {
        for folder in self.path.ancestors().take(3) {
            if std::fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }
}

/// A folder name that tells two ids apart and is nothing but a name: what is not a letter, a digit, `-` or `_` is
/// replaced, and a hash of the whole id makes up for what was lost.
fn folder_name(id: &str) -> String {
    let plain: String = id
        .chars()
        .take(48)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' })
        .collect();
    format!("{plain}.{}", &hex::encode(Sha256::digest(id.as_bytes()))[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_leaves_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let store = ArtifactStore::new(root.path());
        let long = "x".repeat(5_000);
        let ids = [
            "..",
            ".",
            "",
            "/etc/passwd",
            "../../../etc",
            "a/b",
            "a\\b",
            "a\0b",
            "~",
            "é",
            "-rf",
            long.as_str(),
        ];
        let mut seen = std::collections::BTreeSet::new();
        for id in ids {
            let folder = store.folder(id, id, 1);
            folder.make().unwrap();
            let real = folder.path().canonicalize().unwrap();
            let inside = real.strip_prefix(root.path().canonicalize().unwrap()).unwrap();
            assert_eq!(inside.components().count(), 3, "{id:?} became {inside:?}");
            assert!(seen.insert(real), "{id:?} shares a folder");
        }
        assert_ne!(folder_name("a/b"), folder_name("a_b"));
    }

    #[tokio::test]
    async fn a_link_is_never_written_through() {
        let root = tempfile::tempdir().unwrap();
        let folder = ArtifactStore::new(root.path()).folder("w", "r", 1);
        folder.make().unwrap();
        let victim = root.path().join("victim");
        std::fs::write(&victim, "kept").unwrap();
        std::os::unix::fs::symlink(&victim, folder.path().join("stdout.log")).unwrap();
        assert!(folder.create("stdout").await.is_err());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "kept");
        assert!(folder.files(&[]).is_empty());
    }

    #[test]
    fn old_runs_are_removed_and_young_ones_stay() {
        let root = tempfile::tempdir().unwrap();
        let store = ArtifactStore::new(root.path());
        store.folder("w", "r", 1).make().unwrap();
        let now = SystemTime::now();
        let day = Duration::from_secs(86_400);
        assert_eq!(store.remove_older_than(day, now), 0);
        assert_eq!(store.remove_older_than(day, now + 2 * day), 1);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
