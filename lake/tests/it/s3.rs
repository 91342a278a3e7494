//! The lake over an S3 server that fails: a proxy between the two injects the faults.

mod appending;
mod commits;
mod cut_bodies;
mod maintaining;
mod stale_lists;

use crate::rows::{lines, name, signatures};
use arrow::compute::concat_batches;
use std::error::Error;
use streamsync_core::config::BucketConfig;
use streamsync_lake::{Lake, Table};
use streamsync_testing::{Fault, Rule, S3Proxy, Suite};

pub fn add(suite: &mut Suite) {
    for fault in Fault::every_kind() {
        let name = fault.name().replace(' ', "_");
        let (appends, maintains, reads) = (fault.clone(), fault.clone(), fault);
        suite.needs_s3(&format!("faults::appends_once::{name}"), |bucket| {
            appending::appends_once(bucket, appends)
        });
        suite.needs_s3(&format!("faults::merges_and_vacuums::{name}"), |bucket| {
            maintaining::merges_and_vacuums(bucket, maintains)
        });
        suite.needs_s3(&format!("faults::large_files::{name}"), |bucket| {
            appending::large_files(bucket, reads)
        });
    }
    macro_rules! tests {
        ($($module:ident::$test:ident,)*) => {$(
            suite.needs_s3(&format!("faults::{}", stringify!($test)), $module::$test);
        )*};
    }
    tests!(
        commits::an_append_whose_answer_is_lost_is_done_once,
        commits::an_append_of_which_too_little_is_read_keeps_its_files,
        commits::a_replacement_whose_answer_is_lost_is_done_once,
        commits::tables_whose_answers_are_lost_are_created_once,
        commits::racing_writers_whose_answers_are_lost_all_succeed_once,
        commits::a_commit_that_never_gets_through_appends_nothing,
        cut_bodies::a_shortened_data_file_never_gives_wrong_rows,
        cut_bodies::a_shortened_log_never_gives_wrong_rows,
        cut_bodies::a_shortened_checkpoint_never_gives_wrong_rows,
        cut_bodies::a_shortened_list_is_no_empty_lake,
        cut_bodies::a_list_that_breaks_off_is_asked_for_again,
        stale_lists::a_stale_list_gives_an_earlier_version,
        stale_lists::a_writer_with_a_stale_list_loses_nothing,
        stale_lists::a_stale_list_does_not_shorten_the_promise,
    );
}

type Failure = Box<dyn Error + Send + Sync>;

/// A proxy before the server of a bucket, and the bucket through it.
async fn proxied(bucket: &BucketConfig) -> (S3Proxy, BucketConfig) {
    let proxy = S3Proxy::start(bucket.endpoint.as_deref().unwrap()).await;
    let through = proxy.bucket(bucket);
    (proxy, through)
}

/// Injects a fault into three of ten requests. Bodies are shortened only where they are rows, as what
/// comes of a shortened log has tests of its own, and rarely, as nobody asks for them again.
fn inject(proxy: &S3Proxy, fault: Fault, seed: u64) {
    proxy.inject(match fault {
        Fault::Shortened(_) => Rule::new(fault).path(".zstd.parquet").share(0.04, seed),
        _ => Rule::new(fault).share(0.3, seed),
    });
}

/// The table `signatures`, opened afresh.
async fn opened(bucket: &BucketConfig) -> Result<Table, Failure> {
    Ok(Lake::open(bucket)?.table(&name("signatures")).await?)
}

/// Reads all of a table, and sees that its rows are those of the slots that it covers.
async fn rows_of_its_slots(table: &Table) -> Result<u64, Failure> {
    let coverage = table.coverage().await?;
    let mut batches = Vec::new();
    for file in table.files().await?.iter() {
        batches.extend(table.read(file).await?);
    }
    let rows = concat_batches(&table.schema(), &batches)?;
    let slots = coverage.iter().map(|slot| slot.0);
    assert_eq!(lines(&rows), lines(&signatures(slots, 2)), "wrong rows");
    Ok(coverage.len())
}

/// The errors of what has to be done again, each of which has to say what was being done.
#[derive(Debug, Default)]
struct Failures(Vec<String>);

impl Failures {
    fn add(&mut self, error: &dyn Error) {
        let text = streamsync_core::with_causes(error);
        assert!(
            text.contains("could not") || text.contains("damaged"),
            "{text}"
        );
        self.0.push(text);
        assert!(self.0.len() < 60, "it never succeeds: {:?}", self.0);
    }
}
