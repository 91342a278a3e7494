//! Blocks in files.

use super::{Found, ReadError, Source, SourceError, Unread};
use crate::{Block, MAX_BLOCK_BYTES, decode};
use futures::{StreamExt, stream, stream::BoxStream};
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};
use streamsync_core::Slot;
use streamsync_lake::SlotSet;

const CONTENTS: [&str; 3] = ["json", "pb", "bin"];
const COMPRESSIONS: [&str; 2] = ["gz", "zst"];

/// Recorded blocks: a file, or all block files in a folder and in the folders inside it, in the
/// order of their slots.
///
/// The names of block files end in `.json`, `.pb` or `.bin`, with `.gz` or `.zst` after it; what is
/// in them is told by the content, see [`decode`]. The slot is read from digits at
/// the end of the name, as in `254170887.json.gz` or `block-254170887.pb`.
#[derive(Clone, Debug)]
pub struct BlockFiles {
    path: PathBuf,
    files: Vec<(Option<Slot>, PathBuf)>,
}

impl BlockFiles {
    /// Looks for the files. `slot` is the slot of a single file that does not tell it.
    pub fn open(path: impl Into<PathBuf>, slot: Option<Slot>) -> Result<Self, SourceError> {
        let path = path.into();
        let shown = || path.display().to_string();
        let failed = |source| SourceError::List {
            path: shown(),
            source,
        };
        let mut files = Vec::new();
        if fs::metadata(&path).map_err(failed)?.is_dir() {
            collect(&path, &mut files).map_err(failed)?;
        } else {
            files.push(path.clone());
        }
        match (files.len(), slot) {
            (0, _) => return Err(SourceError::NoFiles { path: shown() }),
            (files @ 2.., Some(_)) => {
                let path = shown();
                return Err(SourceError::SlotForMany { path, files });
            }
            _ => {}
        }
        let mut files: Vec<_> = files
            .into_iter()
            .map(|file| (slot.or_else(|| slot_of(&file)), file))
            .collect();
        files.sort();
        Ok(Self { path, files })
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there are none; never, once opened.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

impl Source for BlockFiles {
    fn describe(&self) -> String {
        let path = self.path.display();
        match self.files.len() {
            1 => format!("1 block file at {path}"),
            files => format!("{files} block files at {path}"),
        }
    }

    fn read(self, _covered: Arc<SlotSet>) -> BoxStream<'static, Result<Found, SourceError>> {
        let expected = Found::Expected(self.files.len() as u64);
        let files = self.files.into_iter().map(|(slot, path)| {
            Found::Block(Unread {
                slot,
                origin: path.display().to_string(),
                read: Box::new(move || read(&path, slot)),
            })
        });
        stream::iter(std::iter::once(expected).chain(files).map(Ok)).boxed()
    }
}

fn read(path: &Path, slot: Option<Slot>) -> Result<Block, ReadError> {
    let file = fs::File::open(path).map_err(ReadError::File)?;
    let size = file.metadata().map_err(ReadError::File)?.len();
    let limit = MAX_BLOCK_BYTES;
    if size > limit {
        return Err(ReadError::TooLarge { size, limit });
    }
    let mut bytes = Vec::new();
    // The file may be growing.
    let mut file = file.take(limit);
    file.read_to_end(&mut bytes).map_err(ReadError::File)?;
    Ok(decode(&bytes, slot)?)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        // A link to a folder is not followed, since it may lead back here.
        if entry.file_type()?.is_dir() {
            collect(&path, files)?;
        } else if is_block_file(&path) && fs::metadata(&path)?.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn is_block_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut extensions = name.rsplit('.');
    let last = extensions.next().unwrap_or_default();
    let content = match COMPRESSIONS.contains(&last) {
        true => extensions.next().unwrap_or_default(),
        false => last,
    };
    CONTENTS.contains(&content) && extensions.next().is_some_and(|stem| !stem.is_empty())
}

/// The slot in a file's name.
fn slot_of(path: &Path) -> Option<Slot> {
    let name = path.file_name()?.to_string_lossy();
    let stem = name.split('.').next()?;
    let text = stem.trim_end_matches(|digit: char| digit.is_ascii_digit());
    // The digits of `v0` belong to a word.
    if text.ends_with(char::is_alphanumeric) {
        return None;
    }
    stem[text.len()..].parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_read_from_names() {
        let slot = |name: &str| slot_of(Path::new(name)).map(|slot| slot.0);
        assert_eq!(slot("a/254170887.json.gz"), Some(254_170_887));
        assert_eq!(slot("block-7.pb"), Some(7));
        assert_eq!(slot("slot_0012.bin"), Some(12));
        assert_eq!(slot("get_block_base64.json"), None);
        assert_eq!(slot("block_v0.json"), None);
        assert_eq!(slot("99999999999999999999.json"), None);
        assert_eq!(slot(".json"), None);
    }

    #[test]
    fn block_files_are_told_by_their_names() {
        let is = |name: &str| is_block_file(Path::new(name));
        assert!(
            ["1.json", "1.pb", "1.bin.zst", "a/1.json.gz"]
                .into_iter()
                .all(is)
        );
        assert!(
            !["1.txt", "1.gz", "json", ".json", "1.json.bak"]
                .into_iter()
                .any(is)
        );
    }

    #[test]
    fn files_come_in_the_order_of_their_slots() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("inside");
        fs::create_dir(&inside).unwrap();
        for name in ["100.json", "99.pb", "notes.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::write(inside.join("98.json.gz"), "").unwrap();
        let files = BlockFiles::open(folder.path(), None).unwrap();
        let slots: Vec<_> = files
            .files
            .iter()
            .map(|(slot, _)| slot.unwrap().0)
            .collect();
        assert_eq!(slots, [98, 99, 100]);
        assert!(matches!(
            BlockFiles::open(folder.path(), Some(Slot(1))),
            Err(SourceError::SlotForMany { files: 3, .. })
        ));
    }

    #[test]
    fn a_folder_without_blocks_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = BlockFiles::open(folder.path(), None).unwrap_err();
        assert!(matches!(error, SourceError::NoFiles { .. }));
        let error = BlockFiles::open(folder.path().join("absent"), None).unwrap_err();
        assert!(matches!(error, SourceError::List { .. }));
    }
}
