//! Compiles the protobuf schema of confirmed blocks, without an external compiler.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto/confirmed_block.proto");
    let descriptors = protox::compile(["proto/confirmed_block.proto"], ["proto"])?;
    prost_build::Config::new().compile_fds(descriptors)?;
    Ok(())
}
