//! What the benchmark ran on.

use crate::options::cores;

/// Facts about this machine, its system and this build.
pub fn facts() -> Vec<(String, String)> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_once(':'));
        value.map_or("unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let memory = memory.trim_end_matches(" kB").parse::<u64>();
    let duckdb = duckdb::Connection::open_in_memory()
        .and_then(|connection| connection.query_row("SELECT version()", [], |row| row.get(0)));
    let build = if cfg!(debug_assertions) {
        "debug: these numbers mean nothing"
    } else {
        "release"
    };
    let facts = [
        ("processor", field(&read("/proc/cpuinfo"), "model name")),
        ("cores", cores().to_string()),
        (
            "memory",
            memory.map_or("unknown".to_owned(), |kib| format!("{} MiB", kib >> 10)),
        ),
        (
            "kernel",
            read("/proc/sys/kernel/osrelease").trim().to_owned(),
        ),
        (
            "load before",
            read("/proc/loadavg")
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned(),
        ),
        (
            "DuckDB",
            duckdb.unwrap_or_else(|error: duckdb::Error| error.to_string()),
        ),
        ("build", build.to_owned()),
    ];
    facts
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// A field of this process's status in bytes: `VmHWM`, the most memory that it ever had, or
/// `VmRSS`, what it has now.
pub fn memory(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}
