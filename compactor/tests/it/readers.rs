//! What other readers see before, during and after.

use crate::fixture::{append, compactor, config, over, small_files};
use duckdb::Connection;
use std::{path::PathBuf, process::Command, time::Duration};
use streamsync_core::config::CompactorConfig;
use streamsync_testing::Suite;
use tokio_util::sync::CancellationToken;

/// Reads the table once a line comes in, prints what it sees as one line, and ends with the input.
const SCRIPT: &str = r#"
import sys
from deltalake import DeltaTable, QueryBuilder
for _ in sys.stdin:
    table = DeltaTable(sys.argv[1])
    query = QueryBuilder().register("t", table)
    found = query.execute("SELECT count(*), sum(slot), count(distinct message) FROM t").read_all()
    print(*(found.column(i)[0].as_py() for i in range(3)), flush=True)
"#;

pub fn add_to(suite: &mut Suite) {
    suite.needs_python(
        "delta-rs and DuckDB see the same rows all the while",
        readers,
    );
}

struct Reader {
    child: std::process::Child,
    lines: std::io::Lines<std::io::BufReader<std::process::ChildStdout>>,
}

impl Reader {
    fn read(&mut self) -> String {
        use std::io::Write;
        writeln!(self.child.stdin.as_mut().unwrap()).unwrap();
        self.lines.next().unwrap().unwrap()
    }
}

async fn readers(python: PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let lake = over(folder.path().to_str().unwrap().to_owned());
    let mut table = small_files(&lake, 40).await;
    let root = folder.path().join("log_messages");
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .arg(&root)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut reader = Reader {
        child,
        lines: std::io::BufRead::lines(stdout),
    };
    let slots: u64 = 3 * (0..400).sum::<u64>();
    let expected = format!("1200 {slots} 1200");
    assert_eq!(reader.read(), expected);
    let by_duckdb = async |table: &streamsync_lake::Table| {
        // DuckDB's own reader of Parquet on the files that the log names: its Delta extension is
        // not at hand here.
        let files = table.files().await.unwrap();
        let paths: Vec<String> = files
            .iter()
            .map(|file| format!("'{}'", root.join(&file.path).display()))
            .collect();
        let text = format!(
            "SELECT count(*) || ' ' || sum(slot) || ' ' || count(DISTINCT message) \
             FROM read_parquet([{}])",
            paths.join(", ")
        );
        let duck = Connection::open_in_memory().unwrap();
        duck.query_row(&text, [], |row| row.get::<_, String>(0))
            .unwrap()
    };
    assert_eq!(by_duckdb(&table).await, expected);

    let stop = CancellationToken::new();
    let working = {
        let (lake, stop) = (lake.clone(), stop.clone());
        tokio::spawn(async move {
            let config = CompactorConfig {
                fan_in: 3,
                merge_bytes: 64 << 10,
                every_s: 1,
                archive_days: [("log_messages".to_owned(), 1)].into(),
                ..config()
            };
            compactor(&lake, config, Duration::ZERO).run(&stop).await;
        })
    };
    // As long as there is something to merge and to archive, and once more after.
    let mut seen = 0;
    loop {
        let files = table.files().await.unwrap();
        let archived = files.iter().all(|file| file.is_archived());
        assert_eq!(reader.read(), expected);
        assert_eq!(by_duckdb(&table).await, expected);
        seen += 1;
        if files.len() < 6 && archived {
            break;
        }
        table = table.refresh().await.unwrap();
    }
    assert!(seen > 1);
    stop.cancel();
    working.await.unwrap();
    let table = append(&table.refresh().await.unwrap(), 40).await;
    let slots: u64 = 3 * (0..410).sum::<u64>();
    let expected = format!("1230 {slots} 1230");
    assert_eq!(reader.read(), expected);
    assert_eq!(by_duckdb(&table).await, expected);
    drop(reader.child.stdin.take());
    assert!(reader.child.wait().unwrap().success());
}
