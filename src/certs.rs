//! `streamsync certs`.

use crate::{Failure, identity::identity};
use std::{path::PathBuf, process::ExitCode, time::Duration};
use streamsync_core::{
    WorkerId,
    clock::{Clock, SystemClock},
};
use streamsync_tls::{Authority, Subject};

/// Subcommands of `streamsync certs`.
#[derive(clap::Subcommand)]
pub enum CertsCommand {
    /// Make the authority of a network.
    #[command(after_help = "Example:\n  streamsync certs init --authority ca")]
    Init {
        /// The folder for it: `ca.pem` goes to everyone, `ca.key` to nobody.
        #[arg(long, value_name = "FOLDER")]
        authority: PathBuf,
    },
    /// Issue a certificate, or renew one: processes take up the new one while they run.
    #[command(after_help = "Examples:
  streamsync certs issue --authority ca --keypair worker.json --out worker
  streamsync certs issue --authority ca --out router")]
    Issue {
        /// The folder of the authority.
        #[arg(long, value_name = "FOLDER")]
        authority: PathBuf,
        /// The worker that it is for; without one it is for a router.
        #[arg(long, value_name = "ID", conflicts_with = "keypair")]
        worker: Option<WorkerId>,
        /// The key pair of the worker that it is for; made when absent.
        #[arg(long, value_name = "FILE")]
        keypair: Option<PathBuf>,
        /// For how many days it holds.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=825))]
        days: u32,
        /// The folder for `ca.pem` and `identity.pem`.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
    },
    /// Replace the authority. Certificates of the old one hold on until it is dropped: give everyone the new
    /// `ca.pem`, then issue all certificates anew.
    #[command(after_help = "Example:
  streamsync certs rotate --authority ca
  cp ca/ca.pem router-tls/                             # and to all others: from now on they trust both
  streamsync certs issue --authority ca --out router-tls
  streamsync certs rotate --authority ca --drop-old    # once all certificates are of the new one
  cp ca/ca.pem router-tls/                             # and to all others: the old ones hold no longer")]
    Rotate {
        /// The folder of the authority.
        #[arg(long, value_name = "FOLDER")]
        authority: PathBuf,
        /// Make no new authority, but trust the earlier ones no longer.
        #[arg(long)]
        drop_old: bool,
    },
}

/// Makes authorities and certificates.
pub fn run(command: &CertsCommand) -> Result<ExitCode, Failure> {
    let now = SystemClock.unix_millis() / 1_000;
    match command {
        CertsCommand::Init { authority } => {
            Authority::init(authority, now)?;
            println!(
                "the authority is in {}; keep ca.key to yourself",
                authority.display()
            );
        }
        CertsCommand::Issue {
            authority,
            worker,
            keypair,
            days,
            out,
        } => {
            let worker = match keypair {
                Some(file) => Some(identity(Some(file))?.id()),
                None => *worker,
            };
            let subject = worker.map_or(Subject::Router, Subject::Worker);
            let holds = Duration::from_secs(u64::from(*days) * 86_400);
            Authority::open(authority)?.issue(subject, out, now, holds)?;
            println!("a certificate for {days} days is in {}", out.display());
        }
        CertsCommand::Rotate {
            authority,
            drop_old,
        } => {
            let present = Authority::open(authority)?;
            let folder = authority.display();
            if *drop_old {
                present.drop_earlier()?;
                println!(
                    "ca.pem in {folder} trusts no earlier authority any more; give it to everyone"
                );
            } else {
                present.rotate(now)?;
                println!(
                    "the authority in {folder} is new; give its ca.pem to everyone, then issue all \
                     certificates anew"
                );
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
