//! The `unplug` command: hands the arguments and the terminal to the library.

use std::process::ExitCode;

/// A run allocates much and frees much, on all cores at once: a fifth of its time with the
/// system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    unplug::cli::main(std::env::args_os(), &mut std::io::stdout(), &mut std::io::stderr())
}
