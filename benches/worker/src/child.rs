//! This program again, in a process of its own.

use crate::Fallible;
use serde::de::DeserializeOwned;
use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

/// Runs a part of this program, gives it some input, and reads what it answers: one line of JSON.
pub fn run<T: DeserializeOwned>(part: &str, arguments: &[String], input: &[u8]) -> Fallible<T> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(part)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input)?;
    }
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    let status = child.wait()?;
    if !status.success() {
        return Err(format!("the child process for {part} ended with {status}").into());
    }
    Ok(serde_json::from_str(&line)?)
}
