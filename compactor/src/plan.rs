//! Which files of a partition are merged.
//!
//! Files have a generation: how often their rows were rewritten. A merge makes files of one
//! generation more than the newest of its own, and files of the last generation stay as they are,
//! so no byte is ever rewritten more than [`GENERATIONS`] times. Small files wait until there are
//! enough of their generation that a merge makes something considerably larger of them; this is
//! size-tiered compaction, as in Cassandra or LSM trees, with as many tiers as rewrites.

use std::collections::BTreeMap;
use streamsync_core::PartitionValues;
use streamsync_lake::DataFile;

/// The most often that a row is rewritten in its life.
pub const GENERATIONS: u32 = 3;
/// The most files in one merge.
const MOST_FILES: usize = 2_000;

/// How files should be.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The size to which files are merged; those of half of it are left alone.
    pub target_bytes: u64,
    /// How many small files of a generation are merged, at least.
    pub fan_in: usize,
    /// The most bytes in one merge.
    pub merge_bytes: u64,
}

/// Files of one partition that are to become fewer.
#[derive(Clone, Debug, PartialEq)]
pub struct Merge {
    /// The partition.
    pub partition: PartitionValues,
    /// The files, the oldest first.
    pub files: Vec<DataFile>,
    /// The generation of what comes of them.
    pub generation: u32,
}

impl Merge {
    /// The size of the files, in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

impl Shape {
    /// The merges that these files are in need of, at most one a partition. A partition that is
    /// `settled` gets no more rows, as a rule, and all its small files are merged at once.
    pub fn merges(
        &self,
        files: &[DataFile],
        settled: impl Fn(&PartitionValues) -> bool,
    ) -> Vec<Merge> {
        let mut partitions: BTreeMap<&PartitionValues, Vec<&DataFile>> = BTreeMap::new();
        for file in files {
            let small = file.size < self.target_bytes / 2;
            if small && file.generation() < GENERATIONS {
                partitions.entry(&file.partition).or_default().push(file);
            }
        }
        let merges = partitions.into_iter().filter_map(|(partition, small)| {
            let upto = if settled(partition) {
                small.iter().map(|file| file.generation()).max()
            } else {
                self.ripe(&small)
            }?;
            self.merge(partition, small, upto)
        });
        merges.collect()
    }

    /// The newest generation of which there is enough to merge.
    fn ripe(&self, small: &[&DataFile]) -> Option<u32> {
        (0..GENERATIONS).rev().find(|&generation| {
            let own = small.iter().filter(|file| file.generation() == generation);
            let upto = small.iter().filter(|file| file.generation() <= generation);
            let bytes: u64 = upto.map(|file| file.size).sum();
            own.count() >= self.fan_in || bytes >= self.target_bytes
        })
    }

    fn merge(
        &self,
        partition: &PartitionValues,
        small: Vec<&DataFile>,
        upto: u32,
    ) -> Option<Merge> {
        let mut files: Vec<&DataFile> = small
            .into_iter()
            .filter(|file| file.generation() <= upto)
            .collect();
        // Names begin with the time at which the file was made.
        files.sort_by(|one, other| name(one).cmp(name(other)));
        let mut bytes = 0;
        let taken = files.into_iter().take(MOST_FILES).take_while(|file| {
            bytes += file.size;
            bytes <= self.merge_bytes
        });
        let files: Vec<DataFile> = taken.cloned().collect();
        let newest = files.iter().map(DataFile::generation).max()?;
        (files.len() > 1).then(|| Merge {
            partition: partition.clone(),
            files,
            generation: newest + 1,
        })
    }
}

fn name(file: &DataFile) -> &str {
    file.path.rsplit('/').next().unwrap_or(&file.path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHAPE: Shape = Shape {
        target_bytes: 1_000_000,
        fan_in: 8,
        merge_bytes: 4_000_000,
    };

    fn file(number: usize, generation: u32, size: u64) -> DataFile {
        let generation = match generation {
            0 => String::new(),
            number => format!(".g{number}"),
        };
        DataFile {
            path: format!("bucket=1/part-{number:08}{generation}.zstd.parquet"),
            size,
            rows: None,
            partition: [("bucket".to_owned(), Some("1".to_owned()))].into(),
            columns: BTreeMap::new(),
        }
    }

    fn plan(files: &[DataFile]) -> Option<Merge> {
        SHAPE.merges(files, |_| false).pop()
    }

    #[test]
    fn few_small_files_wait() {
        let files: Vec<_> = (0..7).map(|number| file(number, 0, 1_000)).collect();
        assert_eq!(plan(&files), None);
    }

    #[test]
    fn many_small_files_are_merged_and_large_ones_left() {
        let mut files: Vec<_> = (0..8).map(|number| file(number, 0, 1_000)).collect();
        files.push(file(8, 0, 500_000));
        files.push(file(9, 3, 1_000));
        let merge = plan(&files).unwrap();
        assert_eq!((merge.files.len(), merge.generation), (8, 1));
    }

    #[test]
    fn enough_bytes_are_merged_however_few_the_files() {
        let files: Vec<_> = (0..3).map(|number| file(number, 1, 400_000)).collect();
        assert_eq!(plan(&files).unwrap().generation, 2);
    }

    #[test]
    fn what_is_settled_is_merged_for_good() {
        let files = [file(0, 0, 10), file(1, 2, 10)];
        assert_eq!(plan(&files), None);
        let merge = SHAPE.merges(&files, |_| true).pop().unwrap();
        assert_eq!((merge.files.len(), merge.generation), (2, 3));
        assert!(SHAPE.merges(&[file(2, 3, 20)], |_| true).is_empty());
    }

    #[test]
    fn a_merge_takes_no_more_than_it_may() {
        let files: Vec<_> = (0..20).map(|number| file(number, 0, 400_000)).collect();
        let merge = plan(&files).unwrap();
        assert_eq!(merge.files, files[..10]);
    }

    proptest! {
        /// Whatever comes in, rows are rewritten at most three times, and few files are left.
        #[test]
        fn amplification_and_files_are_bounded(
            sizes in proptest::collection::vec(1_000_u64..200_000, 1..600)
        ) {
            let (mut files, mut number) = (Vec::new(), 0);
            let (mut came, mut written) = (0, 0);
            for size in sizes {
                came += size;
                files.push(file(number, 0, size));
                number += 1;
                while let Some(merge) = plan(&files) {
                    files.retain(|file| !merge.files.contains(file));
                    prop_assert!(merge.generation <= GENERATIONS);
                    prop_assert!(merge.bytes() <= SHAPE.merge_bytes);
                    written += merge.bytes();
                    let mut left = merge.bytes();
                    while left > 0 {
                        let size = left.min(SHAPE.target_bytes);
                        files.push(file(number, merge.generation, size));
                        number += 1;
                        left -= size;
                    }
                }
                let small = files
                    .iter()
                    .filter(|file| file.size < SHAPE.target_bytes / 2 && file.generation() < 3);
                prop_assert!(small.count() < SHAPE.fan_in * 3);
            }
            prop_assert!(written <= came * u64::from(GENERATIONS));
        }
    }
}
