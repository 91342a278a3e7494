//! The files of the journal: `receipts-{process}-{first number}.jsonl`, a signed receipt a line.

use crate::journal::JournalError;
use std::{
    collections::VecDeque,
    fs::OpenOptions,
    io,
    path::{Path, PathBuf},
};
use streamsync_core::SignedReceipt;
use streamsync_registry::Debit;

/// A file of receipts.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    /// Which process of the router wrote it, counted from one.
    pub(crate) process: u64,
    /// The number of its first receipt.
    pub(crate) first: u64,
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
    /// Whether the credit that its process held was given back.
    pub(crate) ended: bool,
}

impl Segment {
    /// Whether Redis has all of it, if it has receipts up to this number.
    pub(crate) fn is_told(&self, told: u64) -> bool {
        self.first + self.lines <= told + 1
    }

    pub(crate) fn new(folder: &Path, process: u64, first: u64) -> Self {
        Self {
            path: folder.join(format!("receipts-{process:010}-{first:020}.jsonl")),
            process,
            first,
            lines: 0,
            bytes: 0,
            ended: false,
        }
    }
}

/// The files in a folder, oldest first. A line that was not finished was of an answer that nobody
/// got, and is taken away.
pub(crate) fn list(folder: &Path) -> Result<VecDeque<Segment>, JournalError> {
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| JournalError::File {
            action,
            path,
            source,
        }
    };
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed("list", folder))? {
        let path = entry.map_err(failed("list", folder))?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let numbers = name
            .strip_prefix("receipts-")
            .and_then(|rest| rest.strip_suffix(".jsonl"));
        let numbers = numbers.and_then(|numbers| numbers.split_once('-'));
        let Some((Ok(process), Ok(first))) =
            numbers.map(|(process, first)| (process.parse(), first.parse()))
        else {
            continue;
        };
        let bytes = std::fs::read(&path).map_err(failed("read", &path))?;
        let whole = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |last| last + 1);
        if whole < bytes.len() {
            let file = OpenOptions::new().write(true).open(&path);
            file.and_then(|file| file.set_len(whole as u64))
                .map_err(failed("mend", &path))?;
        }
        let lines = bytes[..whole].iter().filter(|byte| **byte == b'\n').count() as u64;
        segments.push(Segment {
            path,
            process,
            first,
            lines,
            bytes: whole as u64,
            ended: false,
        });
    }
    segments.sort_by_key(|segment| (segment.first, segment.lines));
    Ok(segments.into())
}

/// Reads receipts of a file from a number on.
pub(crate) fn read(segment: &Segment, from: u64, most: usize) -> Result<Vec<Debit>, JournalError> {
    let text =
        std::fs::read_to_string(&segment.path).map_err(|source: io::Error| JournalError::File {
            action: "read",
            path: segment.path.clone(),
            source,
        })?;
    let skipped = usize::try_from(from - segment.first).unwrap_or(usize::MAX);
    let whole = usize::try_from(segment.lines).unwrap_or(usize::MAX);
    let lines = text
        .lines()
        .enumerate()
        .take(whole)
        .skip(skipped)
        .take(most);
    let debits = lines.map(|(index, line)| {
        let signed: SignedReceipt =
            serde_json::from_str(line).map_err(|_| JournalError::Damaged {
                path: segment.path.clone(),
                line: index + 1,
            })?;
        Ok(Debit {
            client: signed.receipt.client,
            charged: signed.receipt.charged,
            receipt: line.to_owned(),
        })
    });
    debits.collect()
}
