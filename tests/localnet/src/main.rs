//! A Solana node for tests and demonstrations: a chain of its own, with the programs that every
//! chain has and `strm`, which is spoken to by JSON-RPC as any node is. Addresses that are given have
//! lamports and tokens of a mint. It says `ready`, its URL and the mint once it is up, and ends when
//! its standard input does.

mod token;

use crossbeam_channel::unbounded;
use solana_pubkey::Pubkey;
use std::{
    io::{Read, stdin},
    net::TcpListener,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};
use surfpool_core::{
    runloops::start_local_surfnet_runloop,
    surfnet::{
        locker::SurfnetSvmLocker,
        svm::{SurfnetSvm, SurfnetSvmConfig},
    },
};
use surfpool_types::{RpcConfig, SimnetCommand, SimnetConfig, SimnetEvent, SurfpoolConfig};

/// The milliseconds of a slot. A block is final 31 slots after it was made.
const SLOT_MS: u64 = 20;
/// What addresses are given, in lamports, and in base units of the mint.
const LAMPORTS: u64 = 1_000_000_000_000;
const TOKENS: u64 = 1_000_000_000_000_000;
const USAGE: &str = "usage: streamsync-localnet PROGRAM.so PROGRAM_ID [ADDRESS]...";

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Args {
    program: PathBuf,
    id: Pubkey,
    addresses: Vec<Pubkey>,
}

fn main() -> ExitCode {
    match args().and_then(|args| run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn args() -> Result<Args, Failure> {
    let mut given = std::env::args().skip(1);
    let (Some(program), Some(id)) = (given.next(), given.next()) else {
        return Err(USAGE.into());
    };
    Ok(Args {
        program: program.into(),
        id: id.parse()?,
        addresses: given
            .map(|address| address.parse())
            .collect::<Result<_, _>>()?,
    })
}

fn run(args: &Args) -> Result<(), Failure> {
    let simnet = SimnetConfig {
        offline_mode: true,
        remote_rpc_url: None,
        slot_time: SLOT_MS,
        airdrop_addresses: args.addresses.clone(),
        airdrop_token_amount: LAMPORTS,
        instruction_profiling_enabled: false,
        ..SimnetConfig::default()
    };
    let rpc = RpcConfig {
        bind_host: "127.0.0.1".to_owned(),
        bind_port: free_port()?,
        ws_port: free_port()?,
        ..RpcConfig::default()
    };
    let url = format!("http://{}", rpc.get_rpc_base_url());
    let (svm, events, geyser_events) = SurfnetSvm::new(SurfnetSvmConfig {
        slot_time: SLOT_MS,
        instruction_profiling_enabled: false,
        ..SurfnetSvmConfig::default()
    })?;
    let locker = SurfnetSvmLocker::new(svm);
    let (commands, received) = unbounded();
    let (to_itself, of_chain) = (commands.clone(), locker.clone());
    let config = SurfpoolConfig {
        simnets: vec![simnet],
        rpc,
        ..SurfpoolConfig::default()
    };
    let chain = thread::spawn(move || -> Result<(), String> {
        let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
        let running =
            start_local_surfnet_runloop(of_chain, config, to_itself, received, geyser_events);
        let ended = runtime.block_on(running);
        ended.map_err(|error| error.to_string())
    });
    while !matches!(events.recv()?, SimnetEvent::CoreStarted(_)) {}
    // What is said from now on is not listened to, and must not pile up.
    thread::spawn(move || while events.recv().is_ok() {});
    deploy(&locker, args.id, &args.program)?;
    let mint = Pubkey::new_unique();
    for (address, account) in token::accounts(mint, &args.addresses, TOKENS) {
        locker.with_svm_writer(|svm| svm.set_account(&address, account.clone()))?;
    }
    println!("ready {url} {mint}");
    stdin().read_to_end(&mut Vec::new())?;
    // One that is gone already is what is wanted.
    let _ = commands.send(SimnetCommand::Terminate(None));
    match chain.join() {
        Ok(ended) => Ok(ended?),
        Err(_) => Err("the chain has panicked".into()),
    }
}

fn deploy(locker: &SurfnetSvmLocker, id: Pubkey, program: &Path) -> Result<(), Failure> {
    let bytes = std::fs::read(program)
        .map_err(|error| format!("could not read {}: {error}", program.display()))?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime
        .block_on(locker.write_program(id, None, 0, &bytes, &None))
        .map_err(|error| format!("could not deploy {}: {error}", program.display()))?;
    Ok(())
}

/// A port that nobody listens on at the moment.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
