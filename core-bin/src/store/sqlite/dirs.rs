//! The data directory itself: made for its owner, and on disk before the first answer.

use std::path::Path;

/// Makes the data directory with its parents, for its owner only.
pub fn make_dir(dir: &Path) -> Result<(), String> {
    if dir.as_os_str().is_empty() {
        return Err("the data directory's name is empty".to_owned());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|e| format!("data root IO error: {e}: {}", dir.display()))
}

/// The directory and its parent reach the disk before the first answer.
pub fn sync_dirs(dir: &Path) -> std::io::Result<()> {
    let dir = dir.canonicalize()?;
    for path in [Some(dir.as_path()), dir.parent()].into_iter().flatten() {
        match std::fs::File::open(path).and_then(|handle| handle.sync_all()) {
            Err(error) if error.kind() != std::io::ErrorKind::PermissionDenied => {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(())
}
